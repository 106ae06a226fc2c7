// Instructions in the order that a Cortex-M7 issues fastest; written by benchmarks/orders.py.
#ifndef AT_ROW_PAIRS_ORDER_S8_H
#define AT_ROW_PAIRS_ORDER_S8_H

#include "port.h"

#if AT_DSP && AT_LOADS_AHEAD
// Sums and outputs of row_pairs_run_s8.h.
#define AT_ROW_MACS_1 \
  AT_HELD("lr", 0) \
  "ldr.w r2, [r0]\nsmlatb r11, r2, r4, lr\nldr.w r3, [r0, #%c[pitch]]\n" \
  "smlad r10, r2, r4, lr\nldr.w r2, [r0, #16]\nsmlad r11, r3, r5, r11\n" \
  "smlabt r10, r3, r5, r10\nsmlad r12, r2, r4, lr\nldr.w r3, [r0, #%c[pitch]+16]\n" \
  "smlatb lr, r2, r4, lr\nsmlatb r11, r2, r6, r11\nsmlabt r12, r3, r5, r12\n" \
  "smlad r10, r2, r6, r10\nldr.w r2, [r0, #32]\nsmlad r11, r3, r7, r11\n" \
  "smlad lr, r3, r5, lr\nsmlabt r10, r3, r7, r10\nsmlad r10, r2, r8, r10\n" \
  "smlatb r11, r2, r8, r11\nldr.w r3, [r0, #%c[pitch]+32]\nsmlad r12, r2, r6, r12\n" \
  "smlatb lr, r2, r6, lr\nsmlabt r10, r3, r9, r10\nldr.w r2, [r0, #48]\n" \
  "smlad r11, r3, r9, r11\nsmlabt r12, r3, r7, r12\nsmlad lr, r3, r7, lr\n" \
  "smlad r12, r2, r8, r12\nldr.w r3, [r0, #%c[pitch]+48]\nadd.w r0, r0, #32\n" \
  "smlatb lr, r2, r8, lr\nsmlad lr, r3, r9, lr\nsmlabt r12, r3, r9, r12\n"
#define AT_ROW_RELU_1 \
  AT_HELD("r2", 1) \
  AT_HELD("r3", 2) \
  "smmlar r11, r11, r2, r3\nsmmlar r12, r12, r2, r3\nsmmlar r10, r10, r2, r3\n" \
  "smmlar lr, lr, r2, r3\n" \
  AT_HELD("r2", 3) \
  "asr.w r10, r10, r2\n" \
  AT_HELD("r3", 6) \
  "asr.w r11, r11, r2\nadd.w r3, r3, r1\nasr.w r12, r12, r2\n" \
  "ssat r11, #8, r11\nasr.w lr, lr, r2\nssat lr, #8, lr\n" \
  "strb.w r11, [r3]\nssat r12, #8, r12\nstrb.w lr, [r3, #%c[next]]\n" \
  "ssat r10, #8, r10\nstrb.w r12, [r1, #%c[next]]\nstrb.w r10, [r1]\n" \
  "add r1, r1, #2*%c[next]\n"
#define AT_END_RELU_1 \
  AT_HELD("r11", 0) \
  "ldr.w r2, [r0]\n" \
  AT_HELD("r10", 0) \
  "ldr.w r12, [r0, #16]\nldr.w r3, [r0, #%c[pitch]]\nsmlatb r11, r2, r4, r11\n" \
  "smlad r10, r2, r4, r10\nldr.w lr, [r0, #%c[pitch]+16]\nsmlabt r10, r3, r5, r10\n" \
  "smlad r11, r3, r5, r11\nldr.w r3, [r0, #%c[pitch]+32]\nsmlatb r11, r12, r6, r11\n" \
  "smlad r10, r12, r6, r10\nsmlabt r10, lr, r7, r10\nldr.w r2, [r0, #32]\n" \
  "smlad r11, lr, r7, r11\nsmlatb r11, r2, r8, r11\n" \
  AT_HELD("r12", 3) \
  "smlad r11, r3, r9, r11\nsmlad r10, r2, r8, r10\nsmlabt r10, r3, r9, r10\n" \
  AT_HELD("r2", 1) \
  AT_HELD("r3", 2) \
  "smmlar r11, r11, r2, r3\nsmmlar r10, r10, r2, r3\n" \
  AT_HELD("r3", 6) \
  "add.w r3, r3, r1\nasr.w r11, r11, r12\nssat r11, #8, r11\n" \
  "asr.w r10, r10, r12\nssat r10, #8, r10\nstrb.w r11, [r3]\n" \
  "strb.w r10, [r1]\n"
