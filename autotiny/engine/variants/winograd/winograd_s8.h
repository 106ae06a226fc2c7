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

// The sixteen products of two patches and four output channels. v is (pairs, 16, 2 patches) words, w
// for each of the sixteen the start values of four channels, then (pairs, 4) words; m gets (16, 4
// channels, 2 patches). pairs is a multiple of 4. Returns the end of the weights.
AT_INLINE const uint32_t *at_winograd_products(const uint32_t *v, const uint32_t *w, int32_t *m,
                                               int32_t pairs) {
#if AT_DSP
// Sums lie in r4 to r11 (r7 may be a frame pointer, so it is saved by hand); stack words: 0 where
// sums go, 1 bytes of weights of one product, 2 where they end, 3 where all end, 4 what takes r0
// back to the next product.
#define AT_PAIR                                                                    \
  "ldrd r2, r3, [r0], #128\nldrd r12, lr, [r1], #8\n"                              \
  "smlad r4, r2, r12, r4\nsmlad r5, r3, r12, r5\n"                                 \
  "smlad r6, r2, lr, r6\nsmlad r7, r3, lr, r7\n"                                   \
  "ldrd r12, lr, [r1], #8\n"                                                       \
  "smlad r8, r2, r12, r8\nsmlad r9, r3, r12, r9\n"                                 \
  "smlad r10, r2, lr, r10\nsmlad r11, r3, lr, r11\n"
  register const uint32_t *from __asm__("r0") = v;
  register const uint32_t *weights __asm__("r1") = w;
  register int32_t *to __asm__("r2") = m;
  register int32_t bytes __asm__("r3") = 16 * pairs;
  register const uint32_t *end __asm__("r5") = w + 16 * (4 + 4 * pairs);
  register int32_t back __asm__("r6") = 128 * pairs - 8;
  __asm__ volatile(
      "push {r2, r3, r4, r5, r6, r7}\n"
      "1:\nldmia r1!, {r4, r6, r8, r10}\nmov r5, r4\nmov r7, r6\nmov r9, r8\nmov r11, r10\n"
      "ldr r2, [sp, #4]\nadd r2, r1, r2\nstr r2, [sp, #8]\n"
      "2:\n" AT_PAIR AT_PAIR AT_PAIR AT_PAIR "ldr r2, [sp, #8]\ncmp r1, r2\nbne 2b\n"
      "ldr r2, [sp]\nstmia r2!, {r4-r11}\nstr r2, [sp]\n"
      "ldrd r2, r3, [sp, #12]\nsub r0, r0, r3\ncmp r1, r2\nbne 1b\n"
      "pop {r2, r3, r4, r5, r6, r7}\n"
      : "+r"(from), "+r"(weights), "+r"(to), "+r"(bytes), "+r"(end), "+r"(back)
      :
      : "r4", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
  return weights;
#undef AT_PAIR
#else
  for (int p = 0; p < 16; p++, m += 8, v += 2) {
    for (int i = 0; i < 8; i++) m[i] = (int32_t)w[i / 2];
    w += 4;
    for (int32_t k = 0; k < pairs; k++, w += 4)
      for (int i = 0; i < 8; i++) m[i] = at_dual_mac(v[32 * k + i % 2], w[i / 2], m[i]);
  }
  return w;
#endif
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

// Load row `row` of x, in the ring as (in_c / 4, width) words; padding is the stored zero.
AT_INLINE void at_winograd_load(uint32_t *ring, const int8_t *x, int32_t row, int32_t width,
                                const at_rows *g) {
  const int32_t in_c = g->s.in_c;
  const uint32_t zero = (uint8_t)g->zero * 0x01010101u;
  const int32_t inside = row >= 0 && row < g->s.in_h;
  x += row * g->s.in_w * in_c;
  AT_ROLLED
  for (int32_t k = 0; k < in_c; k += 4) {
    AT_ROLLED
    for (int32_t c = -g->s.pad_left; c < width - g->s.pad_left; c++)
      *ring++ = inside && c >= 0 && c < g->s.in_w ? at_word(x + c * in_c + k) : zero;
  }
}

// x is (in_h, in_w, in_c), in_c a multiple of 8; y is (out_h, out_w, out_c), out_c a multiple of 4.
// For every four channels the stream w holds the sixteen weights as at_winograd_products reads them,
// then (multiplier, rounding, shift) of each channel. Scratch: a ring of four rows of g->pitch bytes;
// v, 16 · in_c words; m, 128 words.
AT_INLINE void at_winograd(const int8_t *x, const uint32_t *w, int8_t *y, uint32_t *ring,
                           uint32_t *v, int32_t *m, const at_rows *g, at_finish f) {
  const int32_t in_c = g->s.in_c, out_c = g->s.out_c, out_w = g->s.out_w, out_h = g->s.out_h;
  const int32_t row_words = g->pitch / 4, width = g->pitch / in_c;
  int32_t next = 0;  // row of the ring's next load, padding counted
  for (int32_t r = 0; r < out_h; r += 2) {
    AT_ROLLED
    for (; next < r + 4; next++)
      at_winograd_load(ring + next % 4 * row_words, x, next - g->s.pad_top, width, g);
    AT_ROLLED
    for (int32_t c = 0; c < out_w; c += 4) {
      const int32_t second = c + 2 < out_w ? 2 : 0;  // from the first patch to the second, if any
      AT_ROLLED
      for (int32_t t = 0; t < 2; t++) {
        const uint32_t *rows[4];
        for (int i = 0; i < 4; i++)
          rows[i] = ring + (r + i) % 4 * row_words + c + t * second;
        uint32_t *to = v + t;
        AT_ROLLED
        for (int32_t k = 0; k < in_c; k += 4, to += 64) {
          at_winograd_input(rows, to);
          for (int i = 0; i < 4; i++) rows[i] += width;
        }
      }
      const uint32_t *from = w;
      int8_t *corner = y + (r * out_w + c) * out_c;
      AT_ROLLED
      for (int32_t k = 0; k < out_c; k += 4, corner += 4) {
        from = at_winograd_products(v, from, m, in_c / 2);
        // What lies outside the image goes where an output belongs that is written later.
        AT_ROLLED
        for (int32_t t = 1; t >= 0; t--) {
          const int32_t right = c + t * second + 1 < out_w ? out_c : 0;
          const int32_t below = r + 1 < out_h ? out_w * out_c : 0;
          int8_t *to = corner + t * second * out_c;
          const uint32_t *q = from;
          AT_ROLLED
          for (int i = 0; i < 4; i++, q += 3, to++) {
            int32_t sums[4];
            at_winograd_output(m + 2 * i + t, sums);
            to[below + right] = at_finished(sums[3], q, f);
            to[below] = at_finished(sums[2], q, f);
            to[right] = at_finished(sums[1], q, f);
            to[0] = at_finished(sums[0], q, f);
          }
        }
        from += 12;
      }
    }
  }
}

// One function for all layers of one finish.
AT_SHARED void at_winograd_relu_s8(const int8_t *x, const uint32_t *w, int8_t *y, uint32_t *ring,
                                   uint32_t *v, int32_t *m, const at_rows *g) {
  const at_finish f = {AT_RELU, 0, 0};
  at_winograd(x, w, y, ring, v, m, g, f);
}
AT_SHARED void at_winograd_signed_s8(const int8_t *x, const uint32_t *w, int8_t *y, uint32_t *ring,
                                     uint32_t *v, int32_t *m, const at_rows *g) {
  const at_finish f = {AT_SIGNED, 0, 0};
  at_winograd(x, w, y, ring, v, m, g, f);
}
AT_SHARED void at_winograd_clamp_s8(const int8_t *x, const uint32_t *w, int8_t *y, uint32_t *ring,
                                    uint32_t *v, int32_t *m, const at_rows *g, int32_t low,
                                    int32_t high) {
  const at_finish f = {AT_CLAMP, low, high};
  at_winograd(x, w, y, ring, v, m, g, f);
}

#endif
