// Softmax along the last dimension: x and y are (rows, depth).
#ifndef AT_SOFTMAX_H
#define AT_SOFTMAX_H

#include "port.h"

// Products of fixed-point fractions with 31 bits after the point, rounded; a·b is not 1.
AT_INLINE int32_t at_product(int32_t a, int32_t b) {
  return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

// exp(x) with 31 fraction bits, for x <= 0 with 26 fraction bits: a Taylor series around -1/8 on the
// last quarter, times one stored power for each higher bit of x.
AT_SHARED int32_t at_exp_fixed(int32_t x) {
  static const int32_t power[7] = {1672461947, 1302514674, 790015084, 290630308,
                                   39332535,   720401,     242};  // exp(-2^k), k = -2 … 4
  const int32_t quarter = 1 << 24;
  if (x == 0) return INT32_MAX;
  const int32_t last = (x & (quarter - 1)) - quarter;  // in [-1/4, 0)
  const int32_t t = last * 32 + (1 << 28);             // in [-1/8, 1/8), 31 fraction bits
  const int32_t t2 = at_product(t, t), t3 = at_product(t2, t), t4 = at_product(t2, t2);
  const int32_t thirds = at_product(at_round_shift(t4, 2) + t3, 715827883);
  const int32_t series = t + at_round_shift(thirds + t2, 1);
  int32_t result = 1895147668 + at_product(1895147668, series);  // exp(-1/8) · (1 + …)
  const int32_t rest = last - x;
  AT_ROLLED
  for (int k = 0; k < 7; k++)
    if (rest & (quarter << k)) result = at_product(result, power[k]);
  return result;
}

// 1 / (1 + x) with 31 fraction bits for x in [0, 1): three Newton steps.
AT_SHARED int32_t at_reciprocal_fixed(int32_t x) {
  const int32_t half = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2);  // (1 + x) / 2
  int32_t guess = 1515870810 + at_product(half, -1010580540);        // 29 fraction bits
  AT_ROLLED
  for (int i = 0; i < 3; i++) {
    const int32_t error = (1 << 29) - at_product(half, guess);
    const int32_t step = at_product(guess, error);  // 27 fraction bits
    guess += at_clamp(step, -(1 << 29), (1 << 29) - 1) * 4;
  }
  return guess >= (1 << 30) ? INT32_MAX : guess < -(1 << 30) ? INT32_MIN : guess * 2;
}

AT_INLINE int32_t at_leading_zeros(uint32_t x) {
  int32_t n = 0;
  AT_ROLLED
  for (; n < 32 && !(x & 0x80000000u); n++) x <<= 1;
  return n;
}

// Differences to the maximum below diff_min contribute nothing. The output has BITS bits: scale
// 2^-BITS and the smallest number as zero-point.
#define AT_SOFTMAX(NAME, T, BITS)                                                                 \
  AT_INLINE void at_softmax_##NAME(const int8_t *x, T *y, int32_t rows, int32_t depth,            \
                                   int32_t multiplier, int32_t shift, int32_t diff_min) {         \
    for (int32_t r = 0; r < rows; r++, x += depth, y += depth) {                                  \
      int32_t top = -128, sum = 0;                                                                \
      AT_ROLLED                                                                                   \
      for (int32_t i = 0; i < depth; i++) top = at_max(top, x[i]);                                \
      AT_ROLLED                                                                                   \
      for (int32_t i = 0; i < depth; i++)                                                         \
        if (x[i] - top >= diff_min)                                                               \
          sum += at_round_shift(at_exp_fixed(at_rescale(x[i] - top, multiplier, shift)), 12);     \
      const int32_t headroom = at_leading_zeros((uint32_t)sum);                                   \
      const int32_t scale =                                                                       \
          at_reciprocal_fixed((int32_t)(((uint32_t)sum << headroom) - 0x80000000u));              \
      const int32_t exponent = 12 - headroom + 31 - BITS, half = 1 << (BITS - 1);                 \
      AT_ROLLED                                                                                   \
      for (int32_t i = 0; i < depth; i++) {                                                       \
        const int32_t diff = x[i] - top;                                                          \
        int32_t value = 0;                                                                        \
        if (diff >= diff_min)                                                                     \
          value = at_round_shift(                                                                 \
              at_product(scale, at_exp_fixed(at_rescale(diff, multiplier, shift))), exponent);    \
        y[i] = (T)at_clamp(value - half, -half, half - 1);                                        \
      }                                                                                           \
    }                                                                                             \
  }
AT_SOFTMAX(s8, int8_t, 8)
AT_SOFTMAX(s8_s16, int16_t, 16)
#undef AT_SOFTMAX

AT_INLINE void at_softmax_f32(const float *x, float *y, int32_t rows, int32_t depth, float beta) {
  for (int32_t r = 0; r < rows; r++, x += depth, y += depth) {
    float top = x[0], sum = 0.0f;
    AT_ROLLED
    for (int32_t i = 1; i < depth; i++) top = x[i] > top ? x[i] : top;
    AT_ROLLED
    for (int32_t i = 0; i < depth; i++) sum += y[i] = at_exp((x[i] - top) * beta);
    AT_ROLLED
    for (int32_t i = 0; i < depth; i++) y[i] /= sum;
  }
}

#endif
