// The loops of layers whose zero weights are left out, for every arithmetic but int8.
//
// Of the weights of each output, w holds those that are kept, in the order of the taps, and counts how
// many they are. steps says of each how many taps lie between it and the one before: a byte, or half
// of one, where every output begins with a byte and the low half comes first. A longer way is gone by
// weights of zero.
#ifndef AT_SPARSE_H
#define AT_SPARSE_H

#include "window.h"

// Taps between weight k and the one before.
AT_INLINE int32_t at_sparse_step(const uint8_t *steps, int32_t k, int32_t bits) {
  return bits == 8 ? steps[k] : steps[k / 2] >> k % 2 * 4 & 15;
}

// at_sparse_sums_NAME: for each of n patches, the sum of what its inputs xv add for the weights wv of
// an output, of which there are `left`. x is (taps, n). w and steps move on to the next output.
#define AT_SPARSE_SUMS(NAME, X, W, ACC, TAP)                                                      \
  AT_INLINE const X *at_sparse_add_##NAME(const X *x, int32_t n, W wv, int32_t step, ACC *sums) { \
    x += step * n;                                                                                \
    AT_UNROLL(4)                                                                                  \
    for (int32_t i = 0; i < n; i++) {                                                             \
      const X xv = *x++;                                                                          \
      sums[i] += TAP;                                                                             \
    }                                                                                             \
    return x;                                                                                     \
  }                                                                                               \
  AT_INLINE void at_sparse_sums_##NAME(const X *x, int32_t n, const W **w, const uint8_t **steps, \
                                       int32_t left, int32_t bits, ACC *sums) {                   \
    const int32_t together = n == 1 ? 4 : 2;                                                      \
    AT_UNROLL(4)                                                                                  \
    for (int32_t i = 0; i < n; i++) sums[i] = 0;                                                  \
    AT_ROLLED                                                                                     \
    for (; left >= together; left -= together, *steps += together * bits / 8) {                   \
      AT_UNROLL(4)                                                                                \
      for (int32_t k = 0; k < together; k++)                                                      \
        x = at_sparse_add_##NAME(x, n, *(*w)++, at_sparse_step(*steps, k, bits), sums);           \
    }                                                                                             \
    AT_ROLLED                                                                                     \
    for (int32_t k = 0; k < left; k++)                                                            \
      x = at_sparse_add_##NAME(x, n, *(*w)++, at_sparse_step(*steps, k, bits), sums);             \
    *steps += (left * bits + 7) / 8;                                                              \
  }

// at_sparse_patch_NAME: the inputs under output (r, c), the first of every four of `to`, which is
// (taps, 4); outside of x, (in_h, in_w, in_c), they are 0.
#define AT_SPARSE_PATCH(NAME, X)                                                          \
  AT_INLINE void at_sparse_patch_##NAME(X *to, const X *x, const at_window *s, int32_t r, \
                                        int32_t c) {                                      \
    const int32_t size = s->k_w * s->in_c, left = c * s->stride_w - s->pad_left;          \
    const int32_t first = at_clamp(-left * s->in_c, 0, size);                             \
    const int32_t end = at_clamp((s->in_w - left) * s->in_c, 0, size);                    \
    int32_t row = r * s->stride_h - s->pad_top;                                           \
    AT_ROLLED                                                                             \
    for (int32_t i = 0; i < s->k_h; i++, row++) {                                         \
      const int32_t from = (row * s->in_w + left) * s->in_c;                              \
      const int32_t inside = row >= 0 && row < s->in_h;                                   \
      int32_t d = 0;                                                                      \
      AT_ROLLED                                                                           \
      for (; d < (inside ? first : size); d++, to += 4) *to = 0;                          \
      for (; d < (inside ? end : size); d++, to += 4) *to = x[from + d];                  \
      AT_ROLLED                                                                           \
      for (; d < size; d++, to += 4) *to = 0;                                             \
    }                                                                                     \
  }

// x is (depth), y is (out). FINISH turns the sum acc of output k into an element of y.
#define AT_DENSE_SPARSE(NAME, ACC, FINISH)                          \
  AT_ROLLED                                                         \
  for (int32_t k = 0; k < out; k++) {                               \
    ACC acc;                                                        \
    at_sparse_sums_##NAME(x, 1, &w, &steps, counts[k], bits, &acc); \
    y[k] = FINISH;                                                  \
  }

// x is (in_h, in_w, in_c), y is (out_h, out_w, out_c); four outputs at a time run on from one row to
// the next. Scratch: patches, (k_h, k_w, in_c, 4).
#define AT_CONVOLVE_SPARSE(PATCH, SUMS, W, ACC, FINISH)                         \
  int32_t r = 0, c = 0;                                                         \
  const int32_t pixels = s->out_h * s->out_w;                                   \
  for (int32_t p = 0; p < pixels; p += 4) {                                     \
    AT_ROLLED                                                                   \
    for (int32_t i = 0; i < 4 && p + i < pixels; i++) {                         \
      at_sparse_patch_##PATCH(patches + i, x, s, r, c);                         \
      if (++c == s->out_w) c = 0, r++;                                          \
    }                                                                           \
    const W *weight = w;                                                        \
    const uint8_t *step = steps;                                                \
    AT_ROLLED                                                                   \
    for (int32_t k = 0; k < s->out_c; k++) {                                    \
      ACC sums[4];                                                              \
      at_sparse_sums_##SUMS(patches, 4, &weight, &step, counts[k], bits, sums); \
      AT_UNROLL(4)                                                              \
      for (int32_t i = 0; i < 4; i++) {                                         \
        const ACC acc = sums[i];                                                \
        if (p + i < pixels) y[(p + i) * s->out_c + k] = FINISH;                 \
      }                                                                         \
    }                                                                           \
  }

#endif
