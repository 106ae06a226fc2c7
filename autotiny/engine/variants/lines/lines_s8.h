// Depthwise convolution with any filter, one channel after the other: the channel's image is spread to
// int16 as in depthwise_s8.h; four outputs of a line are summed at a time.
#ifndef AT_LINES_S8_H
#define AT_LINES_S8_H

#include "depthwise_s8.h"

// How filters are cut in lines, which are filled up to `words` pairs of taps.
typedef struct {
  int32_t lines, taps, last;  // lines; taps of a line and of the last one
  int32_t next, line;         // from one tap to the next, from one line to the next; in bytes
  int32_t words;
  int32_t apart;              // from one line to the next in the plane, in int16
} at_filter_lines;

// Outputs along a line. All fields are words where pointers are, and the assembly counts them.
typedef struct {
  const int16_t *x;     // where the first one's window begins in the plane
  const int16_t *w;     // the filter's pairs
  const uint32_t *c;    // (bias, multiplier, rounding, shift)
  int32_t k_lines;      // of the filter
  int8_t *y;
  int32_t next, fours;  // bytes from one output to the next; outputs, four at a time
  int32_t pitch;        // from one line of the filter to the next in the plane, in bytes
  int32_t relu;         // whether outputs are finished by AT_RELU
} at_line_run;

// The doubled taps of one channel. Of each line: (0, 1), (2, 3) …; at stride 1 each pair is followed
// by one of (-, 0), (1, 2) …, for outputs whose window begins in the middle of a word. What is filled
// up stays as it is.
AT_INLINE void at_expand_filter(const int8_t *w, int16_t *pairs, const at_filter_lines *g,
                                int32_t stride) {
  AT_ROLLED
  for (int32_t r = 0; r < g->lines; r++, w += g->line) {
    const int32_t taps = r == g->lines - 1 ? g->last : g->taps;
    const int8_t *from = w;
    AT_ROLLED
    for (int32_t t = 0; t < taps; t++, from += g->next) {
      const int16_t tap = (int16_t)(2 * *from);
      pairs[stride == 1 ? t + (t & ~1) : t] = tap;
      if (stride == 1) pairs[t + 3 + ((t + 1) & ~1)] = tap;
    }
    pairs += stride == 1 ? 4 * g->words : 2 * g->words;
  }
}

AT_INLINE void at_four_sums(const at_line_run *s, int32_t sums[4], int32_t stride, int32_t words) {
  const int16_t *line = s->x, *w = s->w;
  int32_t a = 2 * (int32_t)s->c[0], b = a, c = a, d = a;
  AT_ROLLED
  for (int32_t k = 0; k < s->k_lines; k++, line += s->pitch / 2) {
    const int16_t *x = line;
    if (stride == 1) {  // the first of each two pairs serves all
      int32_t first = x[0], second = x[1], third = x[2];
      AT_ROLLED
      for (const int16_t *end = w + 4 * words; w != end; w += 4, x += 2) {
        const int32_t low = w[0], high = w[1], fourth = x[3], fifth = x[4];
        a = at_add(a, first * low + second * high);
        b = at_add(b, second * low + third * high);
        c = at_add(c, third * low + fourth * high);
        d = at_add(d, fourth * low + fifth * high);
        first = third;
        second = fourth;
        third = fifth;
      }
    } else {
      AT_ROLLED
      for (const int16_t *end = w + 2 * words; w != end; w += 2, x += 2) {
        const int32_t low = w[0], high = w[1];
        a = at_add(a, x[0] * low + x[1] * high);
        b = at_add(b, x[2] * low + x[3] * high);
        c = at_add(c, x[4] * low + x[5] * high);
        d = at_add(d, x[6] * low + x[7] * high);
      }
    }
  }
  sums[0] = a;
  sums[1] = b;
  sums[2] = c;
  sums[3] = d;
}

