// Matrix products of int8 weights with two or four columns of inputs, for cores with SMLAD.
//
// A column is the patch under one output pixel, spread to int16 pairs; the columns of a block are
// interleaved pair by pair. A word of weights holds four int8 that serve as two int16 lanes: lane k
// is 256·A[k] + B[k], A and B being the weights of two output channels. One SMLAD with the word and
// one with its sign-extended low bytes give S = Σ x·(256·A + B) and T = Σ x·B; then
// 256·Σ x·A = S - T exactly, as long as it fits 32 bits, which the generator proves from the weights.
// So weights stay int8, and every word of them is unpacked once for all pixels of the block.
#ifndef AT_GEMM_S8_H
#define AT_GEMM_S8_H

#include "requantize.h"

#if AT_DSP
// The loops below take all fourteen registers: the sums lie in r4 to r11 (r7 may be a frame pointer,
// so it is saved by hand), the address where the weights end waits on the stack.
#define AT_LOOP(count, start, body)                                                            \
  register const uint32_t *xp __asm__("r0") = x;                                               \
  register const uint32_t *wp __asm__("r1") = w;                                               \
  register int32_t *to __asm__("r2") = sums;                                                   \
  register const uint32_t *end __asm__("r3") = stop;                                           \
  __asm__ volatile("push {r2, r3, r7}\n" start "1:\n.rept " count "\n" body ".endr\n"          \
                   "ldr r2, [sp, #4]\ncmp r1, r2\nbne 1b\n"                                    \
                   "ldr r2, [sp]\nstmia r2, {r4-r11}\npop {r2, r3, r7}\n"                      \
                   : "+r"(xp), "+r"(wp), "+r"(to), "+r"(end)                                   \
                   :                                                                           \
                   : "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory"); \
  return wp

#define AT_START_2X4                   \
  "ldmia r1!, {r4, r6, r8, r10}\n"     \
  "mov r5, r4\nmov r7, r6\nmov r9, r8\nmov r11, r10\n"
#define AT_PAIR_2X4           \
  "ldrd r2, r3, [r0], #8\n"   \
  "ldrd r12, lr, [r1], #8\n"  \
  "smlad r4, r2, r12, r4\n"   \
  "smlad r5, r3, r12, r5\n"   \
  "sxtb16 r12, r12\n"         \
  "smlad r8, r2, lr, r8\n"    \
  "smlad r9, r3, lr, r9\n"    \
  "sxtb16 lr, lr\n"           \
  "smlad r6, r2, r12, r6\n"   \
  "smlad r7, r3, r12, r7\n"   \
  "smlad r10, r2, lr, r10\n"  \
  "smlad r11, r3, lr, r11\n"

#define AT_START_4X2                              \
  "ldmia r1!, {r4, r8}\n"                         \
  "mov r5, r4\nmov r6, r4\nmov r7, r4\n"          \
  "mov r9, r8\nmov r10, r8\nmov r11, r8\n"
#define AT_PAIR_4X2           \
  "ldr r12, [r1], #4\n"       \
  "ldrd r2, r3, [r0], #8\n"   \
  "sxtb16 lr, r12\n"          \
  "smlad r4, r2, r12, r4\n"   \
  "smlad r5, r3, r12, r5\n"   \
  "smlad r8, r2, lr, r8\n"    \
  "smlad r9, r3, lr, r9\n"    \
  "ldrd r2, r3, [r0], #8\n"   \
  "smlad r6, r2, r12, r6\n"   \
  "smlad r7, r3, r12, r7\n"   \
  "smlad r10, r2, lr, r10\n"  \
  "smlad r11, r3, lr, r11\n"
#endif

// Two pixels by four channels. x is (pairs, 2 pixels) words; w is the start values of S and T for
// each pair of channels, then (pairs, 2) words. Leaves S, S, T, T of the first pair of channels, a
// value a pixel, then of the second; returns the end of the weights. pairs is a multiple of unroll,
// which is 4, 5 or 7.
AT_INLINE const uint32_t *at_multiply_2x4(const uint32_t *x, const uint32_t *w, int32_t pairs,
                                          int32_t unroll, int32_t *sums) {
#if AT_DSP
  const uint32_t *stop = w + 4 + 2 * pairs;
  if (unroll == 4) {
    AT_LOOP("4", AT_START_2X4, AT_PAIR_2X4);
  }
  if (unroll == 5) {
    AT_LOOP("5", AT_START_2X4, AT_PAIR_2X4);
  }
  AT_LOOP("7", AT_START_2X4, AT_PAIR_2X4);
#else
  (void)unroll;
  for (int i = 0; i < 8; i++) sums[i] = (int32_t)w[i / 2];
  for (w += 4; pairs > 0; pairs--, x += 2, w += 2) {
    for (int i = 0; i < 8; i++) {
      const uint32_t lanes = i % 4 < 2 ? w[i / 4] : at_even_bytes(w[i / 4]);
      sums[i] = at_dual_mac(x[i % 2], lanes, sums[i]);
    }
  }
  return w;
#endif
}

