// Depthwise 3×3 convolution of one channel, from words that hold two rows of it.
#ifndef AT_ROW_PAIRS_RUN_S8_H
#define AT_ROW_PAIRS_RUN_S8_H

#include "requantize.h"
#include "row_pairs_order_s8.h"

// Distances count bytes; all are constants where the kernel is called. The plane is (pairs of rows,
// columns, 4 channels) words, (first, second row) each.
typedef struct {
  int32_t in_h, in_w, channels;
  int32_t pad_top, pad_left;
  int32_t out_h, out_w;
  int32_t stride;  // 1 or 2
  int32_t pitch;   // of the plane's pairs of rows
  int32_t pairs;   // of rows
  int32_t y_line;  // from one row of outputs to the next
} at_row_pairs;

// The doubled accumulator of the 3×3 patch that begins at the first or second row of a pair.
AT_INLINE int32_t at_row_pair_sum(const uint32_t *p, const uint32_t *w, int32_t pitch, int32_t row) {
  int32_t acc = (int32_t)w[0];
  for (int j = 0; j < 3; j++, p += 4, w += 2) {
    const uint32_t below = p[pitch / 4];
    acc = row ? at_dual_mac(below, w[2], at_mac_hl(p[0], w[1], acc))
              : at_mac_lh(below, w[2], at_dual_mac(p[0], w[1], acc));
  }
  return acc;
}

#if AT_DSP && defined(__OPTIMIZE__)
// Values that are needed once a round wait in registers of the FPU, or on the stack.
#if defined(__ARM_FP)
#define AT_HOLD(n, reg) "vmov s" #n ", " reg "\n"
#define AT_HELD(reg, n) "vmov " reg ", s" #n "\n"
#define AT_HOLDS , "s0", "s1", "s2", "s3", "s4", "s5", "s6"
#define AT_ROOM "push {r7}\n"
#define AT_NO_ROOM "pop {r7}\n"
#else
#define AT_HOLD(n, reg) "str.w " reg ", [sp, #4*" #n "]\n"
#define AT_HELD(reg, n) "ldr.w " reg ", [sp, #4*" #n "]\n"
#define AT_HOLDS
#define AT_ROOM "push {r7}\nsub sp, sp, #28\n"
#define AT_NO_ROOM "add sp, sp, #28\npop {r7}\n"
#endif
// s0 bias, s1 multiplier, s2 rounding, s3 shift, s4 where the line ends in the plane, s5 lines left,
// s6 from the first row of outputs to the second.
// r4 to r9 hold the weights; r0 runs over the plane, r1 over y. Two by two outputs of stride 1: r10 and
// r12 are the upper row, r11 and lr the lower; of stride 2 two of a row, r10 and r11.
#define AT_RELU_SCALED(a) "smmlar " a ", " a ", r2, r3\n"
#define AT_SIGNED_SCALED(a) \
  "smmulr " a ", " a ", r2\nadd.w " a ", " a ", " a ", asr #31\nadd.w " a ", " a ", r3\n"
#define AT_SHIFTED(a) "asr.w " a ", " a ", r2\n"
#define AT_SATURATED(a) "ssat " a ", #8, " a "\n"
#define AT_BOUNDED(a)                                                    \
  "cmp " a ", #%c[low]\nit lt\nmovlt " a ", #%c[low]\n"                  \
  "cmp " a ", #%c[high]\nit gt\nmovgt " a ", #%c[high]\n"
#define AT_FOUR(op) op("r10") op("r11") op("r12") op("lr")
#define AT_PAIR_OF(op) op("r10") op("r11")
#define AT_COLUMN_LOAD(n) "ldr.w r2, [r0, #16*" #n "]\nldr.w r3, [r0, #%c[pitch]+16*" #n "]\n"
#define AT_TAIL_1(scaled, bounded)                                                      \
  AT_HELD("r2", 1) AT_HELD("r3", 2) AT_FOUR(scaled)                                     \
  AT_HELD("r2", 3) AT_FOUR(AT_SHIFTED) AT_FOUR(bounded)                                 \
  ".if %c[cut] || %c[second]+%c[next] > 4095\n" AT_HELD("r3", 6)                        \
  "add.w r3, r3, r1\nstrb.w r11, [r3]\nstrb.w lr, [r3, #%c[next]]\n"                   \
  ".else\nstrb.w r11, [r1, #%c[second]]\nstrb.w lr, [r1, #%c[second]+%c[next]]\n.endif\n" \
  AT_COLUMN_LOAD(0) "strb.w r10, [r1]\nstrb.w r12, [r1, #%c[next]]\nadd r1, r1, #2*%c[next]\n"
