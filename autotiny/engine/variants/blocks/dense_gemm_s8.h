// Fully connected layers in blocks of eight or two outputs; the lanes are those of gemm_s8.h.
#ifndef AT_DENSE_GEMM_S8_H
#define AT_DENSE_GEMM_S8_H

#include "requantize.h"

// Eight outputs. x is (taps) int8, taps a multiple of 4; w is (taps / 2 pairs, 4 pairs of outputs)
// words. Leaves sums: S, T of the first pair of outputs, then of the next, which begin with `start`;
// returns the end of w. A word behind x is read, whatever it holds.
AT_INLINE const uint32_t *at_multiply_1x8(const int8_t *x, const uint32_t *w, int32_t taps,
                                          const uint32_t *start, int32_t *sums) {
#if AT_DSP
// The sums lie in r4 to r11 (r7 may be a frame pointer, so it is saved by hand). Taps come sixteen
// at a time, then four: r1 runs over the weights up to the addresses in stack words 1 and 2.
#if AT_LOADS_AHEAD
// In the order that a Cortex-M7 issues fastest, found by benchmarks/orders.py: loads and extensions
// beside multiplications, the first words of the next taps loaded in these.
#define AT_TAPS \
  "sxtb16 r3, r2, ror #8\nsxtb16 r2, r2\nldr.w lr, [r1, #4]\n" \
  "smlad r4, r2, r12, r4\nsxtb16 r12, r12\nsmlad r6, r2, lr, r6\n" \
  "smlad r5, r2, r12, r5\nsxtb16 lr, lr\nldr.w r12, [r1, #8]\n" \
  "smlad r7, r2, lr, r7\nldr.w lr, [r1, #12]\nsmlad r8, r2, r12, r8\n" \
  "sxtb16 r12, r12\nsmlad r10, r2, lr, r10\nsxtb16 lr, lr\n" \
  "smlad r9, r2, r12, r9\nldr.w r12, [r1, #16]\nsmlad r11, r2, lr, r11\n" \
  "ldr.w lr, [r1, #20]\nsmlad r4, r3, r12, r4\nsxtb16 r12, r12\n" \
  "smlad r6, r3, lr, r6\nsxtb16 lr, lr\nsmlad r5, r3, r12, r5\n" \
  "ldr.w r12, [r1, #24]\nsmlad r7, r3, lr, r7\nldr.w lr, [r1, #28]\n" \
  "smlad r8, r3, r12, r8\nldr.w r2, [r0], #4\nsxtb16 r12, r12\n" \
  "smlad r10, r3, lr, r10\nsxtb16 lr, lr\nsmlad r9, r3, r12, r9\n" \
  "ldr.w r12, [r1, #32]!\nsmlad r11, r3, lr, r11\n"
#define AT_BEFORE_TAPS "ldr.w r2, [r0], #4\nldr.w r12, [r1]\n"
#else
#define AT_OUTPUTS(x, s0, t0, s1, t1)                    \
  "ldrd r12, lr, [r1], #8\n"                             \
  "smlad " s0 ", " x ", r12, " s0 "\nsxtb16 r12, r12\n"  \
  "smlad " s1 ", " x ", lr, " s1 "\nsxtb16 lr, lr\n"     \
  "smlad " t0 ", " x ", r12, " t0 "\n"                   \
  "smlad " t1 ", " x ", lr, " t1 "\n"
#define AT_TAPS                                               \
  "ldr r2, [r0], #4\nsxtb16 r3, r2, ror #8\nsxtb16 r2, r2\n"  \
  AT_OUTPUTS("r2", "r4", "r5", "r6", "r7")                    \
  AT_OUTPUTS("r2", "r8", "r9", "r10", "r11")                  \
  AT_OUTPUTS("r3", "r4", "r5", "r6", "r7")                    \
  AT_OUTPUTS("r3", "r8", "r9", "r10", "r11")
#define AT_BEFORE_TAPS ""
#endif
  register const int8_t *xp __asm__("r0") = x;
  register const uint32_t *wp __asm__("r1") = w;
  register int32_t *to __asm__("r2") = sums;
  register const uint32_t *fours __asm__("r3") = w + 2 * (taps & ~15);
  register const uint32_t *end __asm__("r4") = w + 2 * taps;
  register const uint32_t *first __asm__("r5") = start;
  __asm__ volatile(
      "push {r2, r3, r4, r7}\nldmia r5, {r4-r11}\ncmp r1, r3\n" AT_BEFORE_TAPS "beq 2f\n"
      ".p2align 2\n1:\n" AT_TAPS AT_TAPS AT_TAPS AT_TAPS "ldr lr, [sp, #4]\ncmp r1, lr\nbne.w 1b\n"
      "2:\nldr lr, [sp, #8]\ncmp r1, lr\nbeq 4f\n"
      "3:\n" AT_TAPS "ldr lr, [sp, #8]\ncmp r1, lr\nbne 3b\n"
      "4:\nldr r2, [sp]\nstmia r2, {r4-r11}\npop {r2, r3, r4, r7}\n"
      : "+r"(xp), "+r"(wp), "+r"(to), "+r"(fours), "+r"(end), "+r"(first)
      :
      : "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
  return wp;
#undef AT_BEFORE_TAPS
#undef AT_TAPS
#undef AT_OUTPUTS
#else
  for (int i = 0; i < 8; i++) sums[i] = (int32_t)start[i];
  for (; taps > 0; taps -= 4, x += 4) {
    const uint32_t bytes = at_word(x);
    for (int half = 0; half < 2; half++, w += 4) {
      const uint32_t pair = half ? at_odd_bytes(bytes) : at_even_bytes(bytes);
      for (int i = 0; i < 4; i++) {
        sums[2 * i] = at_dual_mac(pair, w[i], sums[2 * i]);
        sums[2 * i + 1] = at_dual_mac(pair, at_even_bytes(w[i]), sums[2 * i + 1]);
      }
    }
  }
  return w;
#endif
}

// Two outputs, otherwise as above.
AT_INLINE const uint32_t *at_multiply_1x2(const int8_t *x, const uint32_t *w, int32_t taps,
                                          const uint32_t *start, int32_t *sums) {
  int32_t s = (int32_t)start[0], t = (int32_t)start[1];
  AT_UNROLL(2)
  for (const int8_t *end = x + taps; x != end; x += 4, w += 2) {
    const uint32_t bytes = at_word(x), even = at_even_bytes(bytes), odd = at_odd_bytes(bytes);
    s = at_dual_mac(odd, w[1], at_dual_mac(even, w[0], s));
    t = at_dual_mac(odd, at_even_bytes(w[1]), at_dual_mac(even, at_even_bytes(w[0]), t));
  }
  sums[0] = s;
  sums[1] = t;
  return w;
}

// Eight or two outputs. Where 256 times a sum may not fit 32 bits, the inputs are cut in parts whose
// sums do; then the parts' results are gathered in `gathered`.
AT_INLINE const uint32_t *at_dense_block(const int8_t *x, const uint32_t *w, int8_t *y,
                                         int32_t part, int32_t parts, int32_t outputs,
                                         int32_t wanted, at_finish f) {
  static const uint32_t zeros[8] = {0};
  const uint32_t *start = w;
  int32_t sums[8], gathered[8] = {0};
  AT_SET_LATER(sums);
  w += outputs;
  for (int32_t left = parts; left > 0; left--, x += part, start = zeros) {
    w = outputs == 8 ? at_multiply_1x8(x, w, part, start, sums)
                     : at_multiply_1x2(x, w, part, start, sums);
    if (parts == 1) break;
    AT_ROLLED
    for (int i = 0; i < outputs; i += 2) {
      gathered[i] = at_add(gathered[i], at_sub(sums[i], sums[i + 1]) >> 7);
      gathered[i + 1] = at_add(gathered[i + 1], sums[i + 1] * 2);
    }
  }
  AT_UNROLL(4)
  for (int i = 0; i < outputs; i += 2, w += 6, y += 2) {
    const int32_t a = parts == 1 ? at_sub(sums[i], sums[i + 1]) >> 7 : gathered[i];
    const int32_t b = parts == 1 ? sums[i + 1] * 2 : gathered[i + 1];
    y[0] = at_finished(a, w, f);
    if (i + 1 < wanted) y[1] = at_finished(b, w + 3, f);
  }
  return w;
}

// x is (part · parts) int8, y is (out). For every block the stream w holds S and T at the start for
// each pair of outputs, the weights and (multiplier, rounding, shift) of each output. `eights` blocks
// of eight outputs come first, then the rest in blocks of two.
AT_INLINE void at_dense_gemm(const int8_t *x, const uint32_t *w, int8_t *y, int32_t part,
                             int32_t parts, int32_t eights, int32_t rest, at_finish f) {
  for (; eights > 0; eights--, y += 8) w = at_dense_block(x, w, y, part, parts, 8, 8, f);
  for (; rest > 0; rest -= 2, y += 2) w = at_dense_block(x, w, y, part, parts, 2, rest, f);
}

// One function for all layers of one finish; `cut` is the case of several parts.
AT_KERNEL(at_dense_relu_s8,
          (const int8_t *x, const uint32_t *w, int8_t *y, int32_t depth, int32_t eights,
           int32_t rest), {
  const at_finish f = {AT_RELU, 0, 0};
  at_dense_gemm(x, w, y, depth, 1, eights, rest, f);
})
AT_KERNEL(at_dense_signed_s8,
          (const int8_t *x, const uint32_t *w, int8_t *y, int32_t depth, int32_t eights,
           int32_t rest), {
  const at_finish f = {AT_SIGNED, 0, 0};
  at_dense_gemm(x, w, y, depth, 1, eights, rest, f);
})
AT_KERNEL(at_dense_clamp_s8,
          (const int8_t *x, const uint32_t *w, int8_t *y, int32_t depth, int32_t eights,
           int32_t rest, int32_t low, int32_t high), {
  const at_finish f = {AT_CLAMP, low, high};
  at_dense_gemm(x, w, y, depth, 1, eights, rest, f);
})
AT_KERNEL(at_dense_cut_s8,
          (const int8_t *x, const uint32_t *w, int8_t *y, int32_t depth, int32_t eights,
           int32_t rest, int32_t low, int32_t high, int32_t parts), {
  const at_finish f = {AT_CLAMP, low, high};
  at_dense_gemm(x, w, y, depth / parts, parts, eights, rest, f);
})

#endif
