// Products of matrices, and norms along the last dimension.
#ifndef AT_MATMUL_H
#define AT_MATMUL_H

#include "conv_s16.h"
#include "softmax.h"

// y is (n0, n1, n2, rows, cols); a and b are read by strides, which are 0 where a matrix is repeated.
typedef struct {
  int32_t n[3], a[3], b[3];
  int32_t rows, cols, depth;
  int32_t a_row, a_depth, b_depth, b_col;
} at_product_shape;

#define AT_MATMUL(A, B, ACC, TAP, FINISH)                                                   \
  for (int32_t i0 = 0; i0 < s.n[0]; i0++)                                                   \
    for (int32_t i1 = 0; i1 < s.n[1]; i1++)                                                 \
      for (int32_t i2 = 0; i2 < s.n[2]; i2++) {                                             \
        const A *ap = a + i0 * s.a[0] + i1 * s.a[1] + i2 * s.a[2];                          \
        const B *bp = b + i0 * s.b[0] + i1 * s.b[1] + i2 * s.b[2];                          \
        for (int32_t r = 0; r < s.rows; r++)                                                \
          for (int32_t c = 0; c < s.cols; c++) {                                            \
            ACC acc = 0;                                                                    \
            for (int32_t d = 0; d < s.depth; d++) {                                         \
              const A av = ap[r * s.a_row + d * s.a_depth];                                 \
              const B bv = bp[d * s.b_depth + c * s.b_col];                                 \
              acc += TAP;                                                                   \
            }                                                                               \
            *y++ = FINISH;                                                                  \
          }                                                                                 \
      }

AT_INLINE void at_matmul_s8(const int8_t *a, const int8_t *b, int8_t *y, at_product_shape s,
                            int32_t a_zero, int32_t b_zero, int32_t multiplier, int32_t shift,
                            int32_t out_zero) {
  AT_MATMUL(int8_t, int8_t, int32_t, (av + a_zero) * (bv + b_zero),
            (int8_t)at_clamp(at_rescale(acc, multiplier, shift) + out_zero, -128, 127))
}

AT_INLINE void at_matmul_s16(const int16_t *a, const int16_t *b, int16_t *y, at_product_shape s,
                             int32_t multiplier, int32_t shift) {
  AT_MATMUL(int16_t, int16_t, int64_t, av *bv,
            (int16_t)at_clamp(at_rescale_wide(acc, multiplier, shift), -32768, 32767))
}

AT_INLINE void at_matmul_f32(const float *a, const float *b, float *y, at_product_shape s) {
  AT_MATMUL(float, float, float, av *bv, acc)
}

AT_INLINE void at_l2_norm_f32(const float *x, float *y, int32_t rows, int32_t depth) {
  for (int32_t r = 0; r < rows; r++, x += depth, y += depth) {
    float sum = 0.0f;
    for (int32_t i = 0; i < depth; i++) sum += x[i] * x[i];
    const float size = at_sqrt(sum), norm = size > 1e-6f ? size : 1e-6f;
    for (int32_t i = 0; i < depth; i++) y[i] = x[i] / norm;
  }
}

// A number with three integer bits, times 8, saturated.
AT_INLINE int32_t at_times_8(int32_t x) {
  const int32_t limit = INT32_MAX >> 3;
  if (x > limit) return INT32_MAX;
  if (x < -limit - 1) return INT32_MIN;
  return x * 8;
}

// The output has scale 1/128 and zero-point 0. 1 / sqrt(sum) comes from five Newton steps on
// numbers with three integer bits.
AT_INLINE void at_l2_norm_s8(const int8_t *x, int8_t *y, int32_t rows, int32_t depth,
                             int32_t zero) {
  for (int32_t r = 0; r < rows; r++, x += depth, y += depth) {
    int32_t sum = 0;
    for (int32_t i = 0; i < depth; i++) sum += (x[i] - zero) * (x[i] - zero);
    int32_t multiplier = INT32_MAX, right = 0;
    if (sum > 1) {
      right = 11;
      for (; sum >= (1 << 29); sum /= 4) right++;
      const int32_t pairs = (at_leading_zeros((uint32_t)sum) - 1) / 2 - 1;
      right -= pairs;
      const int32_t number = (sum << (2 * pairs)) >> 1, half = at_round_shift(number, 1);
      int32_t guess = 1 << 28;
      for (int i = 0; i < 5; i++) {
        const int32_t cube = at_times_8(at_times_8(at_product(at_product(guess, guess), guess)));
        const int32_t step = at_sub(at_product((1 << 28) + (1 << 27), guess), at_product(half, cube));
        guess = at_times_8(step);
      }
      multiplier = at_product(guess, 1518500250);  // times the square root of 1/2
      if (right < 0) {
        multiplier <<= -right;
        right = 0;
      }
    }
    for (int32_t i = 0; i < depth; i++)
      y[i] = (int8_t)at_clamp(at_rescale(x[i] - zero, multiplier, 7 - right), -128, 127);
  }
}

#endif