#define AT_TAIL_2(scaled, bounded)                                                      \
  AT_HELD("r2", 1) AT_HELD("r3", 2) AT_PAIR_OF(scaled)                                  \
  AT_HELD("r2", 3) AT_PAIR_OF(AT_SHIFTED) AT_PAIR_OF(bounded)                           \
  "strb.w r10, [r1]\nstrb.w r11, [r1, #%c[next]]\nadd r1, r1, #2*%c[next]\n"
#define AT_TAP(upper, lower, a, b)                                                      \
  "smlad " upper ", r2, " a ", " upper "\nsmlatb " lower ", r2, " a ", " lower "\n"     \
  "smlabt " upper ", r3, " b ", " upper "\nsmlad " lower ", r3, " b ", " lower "\n"
#define AT_FIRST_TAP(upper, lower)                                                      \
  "smlad " upper ", r2, r4, lr\nsmlatb " lower ", r2, r4, lr\n"                         \
  "smlabt " upper ", r3, r5, " upper "\nsmlad " lower ", r3, r5, " lower "\n"
// The last of an odd number of columns: an output of each row, or one. Column 0 is in r2 and r3.
#define AT_SUMS_END_1                                                                   \
  AT_HELD("lr", 0) AT_FIRST_TAP("r10", "r11")                                           \
  "ldr.w r12, [r0, #16]\nldr.w lr, [r0, #%c[pitch]+16]\n"                               \
  "ldr.w r2, [r0, #32]\nldr.w r3, [r0, #%c[pitch]+32]\n"                                \
  "smlad r10, r12, r6, r10\nsmlatb r11, r12, r6, r11\n"                                 \
  "smlabt r10, lr, r7, r10\nsmlad r11, lr, r7, r11\n" AT_TAP("r10", "r11", "r8", "r9")
#define AT_SUMS_END_2                                                                   \
  AT_HELD("r11", 0) AT_COLUMN_LOAD(0)                                                   \
  "ldr.w r12, [r0, #16]\nldr.w lr, [r0, #%c[pitch]+16]\n"                               \
  "smlad r10, r2, r4, r11\nsmlabt r10, r3, r5, r10\n" AT_COLUMN_LOAD(2)                 \
  "smlad r10, r12, r6, r10\nsmlabt r10, lr, r7, r10\n"                                  \
  "smlad r10, r2, r8, r10\nsmlabt r10, r3, r9, r10\n"
#define AT_END_1(scaled, bounded)                                                       \
  AT_SUMS_END_1 AT_HELD("r2", 1) AT_HELD("r3", 2) AT_PAIR_OF(scaled)                    \
  AT_HELD("r2", 3) AT_PAIR_OF(AT_SHIFTED) AT_PAIR_OF(bounded)                           \
  ".if %c[cut] || %c[second] > 4095\n" AT_HELD("r3", 6) "strb.w r11, [r1, r3]\n"        \
  ".else\nstrb.w r11, [r1, #%c[second]]\n.endif\nstrb.w r10, [r1]\n"
#define AT_END_2(scaled, bounded)                                                       \
  AT_SUMS_END_2 AT_HELD("r2", 1) AT_HELD("r3", 2) scaled("r10")                         \
  AT_HELD("r2", 3) AT_SHIFTED("r10") bounded("r10") "strb.w r10, [r1]\n"
#if AT_LOADS_AHEAD
#define AT_ROW_FIRST ""
#else
#define AT_ROW_FIRST AT_COLUMN_LOAD(0)
#define AT_ROW_MACS_1                                                                   \
  AT_HELD("lr", 0) AT_FIRST_TAP("r10", "r11")                                           \
  AT_COLUMN_LOAD(1) AT_FIRST_TAP("r12", "lr") AT_TAP("r10", "r11", "r6", "r7")          \
  AT_COLUMN_LOAD(2) AT_TAP("r10", "r11", "r8", "r9") AT_TAP("r12", "lr", "r6", "r7")    \
  AT_COLUMN_LOAD(3) "add.w r0, r0, #32\n" AT_TAP("r12", "lr", "r8", "r9")
