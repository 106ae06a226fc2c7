// The inner loop of slide_s8.h: four output channels of pairs of pixels, inputs read where rows lie.
#ifndef AT_SLIDE_RUN_S8_H
#define AT_SLIDE_RUN_S8_H

#include "strip_run_s8.h"

// How a window lies in the rows. All in bytes, but for the first three.
typedef struct {
  int32_t k_h, words;  // rows; words of a row
  int32_t at_once;     // rows for which the code of M4 stands; they fill k_h
  int32_t pitch;       // from one row to the next
  int32_t beside;      // from the words of a pair's first pixel to those of its second
  int32_t step;        // from one pair to the next
} at_slide;

#if AT_DSP && defined(__OPTIMIZE__)
// Step at_j of a window; at_x is where its words lie, or those of the next one, behind r0. What is
// loaded in the last step lies there, too.
#define AT_SLIDE_NEXT                                                                  \
  ".set at_j, at_j + 1\n"                                                              \
  ".set at_x, at_j %% %c[steps] / %c[words] * %c[pitch] + at_j %% %c[words] * 4\n"
#if AT_LOADS_AHEAD
#define AT_SLIDE_FIRST "ldr.w r12, [r1]\nldr.w r2, [r0]\nldr.w r3, [r0, #%c[beside]]\n"
#define AT_SLIDE_ROWS(g) g.k_h
#define AT_SLIDE_ROUND ""
#define AT_SLIDE_STEP \
  AT_SLIDE_NEXT       \
  AT_STEP_LOADING("ldr.w r2, [r0, #at_x]\n", "ldr.w r3, [r0, #at_x + %c[beside]]\n")
#else
// Few instructions, for the small caches before the flash of an M4.
#define AT_SLIDE_FIRST ""
#define AT_SLIDE_ROWS(g) g.at_once
#define AT_SLIDE_ROUND                                                               \
  ".if %c[down]\nadd.w r0, r0, #%c[round]\nldr.w lr, [sp, #4]\ncmp r1, lr\nbne.w 1b\n" \
  "sub.w r0, r0, #%c[down] / 2\nsub.w r0, r0, #%c[down] - %c[down] / 2\n.endif\n"
#define AT_SLIDE_STEP                                                                  \
  AT_STRIP_STEP_LOADING("ldr.w r3, [r0, #at_x + %c[beside]]\nldr.w r2, [r0, #at_x]\n") \
  AT_SLIDE_NEXT
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
      "push {r7}\nldmia r0, {r2-r11}\nstmdb sp!, {r3-r11}\nmov r0, r2\n.p2align 2\n"         \
      "0:\nldr.w r1, [sp, #8]\nldm.w r1!, {r4, r6, r8, r10}\n"                               \
      "mov.w r5, r4\nmov.w r7, r6\nmov.w r9, r8\nmov.w r11, r10\n" AT_SLIDE_FIRST            \
      "1:\n.set at_j, 0\n.set at_x, 0\n.rept %c[steps]\n" AT_SLIDE_STEP ".endr\n"            \
      AT_SLIDE_ROUND                                                                         \
      AT_LINES "add.w r0, r0, #%c[step]\n" tail "bne.w 0b\nadd sp, sp, #36\npop {r7}\n"      \
      : "+r"(frame)                                                                          \
      : [steps] "i"(rows * g.words), [words] "i"(g.words), [pitch] "i"(g.pitch),             \
        [beside] "i"(g.beside), [step] "i"(g.step), [round] "i"(rows * g.pitch),             \
        [down] "i"(rows < g.k_h ? g.k_h * g.pitch : 0)                                       \
      : "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory")
#endif

// The pixels of a run, four channels. s->x is the first word under them, s->x_end a pair behind the last.
AT_INLINE void at_slide_run(at_strip *s, at_slide g, at_finish f) {
#if AT_DSP && defined(__OPTIMIZE__)
  if (AT_KNOWN(g.k_h + g.words + g.at_once + g.pitch + g.beside + g.step)) {
    const int32_t rows = AT_SLIDE_ROWS(g);
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
      for (int32_t j = 0; j < g.words; j++, row++) {
        at_strip_pair(row[0], row[g.beside / 4], w, sums);
        w += AT_LOADS_AHEAD ? 4 : 2;
      }
    }
    at_strip_finish(sums, w, y, s->second, f);
  }
}

#endif
