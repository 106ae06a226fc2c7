// The products of Winograd's filtering: sixteen sums over the channels.
#ifndef AT_WINOGRAD_PRODUCTS_S8_H
#define AT_WINOGRAD_PRODUCTS_S8_H

#include "steps_s8.h"

#if AT_DSP
// The steps of steps_s8.h; columns are patches, and a step's inputs lie 128 bytes from the next one's.
#if AT_LOADS_AHEAD
#define AT_WINOGRAD_STEP AT_STEP_AHEAD("#128")
#define AT_WINOGRAD_ENTER AT_ENTER_AHEAD
#else
#define AT_WINOGRAD_STEP                                                  \
  "ldr.w r3, [r0, #4]\nldr.w r2, [r0], #128\n"                           \
  "ldr.w lr, [r1, #4]\nldr.w r12, [r1], #16\n"                           \
  "smlad r4, r2, r12, r4\nsmlad r5, r3, r12, r5\n"                       \
  "smlad r6, r2, lr, r6\nsmlad r7, r3, lr, r7\n"                         \
  "ldr lr, [r1, #-4]\nldr r12, [r1, #-8]\n"                          \
  "smlad r8, r2, r12, r8\nsmlad r9, r3, r12, r9\n"                       \
  "smlad r10, r2, lr, r10\nsmlad r11, r3, lr, r11\n"
#define AT_WINOGRAD_ENTER "ldr.w lr, [sp]\nbx lr\n"
#endif
// Stack words: 0 where the steps are entered, 1 where sums go, 2 bytes of weights of one product, 3
// what takes r0 back to the next product, 4 where all weights end, 5 where those of a product do.
#define AT_WINOGRAD_PRODUCTS                                                                 \
  __asm__ volatile(                                                                          \
      "push {r7}\nadr.w lr, 2f\nadd r4, r4, lr\norr r4, r4, #1\nsub sp, sp, #8\n"             \
      "push {r2, r3, r5, r6}\nstr r4, [sp, #-4]!\n.p2align 2\n"                              \
      "1:\nldm.w r1!, {r4, r6, r8, r10}\n"                                                   \
      "mov.w r5, r4\nmov.w r7, r6\nmov.w r9, r8\nmov.w r11, r10\n"                           \
      "ldr.w r2, [sp, #8]\nadd.w r2, r1, r2\nstr.w r2, [sp, #20]\n" AT_WINOGRAD_ENTER    \
      ".p2align 2\n2:\n" AT_ROUND(AT_WINOGRAD_STEP)                                            \
      "ldr.w lr, [sp, #20]\ncmp r1, lr\nbne 2b\n"                                            \
      "ldr r2, [sp, #4]\nstm.w r2!, {r4-r11}\nstr r2, [sp, #4]\n"                            \
      "ldr.w r3, [sp, #16]\nldr.w r2, [sp, #12]\nsub r0, r0, r2\ncmp r1, r3\nbne.w 1b\n"     \
      "add sp, sp, #28\npop {r7}\n"                                                          \
      : "+r"(from), "+r"(weights), "+r"(to), "+r"(bytes), "+r"(skip), "+r"(back), "+r"(end)  \
      :                                                                                      \
      : "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory")
#endif

// The sixteen products of two patches and four output channels. v is (pairs, 16, 2 patches) words, w
// for each of the sixteen the start values of four channels, then (pairs, 4) words; m gets (16, 4
// channels, 2 patches).
AT_INLINE void at_winograd_products(const uint32_t *v, const uint32_t *w, int32_t *m,
                                    int32_t pairs) {
#if AT_DSP
  register const uint32_t *from __asm__("r0") = v;
  register const uint32_t *weights __asm__("r1") = w;
  register int32_t *to __asm__("r2") = m;
  register int32_t bytes __asm__("r3") = 16 * pairs;
  register uint32_t skip __asm__("r4") = AT_SKIPPED(pairs);
  register int32_t back __asm__("r5") = 128 * pairs - 8;
  register const uint32_t *end __asm__("r6") = w + 16 * (4 + 4 * pairs);
  AT_WINOGRAD_PRODUCTS;
#else
  for (int p = 0; p < 16; p++, m += 8, v += 2) {
    for (int i = 0; i < 8; i++) m[i] = (int32_t)w[i / 2];
    w += 4;
    for (int32_t k = 0; k < pairs; k++, w += 4)
      for (int i = 0; i < 8; i++) m[i] = at_dual_mac(v[32 * k + i % 2], w[i / 2], m[i]);
  }
#endif
}
#if AT_DSP
#undef AT_WINOGRAD_PRODUCTS
#undef AT_WINOGRAD_ENTER
#undef AT_WINOGRAD_STEP
#endif

#endif
