// Convolution, int8, computed as it is defined. Depthwise is the case of one input channel a group.
#ifndef AT_CONV_S8_H
#define AT_CONV_S8_H

#include "loops.h"

typedef struct {
  int32_t zero;       // what to add to an input: minus its zero-point
  int32_t out_zero;   // zero-point of the output
  int32_t low, high;  // activation
  int32_t down;       // whether at_rescale_down is enough
} at_range_s8;

// The output for an accumulator.
AT_INLINE int8_t at_output_s8(int32_t acc, int32_t multiplier, int32_t shift, at_range_s8 q) {
  const int32_t y = q.down ? at_rescale_down(acc, multiplier, shift)
                           : at_rescale(acc, multiplier, shift);
  return (int8_t)at_clamp(y + q.out_zero, q.low, q.high);
}

// x is (in_h, in_w, in_c), y is (out_h, out_w, out_c), w is (out_c, k_h, k_w, in_c / groups);
// output channel k reads the input channels of group k / (out_c / groups).
AT_INLINE void at_conv_s8(const int8_t *x, const int8_t *w, const int32_t *bias,
                          const int32_t *multiplier, const int8_t *shift, int8_t *y, at_window s,
                          int32_t groups, at_range_s8 q) {
  AT_CONVOLVE(int8_t, int8_t, int32_t, (xv + q.zero) * wv,
              at_output_s8(acc + bias[k], multiplier[k], shift[k], q))
}

// The accumulator of one output element.
AT_INLINE int32_t at_conv_at_s8(const int8_t *x, const int8_t *w, int32_t acc, at_window s,
                                int32_t groups, int32_t zero, int32_t r, int32_t c, int32_t k) {
  const int32_t depth = s.in_c / groups, group = k / (s.out_c / groups);
  const int32_t top = r * s.stride_h - s.pad_top, left = c * s.stride_w - s.pad_left;
  const int32_t i1 = at_end_tap(top, s.step_h, s.in_h, s.k_h);
  const int32_t j1 = at_end_tap(left, s.step_w, s.in_w, s.k_w);
  for (int32_t i = at_first_tap(top, s.step_h); i < i1; i++) {
    for (int32_t j = at_first_tap(left, s.step_w); j < j1; j++) {
      const int8_t *xp =
          x + ((top + i * s.step_h) * s.in_w + left + j * s.step_w) * s.in_c + group * depth;
      const int8_t *wp = w + ((k * s.k_h + i) * s.k_w + j) * depth;
      for (int32_t d = 0; d < depth; d++) acc += (xp[d] + zero) * wp[d];
    }
  }
  return acc;
}

// Convolution and max-pooling: rescaling is monotone, so the maximum is taken of the accumulators and
// rescaled once. p is the pooling over s's output, without padding.
AT_INLINE void at_conv_max_pool_s8(const int8_t *x, const int8_t *w, const int32_t *bias,
                                   const int32_t *multiplier, const int8_t *shift, int8_t *y,
                                   at_window s, int32_t groups, at_window p, at_range_s8 q) {
  for (int32_t r = 0; r < p.out_h; r++) {
    for (int32_t c = 0; c < p.out_w; c++) {
      for (int32_t k = 0; k < s.out_c; k++) {
        int32_t best = INT32_MIN;
        for (int32_t i = r * p.stride_h; i < r * p.stride_h + p.k_h; i++)
          for (int32_t j = c * p.stride_w; j < c * p.stride_w + p.k_w; j++)
            best = at_max(best, at_conv_at_s8(x, w, bias[k], s, groups, q.zero, i, j, k));
        *y++ = at_output_s8(best, multiplier[k], shift[k], q);
      }
    }
  }
}

// The same with w as (k_h, k_w, out_c): output channel k reads input channel k / multiple alone.
AT_INLINE void at_depthwise_s8(const int8_t *x, const int8_t *w, const int32_t *bias,
                               const int32_t *multiplier, const int8_t *shift, int8_t *y,
                               at_window s, int32_t multiple, at_range_s8 q) {
  AT_CONVOLVE_DEPTHWISE(int8_t, int8_t, int32_t, (xv + q.zero) * wv,
                        at_output_s8(acc + bias[k], multiplier[k], shift[k], q))
}

#endif
