// Sums and extremes over any dimensions: x is (k0, r0, k1, r1, k2) and y is (k0, k1, k2).
#ifndef AT_REDUCE_ANY_H
#define AT_REDUCE_ANY_H

#include "port.h"

typedef struct {
  int32_t k0, r0, k1, r1, k2;
} at_reduced;

// STEP changes acc by the element v; FINISH turns acc into an element of y.
#define AT_REDUCE(T, ACC, INIT, STEP, FINISH)                                             \
  for (int32_t a = 0; a < s.k0; a++)                                                      \
    for (int32_t b = 0; b < s.k1; b++)                                                    \
      for (int32_t c = 0; c < s.k2; c++) {                                                \
        ACC acc = INIT;                                                                   \
        for (int32_t i = 0; i < s.r0; i++)                                                \
          for (int32_t j = 0; j < s.r1; j++) {                                            \
            const T v = x[(((a * s.r0 + i) * s.k1 + b) * s.r1 + j) * s.k2 + c];           \
            STEP;                                                                         \
          }                                                                               \
        *y++ = FINISH;                                                                    \
      }

// y = (sum of x + offset) · multiplier · 2^(shift - 31) + out_zero; offset is -count · zero-point.
#define AT_REDUCE_STORED(NAME, T, LOW, HIGH)                                                     \
  AT_INLINE void at_sum_over_##NAME(const T *x, T *y, at_reduced s, int32_t offset,              \
                                    int32_t multiplier, int32_t shift, int32_t out_zero) {       \
    AT_REDUCE(T, int32_t, offset, acc += v,                                                      \
              (T)at_clamp(at_rescale(acc, multiplier, shift) + out_zero, LOW, HIGH))             \
  }
AT_REDUCE_STORED(s8, int8_t, -128, 127)
AT_REDUCE_STORED(s16, int16_t, -32768, 32767)
#undef AT_REDUCE_STORED

// y = sum of x / divisor
AT_INLINE void at_sum_over_f32(const float *x, float *y, at_reduced s, float divisor) {
  AT_REDUCE(float, float, 0.0f, acc += v, acc / divisor)
}

#define AT_REDUCE_ORDER(NAME, T, LOW, HIGH)                                                \
  AT_INLINE void at_maximum_over_##NAME(const T *x, T *y, at_reduced s) {                  \
    AT_REDUCE(T, T, LOW, acc = v > acc ? v : acc, acc)                                     \
  }                                                                                        \
  AT_INLINE void at_minimum_over_##NAME(const T *x, T *y, at_reduced s) {                  \
    AT_REDUCE(T, T, HIGH, acc = v < acc ? v : acc, acc)                                    \
  }
AT_REDUCE_ORDER(s8, int8_t, INT8_MIN, INT8_MAX)
AT_REDUCE_ORDER(s16, int16_t, INT16_MIN, INT16_MAX)
AT_REDUCE_ORDER(f32, float, -AT_INFINITY, AT_INFINITY)
#undef AT_REDUCE_ORDER

// The place of the first largest (or smallest) element along the middle of (outer, count, inner).
#define AT_ARG(NAME, T, INDEX)                                                                  \
  AT_INLINE void at_arg_##NAME(const T *x, INDEX *y, int32_t outer, int32_t count,              \
                               int32_t inner, int32_t largest) {                                \
    for (int32_t o = 0; o < outer; o++, x += count * inner)                                     \
      for (int32_t k = 0; k < inner; k++) {                                                     \
        int32_t best = 0;                                                                       \
        for (int32_t i = 1; i < count; i++) {                                                   \
          const T v = x[i * inner + k], top = x[best * inner + k];                              \
          if (largest ? v > top : v < top) best = i;                                            \
        }                                                                                       \
        *y++ = best;                                                                            \
      }                                                                                         \
  }
AT_ARG(s8_s32, int8_t, int32_t)
AT_ARG(s8_s64, int8_t, int64_t)
AT_ARG(f32_s32, float, int32_t)
AT_ARG(f32_s64, float, int64_t)
#undef AT_ARG

#endif
