// 3×3 convolution of stride 1 by Winograd's minimal filtering F(2×2, 3×3), exact in integers.
//
// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016:
// Y = A'[(G g G') ∘ (B' d B)]A, d a 4×4 patch, g the filter, Y 2×2 outputs. G has halves; the
// generator doubles it, so that everything is an integer and the result comes out four times too
// large, which a shift undoes exactly. Sixteen products take the place of thirty-six.
#ifndef AT_WINOGRAD_S8_H
#define AT_WINOGRAD_S8_H

#include "columns_s8.h"
#include "requantize.h"
#include "winograd_products_s8.h"

// Four pixels of a row, four channels in each, as pairs (0, 2) and (1, 3).
typedef struct {
  uint32_t even[4], odd[4];
} at_four;

AT_INLINE at_four at_four_of(const uint32_t *row) {
  at_four f;
  for (int j = 0; j < 4; j++) {
    f.even[j] = at_even_bytes(row[j]);
    f.odd[j] = at_odd_bytes(row[j]);
  }
  return f;
}

// One row of B'd times B, for two channels: values of four products, each two words from the last.
AT_INLINE void at_winograd_row(const uint32_t t[4], uint32_t *v) {
  v[0] = at_sub_pairs(t[0], t[2]);
  v[2] = at_add_pairs(t[1], t[2]);
  v[4] = at_sub_pairs(t[2], t[1]);
  v[6] = at_sub_pairs(t[1], t[3]);
}

// The rows a - b and, if asked for, a + b before, for four channels: v is (2 pairs, 16 products, 2).
AT_INLINE void at_winograd_rows(at_four a, at_four b, int32_t sum_too, uint32_t *v) {
  uint32_t t[4];
  if (sum_too) {
    for (int j = 0; j < 4; j++) t[j] = at_add_pairs(a.even[j], b.even[j]);
    at_winograd_row(t, v);
    for (int j = 0; j < 4; j++) t[j] = at_add_pairs(a.odd[j], b.odd[j]);
    at_winograd_row(t, v + 32);
    v += 8;
  }
  for (int j = 0; j < 4; j++) t[j] = at_sub_pairs(a.even[j], b.even[j]);
  at_winograd_row(t, v);
  for (int j = 0; j < 4; j++) t[j] = at_sub_pairs(a.odd[j], b.odd[j]);
  at_winograd_row(t, v + 32);
}

// B'dB of four channels of a patch; row i of the patch begins at rows[i].
AT_INLINE void at_winograd_input(const uint32_t *const rows[4], uint32_t *v) {
  at_winograd_rows(at_four_of(rows[0]), at_four_of(rows[2]), 0, v);
  at_winograd_rows(at_four_of(rows[2]), at_four_of(rows[1]), 1, v + 8);
  at_winograd_rows(at_four_of(rows[1]), at_four_of(rows[3]), 0, v + 24);
}

// A'mA of one patch and channel, m[8 p] for p = 0 … 15; the outputs (0, 0), (0, 1), (1, 0), (1, 1)
// twice as large as the accumulators of a convolution.
AT_INLINE void at_winograd_output(const int32_t *m, int32_t y[4]) {
  int32_t upper[4], lower[4];
  for (int j = 0; j < 4; j++) {
    const int32_t m1 = m[8 * (4 + j)], m2 = m[8 * (8 + j)];
    upper[j] = at_add(at_add(m[8 * j], m1), m2);
    lower[j] = at_sub(at_sub(m1, m2), m[8 * (12 + j)]);
  }
  y[0] = at_add(at_add(upper[0], upper[1]), upper[2]) >> 1;
  y[1] = at_sub(at_sub(upper[1], upper[2]), upper[3]) >> 1;
  y[2] = at_add(at_add(lower[0], lower[1]), lower[2]) >> 1;
  y[3] = at_sub(at_sub(lower[1], lower[2]), lower[3]) >> 1;
}

// Load row `row` of x, in the ring as (in_c / 4, width) words; padding is the stored zero. Where
// channels do not fill the last word, zeros do.
AT_INLINE void at_winograd_load(uint32_t *ring, const int8_t *x, int32_t row, int32_t width,
                                const at_rows *g) {
  const int32_t in_c = g->s.in_c;
  const uint32_t zero = (uint8_t)g->zero * 0x01010101u;
  const int32_t inside = row >= 0 && row < g->s.in_h;
  x += row * g->s.in_w * in_c;
  AT_ROLLED
  for (int32_t k = 0; k < in_c; k += 4) {
    const int32_t missing = at_max(k + 4 - in_c, 0);
    AT_ROLLED
    for (int32_t c = -g->s.pad_left; c < width - g->s.pad_left; c++) {
      const int32_t is_pixel = inside && c >= 0 && c < g->s.in_w;
      *ring++ = is_pixel ? at_word(x + c * in_c + k - missing) >> 8 * missing : zero;
    }
  }
}