// Sums and finishes a run, but for bounds of AT_CAP and AT_CLAMP. words is 2 to 6.
AT_INLINE void at_run_fours(at_line_run *s, int32_t stride, int32_t words) {
#if AT_DSP && defined(__OPTIMIZE__)
// lr holds s, r0 runs over the plane, r1 over w, r8 counts the filter's lines; sums lie in r4, r5, r6 and
// r10. A line of the filter is straight, its words of the plane go round: two registers at stride 1 (r9
// is the pitch there), four at stride 2.
#define AT_PAIR_STEP(first, second, at)                                                       \
  "ldrd r11, r12, [r1], #8\nldr.w " second ", [r0, #" at "]\n"                                 \
  "smlad r4, " first ", r11, r4\nsmlad r5, " first ", r12, r5\n"                              \
  "smlad r6, " second ", r11, r6\nsmlad r10, " second ", r12, r10\n"
#define AT_WORD_STEP(first, second, third, fourth, at)                                        \
  "ldr.w r9, [r1], #4\nldr.w " fourth ", [r0, #" at "]\n"                                      \
  "smlad r4, " first ", r9, r4\nsmlad r5, " second ", r9, r5\n"                               \
  "smlad r6, " third ", r9, r6\nsmlad r10, " fourth ", r9, r10\n"
#define AT_BEYOND(n, step) ".if %c[words] > " n "\n" step ".endif\n"
#define AT_PAIR_LINE                                                                          \
  "ldr.w r2, [r0]\n" AT_PAIR_STEP("r2", "r3", "4") AT_PAIR_STEP("r3", "r2", "8")               \
  AT_BEYOND("2", AT_PAIR_STEP("r2", "r3", "12")) AT_BEYOND("3", AT_PAIR_STEP("r3", "r2", "16")) \
  AT_BEYOND("4", AT_PAIR_STEP("r2", "r3", "20")) AT_BEYOND("5", AT_PAIR_STEP("r3", "r2", "24")) \
  "add.w r0, r0, r9\n"
#define AT_WORD_LINE                                                                          \
  "ldrd r2, r3, [r0]\nldr.w r11, [r0, #8]\n"                                                  \
  AT_WORD_STEP("r2", "r3", "r11", "r12", "12") AT_WORD_STEP("r3", "r11", "r12", "r2", "16")    \
  AT_BEYOND("2", AT_WORD_STEP("r11", "r12", "r2", "r3", "20"))                                 \
  AT_BEYOND("3", AT_WORD_STEP("r12", "r2", "r3", "r11", "24"))                                 \
  AT_BEYOND("4", AT_WORD_STEP("r2", "r3", "r11", "r12", "28"))                                 \
  AT_BEYOND("5", AT_WORD_STEP("r3", "r11", "r12", "r2", "32"))                                 \
  "ldr.w r9, [lr, #28]\nadd.w r0, r0, r9\n"
#define AT_LINE_RELU(a) "smmlar " a ", " a ", r2, r3\nasr " a ", r11\nssat " a ", #8, " a "\n"
#define AT_LINE_SIGNED(a)                                                                     \
  "smmulr " a ", " a ", r2\nadd " a ", " a ", " a ", asr #31\nadd " a ", " a ", r3\n"         \
  "asr " a ", r11\nssat " a ", #8, " a "\n"
#define AT_FOURS(line)                                                                        \
  __asm__ volatile(                                                                           \
      "mov lr, r0\nldr.w r9, [lr, #28]\n"                                                     \
      "0:\nldrd r0, r1, [lr]\nldrd r4, r8, [lr, #8]\nldr.w r4, [r4]\nlsl.w r4, r4, #1\n"      \
      "mov r5, r4\nmov r6, r4\nmov r10, r4\n.p2align 2\n"                                     \
      "1:\n" line "subs.w r8, r8, #1\nbne.w 1b\n"                                             \
      "ldr.w r1, [lr, #8]\nldr.w r12, [lr, #32]\nldrd r2, r3, [r1, #4]\nldr.w r11, [r1, #12]\n" \
      "cmp.w r12, #0\nbeq.w 2f\n"                                                             \
      AT_LINE_RELU("r4") AT_LINE_RELU("r5") AT_LINE_RELU("r6") AT_LINE_RELU("r10")            \
      "b.w 3f\n2:\n"                                                                          \
      AT_LINE_SIGNED("r4") AT_LINE_SIGNED("r5") AT_LINE_SIGNED("r6") AT_LINE_SIGNED("r10")    \
      "3:\nldrd r0, r1, [lr, #16]\nadd.w r2, r0, r1\n"                                        \
      "strb.w r4, [r0]\nstrb.w r5, [r0, r1]\nstrb.w r6, [r0, r1, lsl #1]\n"                   \
      "strb.w r10, [r2, r1, lsl #1]\nadd.w r0, r0, r1, lsl #2\nstr.w r0, [lr, #16]\n"         \
      "ldr.w r0, [lr]\nldrd r8, r9, [lr, #24]\nadd.w r0, r0, #%c[step]\nstr.w r0, [lr]\n"     \
      "subs.w r8, r8, #1\nstr.w r8, [lr, #24]\nbne.w 0b\n"                                   \
      : "+r"(run)                                                                             \
      : [words] "i"(words), [step] "i"(8 * stride)                                            \
      : "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory")
  if (AT_KNOWN(stride + words)) {
    register at_line_run *run __asm__("r0") = s;
    if (stride == 1)
      AT_FOURS(AT_PAIR_LINE);
    else
      AT_FOURS(AT_WORD_LINE);
    return;
  }
#undef AT_FOURS
#undef AT_LINE_SIGNED
#undef AT_LINE_RELU
#undef AT_WORD_LINE
#undef AT_PAIR_LINE
#undef AT_BEYOND
#undef AT_WORD_STEP
#undef AT_PAIR_STEP
#endif
  const at_finish f = {s->relu ? AT_RELU : AT_SIGNED, 0, 0};
  AT_ROLLED
  for (; s->fours > 0; s->fours--, s->x += 4 * stride, s->y += 4 * s->next) {
    int32_t sums[4];
    at_four_sums(s, sums, stride, words);
    at_finish_each(sums, s->c + 1, s->y, 4, s->next, f);
  }
}

