// Matrix products with seven multiplications of halves for eight, exact in integers.
//
// Strassen, "Gaussian Elimination is not Optimal", 1969, in Winograd's form, one level. The inputs A
// are eight pixels, the weights B four output channels; each falls into four parts:
//   S1 = A21 + A22, S2 = S1 - A11, S3 = A11 - A21, S4 = A12 - S2
//   T1 = B12 - B11, T2 = B22 - T1, T3 = B22 - B12, T4 = T2 - B21
//   P1 … P7 = A11·B11, A12·B21, S4·B22, A22·T4, S1·T1, S2·T2, S3·T3
//   C11 = P1 + P2, C12 = P1 + P6 + P5 + P3, C21 = P1 + P6 + P7 - P4, C22 = P1 + P6 + P7 + P5
// Upper are the first four pixels, left the input channels 0, 2, 4, 6, … of A and the first two
// output channels of B. Sums S take 10 bits; T are made by the generator, doubled, 11 bits.
#ifndef AT_STRASSEN_S8_H
#define AT_STRASSEN_S8_H

#include "requantize.h"

// The left factors of the seven products for an upper and a lower pixel of in_c int8; v is (in_c / 4
// pairs, 7 products, 4 pixels) words.
AT_INLINE void at_strassen_inputs(const int8_t *upper, const int8_t *lower, uint32_t *v,
                                  int32_t in_c) {
  AT_ROLLED
  for (int32_t k = 0; k < in_c; k += 4, v += 28) {
    const uint32_t a = at_word(upper + k), b = at_word(lower + k);
    const uint32_t a11 = at_even_bytes(a), a12 = at_odd_bytes(a);
    const uint32_t a21 = at_even_bytes(b), a22 = at_odd_bytes(b);
    const uint32_t s1 = at_add_pairs(a21, a22), s2 = at_sub_pairs(s1, a11);
    v[0] = a11;
    v[4] = a12;
    v[8] = at_sub_pairs(a12, s2);
    v[12] = a22;
    v[16] = s1;
    v[20] = s2;
    v[24] = at_sub_pairs(a11, a21);
  }
}

