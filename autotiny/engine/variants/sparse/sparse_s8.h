// Int8 convolutions and dense layers whose zero weights are left out.
//
// What is kept of an output's weights are entries, each a weight (run = 1) or four weights of
// neighbouring taps (run = 4), in the order of the taps. A step of `bits` bits says how many runs lie
// between an entry and the one before; a longer way is gone by entries of weight zero. Entries come in
// fours, the last filled up with weight zero. The four steps to them lie in the bytes of a word, those
// to the next four `bits` bits higher, and the word is rotated: a mask leaves bytes to be added.
#ifndef AT_SPARSE_S8_H
#define AT_SPARSE_S8_H

#include "columns_s8.h"
#include "requantize.h"

// x and byte k of a word.
#if AT_DSP
#define AT_STEP_OVER(k, rotation)                                        \
  AT_INLINE const int8_t *at_step_##k(const int8_t *x, uint32_t bytes) { \
    __asm__("uxtab %0, %0, %1" rotation : "+r"(x) : "r"(bytes));         \
    return x;                                                            \
  }
#else
#define AT_STEP_OVER(k, rotation)                                        \
  AT_INLINE const int8_t *at_step_##k(const int8_t *x, uint32_t bytes) { \
    return x + (uint8_t)(bytes >> 8 * k);                                \
  }
#endif
AT_STEP_OVER(0, "")
AT_STEP_OVER(1, ", ror #8")
AT_STEP_OVER(2, ", ror #16")
AT_STEP_OVER(3, ", ror #24")
#undef AT_STEP_OVER

AT_INLINE const int8_t *at_step(const int8_t *x, uint32_t bytes, int k) {
  return k == 0   ? at_step_0(x, bytes)
         : k == 1 ? at_step_1(x, bytes)
         : k == 2 ? at_step_2(x, bytes)
                  : at_step_3(x, bytes);
}

// Four weights of one output; x is (taps).
AT_INLINE const int8_t *at_four_weights(const int8_t *x, uint32_t steps, uint32_t w,
                                        int32_t *sum) {
  const uint32_t even = at_even_bytes(w), odd = at_odd_bytes(w);
  AT_UNROLL(4)
  for (int k = 0; k < 4; k++) {
    x += (uint8_t)(steps >> 8 * k);  // not at_step: a plain sum is an address sooner
    const uint32_t input = (uint32_t)*x++, pair = k % 2 ? odd : even;
    *sum = k < 2 ? at_mac_ll(input, pair, *sum) : at_mac_lh(input, pair, *sum);
  }
  return x;
}

// The same of four patches; x is (taps, 4), the patches in the order 0, 2, 1, 3.
AT_INLINE const int8_t *at_four_weights_of_4(const int8_t *x, uint32_t steps, uint32_t w,
                                             int32_t *sums) {
  const uint32_t even = at_even_bytes(w), odd = at_odd_bytes(w);
  AT_UNROLL(4)
  for (int k = 0; k < 4; k++, x += 4) {
    x = at_step(x, steps, k);
    const uint32_t inputs = at_word(x), pair = k % 2 ? odd : even;
    const uint32_t first = at_even_bytes(inputs), second = at_odd_bytes(inputs);
    sums[0] = k < 2 ? at_mac_ll(first, pair, sums[0]) : at_mac_lh(first, pair, sums[0]);
    sums[1] = k < 2 ? at_mac_hl(first, pair, sums[1]) : at_mac_hh(first, pair, sums[1]);
    sums[2] = k < 2 ? at_mac_ll(second, pair, sums[2]) : at_mac_lh(second, pair, sums[2]);
    sums[3] = k < 2 ? at_mac_hl(second, pair, sums[3]) : at_mac_hh(second, pair, sums[3]);
  }
  return x;
}

// Four times four weights; x is (taps / 4, patches, 4).
AT_INLINE const int8_t *at_four_words(const int8_t *x, int32_t patches, uint32_t steps,
                                      const uint32_t *w, int32_t *sums) {
  AT_UNROLL(4)
  for (int k = 0; k < 4; k++) {
    const uint32_t even = at_even_bytes(w[k]), odd = at_odd_bytes(w[k]);
    x = at_step(x, steps, k);
    AT_UNROLL(4)
    for (int32_t i = 0; i < patches; i++, x += 4) {
      const uint32_t inputs = at_word(x);
      sums[i] = at_dual_mac(at_odd_bytes(inputs), odd, sums[i]);
      sums[i] = at_dual_mac(at_even_bytes(inputs), even, sums[i]);
    }
  }
  return x;
}

AT_INLINE uint32_t at_rotated(uint32_t word, int32_t right) {
  return word >> right | word << (32 - right);
}

