// The inner loop of slide_s8.h: four output channels of pairs of pixels, inputs read where rows lie.
#ifndef AT_SLIDE_RUN_S8_H
#define AT_SLIDE_RUN_S8_H

#include "strip_run_s8.h"

// How a window lies in the rows. All in bytes, but for the first three.
typedef struct {
  int32_t k_h, words;  // rows; words of a row
  int32_t in_code;     // rows for which the code of M4 stands; they fill k_h
  int32_t pitch;       // from one row to the next
  int32_t apart;       // from one word of a pixel to the next
  int32_t beside;      // from the words of a pair's first pixel to those of its second
  int32_t step;        // from one pair to the next
} at_slide;

#if AT_DSP && defined(__OPTIMIZE__)
// At the end of the steps r0 is at the next pair of pixels and r1 at the constants of the four channels.
#if AT_LOADS_AHEAD
// Step at_j of a window; at_x is where its words lie, or those of the next one, behind r0. What is
// loaded in the last step lies there, too.
#define AT_SLIDE_STEPS                                                                              \
  "ldr.w r12, [r1]\nldr.w r2, [r0]\nldr.w r3, [r0, #%c[beside]]\n"                                  \
  ".set at_j, 0\n.rept %c[k_h] * %c[words]\n.set at_j, at_j + 1\n"                                  \
  ".set at_row, at_j %% (%c[k_h] * %c[words]) / %c[words]\n"                                        \
  ".set at_x, at_row * %c[pitch] + at_j %% %c[words] * %c[apart]\n"                                 \
  AT_STEP_LOADING("ldr.w r2, [r0, #at_x]\n", "ldr.w r3, [r0, #at_x + %c[beside]]\n") ".endr\n"      \
  AT_LINES "addw r0, r0, #%c[step]\n"
#define AT_SLIDE_BACK "ldr.w r1, [sp, #8]\n"
#else
// A step with the words at at_x and at_w, for the small caches before the flash of an M4 by few bytes of
// code. The first one of a row comes last and takes r1 on to the next.
#define AT_SLIDE_INPUTS                                                                      \
  ".if at_x + %c[beside] > 124\nldr.w r3, [r0, #at_x + %c[beside]]\nldr.w r2, [r0, #at_x]\n" \
  ".else\nldr r3, [r0, #at_x + %c[beside]]\nldr r2, [r0, #at_x]\n.endif\n"
#define AT_SLIDE_WEIGHTS                                                 \
  ".if at_w > 120\nldr.w r5, [r1, #at_w + 4]\nldr.w r4, [r1, #at_w]\n"   \
  ".else\nldr r5, [r1, #at_w + 4]\nldr r4, [r1, #at_w]\n.endif\n"
#define AT_SLIDE_STEPS                                                                          \
  "1:\n.rept %c[rows]\n.set at_x, 0\n.set at_w, 0\n.rept %c[words] - 1\n"                       \
  ".set at_x, at_x + %c[apart]\n.set at_w, at_w + 8\n" AT_SLIDE_INPUTS AT_SLIDE_WEIGHTS         \
  AT_STRIP_MACS ".endr\n.set at_x, 0\n" AT_SLIDE_INPUTS                                         \
  "ldr.w r5, [r1, #4]\nldr.w r4, [r1], #8 * %c[words]\n" AT_STRIP_MACS                          \
  "addw r0, r0, #%c[pitch]\n.endr\n"                                                            \
  ".if %c[rows] < %c[k_h]\nldr r5, [sp, #4]\ncmp r1, r5\nbne.w 1b\n.endif\n"                    \
  AT_LINES AT_MOVED("r0", "%c[step] - %c[k_h] * %c[pitch]")
#define AT_SLIDE_BACK "subw r1, r1, #64 + 8 * %c[k_h] * %c[words]\n"
#endif
// GCC takes the lines of a statement for its instructions and places constants by that: as many lines as
// steps may have, 32 of 14.
#define AT_LINES_8 "\n\n\n\n\n\n\n\n"
#define AT_LINES_64                                                                          \
  AT_LINES_8 AT_LINES_8 AT_LINES_8 AT_LINES_8 AT_LINES_8 AT_LINES_8 AT_LINES_8 AT_LINES_8
#define AT_LINES                                                                             \
  AT_LINES_64 AT_LINES_64 AT_LINES_64 AT_LINES_64 AT_LINES_64 AT_LINES_64 AT_LINES_64
// Stack words as in AT_STRIP_RUN.
#define AT_SLIDE_RUN(tail)                                                                   \
  __asm__ volatile(                                                                          \
      "push {r7}\nldmia r0, {r2-r11}\nstmdb sp!, {r3-r11}\nmov r0, r2\n"                      \
      "ldr.w r1, [sp, #8]\n.p2align 2\n0:\n" AT_STRIP_START AT_SLIDE_STEPS tail              \
      AT_SLIDE_BACK "bne.w 0b\nadd sp, sp, #36\npop {r7}\n"                                                \
      : "+r"(frame)                                                                          \
      : [k_h] "i"(g.k_h), [words] "i"(g.words), [rows] "i"(g.in_code), [pitch] "i"(g.pitch),  \
        [apart] "i"(g.apart), [beside] "i"(g.beside), [step] "i"(g.step)                     \
      : "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory")
#endif

// The pixels of a run, four channels. s->x is the first word under them, s->x_end a pair behind the last.
AT_INLINE void at_slide_run(at_strip *s, at_slide g, at_finish f) {
#if AT_DSP && defined(__OPTIMIZE__)
  if (AT_KNOWN(g.k_h + g.words + g.in_code + g.pitch + g.apart + g.beside + g.step)) {
    register at_strip *frame __asm__("r0") = s;
    AT_STRIP_FINISHED(AT_SLIDE_RUN);
    return;
  }
#endif
  const uint32_t *x = s->x;
  for (int8_t *y = s->y; x != s->x_end; x += g.step / 4, y += s->next) {
    const uint32_t *w = s->start + 4;
    int32_t sums[8];
    for (int i = 0; i < 8; i++) sums[i] = (int32_t)s->start[i / 2];
    for (int32_t k = 0; k < g.k_h; k++) {
      const uint32_t *row = x + k * g.pitch / 4;
      for (int32_t j = 0; j < g.words; j++, row += g.apart / 4) {
        at_strip_pair(row[0], row[g.beside / 4], w, sums);
        w += AT_LOADS_AHEAD ? 4 : 2;
      }
    }
    at_strip_finish(sums, w, y, s->second, f);
  }
}

#endif
