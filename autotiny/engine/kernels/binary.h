// Functions of two tensors, one of which may be repeated along some dimensions.
#ifndef AT_BINARY_H
#define AT_BINARY_H

#include "port.h"

// Dimensions of the output, and how far the inputs move with each; 0 repeats.
typedef struct {
  int32_t n[5], a[5], b[5];
} at_broadcast;

#define AT_BROADCAST(A, B, EXPR)                                                         \
  for (int32_t i0 = 0; i0 < s.n[0]; i0++)                                                \
    for (int32_t i1 = 0; i1 < s.n[1]; i1++)                                              \
      for (int32_t i2 = 0; i2 < s.n[2]; i2++)                                            \
        for (int32_t i3 = 0; i3 < s.n[3]; i3++) {                                        \
          const A *ap = a + i0 * s.a[0] + i1 * s.a[1] + i2 * s.a[2] + i3 * s.a[3];       \
          const B *bp = b + i0 * s.b[0] + i1 * s.b[1] + i2 * s.b[2] + i3 * s.b[3];       \
          for (int32_t i4 = 0; i4 < s.n[4]; i4++) {                                      \
            const A av = ap[i4 * s.a[4]];                                                \
            const B bv = bp[i4 * s.b[4]];                                                \
            *y++ = EXPR;                                                                 \
          }                                                                              \
        }

// How two stored numbers reach a common scale, and how their sum reaches the output's.
typedef struct {
  int32_t left;                                   // bits that both gain first
  int32_t a_zero, a_multiplier, a_shift;          // zero: minus the zero-point
  int32_t b_zero, b_multiplier, b_shift, b_sign;  // -1 subtracts
  int32_t multiplier, shift, out_zero;
  int32_t low, high;
} at_sum;

AT_INLINE int32_t at_sum_of(int32_t a, int32_t b, at_sum q) {
  const int32_t sum =
      at_rescale((a + q.a_zero) * (1 << q.left), q.a_multiplier, q.a_shift) +
      q.b_sign * at_rescale((b + q.b_zero) * (1 << q.left), q.b_multiplier, q.b_shift);
  return at_clamp(at_rescale(sum, q.multiplier, q.shift) + q.out_zero, q.low, q.high);
}

// Products of stored numbers.
typedef struct {
  int32_t a_zero, b_zero;  // minus the zero-points
  int32_t multiplier, shift, out_zero;
  int32_t low, high;
} at_times;

AT_INLINE int32_t at_times_of(int32_t a, int32_t b, at_times q) {
  const int32_t scaled = at_rescale((a + q.a_zero) * (b + q.b_zero), q.multiplier, q.shift);
  return at_clamp(scaled + q.out_zero, q.low, q.high);
}

// PRELU: positive numbers are scaled by m1, negative ones times b by m2.
typedef struct {
  int32_t a_zero, b_zero, m1, s1, m2, s2, out_zero, low, high;
} at_slope;

AT_INLINE int32_t at_slope_of(int32_t a, int32_t b, at_slope q) {
  const int32_t v = a + q.a_zero;
  const int32_t scaled =
      v >= 0 ? at_rescale(v, q.m1, q.s1) : at_rescale(v * (b + q.b_zero), q.m2, q.s2);
  return at_clamp(scaled + q.out_zero, q.low, q.high);
}

#define AT_STORED(NAME, A, B)                                                                \
  AT_INLINE void at_each_sum_##NAME(const A *a, const B *b, A *y, at_broadcast s, at_sum q) {     \
    AT_BROADCAST(A, B, (A)at_sum_of(av, bv, q))                                              \
  }                                                                                          \
  AT_INLINE void at_each_times_##NAME(const A *a, const B *b, A *y, at_broadcast s, at_times q) { \
    AT_BROADCAST(A, B, (A)at_times_of(av, bv, q))                                            \
  }                                                                                          \
  AT_INLINE void at_each_slope_##NAME(const A *a, const B *b, A *y, at_broadcast s, at_slope q) { \
    AT_BROADCAST(A, B, (A)at_slope_of(av, bv, q))                                            \
  }
AT_STORED(s8, int8_t, int8_t)
AT_STORED(s16, int16_t, int16_t)
AT_STORED(s16_s8, int16_t, int8_t)
#undef AT_STORED

#define AT_ORDER(NAME, T)                                                            \
  AT_INLINE void at_each_maximum_##NAME(const T *a, const T *b, T *y, at_broadcast s) {   \
    AT_BROADCAST(T, T, av > bv ? av : bv)                                            \
  }                                                                                  \
  AT_INLINE void at_each_minimum_##NAME(const T *a, const T *b, T *y, at_broadcast s) {   \
    AT_BROADCAST(T, T, av < bv ? av : bv)                                            \
  }
AT_ORDER(s8, int8_t)
AT_ORDER(s16, int16_t)
AT_ORDER(s32, int32_t)
AT_ORDER(f32, float)
#undef AT_ORDER

#define AT_REAL(NAME, EXPR)                                                                \
  AT_INLINE void at_each_##NAME##_f32(const float *a, const float *b, float *y, at_broadcast s, \
                                 float low, float high) {                                  \
    AT_BROADCAST(float, float, at_clampf(EXPR, low, high))                                 \
  }
AT_REAL(add, av + bv)
AT_REAL(sub, av - bv)
AT_REAL(mul, av *bv)
AT_REAL(div, av / bv)
AT_REAL(squared_difference, (av - bv) * (av - bv))
AT_REAL(prelu, av >= 0.0f ? av : av * bv)
#undef AT_REAL

// Plain int32; sums wrap.
#define AT_WHOLE(NAME, OP)                                                                     \
  AT_INLINE void at_each_##NAME##_s32(const int32_t *a, const int32_t *b, int32_t *y,               \
                                 at_broadcast s, int32_t low, int32_t high) {                  \
    AT_BROADCAST(int32_t, int32_t,                                                             \
                 at_clamp((int32_t)((uint32_t)av OP(uint32_t) bv), low, high))                 \
  }
AT_WHOLE(add, +)
AT_WHOLE(sub, -)
AT_WHOLE(mul, *)
#undef AT_WHOLE

#endif
