// Fewer samples of a time series: a filter of finite response, computed where a sample stays.
#ifndef AT_SIGNAL_DECIMATE_H
#define AT_SIGNAL_DECIMATE_H

#include "port.h"

// Sum of count samples, `apart` from each other, times taps, in ten fraction bits: taps have 15, and
// |taps| add up to less than 2.
AT_INLINE int32_t at_filtered_s16(const int16_t *x, const int16_t *taps, int32_t count,
                                  int32_t apart) {
  int32_t sum = 1 << 4, k = 0;
#if AT_DSP
  const int32_t paired = apart == 1 ? count & ~1 : 0;
  AT_UNROLL(4)
  for (; k < paired; k += 2) sum = at_dual_mac(at_word(x + k), at_word(taps + k), sum);
#endif
  AT_ROLLED
  for (; k < count; k++) sum += (int32_t)x[k * apart] * taps[k];
  return sum >> 5;
}

// The same of samples with 16 fraction bits.
AT_INLINE int32_t at_filtered_s32(const int32_t *x, const int16_t *taps, int32_t count,
                                  int32_t apart) {
  int64_t sum = 1 << 20;
  AT_ROLLED
  for (int32_t k = 0; k < count; k++) sum += (int64_t)x[k * apart] * taps[k];
  return (int32_t)(sum >> 21);
}

// x is (samples, channels), y is (outputs, channels); taps is (count,).
#define AT_DECIMATE(FROM, X, TO, T, LOW, HIGH)                                                    \
  AT_INLINE void at_decimate_##FROM##_##TO(                                                       \
      const X *x, T *y, const int16_t *taps, int32_t outputs, int32_t channels, int32_t factor,   \
      int32_t count, int32_t multiplier, int32_t shift) {                                         \
    AT_ROLLED                                                                                     \
    for (int32_t t = 0; t < outputs; t++, x += factor * channels)                                 \
      for (int32_t c = 0; c < channels; c++) {                                                    \
        const int32_t level = at_filtered_##FROM(x + c, taps, count, channels);                   \
        *y++ = (T)at_clamp(at_rescale_down(level, multiplier, shift), LOW, HIGH);                 \
      }                                                                                           \
  }

AT_DECIMATE(s16, int16_t, s8, int8_t, -128, 127)
AT_DECIMATE(s16, int16_t, s16, int16_t, -32768, 32767)
AT_DECIMATE(s32, int32_t, s8, int8_t, -128, 127)
AT_DECIMATE(s32, int32_t, s16, int16_t, -32768, 32767)
#undef AT_DECIMATE

#endif
