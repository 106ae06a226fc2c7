// Instructions in the order that a Cortex-M7 issues fastest; written by benchmarks/orders.py.
#ifndef AT_STRIP_ORDER_S8_H
#define AT_STRIP_ORDER_S8_H

#include "port.h"

#if AT_DSP && AT_LOADS_AHEAD
// From the sums of two pixels and four channels to their outputs.
#define AT_STRIP_TAIL_RELU \
  "ldr.w r3, [r1, #4]\nlsl.w r8, r8, #1\nlsl.w r6, r6, #1\n" \
  "ldr.w r2, [r1, #0]\nldr.w r12, [r1, #8]\nlsl.w r4, r4, #1\n" \
  "lsl.w r5, r5, #1\nsmmlar r5, r5, r2, r3\nlsl.w r10, r10, #1\n" \
  "smmlar r4, r4, r2, r3\nlsl.w r9, r9, #1\nlsl.w r7, r7, #1\n" \
  "asr.w r4, r4, r12\nasr.w r5, r5, r12\nldr.w lr, [r1, #12]\n" \
  "ldr.w r2, [r1, #16]\nlsl.w r11, r11, #1\nldr.w r12, [r1, #24]\n" \
  "ssat r4, #8, r4\nsmmlar r7, r7, lr, r2\nsmmlar r6, r6, lr, r2\n" \
  "ldr.w r3, [r1, #20]\nasr.w r7, r7, r3\nldr.w lr, [r1, #28]\n" \
  "smmlar r8, r8, r12, lr\nldr.w r2, [r1, #32]\nssat r7, #8, r7\n" \
  "asr.w r6, r6, r3\nsmmlar r9, r9, r12, lr\nasr.w r8, r8, r2\n" \
  "ssat r5, #8, r5\nldr.w r3, [r1, #36]\nssat r6, #8, r6\n" \
  "ldr.w r12, [r1, #40]\nasr.w r9, r9, r2\nsmmlar r10, r10, r3, r12\n" \
  "ssat r9, #8, r9\nldr.w lr, [r1, #44]\nbfi r5, r7, #8, #24\n" \
  "smmlar r11, r11, r3, r12\nssat r8, #8, r8\nasr.w r11, r11, lr\n" \
  "asr.w r10, r10, lr\nssat r11, #8, r11\nldr.w lr, [sp, #24]\n" \
  "bfi r4, r6, #8, #24\nldr.w r3, [sp, #16]\nssat r10, #8, r10\n" \
  "cmp.w r0, lr\nbfi r9, r11, #8, #24\nldr.w r2, [sp, #12]\n" \
  "bfi r8, r10, #8, #24\nldr.w r12, [sp, #20]\npkhbt r5, r5, r9, lsl #16\n" \
  "str.w r5, [r2, r3]\npkhbt r4, r4, r8, lsl #16\nstr.w r4, [r2]\n" \
  "add.w r2, r2, r12\nstr.w r2, [sp, #12]\n"
