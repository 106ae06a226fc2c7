// Inner loops over pairs of taps with eight sums: two columns of inputs by four output channels.
//
// The sums lie in r4 to r11, both columns of a channel side by side; r0 runs over the inputs, r1 over the
// weights. A step is fourteen instructions of four bytes, for one pair of taps. Eight make a round; the
// first round is entered where as many steps are left as pairs do not fill rounds.
#ifndef AT_STEPS_S8_H
#define AT_STEPS_S8_H

#include "port.h"

#if AT_DSP
#define AT_ROUND(step) step step step step step step step step
#define AT_SKIPPED(pairs) ((uint32_t)(-(pairs)&7) * 56u)  // bytes of code before the first step

#if AT_LOADS_AHEAD
// With weights as pairs of int16, four channels one behind the other, and a load beside each
// multiplication, two cycles before its word is used: the first words of the next step are loaded in
// this one, as `first` and `second` say.
#define AT_STEP_LOADING(first, second)                                 \
  "smlad r4, r2, r12, r4\nldr.w lr, [r1, #4]\n"                        \
  "smlad r5, r3, r12, r5\nldr.w r12, [r1, #8]\n"                       \
  "smlad r6, r2, lr, r6\n"                                             \
  "smlad r7, r3, lr, r7\nldr.w lr, [r1, #12]\n"                        \
  "smlad r8, r2, r12, r8\n"                                            \
  "smlad r9, r3, r12, r9\nldr.w r12, [r1, #16]!\n"                     \
  "smlad r10, r2, lr, r10\n" first                                     \
  "smlad r11, r3, lr, r11\n" second
// `next` is the immediate that takes r0 from one step to the next.
#define AT_STEP_AHEAD(next) \
  AT_STEP_LOADING("ldr.w r2, [r0, " next "]!\n", "ldr.w r3, [r0, #4]\n")
// The words of the first step; stack word 0 says where the round is entered.
#define AT_ENTER_AHEAD \
  "ldr.w r12, [r1]\nldr.w lr, [sp]\nldr.w r2, [r0]\nldr.w r3, [r0, #4]\nbx lr\n"
#endif
#endif

#endif
