// Convolutions as matrix products: the patches under two or four outputs become columns.
#ifndef AT_CONV_GEMM_S8_H
#define AT_CONV_GEMM_S8_H

#include "columns_s8.h"
#include "gemm_s8.h"

// x is (in_h, in_w, in_c), y is (out_h, out_w, out_c), w a stream as at_gemm reads it for that many
// pixels. Blocks of pixels run on from one row of outputs to the next. Scratch: the ring; columns of
// pixels · pairs words; `joined` bytes for one patch; any pointer where there is no ring or no joining.
AT_INLINE void at_conv_gemm(const int8_t *x, const uint32_t *w, int8_t *y, int8_t *ring,
                            uint32_t *columns, int8_t *joined, const at_rows *rows,
                            int32_t pixels, int32_t expanded, int32_t pairs, at_finish f) {
  const at_rows g = *rows;
  const int8_t *row[16];
  AT_SET_LATER(row);
  at_scan at = at_scan_of(ring, g);
  for (int32_t left = g.s.out_h * g.s.out_w; left > 0; left -= pixels) {
    int8_t *to[4];
    AT_ROLLED
    for (int32_t i = 0; i < pixels; i++) {
      if (i < left) {
        if (at_advance(&at, ring, x, g)) at_rows_under(row, ring, x, at.r, g);
        y += g.s.out_c;
      }
      // A pixel behind the last is the last once more.
      to[i] = y - g.s.out_c;
      at_column(columns + i, joined, row, at.c * g.s.stride_w * g.s.in_c, pixels, g.s.k_h,
                g.s.k_w * g.s.in_c);
    }
    at_gemm(columns, w, to, pixels, expanded, pairs, g.s.out_c, f);
  }
}

// Convolution and 2×2 max-pooling. y is (out_h / 2, out_w / 2, out_c), halves rounded down; w is a
// stream for four pixels; columns has 4 · pairs words.
AT_INLINE void at_conv_gemm_max_pool(const int8_t *x, const uint32_t *w, int8_t *y, int8_t *ring,
                                     uint32_t *columns, int8_t *joined, const at_rows *rows,
                                     int32_t pairs, at_finish f) {
  const at_rows g = *rows;
  const int8_t *row[2][16];
  int32_t next = at_first_row(ring, g);
  for (int32_t r = 0; r + 1 < g.s.out_h; r += 2) {
    next = at_load_under(ring, x, next, r + 1, g);
    at_rows_under(row[0], ring, x, r, g);
    at_rows_under(row[1], ring, x, r + 1, g);
    AT_ROLLED
    for (int32_t c = 0; c + 1 < g.s.out_w; c += 2, y += g.s.out_c) {
      AT_ROLLED
      for (int32_t i = 0; i < 4; i++)
        at_column(columns + i, joined, row[i / 2], (c + i % 2) * g.s.stride_w * g.s.in_c, 4,
                  g.s.k_h, g.s.k_w * g.s.in_c);
      at_gemm_4x2_max(columns, w, y, pairs, g.s.out_c, f);
    }
  }
}

// 1×1 convolution of stride 1: x is (count, in_c), in_c a multiple of 4, y is (count, out_c).
AT_INLINE void at_pointwise(const int8_t *x, const uint32_t *w, int8_t *y, uint32_t *columns,
                            int32_t count, int32_t in_c, int32_t out_c, int32_t pixels,
                            int32_t expanded, int32_t pairs, at_finish f) {
  for (; count > 0; count -= pixels, x += pixels * in_c, y += pixels * out_c) {
    const int8_t *from[4];
    int8_t *to[4];
    for (int32_t i = 0; i < pixels; i++) {
      const int32_t pixel = at_min(i, count - 1);  // one behind the last is the last once more
      from[i] = x + pixel * in_c;
      to[i] = y + pixel * out_c;
    }
    uint32_t *column = columns;
    AT_ROLLED
    for (int32_t k = 0; k < in_c; k += 4, column += 2 * pixels) {
      for (int32_t i = 0; i < pixels; i++) {
        const uint32_t bytes = at_word(from[i] + k);
        column[i] = at_even_bytes(bytes);
        column[pixels + i] = at_odd_bytes(bytes);
      }
    }
    at_gemm(columns, w, to, pixels, expanded, pairs, out_c, f);
  }
}

// One function for all layers of one finish and block, whatever their shapes: the loops inside do not
// gain by knowing them.
#define AT_CONV(name, pixels, expanded, KIND)                                                  \
  AT_KERNEL(at_conv_gemm_##name,                                                               \
            (const int8_t *x, const uint32_t *w, int8_t *y, int8_t *ring, uint32_t *columns,   \
             int8_t *joined, const at_rows *rows, int32_t pairs, int32_t low, int32_t high), { \
    const at_finish f = {KIND, low, high};                                                     \
    at_conv_gemm(x, w, y, ring, columns, joined, rows, pixels, expanded, pairs, f);            \
  })                                                                                           \
  AT_KERNEL(at_pointwise_##name,                                                               \
            (const int8_t *x, const uint32_t *w, int8_t *y, uint32_t *columns, int32_t count,  \
             int32_t in_c, int32_t out_c, int32_t pairs, int32_t low, int32_t high), {         \
    const at_finish f = {KIND, low, high};                                                     \
    at_pointwise(x, w, y, columns, count, in_c, out_c, pixels, expanded, pairs, f);            \
  })
AT_CONV(relu_2x4, 2, 0, AT_RELU)
AT_CONV(signed_2x4, 2, 0, AT_SIGNED)
AT_CONV(clamp_2x4, 2, 0, AT_CLAMP)
AT_CONV(relu_4x2, 4, 0, AT_RELU)
AT_CONV(signed_4x2, 4, 0, AT_SIGNED)
AT_CONV(clamp_4x2, 4, 0, AT_CLAMP)
AT_CONV(relu_2x4_expanded, 2, 1, AT_RELU)
AT_CONV(signed_2x4_expanded, 2, 1, AT_SIGNED)
AT_CONV(clamp_2x4_expanded, 2, 1, AT_CLAMP)
#undef AT_CONV

AT_KERNEL(at_conv_gemm_max_pool_4x2,
          (const int8_t *x, const uint32_t *w, int8_t *y, int8_t *ring, uint32_t *columns,
           int8_t *joined, const at_rows *rows, int32_t pairs, int32_t low, int32_t high), {
  const at_finish f = {AT_CLAMP, low, high};
  at_conv_gemm_max_pool(x, w, y, ring, columns, joined, rows, pairs, f);
})

#endif
