// From doubled int32 accumulators to int8 outputs, bit-exact to TensorFlow Lite Micro.
#ifndef AT_REQUANTIZE_H
#define AT_REQUANTIZE_H

#include "port.h"

// What follows an accumulator.
typedef enum {
  AT_RELU,   // saturation at a zero-point of -128: nothing below zero survives
  AT_SIGNED, // saturation at [-128, 127]
  AT_CAP,    // as AT_RELU, but with an upper bound below 127; of some kernels
  AT_CLAMP   // any bounds
} at_finish_kind;

typedef struct {
  at_finish_kind kind;
  int32_t low, high;  // for AT_CAP and AT_CLAMP
} at_finish;

// The output for a doubled accumulator. q is (multiplier, rounding, shift); rounding is
// 2^(shift-1) + zero-point · 2^shift. The reference rounds halves away from zero in the shift; as
// rounding carries a half upwards, negative values first lose one, unless zero swallows them.
AT_INLINE int8_t at_finished(int32_t doubled, const uint32_t *q, at_finish f) {
  const int32_t multiplier = (int32_t)q[0], rounding = (int32_t)q[1];
  int32_t y;
  if (f.kind == AT_RELU || f.kind == AT_CAP) {
    y = at_mul_high_add(rounding, doubled, multiplier);
  } else {
    y = at_mul_high(doubled, multiplier);
    y += rounding + at_sign(y);
  }
  y >>= q[2];
  return (int8_t)(f.kind == AT_CLAMP || f.kind == AT_CAP ? at_clamp(y, f.low, f.high) : at_saturate8(y));
}

// The outputs for some doubled accumulators below 2^30, `apart` bytes from each other; q is as for
// at_finished.
AT_INLINE void at_finish_each(const int32_t *sums, const uint32_t *q, int8_t *y, int32_t size,
                              int32_t apart, at_finish f) {
#if AT_THUMB == 1
// The high word of a product from four products of halves. The middle two are 2^30 less, so that their
// sum fits: in the end that is 2^14. What is rounded may hold that already, or is given it on the way.
#define AT_FINISHES(held, rounded)                                                          \
  __asm__ volatile(                                                                         \
      ".syntax unified\npush {r7}\nldmia r2!, {r5-r7}\nmov r10, r3\nmov r11, r4\n"          \
      "lsrs r2, r5, #16\nuxth r3, r5\nmovs r5, #1\nlsls r4, r5, #14\nmov r12, r4\n" held    \
      "mov r9, r6\nlsls r4, r5, #15\nlsls r5, r5, #30\nsubs r4, r4, r5\nmov r8, r4\n"       \
      "1:\nldmia r0!, {r4}\nasrs r5, r4, #16\nuxth r4, r4\n"                               \
      "mov r6, r4\nmuls r6, r2, r6\nmuls r4, r3, r4\nlsrs r4, r4, #16\nadds r4, r4, r6\n"   \
      "add r4, r8\nmov r6, r5\nmuls r6, r3, r6\nadds r4, r4, r6\nasrs r4, r4, #16\n"        \
      "muls r5, r2, r5\nadds r4, r4, r5\n" rounded                                          \
      "asrs r4, r4, r7\nsxtb r5, r4\ncmp r5, r4\nbeq 2f\n"                                  \
      "asrs r4, r4, #31\nmovs r5, #127\neors r4, r5\n2:\nstrb r4, [r1]\nadd r1, r10\n"      \
      "cmp r0, r11\nbne 1b\npop {r7}\n"                                                     \
      : "+r"(from), "+r"(to), "+r"(by), "+r"(next), "+r"(end)                               \
      :                                                                                     \
      : "r5", "r6", "r8", "r9", "r10", "r11", "r12", "cc", "memory")
  register const int32_t *from __asm__("r0") = sums;
  register int8_t *to __asm__("r1") = y;
  register const uint32_t *by __asm__("r2") = q;
  register int32_t next __asm__("r3") = apart;
  register const int32_t *end __asm__("r4") = sums + size;
  if (f.kind == AT_RELU)
    AT_FINISHES("add r6, r12\n", "add r4, r9\n");
  else
    AT_FINISHES("", "add r4, r12\nasrs r5, r4, #31\nadds r4, r4, r5\nadd r4, r9\n");
#undef AT_FINISHES
  AT_ROLLED
  for (int32_t i = 0; (f.kind == AT_CLAMP || f.kind == AT_CAP) && i < size; i++, y += apart)
    *y = (int8_t)at_clamp(*y, f.low, f.high);
#else
  AT_ROLLED
  for (int32_t i = 0; i < size; i++, y += apart) *y = at_finished(sums[i], q, f);
#endif
}

#endif
