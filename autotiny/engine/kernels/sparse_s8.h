// Int8 convolutions and dense layers whose zero weights are left out.
//
// What is kept of an output's weights are entries, each a weight (run = 1) or four weights of
// neighbouring taps (run = 4), in the order of the taps. A step of `bits` bits says how many runs lie
// between an entry and the one before; a longer way is gone by entries of weight zero. Entries come in
// fours, the last filled up with weight zero. Byte k of the steps, shifted right by `bits` for every
// four that has passed, begins with the step to entry k: a mask leaves four steps to be added.
#ifndef AT_SPARSE_S8_H
#define AT_SPARSE_S8_H

#include "columns_s8.h"
#include "requantize.h"

// Four entries of one weight each: x is what the entry before left to come next.
AT_INLINE const int8_t *at_four_weights(const int8_t *x, int32_t pitch, int32_t patches,
                                        uint32_t steps, uint32_t weights, int32_t *sums) {
  const uint32_t even = at_even_bytes(weights), odd = at_odd_bytes(weights);
  for (int k = 0; k < 4; k++) {
    x += (uint8_t)(steps >> 8 * k);
    for (int32_t i = 0; i < patches; i++) {
      const uint32_t input = (uint32_t)x[i * pitch], w = k % 2 ? odd : even;
      sums[i] = k < 2 ? at_mac_ll(input, w, sums[i]) : at_mac_lh(input, w, sums[i]);
    }
    x++;
  }
  return x;
}

// Four entries of four weights each.
AT_INLINE const int8_t *at_four_words(const int8_t *x, int32_t pitch, int32_t patches,
                                      uint32_t steps, const uint32_t *w, int32_t *sums) {
  for (int k = 0; k < 4; k++) {
    const uint32_t even = at_even_bytes(w[k]), odd = at_odd_bytes(w[k]);
    x += 4 * (uint8_t)(steps >> 8 * k);
    for (int32_t i = 0; i < patches; i++) {
      const uint32_t inputs = at_word(x + i * pitch);
      sums[i] = at_dual_mac(at_even_bytes(inputs), even, sums[i]);
      sums[i] = at_dual_mac(at_odd_bytes(inputs), odd, sums[i]);
    }
    x += 4;
  }
  return x;
}

// Adds the products of one output. x is so many patches, `pitch` bytes from each other. For every
// 8 / bits fours w holds a word of steps, then the entries. Returns the end of w.
AT_INLINE const uint32_t *at_sparse_sums(const int8_t *x, int32_t pitch, int32_t patches,
                                         const uint32_t *w, int32_t fours, int32_t bits,
                                         int32_t run, int32_t *sums) {
  const uint32_t mask = bits == 2 ? 0x03030303u : 0x0f0f0f0fu;
  const int32_t together = 8 / bits;
#define AT_FOUR(shift)                                                                       \
  x = run == 1 ? at_four_weights(x, pitch, patches, steps >> (shift) & mask, *w, sums)       \
               : at_four_words(x, pitch, patches, steps >> (shift) & mask, w, sums);         \
  w += run
  AT_ROLLED
  for (; fours >= together; fours -= together) {
    const uint32_t steps = *w++;
    for (int32_t j = 0; j < together; j++) {
      AT_FOUR(j * bits);
    }
  }
  if (fours > 0) {
    uint32_t steps = *w++;
    AT_ROLLED
    for (; fours > 0; fours--, steps >>= bits) {
      AT_FOUR(0);
    }
  }
#undef AT_FOUR
  return w;
}

// x is (depth), y is (out). For every output the stream w holds the bias, (multiplier, rounding, shift
// and, above its low byte, the number of fours) and the fours.
AT_INLINE void at_dense_sparse(const int8_t *x, const uint32_t *w, int8_t *y, int32_t out,
                               int32_t bits, int32_t run, at_finish f) {
  AT_ROLLED
  for (int32_t k = 0; k < out; k++) {
    const uint32_t q[3] = {w[1], w[2], w[3] & 255};
    int32_t sum = (int32_t)w[0];
    w = at_sparse_sums(x, 0, 1, w + 4, (int32_t)(w[3] >> 8), bits, run, &sum);
    y[k] = at_finished(sum * 2, q, f);
  }
}

