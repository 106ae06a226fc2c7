// The inner loops of trios_s8.h: words of inputs, side by side, by one weight a tap.
#ifndef AT_TRIOS_RUN_S8_H
#define AT_TRIOS_RUN_S8_H

#include "port.h"

#if AT_THUMB
// r0 runs over the inputs up to r12, r1 over the weights, four at a time in r2, then one in r3. Sums
// lie in high registers, which only moves and additions reach.
#define AT_WIDE_TAP(weight)                                                                     \
  "ldmia r0!, {r4-r7}\n" weight                                                                 \
  "muls r4, r3, r4\nadd r8, r4\nmuls r5, r3, r5\nadd r9, r5\n"                                  \
  "muls r6, r3, r6\nadd r10, r6\nmuls r7, r3, r7\nadd r11, r7\n"
#define AT_NARROW_TAP(weight)                                                                   \
  "ldmia r0!, {r4-r5}\n" weight "muls r4, r3, r4\nadd r8, r4\nmuls r5, r3, r5\nadd r9, r5\n"
#define AT_DOTS(tap)                                                                            \
  "push {r3, r7}\nmov r12, r2\nmovs r2, #0\nmov r8, r2\nmov r9, r2\nmov r10, r2\nmov r11, r2\n" \
  ".p2align 2\n1:\nldmia r1!, {r2}\n" tap("sxtb r3, r2\n") tap("lsls r3, r2, #16\nasrs r3, #24\n") \
  tap("lsls r3, r2, #8\nasrs r3, #24\n") tap("asrs r3, r2, #24\n") "cmp r0, r12\nbne 1b\n"      \
  "mov r3, r8\nmov r4, r9\nmov r5, r10\nmov r6, r11\npop {r2, r7}\nstmia r2!, {r3-r6}\n"
#define AT_RUN_DOTS(tap, words)                                                                 \
  register const uint32_t *from __asm__("r0") = x;                                              \
  register const int8_t *by __asm__("r1") = w;                                                  \
  register const uint32_t *end __asm__("r2") = x + words * taps;                                \
  register uint32_t *to __asm__("r3") = sums;                                                   \
  __asm__ volatile(".syntax unified\n" AT_DOTS(tap)                                             \
                   : "+r"(from), "+r"(by), "+r"(end), "+r"(to)                                  \
                   :                                                                            \
                   : "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "cc", "memory")
#else
#define AT_RUN_DOTS(tap, words)                                                                 \
  uint32_t made[words] = {0};                                                                   \
  AT_ROLLED                                                                                     \
  for (; taps > 0; taps -= 4, w += 4, x += 4 * words) {                                         \
    AT_UNROLL(4)                                                                                \
    for (int i = 0; i < 4; i++)                                                                 \
      for (int k = 0; k < words; k++) made[k] += (uint32_t)w[i] * x[i * words + k];             \
  }                                                                                             \
  for (int i = 0; i < words; i++) sums[i] = made[i]
#endif

// Sums of four words a tap; taps is a multiple of 4 and not 0, w lies at a word.
AT_INLINE void at_six_dots(const uint32_t *x, const int8_t *w, int32_t taps, uint32_t sums[4]) {
  AT_RUN_DOTS(AT_WIDE_TAP, 4);
}

// Sums of two words a tap, into the first two of `sums`.
AT_INLINE void at_three_dots(const uint32_t *x, const int8_t *w, int32_t taps, uint32_t sums[4]) {
  AT_RUN_DOTS(AT_NARROW_TAP, 2);
}

#undef AT_RUN_DOTS
#undef AT_DOTS
#undef AT_NARROW_TAP
#undef AT_WIDE_TAP
#endif
