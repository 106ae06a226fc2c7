// A filter of infinite response over time series: sections of second order, one after the other.
#ifndef AT_SIGNAL_BAND_FILTER_H
#define AT_SIGNAL_BAND_FILTER_H

#include "port.h"

// What a section keeps: its last two inputs and outputs.
typedef struct {
  int32_t x1, x2, y1, y2;
} at_section;

// Signals have 12 fraction bits; samples of int32 have 16. No section makes a signal louder than
// four times the input.
AT_INLINE int32_t at_signal_s16(int32_t x) { return x * (1 << 12); }
AT_INLINE int32_t at_signal_s32(int32_t x) { return x >> 4; }

// A sum of products in the bits of signals, rounded to the nearest; halves go up.
AT_INLINE int32_t at_signal_of(int64_t sum) { return (int32_t)((sum + (1 << 29)) >> 30); }

// The next output of a section; by is (b0, b1, b2, −a1, −a2, …) with 30 fraction bits.
AT_INLINE int32_t at_section_next(at_section *s, int32_t x, const int32_t *by) {
  const int32_t y = at_signal_of((int64_t)x * by[0] + (int64_t)s->x1 * by[1] + (int64_t)s->x2 * by[2] +
                               (int64_t)s->y1 * by[3] + (int64_t)s->y2 * by[4]);
  s->x2 = s->x1, s->x1 = x, s->y2 = s->y1, s->y1 = y;
  return y;
}

// x is (samples, channels), y likewise; state is (sections,), undefined before and after. factors
// is (sections, 6); the last of each is what it makes of a constant input of the first section, as
// which the first sample counts that was before it.
#define AT_BAND_FILTER(FROM, X, TO, T, LOW, HIGH)                                                 \
  AT_INLINE void at_band_filter_##FROM##_##TO(                                                    \
      const X *x, T *y, at_section *state, const int32_t *factors, int32_t samples,               \
      int32_t channels, int32_t sections, int32_t multiplier, int32_t shift) {                    \
    for (int32_t c = 0; c < channels; c++) {                                                      \
      const int32_t first = at_signal_##FROM(x[c]);                                               \
      int32_t before = first;                                                                     \
      for (int32_t s = 0; s < sections; s++) {                                                    \
        const int32_t after = at_signal_of((int64_t)first * factors[6 * s + 5]);                  \
        state[s] = (at_section){before, before, after, after};                                    \
        before = after;                                                                           \
      }                                                                                           \
      AT_ROLLED                                                                                   \
      for (int32_t t = 0; t < samples; t++) {                                                     \
        int32_t level = at_signal_##FROM(x[t * channels + c]);                                    \
        AT_ROLLED                                                                                 \
        for (int32_t s = 0; s < sections; s++)                                                    \
          level = at_section_next(state + s, level, factors + 6 * s);                             \
        y[t * channels + c] = (T)at_clamp(at_rescale_down(level, multiplier, shift), LOW, HIGH);  \
      }                                                                                           \
    }                                                                                             \
  }

AT_BAND_FILTER(s16, int16_t, s8, int8_t, -128, 127)
AT_BAND_FILTER(s16, int16_t, s16, int16_t, -32768, 32767)
AT_BAND_FILTER(s32, int32_t, s8, int8_t, -128, 127)
AT_BAND_FILTER(s32, int32_t, s16, int16_t, -32768, 32767)
#undef AT_BAND_FILTER

#endif