#define AT_ROW_SIGNED_1 \
  AT_HELD("r2", 1) \
  "smmulr r10, r10, r2\nsmmulr r12, r12, r2\n" \
  AT_HELD("r3", 2) \
  "smmulr r11, r11, r2\nsmmulr lr, lr, r2\nadd.w r10, r10, r10, asr #31\n" \
  AT_HELD("r2", 3) \
  "add.w r12, r12, r12, asr #31\nadd.w r11, r11, r11, asr #31\nadd.w r10, r10, r3\n" \
  "add.w r12, r12, r3\nadd.w lr, lr, lr, asr #31\nasr.w r12, r12, r2\n" \
  "add.w lr, lr, r3\nadd.w r11, r11, r3\nasr.w r11, r11, r2\n" \
  "ssat r11, #8, r11\n" \
  AT_HELD("r3", 6) \
  "add.w r3, r3, r1\nasr.w lr, lr, r2\nssat lr, #8, lr\n" \
  "asr.w r10, r10, r2\nstrb.w r11, [r3]\nssat r12, #8, r12\n" \
  "strb.w lr, [r3, #%c[next]]\nssat r10, #8, r10\nstrb.w r10, [r1]\n" \
  "strb.w r12, [r1, #%c[next]]\nadd r1, r1, #2*%c[next]\n"
#define AT_END_SIGNED_1 \
  "ldr.w r2, [r0]\n" \
  AT_HELD("r10", 0) \
  AT_HELD("r11", 0) \
  "ldr.w lr, [r0, #%c[pitch]+16]\nldr.w r3, [r0, #%c[pitch]]\nsmlatb r11, r2, r4, r11\n" \
  "ldr.w r12, [r0, #16]\nsmlad r10, r2, r4, r10\nldr.w r2, [r0, #32]\n" \
  "smlabt r10, r3, r5, r10\nsmlad r11, r3, r5, r11\nsmlatb r11, r12, r6, r11\n" \
  "smlad r11, lr, r7, r11\nsmlad r10, r12, r6, r10\nsmlabt r10, lr, r7, r10\n" \
  "smlad r10, r2, r8, r10\nldr.w r3, [r0, #%c[pitch]+32]\n" \
  AT_HELD("r12", 3) \
  "smlatb r11, r2, r8, r11\nsmlabt r10, r3, r9, r10\n" \
  AT_HELD("r2", 1) \
  "smlad r11, r3, r9, r11\nsmmulr r10, r10, r2\nsmmulr r11, r11, r2\n" \
  "add.w r10, r10, r10, asr #31\n" \
  AT_HELD("r3", 2) \
  "add.w r10, r10, r3\nadd.w r11, r11, r11, asr #31\nadd.w r11, r11, r3\n" \
  AT_HELD("r3", 6) \
  "asr.w r11, r11, r12\nadd.w r3, r3, r1\nssat r11, #8, r11\n" \
  "asr.w r10, r10, r12\nssat r10, #8, r10\nstrb.w r11, [r3]\n" \
  "strb.w r10, [r1]\n"
