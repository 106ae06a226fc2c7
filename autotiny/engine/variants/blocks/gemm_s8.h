// Matrix products of int8 weights with two or four columns of inputs, for cores with SMLAD.
//
// A column is the patch under one output pixel, spread to int16 pairs; the columns of a block are
// interleaved pair by pair. A word of weights holds four int8 that serve as two int16 lanes: lane k
// is 256·A[k] + B[k], A and B being the weights of two output channels. One SMLAD with the word and
// one with its sign-extended low bytes give S = Σ x·(256·A + B) and T = Σ x·B; then
// 256·Σ x·A = S - T exactly, as long as it fits 32 bits, which the generator proves from the weights.
// So weights stay int8, and every word of them is unpacked once for all pixels of the block.
//
// Weights can also be stored as int16 pairs, doubled: twice the flash, nothing to unpack, and the
// accumulators come out doubled as at_finished takes them. `expanded` says so.
#ifndef AT_GEMM_S8_H
#define AT_GEMM_S8_H

#include "requantize.h"

#if AT_DSP
// The loops below take all fourteen registers: the sums lie in r4 to r11 (r7 may be a frame pointer,
// so it is saved by hand); what else they need waits on the stack. Pairs of taps come four at a time,
// then one at a time: r1 runs over the weights up to the addresses in stack words 1 and 2.
#define AT_PAIRS(pair)                                                              \
  "ldr r2, [sp, #4]\ncmp r1, r2\nbeq 2f\n"                                          \
  "1:\n" pair pair pair pair "ldr r2, [sp, #4]\ncmp r1, r2\nbne 1b\n"               \
  "2:\nldr r2, [sp, #8]\ncmp r1, r2\nbeq 4f\n"                                      \
  "3:\n" pair "ldr r2, [sp, #8]\ncmp r1, r2\nbne 3b\n"                              \
  "4:\n"

#define AT_START_2X4               \
  "ldmia r1!, {r4, r6, r8, r10}\n" \
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

#define AT_PAIR_EXPANDED      \
  "ldrd r2, r3, [r0], #8\n"   \
  "ldrd r12, lr, [r1], #8\n"  \
  "smlad r4, r2, r12, r4\n"   \
  "smlad r5, r3, r12, r5\n"   \
  "smlad r6, r2, lr, r6\n"    \
  "smlad r7, r3, lr, r7\n"    \
  "ldrd r12, lr, [r1], #8\n"  \
  "smlad r8, r2, r12, r8\n"   \
  "smlad r9, r3, r12, r9\n"   \
  "smlad r10, r2, lr, r10\n"  \
  "smlad r11, r3, lr, r11\n"

#define AT_START_4X2                             \
  "ldmia r1!, {r4, r8}\n"                        \
  "mov r5, r4\nmov r6, r4\nmov r7, r4\n"         \
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

// Sums of one block into memory.
#define AT_SUMS(start, pair)                                                                   \
  register const uint32_t *xp __asm__("r0") = x;                                               \
  register const uint32_t *wp __asm__("r1") = w;                                               \
  register int32_t *to __asm__("r2") = sums;                                                   \
  register const uint32_t *fours __asm__("r3") = fours_end;                                    \
  register const uint32_t *end __asm__("r4") = ones_end;                                       \
  __asm__ volatile("push {r2, r3, r4, r7}\n" start AT_PAIRS(pair)                              \
                   "ldr r2, [sp]\nstmia r2, {r4-r11}\npop {r2, r3, r4, r7}\n"                  \
                   : "+r"(xp), "+r"(wp), "+r"(to), "+r"(fours), "+r"(end)                      \
                   :                                                                           \
                   : "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");       \
  return wp
#endif