#define AT_STRIP_TAIL_SIGNED \
  "ldr.w r2, [r1, #0]\nldr.w lr, [r1, #12]\nlsl.w r4, r4, #1\n" \
  "lsl.w r7, r7, #1\nlsl.w r5, r5, #1\nsmmulr r5, r5, r2\n" \
  "lsl.w r9, r9, #1\nsmmulr r4, r4, r2\nsmmulr r7, r7, lr\n" \
  "ldr.w r12, [r1, #8]\nlsl.w r6, r6, #1\nldr.w r2, [r1, #16]\n" \
  "add.w r5, r5, r5, asr #31\nldr.w r3, [r1, #4]\nsmmulr r6, r6, lr\n" \
  "lsl.w r11, r11, #1\nadd.w r4, r4, r4, asr #31\nadd.w r5, r5, r3\n" \
  "lsl.w r10, r10, #1\nadd.w r4, r4, r3\nasr.w r4, r4, r12\n" \
  "ldr.w lr, [r1, #28]\nasr.w r5, r5, r12\nadd.w r6, r6, r6, asr #31\n" \
  "ldr.w r12, [r1, #24]\nldr.w r3, [r1, #20]\nadd.w r7, r7, r7, asr #31\n" \
  "add.w r6, r6, r2\nlsl.w r8, r8, #1\nasr.w r6, r6, r3\n" \
  "add.w r7, r7, r2\nsmmulr r8, r8, r12\nsmmulr r9, r9, r12\n" \
  "ldr.w r2, [r1, #32]\nssat r5, #8, r5\nasr.w r7, r7, r3\n" \
  "ssat r4, #8, r4\nldr.w r3, [r1, #36]\nssat r6, #8, r6\n" \
  "add.w r9, r9, r9, asr #31\nssat r7, #8, r7\nadd.w r8, r8, r8, asr #31\n" \
  "add.w r8, r8, lr\nadd.w r9, r9, lr\nbfi r4, r6, #8, #24\n" \
  "smmulr r10, r10, r3\nasr.w r8, r8, r2\nsmmulr r11, r11, r3\n" \
  "ldr.w r12, [r1, #40]\nasr.w r9, r9, r2\nadd.w r10, r10, r10, asr #31\n" \
  "ldr.w r3, [sp, #16]\nldr.w lr, [r1, #44]\nadd.w r10, r10, r12\n" \
  "add.w r11, r11, r11, asr #31\nasr.w r10, r10, lr\nssat r8, #8, r8\n" \
  "add.w r11, r11, r12\nssat r9, #8, r9\nasr.w r11, r11, lr\n" \
  "ssat r11, #8, r11\nldr.w lr, [sp, #24]\nssat r10, #8, r10\n" \
  "ldr.w r12, [sp, #20]\nbfi r9, r11, #8, #24\nbfi r5, r7, #8, #24\n" \
  "ldr.w r2, [sp, #12]\nbfi r8, r10, #8, #24\ncmp.w r0, lr\n" \
  "pkhbt r5, r5, r9, lsl #16\nstr.w r5, [r2, r3]\npkhbt r4, r4, r8, lsl #16\n" \
  "str.w r4, [r2]\nadd.w r2, r2, r12\nstr.w r2, [sp, #12]\n"
#define AT_STRIP_TAIL_CAP \
  "lsl.w r4, r4, #1\nldr.w lr, [r1, #12]\nlsl.w r9, r9, #1\n" \
  "ldr.w r2, [r1, #0]\nldr.w r3, [r1, #4]\nldr.w r12, [r1, #8]\n" \
  "lsl.w r8, r8, #1\nsmmlar r4, r4, r2, r3\nlsl.w r11, r11, #1\n" \
  "lsl.w r6, r6, #1\nlsl.w r5, r5, #1\nlsl.w r10, r10, #1\n" \
  "asr.w r4, r4, r12\nsmmlar r5, r5, r2, r3\nldr.w r3, [r1, #20]\n" \
  "ldr.w r2, [r1, #16]\nssat r4, #8, r4\nasr.w r5, r5, r12\n" \
  "smmlar r6, r6, lr, r2\nlsl.w r7, r7, #1\nsmmlar r7, r7, lr, r2\n" \
  "ldr.w lr, [r1, #28]\nssat r5, #8, r5\nldr.w r12, [r1, #24]\n" \
  "asr.w r7, r7, r3\nasr.w r6, r6, r3\nldr.w r3, [r1, #36]\n" \
  "smmlar r9, r9, r12, lr\nssat r7, #8, r7\nldr.w r2, [r1, #32]\n" \
  "smmlar r8, r8, r12, lr\nldr.w r12, [r1, #40]\nssat r6, #8, r6\n" \
  "asr.w r9, r9, r2\nssat r9, #8, r9\nasr.w r8, r8, r2\n" \
  "smmlar r11, r11, r3, r12\nldr.w lr, [r1, #44]\nssat r8, #8, r8\n" \
  "smmlar r10, r10, r3, r12\nbfi r5, r7, #8, #24\nasr.w r11, r11, lr\n" \
  "ssat r11, #8, r11\nasr.w r10, r10, lr\nssat r10, #8, r10\n" \
  "bfi r9, r11, #8, #24\nbfi r8, r10, #8, #24\nldr.w r2, [sp, #12]\n" \
  "bfi r4, r6, #8, #24\nldr.w lr, [sp, #24]\npkhbt r4, r4, r8, lsl #16\n" \
  "ldr.w r6, [sp, #32]\nssub8 r7, r6, r4\nldr.w r12, [sp, #20]\n" \
  "pkhbt r5, r5, r9, lsl #16\nsel r4, r4, r6\nldr.w r3, [sp, #16]\n" \
  "ssub8 r7, r6, r5\nsel r5, r5, r6\nstr.w r5, [r2, r3]\n" \
  "str.w r4, [r2]\ncmp.w r0, lr\nadd.w r2, r2, r12\n" \
  "str.w r2, [sp, #12]\n"
