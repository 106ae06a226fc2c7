// Softmax along the last dimension of int16, by two tables of 513 values with interpolation.
#ifndef AT_SOFTMAX_S16_H
#define AT_SOFTMAX_S16_H

#include "softmax.h"

// The value at x in [-32768, 32767] of a function sampled at every 128th x.
AT_INLINE int32_t at_interpolate(int32_t x, const int16_t *table) {
  const int32_t index = 256 + (x >> 7);
  const int32_t slope = (int16_t)(table[index + 1] - table[index]);
  return table[index] + ((slope * (x & 127) + 64) >> 7);
}

// exp_table samples exp on [-10, 0], reciprocal_table 1 / (1 + x) on [0, 1], both with 15 fraction
// bits. Differences to the maximum are scaled so that -65535 stands for -10.
AT_INLINE void at_softmax_s16(const int16_t *x, int16_t *y, const int16_t *exp_table,
                              const int16_t *reciprocal_table, int32_t rows, int32_t depth,
                              int32_t multiplier, int32_t shift) {
  for (int32_t r = 0; r < rows; r++, x += depth, y += depth) {
    int32_t top = -32768, sum = 0;
    for (int32_t i = 0; i < depth; i++) top = at_max(top, x[i]);
    for (int32_t i = 0; i < depth; i++) {
      const int32_t scaled = at_rescale(x[i] - top, multiplier, shift);
      y[i] = (int16_t)at_interpolate(at_clamp(scaled + 32767, -32768, 32767), exp_table);
      sum += y[i];
    }
    const int32_t zeros = at_leading_zeros((uint32_t)sum);
    const int32_t fraction = (int32_t)((((int64_t)sum << (zeros - 1)) + (1 << 13)) >> 14);
    const int32_t reciprocal =
        at_interpolate(at_clamp(fraction - (1 << 15) - (1 << 16), -32768, 32767), reciprocal_table);
    const int32_t right = 31 - zeros;
    for (int32_t i = 0; i < depth; i++) {
      const int32_t value = (y[i] * reciprocal + (1 << (right - 1))) >> right;
      y[i] = (int16_t)at_clamp(value, 0, 32767);
    }
  }
}

#endif