// x is (in_h, in_w, in_c), y is (out_h, out_w, out_c); there are 4 channels or more. The weights of
// inputs that fill the last four up are 0; the last four outputs may be in part those before them.
// For every four channels the stream w holds the sixteen weights as at_winograd_products reads them,
// then (multiplier, rounding, shift) of each channel. `strip` pairs of patches, on from one row to the
// next, are multiplied with weights that were brought to SRAM for them. Scratch: a ring of four rows of
// g->pitch bytes; v, 16 words a channel of a pair of patches and 32 more; m, 128 words a pair; block,
// the weights of four channels.
AT_INLINE void at_winograd(const int8_t *x, const uint32_t *w, int8_t *y, uint32_t *ring,
                           uint32_t *v, int32_t *m, uint32_t *block, int32_t strip,
                           const at_rows *g, at_finish f) {
  const int32_t in_c = (g->s.in_c + 3) & ~3;
  const int32_t out_c = g->s.out_c, out_w = g->s.out_w, out_h = g->s.out_h;
  const int32_t row_words = g->pitch / 4, width = g->pitch / in_c, words = 76 + 32 * in_c;
  int32_t next = 0;  // row of the ring's next load, padding counted
  int32_t r = 0, c = 0;
  while (r < out_h) {
    const int32_t first_r = r, first_c = c;
    int32_t pairs = 0;
    AT_ROLLED
    for (uint32_t *to = v; pairs < strip && r < out_h; pairs++, to += 16 * in_c) {
      AT_ROLLED
      for (; next < r + 4; next++)
        at_winograd_load(ring + next % 4 * row_words, x, next - g->s.pad_top, width, g);
      const int32_t second = c + 2 < out_w ? 2 : 0;  // from the first patch to the second, if any
      AT_ROLLED
      for (int32_t t = 0; t < 2; t++) {
        const uint32_t *rows[4];
        for (int i = 0; i < 4; i++)
          rows[i] = ring + (r + i) % 4 * row_words + c + t * second;
        uint32_t *channels = to + t;
        AT_ROLLED
        for (int32_t k = 0; k < in_c; k += 4, channels += 64) {
          at_winograd_input(rows, channels);
          for (int i = 0; i < 4; i++) rows[i] += width;
        }
      }
      c += 4;
      if (c >= out_w) {
        c = 0;
        r += 2;
      }
    }
    const uint32_t *from = w;
    AT_ROLLED
    for (int32_t k = 0; k < out_c; k += 4, from += words) {
      int8_t *const first = y + at_min(k, out_c - 4);
      // Weights that are read once are not worth a copy.
      const uint32_t *weights = strip > 1 ? block : from;
      if (strip > 1) at_copy_words(block, from, words);
      AT_ROLLED
      for (int32_t i = 0; i < pairs; i++)
        at_winograd_products(v + i * 16 * in_c, weights, m + 128 * i, in_c / 2);
      const int32_t *sum = m;
      int32_t at_r = first_r, at_c = first_c;
      AT_ROLLED
      for (int32_t i = 0; i < pairs; i++, sum += 128) {
        // What lies outside the image goes where an output belongs that is written later.
        AT_ROLLED
        for (int32_t t = 1; t >= 0; t--) {
          const int32_t column = at_c + (at_c + 2 < out_w ? 2 * t : 0);
          const int32_t right = column + 1 < out_w ? out_c : 0;
          const int32_t below = at_r + 1 < out_h ? out_w * out_c : 0;
          int8_t *to = first + (at_r * out_w + column) * out_c;
          const uint32_t *q = weights + words - 12;
          AT_ROLLED
          for (int j = 0; j < 4; j++, q += 3, to++) {
            int32_t sums[4];
            at_winograd_output(sum + 2 * j + t, sums);
            to[below + right] = at_finished(sums[3], q, f);
            to[below] = at_finished(sums[2], q, f);
            to[right] = at_finished(sums[1], q, f);
            to[0] = at_finished(sums[0], q, f);
          }
        }
        at_c += 4;
        if (at_c >= out_w) {
          at_c = 0;
          at_r += 2;
        }
      }
    }
  }
}

// One function for all layers of one finish.
#define AT_WINOGRAD(name, kind)                                                          \
  AT_KERNEL(at_winograd_##name##_s8,                                                     \
            (const int8_t *x, const uint32_t *w, int8_t *y, uint32_t *ring, uint32_t *v, \
             int32_t *m, uint32_t *block, int32_t strip, const at_rows *g, int32_t low,  \
             int32_t high), {                                                            \
    const at_finish f = {kind, low, high};                                               \
    at_winograd(x, w, y, ring, v, m, block, strip, g, f);                                \
  })
AT_WINOGRAD(relu, AT_RELU)
AT_WINOGRAD(signed, AT_SIGNED)
AT_WINOGRAD(clamp, AT_CLAMP)
#undef AT_WINOGRAD

#endif