#define AT_STRIP_TAIL_CLAMP \
  "lsl.w r10, r10, #1\nlsl.w r9, r9, #1\nldr.w r2, [r1, #0]\n" \
  "ldr.w r3, [r1, #4]\nlsl.w r4, r4, #1\nlsl.w r5, r5, #1\n" \
  "smmulr r5, r5, r2\nldr.w r12, [r1, #8]\nsmmulr r4, r4, r2\n" \
  "lsl.w r6, r6, #1\nlsl.w r11, r11, #1\nlsl.w r7, r7, #1\n" \
  "ldr.w lr, [r1, #12]\nadd.w r5, r5, r5, asr #31\nldr.w r2, [r1, #16]\n" \
  "add.w r4, r4, r4, asr #31\nsmmulr r6, r6, lr\nadd.w r5, r5, r3\n" \
  "add.w r4, r4, r3\nasr.w r5, r5, r12\nsmmulr r7, r7, lr\n" \
  "asr.w r4, r4, r12\nldr.w r12, [r1, #24]\nadd.w r6, r6, r6, asr #31\n" \
  "add.w r6, r6, r2\nldr.w r3, [r1, #20]\nadd.w r7, r7, r7, asr #31\n" \
  "lsl.w r8, r8, #1\nssat r4, #8, r4\nadd.w r7, r7, r2\n" \
  "asr.w r6, r6, r3\nasr.w r7, r7, r3\nssat r5, #8, r5\n" \
  "smmulr r9, r9, r12\nsmmulr r8, r8, r12\nssat r6, #8, r6\n" \
  "ldr.w lr, [r1, #28]\nssat r7, #8, r7\nldr.w r3, [r1, #36]\n" \
  "add.w r8, r8, r8, asr #31\nldr.w r12, [r1, #40]\nbfi r4, r6, #8, #24\n" \
  "smmulr r10, r10, r3\nldr.w r2, [r1, #32]\nadd.w r9, r9, r9, asr #31\n" \
  "smmulr r11, r11, r3\nadd.w r9, r9, lr\nadd.w r8, r8, lr\n" \
  "add.w r10, r10, r10, asr #31\nasr.w r9, r9, r2\nldr.w lr, [r1, #44]\n" \
  "ssat r9, #8, r9\nadd.w r11, r11, r11, asr #31\nasr.w r8, r8, r2\n" \
  "add.w r10, r10, r12\nssat r8, #8, r8\nasr.w r10, r10, lr\n" \
  "bfi r5, r7, #8, #24\nadd.w r11, r11, r12\nssat r10, #8, r10\n" \
  "asr.w r11, r11, lr\nssat r11, #8, r11\nldr.w r6, [sp, #32]\n" \
  "bfi r8, r10, #8, #24\nbfi r9, r11, #8, #24\nldr.w r3, [sp, #16]\n" \
  "pkhbt r4, r4, r8, lsl #16\nldr.w r2, [sp, #12]\nssub8 r7, r6, r4\n" \
  "sel r4, r4, r6\npkhbt r5, r5, r9, lsl #16\nssub8 r7, r6, r5\n" \
  "ldr.w lr, [sp, #24]\nsel r5, r5, r6\nldr.w r6, [sp, #28]\n" \
  "ssub8 r7, r4, r6\nsel r4, r4, r6\nssub8 r7, r5, r6\n" \
  "ldr.w r12, [sp, #20]\nsel r5, r5, r6\nstr.w r5, [r2, r3]\n" \
  "str.w r4, [r2]\nadd.w r2, r2, r12\nstr.w r2, [sp, #12]\n" \
  "cmp.w r0, lr\n"
#endif

#endif
