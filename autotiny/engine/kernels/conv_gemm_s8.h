// Convolutions as matrix products: the patches under a few outputs become columns.
#ifndef AT_CONV_GEMM_S8_H
#define AT_CONV_GEMM_S8_H

#include "columns_s8.h"
#include "gemm_s8.h"

// x is (in_h, in_w, in_c), y is (out_h, out_w, out_c), w a stream as at_gemm_2x4 reads it. Scratch:
// the ring, columns of 2 · pairs words, and `joined` bytes for one patch.
AT_INLINE void at_conv_gemm(const int8_t *x, const uint32_t *w, int8_t *y, int8_t *ring,
                               uint32_t *columns, int8_t *joined, at_rows g, int32_t pairs,
                               at_finish f) {
  int32_t next = -g.s.pad_top;
  if (g.slots) at_fill(ring, g.zero, (uint32_t)(g.slots * g.pitch));
  for (int32_t r = 0; r < g.s.out_h; r++) {
    const int32_t top = r * g.s.stride_h - g.s.pad_top;
    if (g.slots) next = at_load_rows(ring, x, next, top + g.s.k_h, g);
    for (int32_t c = 0; c < g.s.out_w; c += 2) {
      const int32_t more = c + 1 < g.s.out_w;  // whether the block's second pixel exists
      for (int32_t p = 0; p < 2; p++)
        at_column(columns + p, joined, ring, x, r, c + (p & more), 2, g);
      at_gemm_2x4(columns, w, y, more ? y + g.s.out_c : y, pairs, g.s.out_c, f);
      y += more ? 2 * g.s.out_c : g.s.out_c;
    }
  }
}

// Convolution and 2×2 max-pooling. y is (out_h / 2, out_w / 2, out_c), halves rounded down; w is a
// stream as at_gemm_4x2_max reads it; columns has 4 · pairs words.
AT_INLINE void at_conv_gemm_max_pool(const int8_t *x, const uint32_t *w, int8_t *y,
                                        int8_t *ring, uint32_t *columns, int8_t *joined,
                                        at_rows g, int32_t pairs, at_finish f) {
  int32_t next = -g.s.pad_top;
  if (g.slots) at_fill(ring, g.zero, (uint32_t)(g.slots * g.pitch));
  for (int32_t r = 0; r + 1 < g.s.out_h; r += 2) {
    const int32_t top = (r + 1) * g.s.stride_h - g.s.pad_top;
    if (g.slots) next = at_load_rows(ring, x, next, top + g.s.k_h, g);
    for (int32_t c = 0; c + 1 < g.s.out_w; c += 2) {
      for (int32_t p = 0; p < 4; p++)
        at_column(columns + p, joined, ring, x, r + p / 2, c + p % 2, 4, g);
      at_gemm_4x2_max(columns, w, y, pairs, g.s.out_c, f);
      y += g.s.out_c;
    }
  }
}

// 1×1 convolution of stride 1: x is (pixels, in_c), in_c a multiple of 4, y is (pixels, out_c).
AT_INLINE void at_pointwise(const int8_t *x, const uint32_t *w, int8_t *y, uint32_t *columns,
                            int32_t pixels, int32_t in_c, int32_t out_c, int32_t pairs,
                            at_finish f) {
  for (; pixels > 0; pixels -= 2) {
    const int8_t *x1 = pixels > 1 ? x + in_c : x;
    int8_t *y1 = pixels > 1 ? y + out_c : y;
    uint32_t *to = columns;
    for (int32_t k = 0; k < in_c; k += 4, to += 4) {
      const uint32_t bytes0 = at_word(x + k), bytes1 = at_word(x1 + k);
      to[0] = at_even_bytes(bytes0);
      to[1] = at_even_bytes(bytes1);
      to[2] = at_odd_bytes(bytes0);
      to[3] = at_odd_bytes(bytes1);
    }
    at_gemm_2x4(columns, w, y, y1, pairs, out_c, f);
    x = x1 + in_c;
    y = y1 + out_c;
  }
}

// One function for all layers of one finish, whatever their shapes.
AT_SHARED void at_conv_gemm_relu_s8(const int8_t *x, const uint32_t *w, int8_t *y, int8_t *ring,
                                    uint32_t *columns, int8_t *joined, const at_rows *g,
                                    int32_t pairs) {
  const at_finish f = {AT_RELU, 0, 0};
  at_conv_gemm(x, w, y, ring, columns, joined, *g, pairs, f);
}
AT_SHARED void at_conv_gemm_signed_s8(const int8_t *x, const uint32_t *w, int8_t *y, int8_t *ring,
                                      uint32_t *columns, int8_t *joined, const at_rows *g,
                                      int32_t pairs) {
  const at_finish f = {AT_SIGNED, 0, 0};
  at_conv_gemm(x, w, y, ring, columns, joined, *g, pairs, f);
}
AT_SHARED void at_conv_gemm_clamp_s8(const int8_t *x, const uint32_t *w, int8_t *y, int8_t *ring,
                                     uint32_t *columns, int8_t *joined, const at_rows *g,
                                     int32_t pairs, int32_t low, int32_t high) {
  const at_finish f = {AT_CLAMP, low, high};
  at_conv_gemm(x, w, y, ring, columns, joined, *g, pairs, f);
}
AT_SHARED void at_conv_gemm_max_pool_s8(const int8_t *x, const uint32_t *w, int8_t *y,
                                        int8_t *ring, uint32_t *columns, int8_t *joined,
                                        const at_rows *g, int32_t pairs, int32_t low,
                                        int32_t high) {
  const at_finish f = {AT_CLAMP, low, high};
  at_conv_gemm_max_pool(x, w, y, ring, columns, joined, *g, pairs, f);
}

// One function for all layers, whatever their shapes: the loops inside do not gain by knowing them.
AT_SHARED void at_pointwise_relu_s8(const int8_t *x, const uint32_t *w, int8_t *y,
                                    uint32_t *columns, int32_t pixels, int32_t in_c,
                                    int32_t out_c, int32_t pairs) {
  const at_finish f = {AT_RELU, 0, 0};
  at_pointwise(x, w, y, columns, pixels, in_c, out_c, pairs, f);
}
AT_SHARED void at_pointwise_signed_s8(const int8_t *x, const uint32_t *w, int8_t *y,
                                      uint32_t *columns, int32_t pixels, int32_t in_c,
                                      int32_t out_c, int32_t pairs) {
  const at_finish f = {AT_SIGNED, 0, 0};
  at_pointwise(x, w, y, columns, pixels, in_c, out_c, pairs, f);
}
AT_SHARED void at_pointwise_clamp_s8(const int8_t *x, const uint32_t *w, int8_t *y,
                                     uint32_t *columns, int32_t pixels, int32_t in_c,
                                     int32_t out_c, int32_t pairs, int32_t low, int32_t high) {
  const at_finish f = {AT_CLAMP, low, high};
  at_pointwise(x, w, y, columns, pixels, in_c, out_c, pairs, f);
}

#endif