// Two pixels by four channels. x is (pairs, 2 pixels) words; w is the start values of S and T for
// each pair of channels, then (pairs, 2) words. Leaves S, S, T, T of the first pair of channels, a
// value a pixel, then of the second; returns the end of the weights.
AT_INLINE const uint32_t *at_multiply_2x4(const uint32_t *x, const uint32_t *w, int32_t pairs,
                                          int32_t *sums) {
#if AT_DSP
  const uint32_t *fours_end = w + 4 + 2 * (pairs & ~3), *ones_end = w + 4 + 2 * pairs;
  AT_SUMS(AT_START_2X4, AT_PAIR_2X4);
#else
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
                                          int32_t *sums) {
#if AT_DSP
  const uint32_t *fours_end = w + 2 + (pairs & ~3), *ones_end = w + 2 + pairs;
  AT_SUMS(AT_START_4X2, AT_PAIR_4X2);
#else
  for (int i = 0; i < 8; i++) sums[i] = (int32_t)w[i / 4];
  for (w += 2; pairs > 0; pairs--, x += 4, w++)
    for (int i = 0; i < 8; i++)
      sums[i] = at_dual_mac(x[i % 4], i < 4 ? w[0] : at_even_bytes(w[0]), sums[i]);
  return w;
#endif
}

// Two pixels by four channels of expanded weights. w is the doubled biases, then (pairs, 4) words.
// Leaves the doubled accumulators, (4 channels, 2 pixels).
AT_INLINE const uint32_t *at_multiply_expanded(const uint32_t *x, const uint32_t *w, int32_t pairs,
                                               int32_t *sums) {
#if AT_DSP
  const uint32_t *fours_end = w + 4 + 4 * (pairs & ~3), *ones_end = w + 4 + 4 * pairs;
  AT_SUMS(AT_START_2X4, AT_PAIR_EXPANDED);
#else
  for (int i = 0; i < 8; i++) sums[i] = (int32_t)w[i / 2];
  for (w += 4; pairs > 0; pairs--, x += 2, w += 4)
    for (int i = 0; i < 8; i++) sums[i] = at_dual_mac(x[i % 2], w[i / 2], sums[i]);
  return w;
#endif
}

#if AT_DSP
// Whole products with the outputs finished in registers. What the loops need besides their registers
// is copied to the stack, in this order.
typedef struct {
  const uint32_t *x, *fours_end, *ones_end;
  int32_t fours_bytes, ones_bytes;
  const uint32_t *stream_end;
  int8_t *y[4];
} at_gemm_frame;

// Doubled accumulators from S and T: (S - T) / 128 and 2 · T.
#define AT_DOUBLED(s0, s1, t0, t1)                            \
  "sub " s0 ", " s0 ", " t0 "\nsub " s1 ", " s1 ", " t1 "\n"  \
  "asr " s0 ", " s0 ", #7\nasr " s1 ", " s1 ", #7\n"          \
  "lsl " t0 ", " t0 ", #1\nlsl " t1 ", " t1 ", #1\n"
#define AT_CONSTANTS "ldmia r1!, {r2, r3, r12}\n"
#define AT_FINISH_RELU(a, b)                                   \
  "smmlar " a ", " a ", r2, r3\nsmmlar " b ", " b ", r2, r3\n" \
  "asr " a ", " a ", r12\nasr " b ", " b ", r12\n"             \
  "ssat " a ", #8, " a "\nssat " b ", #8, " b "\n"
#define AT_FINISH_SIGNED(a, b)                                           \
  "smmulr " a ", " a ", r2\nsmmulr " b ", " b ", r2\n"                   \
  "add " a ", " a ", " a ", asr #31\nadd " b ", " b ", " b ", asr #31\n" \
  "add " a ", " a ", r3\nadd " b ", " b ", r3\n"                         \
  "asr " a ", " a ", r12\nasr " b ", " b ", r12\n"                       \
  "ssat " a ", #8, " a "\nssat " b ", #8, " b "\n"
