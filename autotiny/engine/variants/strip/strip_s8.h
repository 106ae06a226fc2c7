// Convolutions on int8 by strips of pixels, the weights brought to SRAM once a strip.
//
// The inputs of a strip are spread to int16 pairs once, two pixels side by side. Then, for every four
// output channels, their weights are copied to SRAM, and all pixels of the strip are multiplied with
// them: flash is read once a strip, and the inner loop reads words of SRAM alone. Weights are stored
// in lanes as in gemm_s8.h: fewest loads. A core that issues a load beside each multiplication is
// better off with plain pairs, nothing to unpack: there the copy makes pairs of the lanes.
#ifndef AT_STRIP_S8_H
#define AT_STRIP_S8_H

#include "columns_s8.h"
#include "strip_run_s8.h"

// A channel behind the fours, whose weights stay where they are, four pixels for each reading of them;
// returns where the next one's lie.
AT_INLINE const uint32_t *at_strip_one(const uint32_t *columns, const uint32_t *w, int8_t *y,
                                       int32_t pixels, int32_t pairs, int32_t out_c, at_finish f) {
  const uint32_t *const q = w + 1 + pairs;
  AT_ROLLED
  for (int32_t left = pixels; left > 0; left -= 4) {
    int32_t sums[4];
    for (int i = 0; i < 4; i++) sums[i] = (int32_t)w[0];
    at_four_dots(columns, left > 2 ? columns + 2 * pairs : columns, w + 1, pairs, sums);
    columns += 4 * pairs;
    for (int32_t i = 0; i < 4 && i < left; i++, y += out_c) *y = at_finished(sums[i], q, f);
  }
  return q + 3;
}

// All channels of the pixels of a strip. columns is (pixels / 2, pairs, 2) words; beside a last pixel
// that is alone stands anything. The stream w holds for every four channels the start values S and T of
// two pairs of channels, (pairs, 2) words and (multiplier, rounding, shift) a channel; then for each
// channel that is left the doubled bias, (pairs) doubled weights, and the same.
// block has room for what at_strip_block makes of four.
AT_INLINE void at_strip_channels(const uint32_t *columns, const uint32_t *w, int8_t *y,
                                 uint32_t *block, int32_t pixels, int32_t pairs, int32_t out_c,
                                 at_finish f, int32_t rest) {
  const int32_t even = pixels & ~1;
  at_strip run;
  run.start = block;
  run.end = block + 4 + (AT_LOADS_AHEAD ? 4 : 2) * pairs;
  run.next = 2 * out_c;
  AT_ROLLED
  for (int32_t k = out_c; rest ? k >= 3 : k > 0; k -= 4, y += 4) {
    if (rest && k == 3) y--;
    w = at_strip_block(block, w, pairs);
    if (even) {
      run.x = columns;
      run.x_end = columns + even * pairs;
      run.y = y;
      run.second = out_c;
      at_strip_run(&run, pairs, f);
    }
    if (pixels > even) {
      // The second pixel's outputs are written first, and the first one's over them.
      run.x = columns + even * pairs;
      run.x_end = run.x + 2 * pairs;
      run.y = y + even * out_c;
      run.second = 0;
      at_strip_run(&run, pairs, f);
    }
  }
  AT_ROLLED
  for (int32_t k = rest && (out_c & 3) < 3 ? out_c & 3 : 0; k > 0; k--, y++)
    w = at_strip_one(columns, w, y, pixels, pairs, out_c, f);
}

// Two pixels of a 1×1 convolution as columns: bytes 0 … size - 1 of each, four by four as (0, 2) and
// (1, 3), then (0, 1) and (2, -).
AT_INLINE void at_two_columns(uint32_t *to, const int8_t *a, const int8_t *b, int32_t size) {
  const int8_t *const end = a + (size & ~3);
#if AT_DSP
  if (a != end)
    __asm__ volatile(
        ".p2align 2\n1:\nldr.w r6, [%[a]], #4\nldr.w r8, [%[b]], #4\n"
        "sxtb16 r4, r6\nsxtb16 r5, r8\nsxtb16 r6, r6, ror #8\nsxtb16 r8, r8, ror #8\n"
        "stm.w %[to]!, {r4, r5, r6, r8}\ncmp %[a], %[end]\nbne 1b\n"
        : [a] "+&r"(a), [b] "+&r"(b), [to] "+&r"(to)
        : [end] "r"(end)
        : "r4", "r5", "r6", "r8", "cc", "memory");
#else
  for (; a != end; a += 4, b += 4, to += 4) {
    to[0] = at_even_bytes(at_word(a));
    to[1] = at_even_bytes(at_word(b));
    to[2] = at_odd_bytes(at_word(a));
    to[3] = at_odd_bytes(at_word(b));
  }
#endif
  if (size & 2) {
    *to++ = at_pair(a[0], a[1]);
    *to++ = at_pair(b[0], b[1]);
  }
  if (size & 1) {
    to[0] = at_pair(a[size & 2], 0);
    to[1] = at_pair(b[size & 2], 0);
  }
}

