// Logarithms of the energies of mel bands, from sound to features.
#ifndef AT_SIGNAL_LOG_MEL_H
#define AT_SIGNAL_LOG_MEL_H

#include "signal_fft.h"
#include "signal_log.h"
#include "signal_mel.h"

// x is (samples,) int16, y is (frames, filters); z is (n + 1,), undefined before and after. The
// window, its bits and the turns are as `at_spectrum` takes them; weights and counts are those of
// the filters + 1 flanks, of which the first begins at frequency `first`. A feature is log2 of the
// energy, less offset, scaled.
#define AT_LOG_MEL(NAME, T, LOW, HIGH)                                                            \
  AT_INLINE void at_log_mel_##NAME(                                                               \
      const int16_t *x, T *y, uint64_t *z, const int16_t *window, const uint32_t *turns,          \
      const uint16_t *table, const uint16_t *weights, const uint16_t *counts, int32_t frames,     \
      int32_t frame, int32_t hop, int32_t n, int32_t bits, int32_t filters, int32_t first,        \
      int32_t offset, int32_t multiplier, int32_t shift, int32_t zero) {                          \
    AT_ROLLED                                                                                     \
    for (int32_t t = 0; t < frames; t++, x += hop) {                                              \
      at_spectrum(x, window, turns, z, frame, n, bits);                                           \
      const uint64_t *power = z + first;                                                          \
      const uint16_t *weight = weights;                                                           \
      at_flank rise = at_flank_of(power, weight, counts[0]);                                      \
      AT_ROLLED                                                                                   \
      for (int32_t f = 0; f < filters; f++) {                                                     \
        power += counts[f], weight += counts[f];                                                  \
        const at_flank fall = at_flank_of(power, weight, counts[f + 1]);                          \
        const uint64_t energy = rise.rising + (fall.whole << 15) - fall.rising;                   \
        const int32_t level = at_rescale_down(at_log2(energy, table) - offset, multiplier, shift); \
        *y++ = (T)at_clamp(level + zero, LOW, HIGH);                                              \
        rise = fall;                                                                              \
      }                                                                                           \
    }                                                                                             \
  }

AT_LOG_MEL(s8, int8_t, -128, 127)
AT_LOG_MEL(s16, int16_t, -32768, 32767)
#undef AT_LOG_MEL

#endif