#define AT_BLOCKS(start, pair, end)                                                          \
  __asm__ volatile(                                                                          \
      "push {r7}\nadd r2, r0, #24\nldmia r2, {r4-r7}\nstmdb sp!, {r4-r7}\n"                  \
      "ldmia r0, {r4-r9}\nstmdb sp!, {r4-r9}\n"                                              \
      "0:\n" start                                                                           \
      "ldrd r2, r3, [sp, #12]\nadd r2, r1, r2\nadd r3, r2, r3\nstrd r2, r3, [sp, #4]\n"      \
      "ldr r0, [sp]\n" AT_PAIRS(pair) end                                                    \
      "ldr r2, [sp, #20]\ncmp r1, r2\nbne 0b\n"                                              \
      "add sp, sp, #40\npop {r7}\n"                                                          \
      : "+r"(frame), "+r"(wp)                                                                \
      :                                                                                      \
      : "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory")
#define AT_END_2X4(finish)                                                                   \
  AT_DOUBLED("r4", "r5", "r6", "r7") AT_DOUBLED("r8", "r9", "r10", "r11")                    \
  AT_END_EXPANDED(finish)
#define AT_END_EXPANDED(finish)                                                              \
  AT_CONSTANTS finish("r4", "r5") AT_CONSTANTS finish("r6", "r7")                            \
  AT_CONSTANTS finish("r8", "r9") AT_CONSTANTS finish("r10", "r11")                          \
  "ldrd r2, r3, [sp, #24]\n"                                                                 \
  "strb r5, [r3], #1\nstrb r7, [r3], #1\nstrb r9, [r3], #1\nstrb r11, [r3], #1\n"            \
  "strb r4, [r2], #1\nstrb r6, [r2], #1\nstrb r8, [r2], #1\nstrb r10, [r2], #1\n"            \
  "strd r2, r3, [sp, #24]\n"
#define AT_END_4X2(finish)                                                                   \
  AT_DOUBLED("r4", "r5", "r8", "r9") AT_DOUBLED("r6", "r7", "r10", "r11")                    \
  AT_CONSTANTS finish("r4", "r5") finish("r6", "r7")                                         \
  AT_CONSTANTS finish("r8", "r9") finish("r10", "r11")                                       \
  "ldrd r2, r3, [sp, #24]\nldrd r12, lr, [sp, #32]\n"                                        \
  "strb r4, [r2], #1\nstrb r8, [r2], #1\nstrb r5, [r3], #1\nstrb r9, [r3], #1\n"             \
  "strb r6, [r12], #1\nstrb r10, [r12], #1\nstrb r7, [lr], #1\nstrb r11, [lr], #1\n"         \
  "strd r2, r3, [sp, #24]\nstrd r12, lr, [sp, #32]\n"
