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

// x is (in_h, in_w, in_c), y is (out_h, out_w, in_c).
AT_INLINE void at_max_pool_s8(const int8_t *x, int8_t *y, at_window s, int32_t low, int32_t high) {
  for (int32_t r = 0; r < s.out_h; r++) {
    for (int32_t c = 0; c < s.out_w; c++) {
      const at_patch p = at_patch_at(s, r, c);
      for (int32_t k = 0; k < s.in_c; k++) {
        int32_t best = -128;
        for (int32_t i = p.r0; i < p.r1; i++)
          for (int32_t j = p.c0; j < p.c1; j++) best = at_max(best, x[(i * s.in_w + j) * s.in_c + k]);
        *y++ = (int8_t)at_clamp(best, low, high);
      }
    }
  }
}

// The mean is rounded to the nearest; halves go away from zero.
AT_INLINE void at_average_pool_s8(const int8_t *x, int8_t *y, at_window s, int32_t low,
                                  int32_t high) {
  for (int32_t r = 0; r < s.out_h; r++) {
    for (int32_t c = 0; c < s.out_w; c++) {
      const at_patch p = at_patch_at(s, r, c);
      const int32_t count = (p.r1 - p.r0) * (p.c1 - p.c0);
      for (int32_t k = 0; k < s.in_c; k++) {
        int32_t sum = 0;
        for (int32_t i = p.r0; i < p.r1; i++)
          for (int32_t j = p.c0; j < p.c1; j++) sum += x[(i * s.in_w + j) * s.in_c + k];
        const int32_t mean = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
        *y++ = (int8_t)at_clamp(mean, low, high);
      }
    }
  }
}

AT_INLINE void at_max_pool_f32(const float *x, float *y, at_window s, float low, float high) {
  for (int32_t r = 0; r < s.out_h; r++) {
    for (int32_t c = 0; c < s.out_w; c++) {
      const at_patch p = at_patch_at(s, r, c);
      for (int32_t k = 0; k < s.in_c; k++) {
        float best = -AT_INFINITY;
        for (int32_t i = p.r0; i < p.r1; i++) {
          for (int32_t j = p.c0; j < p.c1; j++) {
            const float v = x[(i * s.in_w + j) * s.in_c + k];
            best = v > best ? v : best;
          }
        }
        *y++ = at_clampf(best, low, high);
      }
    }
  }
}

AT_INLINE void at_average_pool_f32(const float *x, float *y, at_window s, float low, float high) {
  for (int32_t r = 0; r < s.out_h; r++) {
    for (int32_t c = 0; c < s.out_w; c++) {
      const at_patch p = at_patch_at(s, r, c);
      const float count = (float)((p.r1 - p.r0) * (p.c1 - p.c0));
      for (int32_t k = 0; k < s.in_c; k++) {
        float sum = 0.0f;
        for (int32_t i = p.r0; i < p.r1; i++)
          for (int32_t j = p.c0; j < p.c1; j++) sum += x[(i * s.in_w + j) * s.in_c + k];
        *y++ = at_clampf(sum / count, low, high);
      }
    }
  }
}

#endif
