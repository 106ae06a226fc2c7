// Maximum and average over a window, channels last; padding takes no part.
#ifndef AT_POOL_H
#define AT_POOL_H

#include "window.h"

// Rows and columns of the input under one output element.
typedef struct {
  int32_t r0, r1, c0, c1;
} at_patch;

AT_INLINE at_patch at_patch_at(at_window s, int32_t r, int32_t c) {
  const int32_t top = r * s.stride_h - s.pad_top, left = c * s.stride_w - s.pad_left;
  const at_patch p = {at_max(top, 0), at_min(top + s.k_h, s.in_h), at_max(left, 0),
                      at_min(left + s.k_w, s.in_w)};
  return p;
}

AT_INLINE int32_t at_taps(at_patch p) { return (p.r1 - p.r0) * (p.c1 - p.c0); }

// The mean is rounded to the nearest; halves go away from zero.
AT_INLINE int32_t at_mean(int32_t sum, int32_t count) {
  return (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
}

// x is (in_h, in_w, in_c), y is (out_h, out_w, in_c). NEXT is what an element v makes of the value
// acc, which begins as FIRST; FINISH turns acc, gathered over the patch p, into an element of y.
#define AT_POOL(T, ACC, FIRST, NEXT, FINISH)                                                     \
  for (int32_t r = 0; r < s.out_h; r++) {                                                        \
    for (int32_t c = 0; c < s.out_w; c++) {                                                      \
      const at_patch p = at_patch_at(s, r, c);                                                   \
      for (int32_t k = 0; k < s.in_c; k++) {                                                     \
        ACC acc = FIRST;                                                                         \
        for (int32_t i = p.r0; i < p.r1; i++) {                                                  \
          for (int32_t j = p.c0; j < p.c1; j++) {                                                \
            const T v = x[(i * s.in_w + j) * s.in_c + k];                                        \
            acc = NEXT;                                                                          \
          }                                                                                      \
        }                                                                                        \
        *y++ = (T)FINISH;                                                                        \
      }                                                                                          \
    }                                                                                            \
  }

#define AT_POOLS(NAME, T, LEAST)                                                                 \
  AT_INLINE void at_max_pool_##NAME(const T *x, T *y, at_window s, int32_t low, int32_t high) {  \
    AT_POOL(T, int32_t, LEAST, at_max(acc, v), at_clamp(acc, low, high))                         \
  }                                                                                              \
  AT_INLINE void at_average_pool_##NAME(const T *x, T *y, at_window s, int32_t low,              \
                                        int32_t high) {                                          \
    AT_POOL(T, int32_t, 0, acc + v, at_clamp(at_mean(acc, at_taps(p)), low, high))               \
  }
AT_POOLS(s8, int8_t, -128)
AT_POOLS(s16, int16_t, -32768)
#undef AT_POOLS

AT_INLINE void at_max_pool_f32(const float *x, float *y, at_window s, float low, float high) {
  AT_POOL(float, float, -AT_INFINITY, v > acc ? v : acc, at_clampf(acc, low, high))
}

AT_INLINE void at_average_pool_f32(const float *x, float *y, at_window s, float low, float high) {
  AT_POOL(float, float, 0.0f, acc + v, at_clampf(acc / (float)at_taps(p), low, high))
}
#undef AT_POOL

#endif
