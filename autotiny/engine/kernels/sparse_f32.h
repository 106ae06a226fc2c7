// Convolutions and dense layers on float32 whose zero weights are left out; the others are stored as
// float32 (f32) or as half-precision floats (f16). Products are added in the order of the taps.
#ifndef AT_SPARSE_F32_H
#define AT_SPARSE_F32_H

#include "half.h"
#include "sparse.h"

AT_SPARSE_PATCH(f32, float)
AT_SPARSE_SUMS(f32, float, float, float, xv * wv)
AT_SPARSE_SUMS(f16, float, uint16_t, float, xv *at_half(wv))

// Convolution and 2x2 max-pooling. y is (out_h / 2, out_w / 2, out_c), halves rounded down.
AT_INLINE void at_conv_max_pool_sparse(const float *x, const float *w, const uint8_t *steps,
                                       const uint16_t *counts, const float *bias, float *y,
                                       float *patches, const at_window *s, int32_t bits,
                                       float low, float high) {
  for (int32_t r = 0; r + 1 < s->out_h; r += 2) {
    for (int32_t c = 0; c + 1 < s->out_w; c += 2, y += s->out_c) {
      AT_ROLLED
      for (int32_t i = 0; i < 4; i++)
        at_sparse_patch_f32(patches + i, x, s, r + i / 2, c + i % 2);
      const float *weight = w;
      const uint8_t *step = steps;
      AT_ROLLED
      for (int32_t k = 0; k < s->out_c; k++) {
        float sums[4], best = -AT_INFINITY;
        at_sparse_sums_f32(patches, 4, &weight, &step, counts[k], bits, sums);
        for (int32_t i = 0; i < 4; i++) best = sums[i] > best ? sums[i] : best;
        y[k] = at_clampf(best + bias[k], low, high);
      }
    }
  }
}

#define AT_SPARSE_FLOAT(NAME, W, BITS)                                                   \
  AT_KERNEL(at_dense_sparse_##NAME##_##BITS,                                             \
            (const float *x, const W *w, const uint8_t *steps, const uint16_t *counts,   \
             const float *bias, float *y, int32_t out, float low, float high), {         \
    const int32_t bits = BITS;                                                           \
    AT_DENSE_SPARSE(NAME, float, at_clampf(acc + bias[k], low, high))                    \
  })                                                                                     \
  AT_KERNEL(at_conv_sparse_##NAME##_##BITS,                                              \
            (const float *x, const W *w, const uint8_t *steps, const uint16_t *counts,   \
             const float *bias, float *y, float *patches, const at_window *s, float low, \
             float high), {                                                              \
    const int32_t bits = BITS;                                                           \
    AT_CONVOLVE_SPARSE(f32, NAME, W, float, at_clampf(acc + bias[k], low, high))         \
  })
AT_SPARSE_FLOAT(f32, float, 4)
AT_SPARSE_FLOAT(f32, float, 8)
AT_SPARSE_FLOAT(f16, uint16_t, 4)
AT_SPARSE_FLOAT(f16, uint16_t, 8)
#undef AT_SPARSE_FLOAT

#define AT_SPARSE_POOLED(BITS)                                                             \
  AT_KERNEL(at_conv_max_pool_sparse_f32_##BITS,                                            \
            (const float *x, const float *w, const uint8_t *steps, const uint16_t *counts, \
             const float *bias, float *y, float *patches, const at_window *s, float low,   \
             float high), {                                                                \
    at_conv_max_pool_sparse(x, w, steps, counts, bias, y, patches, s, BITS, low, high);    \
  })
AT_SPARSE_POOLED(4)
AT_SPARSE_POOLED(8)
#undef AT_SPARSE_POOLED

#endif
