// Sums of two tensors of one shape.
#ifndef AT_ADD_H
#define AT_ADD_H

#include "port.h"

// How two int8 addends reach a common scale, and how their sum reaches the output's. Shifts go to the
// right.
typedef struct {
  int32_t a_zero, a_multiplier, a_shift;  // zero: minus the zero-point
  int32_t b_zero, b_multiplier, b_shift;
  int32_t multiplier, shift, out_zero;
  int32_t low, high;
} at_sum_s8;

// x · multiplier · 2^(-31 - shift), rounded twice as at_rescale does, for |x| < 2^30.
AT_INLINE int32_t at_scaled_down(int32_t x, int32_t multiplier, int32_t shift) {
  const int32_t high = at_mul_high(x * 2, multiplier);
  return shift == 0 ? high : (high + (high >> 31) + (1 << (shift - 1))) >> shift;
}

AT_INLINE int32_t at_sum_of_s8(int32_t a, int32_t b, at_sum_s8 q) {
  const int32_t sum = at_scaled_down((a + q.a_zero) * (1 << 20), q.a_multiplier, q.a_shift) +
                      at_scaled_down((b + q.b_zero) * (1 << 20), q.b_multiplier, q.b_shift);
  const int32_t y = at_scaled_down(sum, q.multiplier, q.shift) + q.out_zero;
  return q.low == -128 && q.high == 127 ? at_saturate8(y) : at_clamp(y, q.low, q.high);
}

AT_INLINE void at_add_s8(const int8_t *a, const int8_t *b, int8_t *y, int32_t size, at_sum_s8 q) {
  AT_UNROLL(2)
  for (int32_t i = 0; i < size; i++) y[i] = (int8_t)at_sum_of_s8(a[i], b[i], q);
}

#endif