#define AT_ROW_MACS_2                                                                   \
  AT_HELD("r11", 0)                                                                     \
  "ldr.w r2, [r0]\nldr.w r3, [r0, #%c[pitch]]\n"                                        \
  "ldr.w r12, [r0, #16]\nldr.w lr, [r0, #%c[pitch]+16]\n"                               \
  "smlad r10, r2, r4, r11\nsmlabt r10, r3, r5, r10\n"                                   \
  "smlad r10, r12, r6, r10\nsmlabt r10, lr, r7, r10\n"                                  \
  "ldr.w r2, [r0, #32]\nldr.w r3, [r0, #%c[pitch]+32]\n"                                \
  "ldr.w r12, [r0, #48]\nldr.w lr, [r0, #%c[pitch]+48]\n"                               \
  "smlad r11, r2, r4, r11\nsmlad r10, r2, r8, r10\n"                                    \
  "smlabt r11, r3, r5, r11\nsmlabt r10, r3, r9, r10\n"                                  \
  "smlad r11, r12, r6, r11\nsmlabt r11, lr, r7, r11\n"                                  \
  "ldr.w r2, [r0, #64]\nldr.w r3, [r0, #%c[pitch]+64]\nadd.w r0, r0, #64\n"             \
  "smlad r11, r2, r8, r11\nsmlabt r11, r3, r9, r11\n"
#define AT_END_RELU_1 AT_END_1(AT_RELU_SCALED, AT_SATURATED)
#define AT_END_SIGNED_1 AT_END_1(AT_SIGNED_SCALED, AT_SATURATED)
#define AT_END_RELU_2 AT_END_2(AT_RELU_SCALED, AT_SATURATED)
#define AT_END_SIGNED_2 AT_END_2(AT_SIGNED_SCALED, AT_SATURATED)
#define AT_ROW_RELU_1 AT_TAIL_1(AT_RELU_SCALED, AT_SATURATED)
#define AT_ROW_SIGNED_1 AT_TAIL_1(AT_SIGNED_SCALED, AT_SATURATED)
#define AT_ROW_RELU_2 AT_TAIL_2(AT_RELU_SCALED, AT_SATURATED)
#define AT_ROW_SIGNED_2 AT_TAIL_2(AT_SIGNED_SCALED, AT_SATURATED)
#endif
#define AT_ROW_CLAMP_1 AT_TAIL_1(AT_SIGNED_SCALED, AT_BOUNDED)
#define AT_ROW_CLAMP_2 AT_TAIL_2(AT_SIGNED_SCALED, AT_BOUNDED)
#define AT_END_CLAMP_1 AT_END_1(AT_SIGNED_SCALED, AT_BOUNDED)
#define AT_END_CLAMP_2 AT_END_2(AT_SIGNED_SCALED, AT_BOUNDED)
#define AT_ROW_RUN(first, macs, tail, end)                                                           \
  __asm__ volatile(                                                                                  \
      AT_ROOM                                                                                        \
      "ldr.w r3, [r2], #4\n" AT_HOLD(0, "r3")                                                        \
      "ldmia r2, {r4-r12}\n" AT_HOLD(1, "r10") AT_HOLD(2, "r11") AT_HOLD(3, "r12")                   \
      "movw r3, #%c[lines]\n" AT_HOLD(5, "r3") "movw r3, #%c[second]\n" AT_HOLD(6, "r3")             \
      ".p2align 2\n"                                                                                 \
      "2:\n.if %c[steps] > %c[unroll]\nadd r2, r0, #%c[line]\n" AT_HOLD(4, "r2") ".endif\n" first     \
      ".p2align 2\n1:\n.rept %c[unroll]\n" macs tail ".endr\n"                                       \
      ".if %c[steps] > %c[unroll]\n" AT_HELD("lr", 4) "cmp.w r0, lr\nbne 1b\n.endif\n"               \
      ".if %c[odd]\n" end ".endif\n"                                                                  \
      "add r0, r0, #%c[plane_line]\nadd r1, r1, #%c[y_line]\n"                                       \
      AT_HELD("r2", 5) "subs.w r2, r2, #1\n" AT_HOLD(5, "r2")                                        \
      "beq 4f\n.if %c[cut]\ncmp r2, #1\nbne.w 2b\nmov.w r3, #0\n" AT_HOLD(6, "r3")                   \
      ".endif\nb.w 2b\n4:\n" AT_NO_ROOM                                                              \
      : "+r"(from), "+r"(to), "+r"(stream)                                                           \
      : [lines] "i"(lines), [steps] "i"(steps), [odd] "i"(odd),         \
        [unroll] "i"(unroll),                                                                        \
        [cut] "i"(cut), [next] "i"(g.channels), [second] "i"(g.y_line), [pitch] "i"(g.pitch),        \
        [line] "i"(32 * g.stride * steps),                                                           \
        [plane_line] "i"(g.pitch - 32 * g.stride * steps),                                         \
        [y_line] "i"(g.y_line * (3 - g.stride) - 2 * steps * g.channels),                              \
        [low] "i"(f.low), [high] "i"(f.high)                                                         \
      : "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory" AT_HOLDS)