// The sums of one output, and what at_finished takes for it, which rounds to a zero-point of `zero`. w
// holds the bias; the multiplier; the shift and, above its low byte, the number of fours; for every
// 8 / bits fours a word of steps, then the entries. Returns the end of w.
AT_INLINE const uint32_t *at_sparse_sums(const int8_t *x, int32_t patches, const uint32_t *w,
                                         int32_t zero, int32_t bits, int32_t run, int32_t *sums,
                                         uint32_t q[3]) {
  int32_t fours = (int32_t)(w[2] >> 8);
  AT_UNROLL(4)
  for (int32_t i = 0; i < patches; i++) sums[i] = (int32_t)w[0];
  q[0] = w[1];
  q[2] = w[2] & 255;
  q[1] = ((uint32_t)zero << q[2]) + ((1u << q[2]) >> 1);
  w += 3;
  const int32_t together = 8 / bits, bytes = run * patches;  // of the inputs under an entry
  const uint32_t mask = (bits == 2 ? 0x03030303u : 0x0f0f0f0fu) * (uint32_t)bytes;
#define AT_FOUR                                                         \
  x = run == 4       ? at_four_words(x, patches, steps & mask, w, sums) \
      : patches == 4 ? at_four_weights_of_4(x, steps & mask, *w, sums)  \
                     : at_four_weights(x, steps & mask, *w, sums);      \
  steps = at_rotated(steps, bits);                                      \
  w += run
  // Where four entries are little work, the loop is written out.
  AT_ROLLED
  for (; run * patches == 1 && fours >= together; fours -= together) {
    uint32_t steps = *w++;
    AT_UNROLL(4)
    for (int32_t j = 0; j < together; j++) {
      AT_FOUR;
    }
  }
  AT_ROLLED
  while (fours > 0) {
    uint32_t steps = *w++;
    int32_t left = at_min(fours, together);
    fours -= left;
    AT_ROLLED
    for (; left > 0; left--) {
      AT_FOUR;
    }
  }
#undef AT_FOUR
  return w;
}

// x is (depth), y is (out), w is the outputs one after the other.
AT_INLINE void at_dense_sparse(const int8_t *x, const uint32_t *w, int8_t *y, int32_t out,
                               int32_t zero, int32_t bits, int32_t run, at_finish f) {
  AT_ROLLED
  for (int32_t k = 0; k < out; k++) {
    uint32_t q[3];
    int32_t sum;
    w = at_sparse_sums(x, 1, w, zero, bits, run, &sum, q);
    y[k] = at_finished(sum * 2, q, f);
  }
}

// Four patches whose rows begin at row[i] + column[i], for entries of one weight or of four. A row is
// filled up to words; up to 3 bytes behind it are read.
AT_INLINE void at_four_patches(int8_t *to, const int8_t *const *const row[4],
                               const int32_t column[4], int32_t k_h, int32_t size, int32_t run) {
  AT_ROLLED
  for (int32_t r = 0; r < k_h; r++) {
    const int8_t *a = row[0][r] + column[0], *b = row[1][r] + column[1];
    const int8_t *c = row[2][r] + column[2], *d = row[3][r] + column[3];
    AT_ROLLED
    for (int32_t k = 0; k < size; k += 4, to += 16) {
      const uint32_t words[4] = {at_word(a + k), at_word(b + k), at_word(c + k), at_word(d + k)};
      if (run == 4) {
        for (int i = 0; i < 4; i++) at_put_word(to + 4 * i, words[i]);
      } else {
        for (int odd = 0; odd < 2; odd++) {
          const uint32_t low = 0x00ff00ffu;  // of each pair of bytes
          const uint32_t ac = (words[0] >> 8 * odd & low) | (words[2] >> 8 * odd & low) << 8;
          const uint32_t bd = (words[1] >> 8 * odd & low) | (words[3] >> 8 * odd & low) << 8;
          at_put_word(to + 4 * odd, at_pack_low(ac, bd));
          at_put_word(to + 4 * odd + 8, at_pack_high(ac, bd));
        }
      }
    }
  }
}

// All channels of four patches, or of their maximum, which as rescaling is monotone is that of the
// accumulators. y[i] is where the channels of patch i go; a patch may be there twice.
AT_INLINE void at_sparse_channels(const int8_t *patches, const uint32_t *w, int8_t *const *y,
                                  int32_t pooled, int32_t channels, int32_t zero,
                                  int32_t bits, int32_t run, at_finish f) {
  AT_ROLLED
  for (int32_t k = 0; k < channels; k++) {
    uint32_t q[3];
    int32_t sums[4];
    w = at_sparse_sums(patches, 4, w, zero, bits, run, sums, q);
    if (pooled)
      y[0][k] = at_finished(at_max4(sums[0], sums[1], sums[2], sums[3]) * 2, q, f);
    else
      for (int i = 0; i < 4; i++) y[i][k] = at_finished(sums[i] * 2, q, f);
  }
}