// 1×1 convolution of stride 1: x is (count, in_c), y is (count, out_c).
AT_INLINE void at_strip_pointwise(const int8_t *x, const uint32_t *w, int8_t *y, uint32_t *columns,
                                  uint32_t *block, int32_t strip, int32_t count, int32_t in_c,
                                  int32_t out_c, at_finish f, int32_t rest) {
  const int32_t pairs = (in_c + 1) / 2;
  AT_ROLLED
  for (; count > 0; count -= strip, x += strip * in_c, y += strip * out_c) {
    const int32_t pixels = at_min(strip, count);
    uint32_t *to = columns;
    AT_ROLLED
    for (int32_t i = 0; i < pixels; i += 2, to += 2 * pairs)
      at_two_columns(to, x + i * in_c, x + at_min(i + 1, pixels - 1) * in_c, in_c);
    at_strip_channels(columns, w, y, block, pixels, pairs, out_c, f, rest);
  }
}

// The rows of an image under one row of outputs as int16, padding included, in a ring of s.k_h rows.
typedef struct {
  at_window s;
  int32_t pitch;  // words of a row
  int32_t lead;   // int16 before the padding, so that the image begins at a word
  int32_t zero;   // the stored zero of the image
} at_wide_rows;

// size bytes as int16, one behind the other.
AT_INLINE void at_widen(uint32_t *to, const int8_t *x, int32_t size) {
  AT_ROLLED
  for (; size >= 8; size -= 8, x += 8, to += 4) {
    const uint32_t a = at_word(x), b = at_word(x + 4);
    const uint32_t even = at_even_bytes(a), odd = at_odd_bytes(a);
    const uint32_t even2 = at_even_bytes(b), odd2 = at_odd_bytes(b);
    to[0] = at_pack_low(even, odd);
    to[1] = at_pack_high(even, odd);
    to[2] = at_pack_low(even2, odd2);
    to[3] = at_pack_high(even2, odd2);
  }
  AT_ROLLED
  for (; size >= 2; size -= 2, x += 2) *to++ = at_pair(x[0], x[1]);
  if (size) *to = at_pair(x[0], (int32_t)(*to >> 16));
}

// Load the rows below `end` that are not in the ring yet; returns the next to load.
AT_INLINE int32_t at_widen_rows(uint32_t *ring, const int8_t *x, int32_t next, int32_t end,
                                const at_wide_rows *g) {
  const int32_t size = g->s.in_w * g->s.in_c;
  const uint32_t zeros = at_pair(g->zero, g->zero);
  AT_ROLLED
  for (; next < end; next++) {
    uint32_t *const row = ring + (next + g->s.pad_top) % g->s.k_h * g->pitch;
    if (next < 0 || next >= g->s.in_h) {
      AT_ROLLED
      for (int32_t i = 0; i < g->pitch; i++) row[i] = zeros;
    } else {
      at_widen(row + (g->lead + g->s.pad_left * g->s.in_c) / 2, x + next * size, size);
    }
  }
  return next;
}

// Words of the ring from an int16 on, every second word of `to`; returns where the next goes.
AT_INLINE uint32_t *at_take_words(uint32_t *to, const uint32_t *ring, int32_t first, int32_t words) {
  const uint32_t *from = ring + (first >> 1);
#if AT_DSP
  if (first & 1) {
    uint32_t a, b = *from++;
    __asm__ volatile(
        ".p2align 2\n1:\n"
        "ldr.w %[a], [%[from]], #4\nlsr.w %[b], %[b], #16\npkhbt %[b], %[b], %[a], lsl #16\n"
        "str.w %[b], [%[to]], #8\nmov.w %[b], %[a]\nsubs.w %[words], %[words], #1\nbne 1b\n"
        : [from] "+&r"(from), [to] "+&r"(to), [words] "+&r"(words), [a] "=&r"(a), [b] "+&r"(b)
        :
        : "cc", "memory");
    return to;
  }
  AT_ROLLED
  for (; words >= 4; words -= 4)
    __asm__ volatile(
        "ldm.w %[from]!, {r4, r5, r6, r8}\nstr.w r4, [%[to]]\nstr.w r5, [%[to], #8]\n"
        "str.w r6, [%[to], #16]\nstr.w r8, [%[to], #24]\nadd.w %[to], %[to], #32\n"
        : [from] "+&r"(from), [to] "+&r"(to)
        :
        : "r4", "r5", "r6", "r8", "memory");
  AT_ROLLED
  for (; words > 0; words--, to += 2) *to = *from++;
#else
  AT_ROLLED
  for (; words > 0; words--, to += 2, from++)
    *to = first & 1 ? from[0] >> 16 | from[1] << 16 : from[0];
#endif
  return to;
}