AT_INLINE void at_gemm_blocks(const uint32_t *x, const uint32_t *w, int8_t *const y[4],
                              int32_t pixels, int32_t expanded, int32_t pairs,
                              int32_t channels, at_finish f) {
  at_gemm_frame made;
  const int32_t block = pixels == 2 ? 4 : 2;          // channels
  const int32_t words = expanded ? block : block / 2;  // of weights a pair and block
  made.x = x;
  for (int i = 0; i < 4; i++) made.y[i] = y[i & (pixels - 1)];
  made.fours_bytes = (pairs & ~3) * 4 * words;
  made.ones_bytes = (pairs & 3) * 4 * words;
  made.stream_end = w + channels / block * (4 * block + pairs * words);
  register at_gemm_frame *frame __asm__("r0") = &made;
  register const uint32_t *wp __asm__("r1") = w;
  if (expanded && f.kind == AT_RELU)
    AT_BLOCKS(AT_START_2X4, AT_PAIR_EXPANDED, AT_END_EXPANDED(AT_FINISH_RELU));
  else if (expanded)
    AT_BLOCKS(AT_START_2X4, AT_PAIR_EXPANDED, AT_END_EXPANDED(AT_FINISH_SIGNED));
  else if (pixels == 2 && f.kind == AT_RELU)
    AT_BLOCKS(AT_START_2X4, AT_PAIR_2X4, AT_END_2X4(AT_FINISH_RELU));
  else if (pixels == 2)
    AT_BLOCKS(AT_START_2X4, AT_PAIR_2X4, AT_END_2X4(AT_FINISH_SIGNED));
  else if (f.kind == AT_RELU)
    AT_BLOCKS(AT_START_4X2, AT_PAIR_4X2, AT_END_4X2(AT_FINISH_RELU));
  else
    AT_BLOCKS(AT_START_4X2, AT_PAIR_4X2, AT_END_4X2(AT_FINISH_SIGNED));
}
#undef AT_END_4X2
#undef AT_END_EXPANDED
#undef AT_END_2X4
#undef AT_BLOCKS
#undef AT_FINISH_SIGNED
#undef AT_FINISH_RELU
#undef AT_CONSTANTS
#undef AT_DOUBLED
#undef AT_SUMS
#undef AT_PAIR_4X2
#undef AT_START_4X2
#undef AT_PAIR_EXPANDED
#undef AT_PAIR_2X4
#undef AT_START_2X4
#undef AT_PAIRS
#endif

// All channels of two or four pixels. The stream w is read from front to back; it holds, for every
// four (two) channels, the start values (the biases; S and T for each pair of channels, or one value
// a channel of expanded weights, two pixels only), the words of weights, and (multiplier, rounding,
// shift) of each channel. y[i] is where the channels of pixel i go; a pixel may be there twice. Unless
// bounds are to be clamped to, blocks of channels are whole.
AT_INLINE void at_gemm(const uint32_t *x, const uint32_t *w, int8_t *const y[4], int32_t pixels,
                       int32_t expanded, int32_t pairs, int32_t channels, at_finish f) {
#if AT_DSP
  if (f.kind != AT_CLAMP) {
    at_gemm_blocks(x, w, y, pixels, expanded, pairs, channels, f);
    return;
  }
#endif
  const int32_t block = pixels == 2 ? 4 : 2;
  for (int32_t k = 0; k < channels; k += block) {
    int32_t sums[8];
    w = expanded      ? at_multiply_expanded(x, w, pairs, sums)
        : pixels == 2 ? at_multiply_2x4(x, w, pairs, sums)
                      : at_multiply_4x2(x, w, pairs, sums);
    AT_ROLLED
    for (int32_t c = 0; c < block; c++, w += 3) {
      // Of each pair of channels the sums S of all pixels stand before the sums T.
      const int32_t *s = sums + c / 2 * 2 * pixels, *t = s + pixels;
      AT_ROLLED
      for (int32_t i = 0; i < pixels && k + c < channels; i++) {
        const int32_t a = expanded ? s[i] : at_sub(s[i], t[i]) >> 7;
        y[i][k + c] = at_finished(c % 2 == 0 ? a : expanded ? t[i] : t[i] * 2, w, f);
      }
    }
  }
}

// All channels of the maximum of four pixels: rescaling is monotone, so the maximum is taken of the
// accumulators. The stream is as above, two channels at a time; channels is even.
AT_INLINE void at_gemm_4x2_max(const uint32_t *x, const uint32_t *w, int8_t *y, int32_t pairs,
                               int32_t channels, at_finish f) {
  for (; channels > 0; channels -= 2) {
    int32_t b[8];
    w = at_multiply_4x2(x, w, pairs, b);
    const int32_t a = at_max4(at_sub(b[0], b[4]), at_sub(b[1], b[5]), at_sub(b[2], b[6]),
                              at_sub(b[3], b[7]));
    y[0] = at_finished(a >> 7, w, f);
    y[1] = at_finished(at_max4(b[4], b[5], b[6], b[7]) * 2, w + 3, f);
    w += 6;
    y += 2;
  }
}

#endif
