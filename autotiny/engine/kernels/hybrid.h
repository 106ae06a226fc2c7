// Float32 layers with int8 weights: the input is quantized when it is known, the sums are exact
// integers, and their scales are applied last.
#ifndef AT_HYBRID_H
#define AT_HYBRID_H

#include "loops.h"

// What an input was quantized by: real = scale · (stored - zero).
typedef struct {
  float scale;
  int32_t zero;
} at_affine;

// Quantizes n values to all of int8; zero is stored exactly. All zeros get the scale 1.
AT_INLINE at_affine at_quantize_affine(const float *x, int8_t *q, int32_t n) {
  at_affine a = {1.0f, 0};
  float low = 0.0f, high = 0.0f;
  for (int32_t i = 0; i < n; i++) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  if (low < high) {
    // (high - low) / 255 as if there were no rounding but the last: `lost` is what the difference
    // lost, `rest` what the division left; multiplying by 256 and subtracting one is exact.
    const float span = high - low;
    const float back = span - high;
    const float lost = (high - (span - back)) + (-low - back);
    const float guess = span / 255.0f;
    const float rest = (span - guess * 256.0f) + guess;
    a.scale = guess + (rest + lost) / 255.0f;
    // The zero-point comes from the end of the range that is closer to zero.
    const float from_low = low / a.scale, from_high = high / a.scale;
    const float zero = 128.0f - from_low < 127.0f + from_high ? -128.0f - from_low
                                                              : 127.0f - from_high;
    a.zero = at_clamp((int32_t)at_round(at_clampf(zero, -128.0f, 127.0f)), -128, 127);
  }
  const float inverse = 1.0f / a.scale;
  for (int32_t i = 0; i < n; i++) {
    const float steps = at_round((float)a.zero + x[i] * inverse);
    q[i] = (int8_t)at_clampf(steps, -128.0f, 127.0f);
  }
  return a;
}

// The same with zero-point 0 and the range -127 to 127.
AT_INLINE at_affine at_quantize_symmetric(const float *x, int8_t *q, int32_t n) {
  at_affine a = {1.0f, 0};
  float range = 0.0f;
  for (int32_t i = 0; i < n; i++) {
    const float size = x[i] < 0.0f ? -x[i] : x[i];
    range = size > range ? size : range;
  }
  const float inverse = range > 0.0f ? 127.0f / range : 0.0f;
  if (range > 0.0f) a.scale = range / 127.0f;
  for (int32_t i = 0; i < n; i++)
    q[i] = (int8_t)at_clampf(at_round(x[i] * inverse), -127.0f, 127.0f);
  return a;
}

// source is the float input, x its quantized form (scratch), w_scale has a value for each channel.
AT_INLINE void at_conv_hybrid(const float *source, int8_t *x, const int8_t *w, const float *w_scale,
                              const float *bias, float *y, at_window s, int32_t groups,
                              int32_t symmetric, float low, float high) {
  const int32_t size = s.in_h * s.in_w * s.in_c;
  const at_affine a =
      symmetric ? at_quantize_symmetric(source, x, size) : at_quantize_affine(source, x, size);
  AT_CONVOLVE(int8_t, int8_t, int32_t, (xv - a.zero) * wv,
              at_clampf((float)acc * w_scale[k] * a.scale + bias[k], low, high))
}

AT_INLINE void at_depthwise_hybrid(const float *source, int8_t *x, const int8_t *w,
                                   const float *w_scale, const float *bias, float *y, at_window s,
                                   int32_t multiple, float low, float high) {
  const at_affine a = at_quantize_affine(source, x, s.in_h * s.in_w * s.in_c);
  AT_CONVOLVE_DEPTHWISE(int8_t, int8_t, int32_t, (xv - a.zero) * wv,
                        at_clampf((float)acc * (w_scale[k] * a.scale) + bias[k], low, high))
}

// source is (rows, depth), w is (out, depth), y is (rows, out); each row is quantized by itself.
// w_scale has `scales` values: one for each output, or a single one.
AT_INLINE void at_dense_hybrid(const float *source, int8_t *x, const int8_t *w,
                               const float *w_scale, const float *bias, float *y, int32_t rows,
                               int32_t depth, int32_t out, int32_t scales, int32_t symmetric,
                               float low, float high) {
  for (int32_t r = 0; r < rows; r++, source += depth) {
    const at_affine a = symmetric ? at_quantize_symmetric(source, x, depth)
                                  : at_quantize_affine(source, x, depth);
    for (int32_t k = 0; k < out; k++) {
      int32_t acc = 0;
      for (int32_t d = 0; d < depth; d++) acc += (x[d] - a.zero) * w[k * depth + d];
      const float scale = a.scale * w_scale[scales > 1 ? k : 0];
      *y++ = at_clampf(bias[k] + (float)acc * scale, low, high);
    }
  }
}

#endif
