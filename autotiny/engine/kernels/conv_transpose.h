// Transposed convolution: each output element gathers the inputs that reach it.
#ifndef AT_CONV_TRANSPOSE_H
#define AT_CONV_TRANSPOSE_H

#include "conv_s16.h"
#include "half.h"
#include "hybrid.h"

// x is (in_h, in_w, in_c), y is (out_h, out_w, out_c), w is (out_c, k_h, k_w, in_c). The input
// element (r, c) reaches the outputs (r · stride_h - pad_top + i, c · stride_w - pad_left + j).
#define AT_CONVOLVE_TRANSPOSED(X, W, ACC, TAP, FINISH)                                   \
  for (int32_t r = 0; r < s.out_h; r++)                                                  \
    for (int32_t c = 0; c < s.out_w; c++)                                                \
      for (int32_t k = 0; k < s.out_c; k++) {                                            \
        ACC acc = 0;                                                                     \
        for (int32_t i = 0; i < s.k_h; i++) {                                            \
          const int32_t row = r + s.pad_top - i;                                         \
          if (row < 0 || row % s.stride_h || row / s.stride_h >= s.in_h) continue;       \
          for (int32_t j = 0; j < s.k_w; j++) {                                          \
            const int32_t col = c + s.pad_left - j;                                      \
            if (col < 0 || col % s.stride_w || col / s.stride_w >= s.in_w) continue;     \
            const X *xp = x + (row / s.stride_h * s.in_w + col / s.stride_w) * s.in_c;   \
            const W *wp = w + ((k * s.k_h + i) * s.k_w + j) * s.in_c;                    \
            for (int32_t d = 0; d < s.in_c; d++) {                                       \
              const X xv = xp[d];                                                        \
              const W wv = wp[d];                                                        \
              acc += TAP;                                                                \
            }                                                                            \
          }                                                                              \
        }                                                                                \
        *y++ = FINISH;                                                                   \
      }

AT_INLINE void at_conv_transpose_s8(const int8_t *x, const int8_t *w, const int32_t *bias,
                                    const int32_t *multiplier, const int8_t *shift, int8_t *y,
                                    at_window s, int32_t zero, int32_t out_zero, int32_t low,
                                    int32_t high) {
  AT_CONVOLVE_TRANSPOSED(int8_t, int8_t, int32_t, (xv + zero) * wv,
                         (int8_t)at_clamp(at_rescale(acc + bias[k], multiplier[k], shift[k]) +
                                              out_zero, low, high))
}

AT_INLINE void at_conv_transpose_s16(const int16_t *x, const int8_t *w, const int64_t *bias,
                                     const int16_t *multiplier, const int8_t *shift, int16_t *y,
                                     at_window s, at_range_s16 q) {
  AT_CONVOLVE_TRANSPOSED(int16_t, int8_t, int64_t, xv *wv,
                         at_finish_s16(acc + bias[k], multiplier[k], shift[k], q))
}

AT_INLINE void at_conv_transpose_f32(const float *x, const float *w, const float *bias, float *y,
                                     at_window s, float low, float high) {
  AT_CONVOLVE_TRANSPOSED(float, float, float, xv *wv, at_clampf(acc + bias[k], low, high))
}

// Weights stored as half-precision floats.
AT_INLINE void at_conv_transpose_f16(const float *x, const uint16_t *w, const float *bias,
                                     float *y, at_window s, float low, float high) {
  AT_CONVOLVE_TRANSPOSED(float, uint16_t, float, xv *at_half(wv),
                         at_clampf(acc + bias[k], low, high))
}

// Weights stored as int8; source is the float input, x its quantized form (scratch).
AT_INLINE void at_conv_transpose_hybrid(const float *source, int8_t *x, const int8_t *w,
                                        const float *w_scale, const float *bias, float *y,
                                        at_window s, float low, float high) {
  const at_affine a = at_quantize_affine(source, x, s.in_h * s.in_w * s.in_c);
  AT_CONVOLVE_TRANSPOSED(int8_t, int8_t, int32_t, (xv - a.zero) * wv,
                         at_clampf((float)acc * w_scale[k] * a.scale + bias[k], low, high))
}

#endif