typedef void at_run_line(at_line_run *s);
#define AT_RUN_LINE(stride, words)                                        \
  AT_SHARED void at_run_line_##stride##_##words##_s8(at_line_run *s) {    \
    at_run_fours(s, stride, words);                                       \
  }
AT_RUN_LINE(1, 2)
AT_RUN_LINE(1, 3)
AT_RUN_LINE(1, 4)
AT_RUN_LINE(1, 5)
AT_RUN_LINE(1, 6)
AT_RUN_LINE(2, 2)
AT_RUN_LINE(2, 3)
AT_RUN_LINE(2, 4)
AT_RUN_LINE(2, 5)
AT_RUN_LINE(2, 6)
#undef AT_RUN_LINE

// One channel's image into the middle of the plane, as at_take_channel, for any distances.
AT_INLINE void at_spread_channel(const int8_t *x, int16_t *plane, const at_planes *g) {
  const int32_t next = g->x_next;
  plane += g->first;
  AT_ROLLED
  for (int32_t r = 0; r < g->x_lines; r++, x += g->x_line, plane += g->pitch) {
    const int8_t *from = x;
    int16_t *to = plane, *const end = plane + g->x_length;
    AT_ROLLED
    for (; end - to >= 4; to += 4, from += 4 * next) {
      const int8_t a = from[0], b = from[next], c = from[2 * next], d = from[3 * next];
      to[0] = a;
      to[1] = b;
      to[2] = c;
      to[3] = d;
    }
    AT_ROLLED
    for (; to != end; from += next) *to++ = *from;
  }
}

// x is (in_h, in_w, channels), y is (out_h, out_w, channels), w is (k_h, k_w, channels), c holds
// (bias, multiplier, rounding, shift) of each channel, `pairs` and `plane` have room for one.
AT_KERNEL(at_lines_s8,
          (const int8_t *x, const int8_t *w, const uint32_t *c, int8_t *y, int16_t *pairs,
           int16_t *plane, int32_t channels, int32_t zero, const at_filter_lines *filter,
           const at_planes *g, const at_finish *f, at_run_line *run_line), {
  const int32_t taps = filter->lines * filter->words * (g->stride == 1 ? 4 : 2);
  AT_ROLLED
  for (int32_t i = 0; i < g->size; i++) plane[i] = (int16_t)zero;
  AT_ROLLED
  for (int32_t i = 0; i < taps; i++) pairs[i] = 0;
  AT_ROLLED
  for (int32_t k = 0; k < channels; k++, x++, w++, y++, c += 4) {
    at_spread_channel(x, plane, g);
    at_expand_filter(w, pairs, filter, g->stride);
    at_line_run run = {plane, pairs, c, filter->lines, y, 0, 0, 2 * filter->apart,
                       f->kind == AT_RELU};
    AT_ROLLED
    for (int32_t r = 0; r < g->lines; r++) {
      int8_t *to = y + r * g->y_line;
      run.x = plane + r * g->pitch * g->apart;
      // The last ones of a line, less than four, are made elsewhere.
      AT_ROLLED
      for (int32_t left = g->length, made; left > 0; left -= made, to += made * g->y_next) {
        int8_t four[4];
        made = left < 4 ? left : left & ~3;
        run.y = left < 4 ? four : to;
        run.next = left < 4 ? 1 : g->y_next;
        run.fours = left < 4 ? 1 : left / 4;
        run_line(&run);
        AT_ROLLED
        for (int32_t i = 0; left < 4 && i < left; i++) to[i * g->y_next] = four[i];
        AT_ROLLED
        for (int32_t i = 0; f->kind == AT_CLAMP && i < made; i++)
          to[i * g->y_next] = (int8_t)at_clamp(to[i * g->y_next], f->low, f->high);
      }
    }
  }
})

#endif
