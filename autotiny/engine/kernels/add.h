// Sums of two tensors of one shape.
#ifndef AT_ADD_H
#define AT_ADD_H

#include "port.h"

// How two int8 addends reach a common scale, and how their sum reaches the output's. The scale of b is
// the larger one, so that it is halved and no more. Shifts go to the right.
typedef struct {
  int32_t a_zero, a_multiplier, a_shift;  // zero: minus the zero-point
  int32_t b_zero;
  int32_t multiplier, shift, out_zero;
  int32_t low, high;
} at_sum_s8;

// x · 2^-shift, halves away from zero, for |x| < 2^30.
AT_INLINE int32_t at_shifted_down(int32_t x, int32_t shift) {
  return shift == 0 ? x : (x + at_sign(x) + (1 << (shift - 1))) >> shift;
}

// x · multiplier · 2^(-31 - shift), rounded twice as at_rescale does, for |x| < 2^30.
AT_INLINE int32_t at_scaled_down(int32_t x, int32_t multiplier, int32_t shift) {
  return at_shifted_down(at_mul_high(x * 2, multiplier), shift);
}

// The same of x · 2^20, for |x| < 2^9: without a double-word product the multiplier is taken in two.
AT_INLINE int32_t at_raised_s8(int32_t x, int32_t multiplier, int32_t shift) {
#if AT_DSP
  return at_scaled_down(x * (1 << 20), multiplier, shift);
#else
  const int32_t high = x * (multiplier >> 11) + ((x * (multiplier & 0x7ff) + (1 << 10)) >> 11);
  return at_shifted_down(high, shift);
#endif
}

AT_INLINE int32_t at_sum_of_s8(int32_t a, int32_t b, at_sum_s8 q) {
  const int32_t sum =
      at_raised_s8(a + q.a_zero, q.a_multiplier, q.a_shift) + (b + q.b_zero) * (1 << 19);
  int32_t y;
  if (q.low >= q.out_zero && 0 < q.shift && q.shift <= 22) {
    // Halves below zero may go either way: what they become is below the lower bound.
    const int32_t rounding = (1 << (q.shift - 1)) + q.out_zero * (1 << q.shift);
    y = at_mul_high_add(rounding, sum * 2, q.multiplier) >> q.shift;
  } else {
    y = at_scaled_down(sum, q.multiplier, q.shift) + q.out_zero;
  }
  return q.low == -128 && q.high == 127 ? at_saturate8(y) : at_clamp(y, q.low, q.high);
}

AT_INLINE void at_add_s8(const int8_t *a, const int8_t *b, int8_t *y, int32_t size, at_sum_s8 q) {
#if AT_DSP
  AT_ROLLED
  for (; size >= 4; size -= 4, a += 4, b += 4, y += 4) {
    const uint32_t as = at_word(a), bs = at_word(b);
    y[0] = (int8_t)at_sum_of_s8((int8_t)(uint8_t)as, (int8_t)(uint8_t)bs, q);
    y[1] = (int8_t)at_sum_of_s8((int8_t)(uint8_t)(as >> 8), (int8_t)(uint8_t)(bs >> 8), q);
    y[2] = (int8_t)at_sum_of_s8((int8_t)(uint8_t)(as >> 16), (int8_t)(uint8_t)(bs >> 16), q);
    y[3] = (int8_t)at_sum_of_s8((int8_t)(uint8_t)(as >> 24), (int8_t)(uint8_t)(bs >> 24), q);
  }
#endif
  AT_UNROLL(2)
  for (int32_t i = 0; i < size; i++) y[i] = (int8_t)at_sum_of_s8(a[i], b[i], q);
}

#endif