// Four pixels by two channels. x is (pairs, 4 pixels) words; w is the start values of S and T, then
// (pairs) words. Leaves S of each pixel, then T.
AT_INLINE const uint32_t *at_multiply_4x2(const uint32_t *x, const uint32_t *w, int32_t pairs,
                                          int32_t unroll, int32_t *sums) {
#if AT_DSP
  const uint32_t *stop = w + 2 + pairs;
  if (unroll == 4) {
    AT_LOOP("4", AT_START_4X2, AT_PAIR_4X2);
  }
  if (unroll == 5) {
    AT_LOOP("5", AT_START_4X2, AT_PAIR_4X2);
  }
  AT_LOOP("7", AT_START_4X2, AT_PAIR_4X2);
#else
  (void)unroll;
  for (int i = 0; i < 8; i++) sums[i] = (int32_t)w[i / 4];
  for (w += 2; pairs > 0; pairs--, x += 4, w++)
    for (int i = 0; i < 8; i++)
      sums[i] = at_dual_mac(x[i % 4], i < 4 ? w[0] : at_even_bytes(w[0]), sums[i]);
  return w;
#endif
}

// All channels of two pixels. The stream w is read from front to back; it holds, for every four
// channels, the start values of S and T for both pairs (the biases), the words of weights, and
// (multiplier, rounding, shift) of each channel. y0 and y1 are where the pixels' channels go; they
// may be equal (one pixel only): y0 is written last.
AT_INLINE void at_gemm_2x4(const uint32_t *x, const uint32_t *w, int8_t *y0, int8_t *y1,
                           int32_t pairs, int32_t unroll, int32_t channels, at_finish f) {
  for (; channels > 0; channels -= 4) {
    int8_t spare[8];
    int8_t *to0 = channels < 4 ? spare : y0, *to1 = channels < 4 ? spare + 4 : y1;
    int32_t b[8];
    w = at_multiply_2x4(x, w, pairs, unroll, b);
    // Doubled accumulators: the multipliers have 31 fraction bits, a high word counts 32.
    to1[0] = at_finished(at_sub(b[1], b[3]) >> 7, w, f);
    to0[0] = at_finished(at_sub(b[0], b[2]) >> 7, w, f);
    to1[1] = at_finished(b[3] * 2, w + 3, f);
    to0[1] = at_finished(b[2] * 2, w + 3, f);
    to1[2] = at_finished(at_sub(b[5], b[7]) >> 7, w + 6, f);
    to0[2] = at_finished(at_sub(b[4], b[6]) >> 7, w + 6, f);
    to1[3] = at_finished(b[7] * 2, w + 9, f);
    to0[3] = at_finished(b[6] * 2, w + 9, f);
    w += 12;
    if (channels < 4) {
      for (int32_t c = 0; c < channels; c++) {
        y1[c] = spare[4 + c];
        y0[c] = spare[c];
      }
    }
    y0 += 4;
    y1 += 4;
  }
}

AT_INLINE int32_t at_max4(int32_t a, int32_t b, int32_t c, int32_t d) {
  return at_max(at_max(a, b), at_max(c, d));
}

// All channels of the maximum of four pixels: rescaling is monotone, so the maximum is taken of the
// accumulators. The stream is as above, two channels at a time; channels is even.
AT_INLINE void at_gemm_4x2_max(const uint32_t *x, const uint32_t *w, int8_t *y, int32_t pairs,
                               int32_t unroll, int32_t channels, at_finish f) {
  for (; channels > 0; channels -= 2) {
    int32_t b[8];
    w = at_multiply_4x2(x, w, pairs, unroll, b);
    const int32_t a = at_max4(at_sub(b[0], b[4]), at_sub(b[1], b[5]), at_sub(b[2], b[6]),
                              at_sub(b[3], b[7]));
    y[0] = at_finished(a >> 7, w, f);
    y[1] = at_finished(at_max4(b[4], b[5], b[6], b[7]) * 2, w + 3, f);
    w += 6;
    y += 2;
  }
}

#endif