#endif

// One channel of outputs. For each channel w holds the doubled bias; of each column of the filter the
// doubled weights as pairs (0, 1) and (1, 2); then (multiplier, rounding, shift).
AT_INLINE void at_convolve_row_pairs(const uint32_t *plane, const uint32_t *w, int8_t *y,
                                     at_row_pairs g, at_finish f) {
#if AT_DSP && defined(__OPTIMIZE__)
  if (AT_KNOWN(g.out_w + g.stride + (int32_t)f.kind)) {
    register const uint32_t *from __asm__("r0") = plane;
    register int8_t *to __asm__("r1") = y;
    register const uint32_t *stream __asm__("r2") = w;
    const int32_t steps = g.out_w / 2, odd = g.out_w % 2;
    const int32_t unroll = steps % 2 == 0 ? 2 : steps % 3 == 0 ? 3 : 1;
    const int32_t lines = g.stride == 1 ? (g.out_h + 1) / 2 : g.out_h;
    const int32_t cut = g.stride == 1 && g.out_h % 2;
    if (g.stride == 1 && f.kind == AT_RELU)
      AT_ROW_RUN(AT_ROW_FIRST, AT_ROW_MACS_1, AT_ROW_RELU_1, AT_END_RELU_1);
    else if (g.stride == 1 && f.kind == AT_SIGNED)
      AT_ROW_RUN(AT_ROW_FIRST, AT_ROW_MACS_1, AT_ROW_SIGNED_1, AT_END_SIGNED_1);
    else if (g.stride == 1 && f.kind == AT_CLAMP)
      AT_ROW_RUN(AT_ROW_FIRST, AT_ROW_MACS_1, AT_ROW_CLAMP_1, AT_END_CLAMP_1);
    else if (g.stride == 2 && f.kind == AT_RELU)
      AT_ROW_RUN("", AT_ROW_MACS_2, AT_ROW_RELU_2, AT_END_RELU_2);
    else if (g.stride == 2 && f.kind == AT_SIGNED)
      AT_ROW_RUN("", AT_ROW_MACS_2, AT_ROW_SIGNED_2, AT_END_SIGNED_2);
    else
      AT_ROW_RUN("", AT_ROW_MACS_2, AT_ROW_CLAMP_2, AT_END_CLAMP_2);
    return;
  }
#endif
  const int32_t words = g.pitch / 4;
  AT_ROLLED
  for (int32_t r = 0; r < g.out_h; r++) {
    const int32_t pair = g.stride == 1 ? r / 2 : r, row = g.stride == 1 ? r % 2 : 0;
    AT_ROLLED
    for (int32_t c = 0; c < g.out_w; c++) {
      const uint32_t *p = plane + pair * words + 4 * c * g.stride;
      y[r * g.y_line + c * g.channels] = at_finished(at_row_pair_sum(p, w, g.pitch, row), w + 7, f);
    }
  }
}

#endif
