// Mean, deviation, root mean square, ends and crossings of each channel of windows of a time series.
#ifndef AT_SIGNAL_STATISTICS_H
#define AT_SIGNAL_STATISTICS_H

#include "port.h"

// The whole part of the root of x < 2^32, bit by bit.
AT_INLINE int32_t at_root(uint32_t x) {
  uint32_t root = 0;
  AT_ROLLED
  for (uint32_t bit = 1u << 30; bit; bit >>= 2) {
    const uint32_t least = root + bit;
    root >>= 1;
    if (x >= least) x -= least, root += bit;
  }
  return (int32_t)root;
}

// What one channel of a window is: values in steps of its samples, crossings of its mean in 2^-15
// a sample.
typedef struct {
  int32_t mean, deviation, root_mean_square, low, high, crossings;
} at_moments;

// x is (frame, ...) int16, its samples `apart` from each other, at most 2^14 of them.
AT_INLINE at_moments at_moments_of(const int16_t *x, int32_t frame, int32_t apart) {
  at_moments m = {0, 0, 0, x[0], x[0], 0};
  int32_t sum = 0;
  uint64_t squares = 0;
  AT_ROLLED
  for (int32_t t = 0; t < frame; t++) {
    const int32_t v = x[t * apart];
    sum += v;
    squares += (uint32_t)(v * v);
    m.low = at_min(m.low, v);
    m.high = at_max(m.high, v);
  }
  // rounded to the nearest, halves up: counted from -32768, as a division rounds towards zero
  m.mean = (int32_t)(((uint32_t)(2 * sum) + 65537u * (uint32_t)frame) / (uint32_t)(2 * frame)) - 32768;
  const uint64_t spread = squares * (uint32_t)frame - (uint64_t)((int64_t)sum * sum);
  m.deviation = at_root((uint32_t)(spread / ((uint64_t)frame * (uint32_t)frame)));
  m.root_mean_square = at_root((uint32_t)(squares / (uint32_t)frame));
  AT_ROLLED
  for (int32_t t = 1; t < frame; t++)
    m.crossings += (x[t * apart] < m.mean) != (x[(t - 1) * apart] < m.mean);
  m.crossings = (int32_t)((uint32_t)m.crossings * 32768u / (uint32_t)frame);
  return m;
}

// x is (samples, channels) int16, y is (frames, channels, 6).
#define AT_STATISTICS(NAME, T, LOW, HIGH, BITS)                                                   \
  AT_INLINE void at_statistics_##NAME(const int16_t *x, T *y, int32_t frames, int32_t channels,   \
                                      int32_t frame, int32_t hop, int32_t multiplier,             \
                                      int32_t shift) {                                            \
    AT_ROLLED                                                                                     \
    for (int32_t t = 0; t < frames; t++, x += hop * channels)                                     \
      for (int32_t c = 0; c < channels; c++) {                                                    \
        const at_moments m = at_moments_of(x + c, frame, channels);                               \
        const int32_t values[5] = {m.mean, m.deviation, m.root_mean_square, m.low, m.high};       \
        AT_ROLLED                                                                                 \
        for (int32_t k = 0; k < 5; k++)                                                           \
          *y++ = (T)at_clamp(at_rescale_down(values[k] * 1024, multiplier, shift), LOW, HIGH);    \
        *y++ = (T)(m.crossings >> (15 - (BITS)));                                                 \
      }                                                                                           \
  }

AT_STATISTICS(s8, int8_t, -128, 127, 7)
AT_STATISTICS(s16, int16_t, -32768, 32767, 15)
#undef AT_STATISTICS

#endif
