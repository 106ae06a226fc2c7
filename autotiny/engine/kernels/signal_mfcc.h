// Mel frequency cepstral coefficients, from sound to features.
#ifndef AT_SIGNAL_MFCC_H
#define AT_SIGNAL_MFCC_H

#include "signal_log_mel.h"

// Sum of levels times cosines, which have 15 fraction bits; two products fit an int32.
AT_INLINE int32_t at_cosine_sum(const int16_t *logs, const int16_t *cosines, int32_t filters) {
  int64_t sum = 1 << 14;
  int32_t f = 0;
#if AT_DSP
  AT_UNROLL(4)
  for (; f < (filters & ~1); f += 2) sum += at_dual_mul(at_word(logs + f), at_word(cosines + f));
#endif
  AT_ROLLED
  for (; f < filters; f++) sum += (int32_t)logs[f] * cosines[f];
  return (int32_t)(sum >> 15);
}

// x is (samples,) int16, y is (frames, coefficients); z is (n + 1,) and logs (filters,), both
// undefined before and after. cosines is (coefficients, filters) with 15 fraction bits; the rest is
// as the bands take it, in 16 bits around zero. A feature is a sum of theirs, scaled.
#define AT_MFCC(NAME, T, LOW, HIGH)                                                               \
  AT_INLINE void at_mfcc_##NAME(                                                                  \
      const int16_t *x, T *y, uint64_t *z, int16_t *logs, const int16_t *window,                  \
      const uint32_t *turns, const uint16_t *table, const uint16_t *weights,                      \
      const uint16_t *counts, const int16_t *cosines, int32_t frames, int32_t frame, int32_t hop, \
      int32_t n, int32_t bits, int32_t filters, int32_t first, int32_t offset,                    \
      int32_t multiplier, int32_t shift, int32_t coefficients, int32_t out_multiplier,            \
      int32_t out_shift) {                                                                        \
    AT_ROLLED                                                                                     \
    for (int32_t t = 0; t < frames; t++, x += hop) {                                              \
      const int16_t *row = cosines;                                                               \
      at_log_mel_s16(x, logs, z, window, turns, table, weights, counts, 1, frame, hop, n, bits,   \
                     filters, first, offset, multiplier, shift, 0);                               \
      AT_ROLLED                                                                                   \
      for (int32_t c = 0; c < coefficients; c++, row += filters) {                                \
        const int32_t level = at_cosine_sum(logs, row, filters);                                  \
        *y++ = (T)at_clamp(at_rescale_down(level, out_multiplier, out_shift), LOW, HIGH);         \
      }                                                                                           \
    }                                                                                             \
  }

AT_MFCC(s8, int8_t, -128, 127)
AT_MFCC(s16, int16_t, -32768, 32767)
#undef AT_MFCC

#endif