// x is (in_h, in_w, in_c), y is (out_h, out_w, out_c), w a stream as above. Four outputs at a time
// run on from one row to the next; the ring holds what lies under all four. Scratch: the ring, if
// there is one; the patches.
AT_INLINE void at_conv_sparse(const int8_t *x, const uint32_t *w, int8_t *y, int8_t *ring,
                              int8_t *patches, const at_rows *rows, int32_t zero, int32_t bits,
                              int32_t run, at_finish f) {
  const at_rows g = *rows;
  const int8_t *under[4][16];
  at_scan at = at_scan_of(ring, g);
  for (int32_t left = g.s.out_h * g.s.out_w; left > 0; left -= 4) {
    const int8_t *const *row[4];
    int32_t column[4];
    int8_t *to[4];
    AT_ROLLED
    for (int32_t i = 0; i < 4; i++) {
      if (i < left) {
        if (at_advance(&at, ring, x, g)) at_rows_under(under[at.r & 3], ring, x, at.r, g);
        y += g.s.out_c;
      }
      // One behind the last is the last once more.
      row[i] = under[at.r & 3];
      column[i] = at.c * g.s.stride_w * g.s.in_c;
      to[i] = y - g.s.out_c;
    }
    at_four_patches(patches, row, column, g.s.k_h, g.s.k_w * g.s.in_c, run);
    at_sparse_channels(patches, w, to, 0, g.s.out_c, zero, bits, run, f);
  }
}

// Convolution and 2x2 max-pooling. y is (out_h / 2, out_w / 2, out_c), halves rounded down.
AT_INLINE void at_conv_sparse_max_pool(const int8_t *x, const uint32_t *w, int8_t *y,
                                       int8_t *ring, int8_t *patches, const at_rows *rows,
                                       int32_t zero, int32_t bits, int32_t run, at_finish f) {
  const at_rows g = *rows;
  const int8_t *under[2][16];
  const int8_t *const *const row[4] = {under[0], under[0], under[1], under[1]};
  const int32_t apart = g.s.stride_w * g.s.in_c;
  int32_t next = at_first_row(ring, g);
  for (int32_t r = 0; r + 1 < g.s.out_h; r += 2) {
    next = at_load_under(ring, x, next, r + 1, g);
    at_rows_under(under[0], ring, x, r, g);
    at_rows_under(under[1], ring, x, r + 1, g);
    AT_ROLLED
    for (int32_t c = 0; c + 1 < g.s.out_w; c += 2, y += g.s.out_c) {
      const int32_t left = c * apart, right = left + apart;
      const int32_t column[4] = {left, right, left, right};
      at_four_patches(patches, row, column, g.s.k_h, g.s.k_w * g.s.in_c, run);
      at_sparse_channels(patches, w, &y, 1, g.s.out_c, zero, bits, run, f);
    }
  }
}

#define AT_SPARSE(name, bits, run)                                                         \
  AT_KERNEL(at_dense_sparse_##name,                                                        \
            (const int8_t *x, const uint32_t *w, int8_t *y, int32_t out, int32_t zero,     \
             int32_t low, int32_t high), {                                                 \
    const at_finish f = {AT_CLAMP, low, high};                                             \
    at_dense_sparse(x, w, y, out, zero, bits, run, f);                                     \
  })                                                                                       \
  AT_KERNEL(at_conv_sparse_##name,                                                         \
            (const int8_t *x, const uint32_t *w, int8_t *y, int8_t *ring, int8_t *patches, \
             const at_rows *rows, int32_t zero, int32_t low, int32_t high), {              \
    const at_finish f = {AT_CLAMP, low, high};                                             \
    at_conv_sparse(x, w, y, ring, patches, rows, zero, bits, run, f);                      \
  })                                                                                       \
  AT_KERNEL(at_conv_sparse_max_pool_##name,                                                \
            (const int8_t *x, const uint32_t *w, int8_t *y, int8_t *ring, int8_t *patches, \
             const at_rows *rows, int32_t zero, int32_t low, int32_t high), {              \
    const at_finish f = {AT_CLAMP, low, high};                                             \
    at_conv_sparse_max_pool(x, w, y, ring, patches, rows, zero, bits, run, f);             \
  })
AT_SPARSE(1x1_2, 2, 1)
AT_SPARSE(1x1_4, 4, 1)
AT_SPARSE(1x4_2, 2, 4)
AT_SPARSE(1x4_4, 4, 4)
#undef AT_SPARSE

#endif