// Any convolution. x is (in_h, in_w, in_c), y is (out_h, out_w, out_c); a filter row of k_w · in_c taps
// takes `words` pairs.
AT_INLINE void at_strip_conv(const int8_t *x, const uint32_t *w, int8_t *y, uint32_t *ring,
                             uint32_t *columns, uint32_t *block, int32_t strip,
                             const at_wide_rows *g, at_finish f, int32_t rest) {
  const int32_t words = (g->s.k_w * g->s.in_c + 1) / 2, pairs = g->s.k_h * words;
  const int32_t step = g->s.stride_w * g->s.in_c, out_w = g->s.out_w, out_c = g->s.out_c;
  const int32_t k_h = g->s.k_h;
  const uint32_t zeros = at_pair(g->zero, g->zero);
  AT_ROLLED
  for (int32_t i = 0; i < g->s.k_h * g->pitch; i++) ring[i] = zeros;
  const uint32_t *row[16];
  int32_t next = -g->s.pad_top, top = next, c = 0, first = 0;
  AT_ROLLED
  for (int32_t left = g->s.out_h * out_w; left > 0; left -= strip, y += strip * out_c) {
    const int32_t pixels = at_min(strip, left);
    AT_ROLLED
    for (int32_t i = 0; i < pixels; i++, first += step) {
      if (c-- == 0) {
        next = at_widen_rows(ring, x, next, top + k_h, g);
        AT_ROLLED
        for (int32_t k = 0; k < k_h; k++) row[k] = ring + (top + g->s.pad_top + k) % k_h * g->pitch;
        top += g->s.stride_h;
        first = g->lead;
        c = out_w - 1;
      }
      uint32_t *to = columns + (i & ~1) * pairs + (i & 1);
      AT_ROLLED
      for (int32_t k = 0; k < k_h; k++) to = at_take_words(to, row[k], first, words);
    }
    at_strip_channels(columns, w, y, block, pixels, pairs, out_c, f, rest);
  }
}

// One function for all layers of one finish; those whose channels are no multiple of 4 have a rest.
#define AT_STRIP(name, kind, rest)                                                                \
  AT_KERNEL(at_strip_pointwise_##name##_s8,                                                       \
            (const int8_t *x, const uint32_t *w, int8_t *y, uint32_t *columns, uint32_t *block,   \
             int32_t strip, int32_t count, int32_t in_c, int32_t out_c, int32_t low,              \
             int32_t high), {                                                                     \
    const at_finish f = {kind, low, high};                                                        \
    at_strip_pointwise(x, w, y, columns, block, strip, count, in_c, out_c, f, rest);              \
  })                                                                                              \
  AT_KERNEL(at_strip_conv_##name##_s8,                                                            \
            (const int8_t *x, const uint32_t *w, int8_t *y, uint32_t *ring, uint32_t *columns,    \
             uint32_t *block, int32_t strip, const at_wide_rows *g, int32_t low, int32_t high), { \
    const at_finish f = {kind, low, high};                                                        \
    at_strip_conv(x, w, y, ring, columns, block, strip, g, f, rest);                              \
  })
AT_STRIP(relu, AT_RELU, 0)
AT_STRIP(signed, AT_SIGNED, 0)
AT_STRIP(cap, AT_CAP, 0)
AT_STRIP(clamp, AT_CLAMP, 0)
AT_STRIP(relu_rest, AT_RELU, 1)
AT_STRIP(signed_rest, AT_SIGNED, 1)
AT_STRIP(cap_rest, AT_CAP, 1)
AT_STRIP(clamp_rest, AT_CLAMP, 1)
#undef AT_STRIP

#endif
