// Convolution, float32, computed as it is defined.
#ifndef AT_CONV_F32_H
#define AT_CONV_F32_H

#include "loops.h"

// x is (in_h, in_w, in_c), y is (out_h, out_w, out_c), w is (out_c, k_h, k_w, in_c / groups);
// output channel k reads the input channels of group k / (out_c / groups).
AT_INLINE void at_conv_f32(const float *x, const float *w, const float *bias, float *y,
                           at_window s, int32_t groups, float low, float high) {
  AT_CONVOLVE(float, float, float, xv * wv, at_clampf(acc + bias[k], low, high))
}

// Convolution and max-pooling in one; p is the pooling over s's output, without padding.
AT_INLINE void at_conv_max_pool_f32(const float *x, const float *w, const float *bias, float *y,
                                    at_window s, int32_t groups, at_window p, float low,
                                    float high) {
  const int32_t depth = s.in_c / groups, per_group = s.out_c / groups;
  for (int32_t r = 0; r < p.out_h; r++) {
    for (int32_t c = 0; c < p.out_w; c++) {
      for (int32_t k = 0; k < s.out_c; k++) {
        float best = -AT_INFINITY;
        for (int32_t u = r * p.stride_h; u < r * p.stride_h + p.k_h; u++) {
          for (int32_t v = c * p.stride_w; v < c * p.stride_w + p.k_w; v++) {
            const int32_t top = u * s.stride_h - s.pad_top, left = v * s.stride_w - s.pad_left;
            const int32_t i1 = at_end_tap(top, s.step_h, s.in_h, s.k_h);
            const int32_t j1 = at_end_tap(left, s.step_w, s.in_w, s.k_w);
            float acc = 0.0f;
            for (int32_t i = at_first_tap(top, s.step_h); i < i1; i++) {
              for (int32_t j = at_first_tap(left, s.step_w); j < j1; j++) {
                const float *xp = x +
                                  ((top + i * s.step_h) * s.in_w + left + j * s.step_w) * s.in_c +
                                  k / per_group * depth;
                const float *wp = w + ((k * s.k_h + i) * s.k_w + j) * depth;
                for (int32_t d = 0; d < depth; d++) acc += xp[d] * wp[d];
              }
            }
            best = acc > best ? acc : best;
          }
        }
        *y++ = at_clampf(best + bias[k], low, high);
      }
    }
  }
}

// The same with w as (k_h, k_w, out_c): output channel k reads input channel k / multiple alone.
AT_INLINE void at_depthwise_f32(const float *x, const float *w, const float *bias, float *y,
                                at_window s, int32_t multiple, float low, float high) {
  AT_CONVOLVE_DEPTHWISE(float, float, float, xv *wv, at_clampf(acc + bias[k], low, high))
}

#endif
