// Fully connected layers, computed as they are defined.
#ifndef AT_DENSE_H
#define AT_DENSE_H

#include "conv_s8.h"

// x is (rows, depth), w is (out, depth), y is (rows, out); one scale for all of w.
AT_INLINE void at_dense_s8(const int8_t *x, const int8_t *w, const int32_t *bias, int8_t *y,
                           int32_t rows, int32_t depth, int32_t out, int32_t multiplier,
                           int32_t shift, at_range_s8 q) {
  for (int32_t r = 0; r < rows; r++, x += depth) {
    for (int32_t k = 0; k < out; k++) {
      int32_t acc = bias[k];
      for (int32_t d = 0; d < depth; d++) acc += (x[d] + q.zero) * w[k * depth + d];
      *y++ = at_output_s8(acc, multiplier, shift, q);
    }
  }
}

// The same with a scale for each row of w.
AT_INLINE void at_dense_per_channel_s8(const int8_t *x, const int8_t *w, const int32_t *bias,
                                       const int32_t *multiplier, const int8_t *shift, int8_t *y,
                                       int32_t rows, int32_t depth, int32_t out, at_range_s8 q) {
  for (int32_t r = 0; r < rows; r++, x += depth) {
    for (int32_t k = 0; k < out; k++) {
      int32_t acc = bias[k];
      for (int32_t d = 0; d < depth; d++) acc += (x[d] + q.zero) * w[k * depth + d];
      *y++ = at_output_s8(acc, multiplier[k], shift[k], q);
    }
  }
}

// x is (rows, depth), w is (out, depth), y is (rows, out).
AT_INLINE void at_dense_f32(const float *x, const float *w, const float *bias, float *y,
                            int32_t rows, int32_t depth, int32_t out, float low, float high) {
  for (int32_t r = 0; r < rows; r++, x += depth) {
    for (int32_t k = 0; k < out; k++) {
      float acc = 0.0f;
      for (int32_t d = 0; d < depth; d++) acc += x[d] * w[k * depth + d];
      *y++ = at_clampf(acc + bias[k], low, high);
    }
  }
}

#endif