// One of the products: four pixels and two channels. v begins at its factor; w is the start values of
// both channels, then (pairs, 2) words; m gets (2 channels, 4 pixels). pairs is a multiple of 4.
AT_INLINE void at_strassen_product(const uint32_t *v, const uint32_t *w, int32_t *m,
                                   int32_t pairs) {
#if AT_DSP
// Sums lie in r4 to r11 (r7 may be a frame pointer, so it is saved by hand); stack words: 0 where
// sums go, 1 where the weights end.
#define AT_PAIR                                         \
  "ldrd r12, lr, [r1], #8\nldrd r2, r3, [r0], #8\n"     \
  "smlad r4, r2, r12, r4\nsmlad r5, r3, r12, r5\n"      \
  "smlad r8, r2, lr, r8\nsmlad r9, r3, lr, r9\n"        \
  "ldrd r2, r3, [r0], #104\n"                           \
  "smlad r6, r2, r12, r6\nsmlad r7, r3, r12, r7\n"      \
  "smlad r10, r2, lr, r10\nsmlad r11, r3, lr, r11\n"
  register const uint32_t *from __asm__("r0") = v;
  register const uint32_t *weights __asm__("r1") = w;
  register int32_t *to __asm__("r2") = m;
  register const uint32_t *end __asm__("r3") = w + 2 + 2 * pairs;
  __asm__ volatile(
      "push {r2, r3, r7}\nldmia r1!, {r4, r8}\n"
      "mov r5, r4\nmov r6, r4\nmov r7, r4\nmov r9, r8\nmov r10, r8\nmov r11, r8\n"
      "1:\n" AT_PAIR AT_PAIR AT_PAIR AT_PAIR "ldr r2, [sp, #4]\ncmp r1, r2\nbne 1b\n"
      "ldr r2, [sp]\nstmia r2, {r4-r11}\npop {r2, r3, r7}\n"
      : "+r"(from), "+r"(weights), "+r"(to), "+r"(end)
      :
      : "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
#undef AT_PAIR
#else
  for (int i = 0; i < 8; i++) m[i] = (int32_t)w[i / 4];
  for (w += 2; pairs > 0; pairs--, v += 28, w += 2)
    for (int i = 0; i < 8; i++) m[i] = at_dual_mac(v[i % 4], w[i / 4], m[i]);
#endif
}

// Outputs of four channels from the products; q is (multiplier, rounding, shift) of each. y[i] is
// where they go for pixel i of eight.
AT_INLINE void at_strassen_outputs(const int32_t *m, const uint32_t *q, int8_t *const y[8],
                                   int32_t k, at_finish f) {
  AT_ROLLED
  for (int32_t c = 0; c < 2; c++, k++, q += 3) {
    AT_ROLLED
    for (int i = 0; i < 4; i++, m++) {
      const int32_t u2 = at_add(m[0], m[40]), u3 = at_add(u2, m[48]);
      y[i][k] = at_finished(at_add(m[0], m[8]), q, f);
      y[i][k + 2] = at_finished(at_add(at_add(u2, m[32]), m[16]), q + 6, f);
      y[i + 4][k] = at_finished(at_sub(u3, m[24]), q, f);
      y[i + 4][k + 2] = at_finished(at_add(u3, m[32]), q + 6, f);
    }
  }
}

// x is (count, in_c), in_c a multiple of 16; y is (count, out_c), out_c a multiple of 4. For every four
// channels the stream w holds the weights of the seven products as at_strassen_product reads them,
// then (multiplier, rounding, shift) of each channel. Each weight serves `groups` times eight pixels
// in a row. Scratch: v, 7 · in_c words a group; m, 56 words a group.
AT_INLINE void at_strassen(const int8_t *x, const uint32_t *w, int8_t *y, uint32_t *v, int32_t *m,
                           int32_t groups, int32_t count, int32_t in_c, int32_t out_c,
                           at_finish f) {
  const int32_t pairs = in_c / 4, words = 2 + 2 * pairs;
  AT_ROLLED
  for (int32_t first = 0; first < count; first += 8 * groups) {
    const int32_t full = at_min(groups, (count - first + 7) / 8);
    AT_ROLLED
    for (int32_t i = 0; i < 4 * full; i++) {
      // A pixel behind the last is the last once more.
      const int32_t pixel = first + i / 4 * 8 + i % 4;
      at_strassen_inputs(x + at_min(pixel, count - 1) * in_c,
                         x + at_min(pixel + 4, count - 1) * in_c,
                         v + i / 4 * 7 * in_c + i % 4, in_c);
    }
    const uint32_t *from = w;
    AT_ROLLED
    for (int32_t k = 0; k < out_c; k += 4, from += 12) {
      AT_ROLLED
      for (int32_t p = 0; p < 7; p++, from += words) {
        AT_ROLLED
        for (int32_t g = 0; g < full; g++)
          at_strassen_product(v + g * 7 * in_c + 4 * p, from, m + g * 56 + 8 * p, pairs);
      }
      AT_ROLLED
      for (int32_t g = 0; g < full; g++) {
        int8_t *to[8];
        for (int i = 0; i < 8; i++) to[i] = y + at_min(first + 8 * g + i, count - 1) * out_c;
        at_strassen_outputs(m + g * 56, from, to, k, f);
      }
    }
  }
}

// One function for all layers of one finish.
#define AT_STRASSEN(name, KIND)                                                       \
  AT_KERNEL(at_strassen_##name##_s8,                                                  \
            (const int8_t *x, const uint32_t *w, int8_t *y, uint32_t *v, int32_t *m,  \
             int32_t groups, int32_t count, int32_t in_c, int32_t out_c, int32_t low, \
             int32_t high), {                                                         \
    const at_finish f = {KIND, low, high};                                            \
    at_strassen(x, w, y, v, m, groups, count, in_c, out_c, f);                        \
  })
AT_STRASSEN(relu, AT_RELU)
AT_STRASSEN(signed, AT_SIGNED)
AT_STRASSEN(clamp, AT_CLAMP)
#undef AT_STRASSEN

#endif
