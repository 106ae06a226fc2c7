// Depthwise 3×3 convolution, four channels after the other: their image is spread to int16 in scratch
// memory, with its padding, two rows in a word. So a word and a pair of weights meet in one SMLAD, and
// the words of two pairs of rows give two rows of outputs.
#ifndef AT_ROW_PAIRS_S8_H
#define AT_ROW_PAIRS_S8_H

#include "row_pairs_run_s8.h"
#include "window.h"

// Two rows of four channels, n columns; the rows' pixels are step_a and step_b bytes apart.
AT_INLINE void at_spread_row_pair(uint32_t *to, const int8_t *a, const int8_t *b, int32_t n,
                                  int32_t step_a, int32_t step_b) {
  AT_ROLLED
  for (; n > 0; n--, a += step_a, b += step_b, to += 4) {
    const uint32_t u = at_word(a), v = at_word(b);
    to[0] = at_pack_low(at_even_bytes(u), at_even_bytes(v));
    to[1] = at_pack_low(at_odd_bytes(u), at_odd_bytes(v));
    to[2] = at_pack_high(at_even_bytes(u), at_even_bytes(v));
    to[3] = at_pack_high(at_odd_bytes(u), at_odd_bytes(v));
  }
}

// The same of two rows one below the other, two columns at a time.
AT_INLINE void at_spread_rows(uint32_t *to, const int8_t *row, int32_t n, int32_t channels,
                              int32_t line) {
#if AT_DSP && defined(__OPTIMIZE__)
// A column, words r12 and lr, to where `to` points.
#define AT_ROW_PAIR                                                                           \
  "sxtb16 r4, r12\nsxtb16 r5, r12, ror #8\nsxtb16 r12, lr\nsxtb16 lr, lr, ror #8\n"           \
  "pkhtb r6, r12, r4, asr #16\npkhbt r4, r4, r12, lsl #16\n"                                  \
  "pkhtb r8, lr, r5, asr #16\npkhbt r5, r5, lr, lsl #16\n"                                    \
  "stm.w %[to]!, {r4, r5, r6, r8}\n"
  if (AT_KNOWN(channels + n)) {
    const int8_t *below = row + line;
    int32_t twos = n / 2;
    __asm__ volatile(".if %c[odd]\nldr.w r12, [%[a]]\nldr.w lr, [%[b]]\n"
                     "add %[a], %[a], #%c[step]\nadd %[b], %[b], #%c[step]\n" AT_ROW_PAIR
                     ".endif\n.if %c[loops]\n.p2align 2\n1:\n"
                     "ldr.w r12, [%[a]]\nldr.w lr, [%[b]]\n" AT_ROW_PAIR
                     "ldr.w r12, [%[a], #%c[step]]\nldr.w lr, [%[b], #%c[step]]\n"
                     "add %[a], %[a], #2*%c[step]\nadd %[b], %[b], #2*%c[step]\n" AT_ROW_PAIR
                     "subs.w %[twos], %[twos], #1\nbne 1b\n.endif\n"
                     : [to] "+&r"(to), [a] "+&r"(row), [b] "+&r"(below), [twos] "+&r"(twos)
                     : [step] "i"(channels), [odd] "i"(n % 2), [loops] "i"(n / 2)
                     : "r4", "r5", "r6", "r8", "r12", "lr", "cc", "memory");
    return;
  }
#undef AT_ROW_PAIR
#endif
  at_spread_row_pair(to, row, row + line, n, channels, channels);
}

// x is (in_h, in_w, channels), y is (out_h, out_w, channels); up to 3 bytes behind x are read.
AT_INLINE void at_depthwise_row_pairs_s8(const int8_t *x, const uint32_t *w, int8_t *y,
                                         uint32_t *plane, int32_t zero, at_row_pairs g, at_finish f) {
  const int32_t words = g.pitch / 4, line = g.in_w * g.channels;
  const int8_t z = (int8_t)zero;
  AT_WORD_ALIGNED const int8_t zeros[4] = {z, z, z, z};
  const uint32_t pair = at_pair(zero, zero);
  AT_ROLLED
  for (int32_t i = 0; i < g.pairs * words; i++) plane[i] = pair;
  AT_ROLLED
  for (int32_t k = 0; k < g.channels; k += 4) {
    const int8_t *row = x + k - g.pad_top * line;
    uint32_t *to = plane + 4 * g.pad_left;
    AT_ROLLED
    for (int32_t r = -g.pad_top; r < 2 * g.pairs - g.pad_top; r += 2, row += 2 * line, to += words) {
      const int32_t upper = r >= 0 && r < g.in_h, lower = r >= -1 && r < g.in_h - 1;
      if (upper && lower)
        at_spread_rows(to, row, g.in_w, g.channels, line);
      else if (upper || lower)
        at_spread_row_pair(to, upper ? row : zeros, lower ? row + line : zeros, g.in_w,
                           upper ? g.channels : 0, lower ? g.channels : 0);
    }
    AT_ROLLED
    for (int32_t i = 0; i < at_min(4, g.channels - k); i++, w += 10)
      at_convolve_row_pairs(plane + i, w, y + k + i, g, f);
  }
}

#endif
