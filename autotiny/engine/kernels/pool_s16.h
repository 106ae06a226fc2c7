// Maximum and average over a window of int16, channels last; padding takes no part.
#ifndef AT_POOL_S16_H
#define AT_POOL_S16_H

#include "pool.h"

// x is (in_h, in_w, in_c), y is (out_h, out_w, in_c).
AT_INLINE void at_max_pool_s16(const int16_t *x, int16_t *y, at_window s, int32_t low,
                               int32_t high) {
  for (int32_t r = 0; r < s.out_h; r++) {
    for (int32_t c = 0; c < s.out_w; c++) {
      const at_patch p = at_patch_at(s, r, c);
      for (int32_t k = 0; k < s.in_c; k++) {
        int32_t best = -32768;
        for (int32_t i = p.r0; i < p.r1; i++)
          for (int32_t j = p.c0; j < p.c1; j++) best = at_max(best, x[(i * s.in_w + j) * s.in_c + k]);
        *y++ = (int16_t)at_clamp(best, low, high);
      }
    }
  }
}

// The mean is rounded to the nearest; halves go away from zero.
AT_INLINE void at_average_pool_s16(const int16_t *x, int16_t *y, at_window s, int32_t low,
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
        *y++ = (int16_t)at_clamp(mean, low, high);
      }
    }
  }
}

#endif
