// Fewer samples of a time series: a filter of finite response, computed where a sample stays.
#ifndef AT_SIGNAL_DECIMATE_H
#define AT_SIGNAL_DECIMATE_H

#include "port.h"

// Sum of count samples, `apart` from each other, times taps; it fits as |taps| add up to less than 2.
AT_INLINE int32_t at_taps(const int16_t *x, const int16_t *taps, int32_t count, int32_t apart) {
  int32_t sum = 0, k = 0;
#if AT_DSP
  const int32_t paired = apart == 1 ? count & ~1 : 0;
  AT_UNROLL(4)
  for (; k < paired; k += 2)
    sum = at_dual_mac(at_word(x + k), at_word(taps + k), sum);
#endif
  AT_ROLLED
  for (; k < count; k++) sum += (int32_t)x[k * apart] * taps[k];
  return sum;
}

// x is (samples, channels) int16, y is (outputs, channels); taps is (count,) with 15 fraction bits.
// Ten of them are kept until the output is scaled.
#define AT_DECIMATE(NAME, T, LOW, HIGH)                                                           \
  AT_INLINE void at_decimate_##NAME(const int16_t *x, T *y, const int16_t *taps, int32_t outputs, \
                                    int32_t channels, int32_t factor, int32_t count,              \
                                    int32_t multiplier, int32_t shift) {                          \
    AT_ROLLED                                                                                     \
    for (int32_t t = 0; t < outputs; t++, x += factor * channels)                                 \
      for (int32_t c = 0; c < channels; c++) {                                                    \
        const int32_t level = (at_taps(x + c, taps, count, channels) + 16) >> 5;                  \
        *y++ = (T)at_clamp(at_rescale_down(level, multiplier, shift), LOW, HIGH);                 \
      }                                                                                           \
  }

AT_DECIMATE(s8, int8_t, -128, 127)
AT_DECIMATE(s16, int16_t, -32768, 32767)
#undef AT_DECIMATE

#endif