// All channels of four patches, or of their maximum, which as rescaling is monotone is that of the
// accumulators. y[i] is where the channels of patch i go; a patch may be there twice.
AT_INLINE void at_sparse_channels(const int8_t *patches, int32_t pitch, const uint32_t *w,
                                  int8_t *const *y, int32_t pooled, int32_t channels,
                                  int32_t bits, int32_t run, at_finish f) {
  AT_ROLLED
  for (int32_t k = 0; k < channels; k++) {
    const uint32_t q[3] = {w[1], w[2], w[3] & 255};
    int32_t sums[4];
    for (int i = 0; i < 4; i++) sums[i] = (int32_t)w[0];
    w = at_sparse_sums(patches, pitch, 4, w + 4, (int32_t)(w[3] >> 8), bits, run, sums);
    if (pooled)
      y[0][k] = at_finished(at_max4(sums[0], sums[1], sums[2], sums[3]) * 2, q, f);
    else
      for (int i = 0; i < 4; i++) y[i][k] = at_finished(sums[i] * 2, q, f);
  }
}

// x is (in_h, in_w, in_c), y is (out_h, out_w, out_c), w a stream as above. Four outputs at a time
// run on from one row to the next. Scratch: the ring, if there is one; four patches of `pitch` bytes
// and a little more.
AT_INLINE void at_conv_sparse(const int8_t *x, const uint32_t *w, int8_t *y, int8_t *ring,
                              int8_t *patches, const at_rows *rows, int32_t pitch, int32_t bits,
                              int32_t run, at_finish f) {
  const at_rows g = *rows;
  at_scan at = at_scan_of(ring, g);
  for (int32_t left = g.s.out_h * g.s.out_w; left > 0; left -= 4) {
    int8_t *to[4];
    AT_ROLLED
    for (int32_t i = 0; i < 4; i++) {
      if (i < left) {
        at_advance(&at, ring, x, g);
        y += g.s.out_c;
      }
      to[i] = y - g.s.out_c;  // one behind the last is the last once more
      at_gather_patch(patches + i * pitch, at.row, at.c, g);
    }
    at_sparse_channels(patches, pitch, w, to, 0, g.s.out_c, bits, run, f);
  }
}

// Convolution and 2x2 max-pooling. y is (out_h / 2, out_w / 2, out_c), halves rounded down.
AT_INLINE void at_conv_sparse_max_pool(const int8_t *x, const uint32_t *w, int8_t *y,
                                       int8_t *ring, int8_t *patches, const at_rows *rows,
                                       int32_t pitch, int32_t bits, int32_t run, at_finish f) {
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
        at_gather_patch(patches + i * pitch, row[i / 2], c + i % 2, g);
      at_sparse_channels(patches, pitch, w, &y, 1, g.s.out_c, bits, run, f);
    }
  }
}

#define AT_SPARSE(name, bits, run)                                                               \
  AT_SHARED void at_dense_sparse_##name(const int8_t *x, const uint32_t *w, int8_t *y,           \
                                        int32_t out, int32_t low, int32_t high) {                \
    const at_finish f = {AT_CLAMP, low, high};                                                   \
    at_dense_sparse(x, w, y, out, bits, run, f);                                                 \
  }                                                                                              \
  AT_SHARED void at_conv_sparse_##name(const int8_t *x, const uint32_t *w, int8_t *y,            \
                                       int8_t *ring, int8_t *patches, const at_rows *rows,       \
                                       int32_t pitch, int32_t low, int32_t high) {               \
    const at_finish f = {AT_CLAMP, low, high};                                                   \
    at_conv_sparse(x, w, y, ring, patches, rows, pitch, bits, run, f);                           \
  }                                                                                              \
  AT_SHARED void at_conv_sparse_max_pool_##name(const int8_t *x, const uint32_t *w, int8_t *y,   \
                                                int8_t *ring, int8_t *patches,                   \
                                                const at_rows *rows, int32_t pitch, int32_t low, \
                                                int32_t high) {                                  \
    const at_finish f = {AT_CLAMP, low, high};                                                   \
    at_conv_sparse_max_pool(x, w, y, ring, patches, rows, pitch, bits, run, f);                  \
  }
AT_SPARSE(1x1_2, 2, 1)
AT_SPARSE(1x1_4, 4, 1)
AT_SPARSE(1x4_2, 2, 4)
AT_SPARSE(1x4_4, 4, 4)
#undef AT_SPARSE

#endif