#define AT_ROW_MACS_2 \
  AT_HELD("r11", 0) \
  "ldr.w r2, [r0]\nldr.w r3, [r0, #%c[pitch]]\nsmlad r10, r2, r4, r11\n" \
  "ldr.w r12, [r0, #16]\nsmlabt r10, r3, r5, r10\nldr.w r2, [r0, #32]\n" \
  "ldr.w lr, [r0, #%c[pitch]+16]\nsmlad r10, r12, r6, r10\nldr.w r12, [r0, #48]\n" \
  "smlad r11, r2, r4, r11\nldr.w r3, [r0, #%c[pitch]+32]\nsmlabt r10, lr, r7, r10\n" \
  "smlad r10, r2, r8, r10\nsmlabt r11, r3, r5, r11\nldr.w lr, [r0, #%c[pitch]+48]\n" \
  "smlabt r10, r3, r9, r10\nldr.w r3, [r0, #%c[pitch]+64]\nsmlad r11, r12, r6, r11\n" \
  "ldr.w r2, [r0, #64]\nsmlabt r11, lr, r7, r11\nsmlad r11, r2, r8, r11\n" \
  "add.w r0, r0, #64\nsmlabt r11, r3, r9, r11\n"
#define AT_ROW_RELU_2 \
  AT_HELD("r2", 1) \
  AT_HELD("r3", 2) \
  "smmlar r11, r11, r2, r3\nsmmlar r10, r10, r2, r3\n" \
  AT_HELD("r12", 3) \
  "asr.w r11, r11, r12\nssat r11, #8, r11\nasr.w r10, r10, r12\n" \
  "ssat r10, #8, r10\nstrb.w r10, [r1]\nstrb.w r11, [r1, #%c[next]]\n" \
  "add r1, r1, #2*%c[next]\n"
#define AT_END_RELU_2 \
  AT_HELD("r10", 0) \
  "ldr.w r2, [r0]\nldr.w r3, [r0, #%c[pitch]]\nsmlad r10, r2, r4, r10\n" \
  "ldr.w r12, [r0, #16]\nsmlabt r10, r3, r5, r10\nldr.w lr, [r0, #%c[pitch]+16]\n" \
  "smlad r10, r12, r6, r10\nldr.w r2, [r0, #32]\nsmlabt r10, lr, r7, r10\n" \
  "ldr.w r3, [r0, #%c[pitch]+32]\n" \
  AT_HELD("r12", 3) \
  "smlad r10, r2, r8, r10\nsmlabt r10, r3, r9, r10\n" \
  AT_HELD("r2", 1) \
  AT_HELD("r3", 2) \
  "smmlar r10, r10, r2, r3\nasr.w r10, r10, r12\nssat r10, #8, r10\n" \
  "strb.w r10, [r1]\n"
#define AT_ROW_SIGNED_2 \
  AT_HELD("r2", 1) \
  "smmulr r11, r11, r2\n" \
  AT_HELD("r12", 3) \
  "smmulr r10, r10, r2\n" \
  AT_HELD("r3", 2) \
  "add.w r11, r11, r11, asr #31\nadd.w r10, r10, r10, asr #31\nadd.w r11, r11, r3\n" \
  "asr.w r11, r11, r12\nadd.w r10, r10, r3\nssat r11, #8, r11\n" \
  "asr.w r10, r10, r12\nssat r10, #8, r10\nstrb.w r10, [r1]\n" \
  "strb.w r11, [r1, #%c[next]]\nadd r1, r1, #2*%c[next]\n"
#define AT_END_SIGNED_2 \
  AT_HELD("r10", 0) \
  "ldr.w r2, [r0]\nldr.w r3, [r0, #%c[pitch]]\nsmlad r10, r2, r4, r10\n" \
  "ldr.w r12, [r0, #16]\nsmlabt r10, r3, r5, r10\nldr.w lr, [r0, #%c[pitch]+16]\n" \
  "ldr.w r2, [r0, #32]\nsmlad r10, r12, r6, r10\nldr.w r3, [r0, #%c[pitch]+32]\n" \
  "smlabt r10, lr, r7, r10\nsmlad r10, r2, r8, r10\nsmlabt r10, r3, r9, r10\n" \
  AT_HELD("r2", 1) \
  AT_HELD("r12", 3) \
  "smmulr r10, r10, r2\nadd.w r10, r10, r10, asr #31\n" \
  AT_HELD("r3", 2) \
  "add.w r10, r10, r3\nasr.w r10, r10, r12\nssat r10, #8, r10\n" \
  "strb.w r10, [r1]\n"
#endif

#endif
