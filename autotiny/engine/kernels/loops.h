// The loops of a convolution as it is defined, for every arithmetic.
#ifndef AT_LOOPS_H
#define AT_LOOPS_H

#include "window.h"

// x is (in_h, in_w, in_c), y is (out_h, out_w, out_c), w is (out_c, k_h, k_w, in_c / groups);
// output channel k reads the input channels of group k / (out_c / groups). A dense layer is the
// case of one column and a window of one. TAP is what an element xv adds for a weight wv; FINISH
// turns the sum acc of channel k into an element of y.
#define AT_CONVOLVE(X, W, ACC, TAP, FINISH)                                                     \
  const int32_t depth = s.in_c / groups, per_group = s.out_c / groups;                          \
  for (int32_t r = 0; r < s.out_h; r++) {                                                       \
    const int32_t top = r * s.stride_h - s.pad_top;                                             \
    const int32_t i0 = at_first_tap(top, s.step_h);                                             \
    const int32_t i1 = at_end_tap(top, s.step_h, s.in_h, s.k_h);                                \
    for (int32_t c = 0; c < s.out_w; c++) {                                                     \
      const int32_t left = c * s.stride_w - s.pad_left;                                         \
      const int32_t j0 = at_first_tap(left, s.step_w);                                          \
      const int32_t j1 = at_end_tap(left, s.step_w, s.in_w, s.k_w);                             \
      for (int32_t k = 0; k < s.out_c; k++) {                                                   \
        ACC acc = 0;                                                                            \
        for (int32_t i = i0; i < i1; i++) {                                                     \
          for (int32_t j = j0; j < j1; j++) {                                                   \
            const X *xp = x + ((top + i * s.step_h) * s.in_w + left + j * s.step_w) * s.in_c +  \
                          k / per_group * depth;                                                \
            const W *wp = w + ((k * s.k_h + i) * s.k_w + j) * depth;                            \
            for (int32_t d = 0; d < depth; d++) {                                               \
              const X xv = xp[d];                                                               \
              const W wv = wp[d];                                                               \
              acc += TAP;                                                                       \
            }                                                                                   \
          }                                                                                     \
        }                                                                                       \
        *y++ = FINISH;                                                                          \
      }                                                                                         \
    }                                                                                           \
  }

// The same with w as (k_h, k_w, out_c): output channel k reads input channel k / multiple alone.
#define AT_CONVOLVE_DEPTHWISE(X, W, ACC, TAP, FINISH)                          \
  for (int32_t r = 0; r < s.out_h; r++) {                                      \
    const int32_t top = r * s.stride_h - s.pad_top;                            \
    const int32_t i0 = at_first_tap(top, s.step_h);                            \
    const int32_t i1 = at_end_tap(top, s.step_h, s.in_h, s.k_h);               \
    for (int32_t c = 0; c < s.out_w; c++) {                                    \
      const int32_t left = c * s.stride_w - s.pad_left;                        \
      const int32_t j0 = at_first_tap(left, s.step_w);                         \
      const int32_t j1 = at_end_tap(left, s.step_w, s.in_w, s.k_w);            \
      for (int32_t k = 0; k < s.out_c; k++) {                                  \
        ACC acc = 0;                                                           \
        for (int32_t i = i0; i < i1; i++) {                                    \
          for (int32_t j = j0; j < j1; j++) {                                  \
            const int32_t at = (top + i * s.step_h) * s.in_w + left + j * s.step_w; \
            const X xv = x[at * s.in_c + k / multiple];                        \
            const W wv = w[(i * s.k_w + j) * s.out_c + k];                     \
            acc += TAP;                                                        \
          }                                                                    \
        }                                                                      \
        *y++ = FINISH;                                                         \
      }                                                                        \
    }                                                                          \
  }

#endif
