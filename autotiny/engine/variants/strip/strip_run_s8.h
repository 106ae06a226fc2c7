// The inner loops of strips: four output channels of pairs of pixels.
#ifndef AT_STRIP_RUN_S8_H
#define AT_STRIP_RUN_S8_H

#include "columns_s8.h"
#include "requantize.h"
#include "steps_s8.h"
#include "strip_order_s8.h"

// What a run over the pixels of a strip needs besides registers. Four outputs make a word.
typedef struct {
  const uint32_t *x;      // the columns, (pixels / 2, pairs, 2) words
  uint32_t skip;          // bytes of code before the step at which the inner loop is entered
  const uint32_t *end;    // of the weights
  const uint32_t *start;  // of the block: four start values, weights, constants
  int8_t *y;              // four channels of the first pixel
  int32_t second, next;   // bytes to the second pixel of a pair, to the next pair
  const uint32_t *x_end;
  uint32_t low, high;  // bounds, a byte an output
} at_strip;

#if AT_DSP
#if AT_LOADS_AHEAD
#define AT_STRIP_STEP AT_STEP_AHEAD("#8")
#define AT_STRIP_STEP_BYTES 56u
#define AT_STRIP_START                                       \
  "ldm.w r1!, {r4, r6, r8, r10}\n"                           \
  "mov.w r5, r4\nmov.w r7, r6\nmov.w r9, r8\nmov.w r11, r10\n"
#define AT_STRIP_ENTER AT_ENTER_AHEAD
#define AT_STRIP_ENDS "ldr.w lr, [sp, #4]\ncmp r1, lr\n"
#else
// Loads in runs, which take a cycle each and one more, into low registers: most are of two bytes. The
// sums lie in r6 to r12 and lr. r2 and r3 are inputs, r4 and r5 weights.
#define AT_STRIP_MACS                                                \
  "smlad r6, r2, r4, r6\nsmlad r7, r3, r4, r7\nsxtb16 r4, r4\n"      \
  "smlad r10, r2, r5, r10\nsmlad r11, r3, r5, r11\nsxtb16 r5, r5\n"  \
  "smlad r8, r2, r4, r8\nsmlad r9, r3, r4, r9\n"                     \
  "smlad r12, r2, r5, r12\nsmlad lr, r3, r5, lr\n"
#define AT_STRIP_STEP                                                 \
  "ldr r3, [r0, #4]\nldr r5, [r1, #4]\nldr.w r2, [r0], #8\nldr.w r4, [r1], #8\n" AT_STRIP_MACS
#define AT_STRIP_STEP_BYTES 52u
#define AT_STRIP_START                     \
  "ldm.w r1!, {r6, r8, r10, r12}\n"        \
  "mov r7, r6\nmov r9, r8\nmov r11, r10\nmov lr, r12\n"
#define AT_STRIP_ENTER "ldr r2, [sp]\nbx r2\n"
#define AT_STRIP_ENDS "ldr r5, [sp, #4]\ncmp r1, r5\n"
// From S and T to doubled sums; then, of a channel, both pixels.
#define AT_STRIP_SUMS                                                                    \
  "sub.w r6, r6, r8\nsub.w r7, r7, r9\nsub.w r10, r10, r12\nsub.w r11, r11, lr\n"        \
  "asrs r6, r6, #7\nasrs r7, r7, #7\nasr.w r10, r10, #7\nasr.w r11, r11, #7\n"           \
  "lsl.w r8, r8, #1\nlsl.w r9, r9, #1\nlsl.w r12, r12, #1\nlsl.w lr, lr, #1\n"
#define AT_STRIP_ROUNDED(a, b)                                  \
  "ldm.w r1!, {r2, r3, r4}\n"                                   \
  "smmlar " a ", " a ", r2, r3\nsmmlar " b ", " b ", r2, r3\n"  \
  "asr.w " a ", " a ", r4\nasr.w " b ", " b ", r4\n"            \
  "ssat " a ", #8, " a "\nssat " b ", #8, " b "\n"
#define AT_STRIP_AWAY(a, b)                                                   \
  "ldm.w r1!, {r2, r3, r4}\n"                                                 \
  "smmulr " a ", " a ", r2\nsmmulr " b ", " b ", r2\n"                        \
  "add.w " a ", " a ", " a ", asr #31\nadd.w " b ", " b ", " b ", asr #31\n"  \
  "add.w " a ", " a ", r3\nadd.w " b ", " b ", r3\n"                          \
  "asr.w " a ", " a ", r4\nasr.w " b ", " b ", r4\n"                          \
  "ssat " a ", #8, " a "\nssat " b ", #8, " b "\n"
#define AT_STRIP_PACKED(scale)                                                                \
  AT_STRIP_SUMS scale("r6", "r7") scale("r8", "r9") scale("r10", "r11") scale("r12", "lr")    \
  "bfi r6, r8, #8, #24\nbfi r7, r9, #8, #24\nbfi r10, r12, #8, #24\nbfi r11, lr, #8, #24\n"   \
  "pkhbt r6, r6, r10, lsl #16\npkhbt r7, r7, r11, lsl #16\n"
#define AT_STRIP_AT_MOST \
  "ldr.w r2, [sp, #32]\nssub8 r3, r2, r6\nsel r6, r6, r2\nssub8 r3, r2, r7\nsel r7, r7, r2\n"
#define AT_STRIP_AT_LEAST \
  "ldr.w r2, [sp, #28]\nssub8 r3, r6, r2\nsel r6, r6, r2\nssub8 r3, r7, r2\nsel r7, r7, r2\n"
#define AT_STRIP_STORED                                                          \
  "ldr r2, [sp, #12]\nldr r3, [sp, #16]\nldr r4, [sp, #20]\nldr r5, [sp, #24]\n" \
  "str r7, [r2, r3]\nstr r6, [r2]\nadd r2, r4\nstr r2, [sp, #12]\ncmp.w r0, r5\n"
#define AT_STRIP_TAIL_RELU AT_STRIP_PACKED(AT_STRIP_ROUNDED) AT_STRIP_STORED
#define AT_STRIP_TAIL_SIGNED AT_STRIP_PACKED(AT_STRIP_AWAY) AT_STRIP_STORED
#define AT_STRIP_TAIL_CAP AT_STRIP_PACKED(AT_STRIP_ROUNDED) AT_STRIP_AT_MOST AT_STRIP_STORED
#define AT_STRIP_TAIL_CLAMP \
  AT_STRIP_PACKED(AT_STRIP_AWAY) AT_STRIP_AT_MOST AT_STRIP_AT_LEAST AT_STRIP_STORED
#endif
// A run over the pixels of s with the tail that f asks for.
#define AT_STRIP_FINISHED(run)             \
  s->low = (uint8_t)f.low * 0x01010101u;   \
  s->high = (uint8_t)f.high * 0x01010101u; \
  if (f.kind == AT_RELU)                   \
    run(AT_STRIP_TAIL_RELU);               \
  else if (f.kind == AT_SIGNED)            \
    run(AT_STRIP_TAIL_SIGNED);             \
  else if (f.kind == AT_CAP)               \
    run(AT_STRIP_TAIL_CAP);                \
  else                                     \
    run(AT_STRIP_TAIL_CLAMP)
// Stack words: 0 where the steps are entered, then the fields of at_strip from `end` on. r7 may be a
// frame pointer, so it is saved by hand.
#define AT_STRIP_RUN(tail)                                                                   \
  __asm__ volatile(                                                                          \
      "push {r7}\nldmia r0, {r2-r11}\nadr.w r12, 1f\nadd r3, r3, r12\norr r3, r3, #1\n"      \
      "stmdb sp!, {r3-r11}\nmov r0, r2\n.p2align 2\n"                                        \
      "0:\nldr.w r1, [sp, #8]\n" AT_STRIP_START AT_STRIP_ENTER                               \
      ".p2align 2\n1:\n" AT_ROUND(AT_STRIP_STEP)                                             \
      AT_STRIP_ENDS "bne.w 1b\n.p2align 2\n" tail                                            \
      "bne.w 0b\nadd sp, sp, #36\npop {r7}\n"                                                \
      : "+r"(frame)                                                                          \
      :                                                                                      \
      : "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory")
#endif

// Weights of two channels in lanes as pairs of each: words 256·A + B as words A and B. size is a
// multiple of 2 and not 0.
AT_INLINE void at_part_lanes(uint32_t *to, const uint32_t *from, int32_t size) {
#if AT_DSP
  const uint32_t *end = from + size;
  __asm__ volatile(
      ".p2align 2\n1:\nldr.w r6, [%[from], #4]\nldr.w r4, [%[from]], #8\n"
      "sxtb16 r8, r6\nsxtb16 r5, r4\nssub16 r6, r6, r8\nssub16 r4, r4, r5\n"
      "sxtb16 r6, r6, ror #8\nsxtb16 r4, r4, ror #8\n"
      "stm.w %[to]!, {r4, r5, r6, r8}\ncmp %[from], %[end]\nbne 1b\n"
      : [from] "+&r"(from), [to] "+&r"(to)
      : [end] "r"(end)
      : "r4", "r5", "r6", "r8", "cc", "memory");
#else
  for (; size > 0; size--, from++) {
    const uint32_t low = at_even_bytes(*from);
    *to++ = at_odd_bytes(at_sub_pairs(*from, low));
    *to++ = low;
  }
#endif
}

// The weights of four channels in the form that at_strip_run reads; returns where the next ones lie.
AT_INLINE const uint32_t *at_strip_block(uint32_t *block, const uint32_t *w, int32_t pairs) {
#if AT_LOADS_AHEAD
  for (int i = 0; i < 4; i += 2) {
    block[i] = (uint32_t)(at_sub((int32_t)w[i], (int32_t)w[i + 1]) >> 8);
    block[i + 1] = w[i + 1];
  }
  at_part_lanes(block + 4, w + 4, 2 * pairs);
  at_copy_words(block + 4 + 4 * pairs, w + 4 + 2 * pairs, 12);
#else
  // what is too much where pairs are odd, nothing reads
  at_copy_words(block, w, (16 + 2 * pairs + 3) & ~3);
#endif
  return w + 16 + 2 * pairs;
}

// Adds a pair of taps of two pixels and four channels; w is theirs in the block.
AT_INLINE void at_strip_pair(uint32_t a, uint32_t b, const uint32_t *w, int32_t sums[8]) {
  for (int i = 0; i < 8; i++) {
#if AT_LOADS_AHEAD
    const uint32_t weights = w[i / 2];
#else
    const uint32_t weights = i % 4 < 2 ? w[i / 4] : at_even_bytes(w[i / 4]);
#endif
    sums[i] = at_dual_mac(i % 2 ? b : a, weights, sums[i]);
  }
}

// The outputs of two pixels and four channels; q holds the constants of each channel.
AT_INLINE void at_strip_finish(const int32_t sums[8], const uint32_t *q, int8_t *y, int32_t second,
                               at_finish f) {
  for (int c = 0; c < 4; c++, q += 3) {
    for (int i = 1; i >= 0; i--) {
      int32_t sum = sums[2 * c + i] * 2;
#if !AT_LOADS_AHEAD
      if (c % 2 == 0) sum = at_sub(sums[2 * c + i], sums[2 * c + 2 + i]) >> 7;
#endif
      (y + i * second)[c] = at_finished(sum, q, f);
    }
  }
}

// The pixels of a strip, four channels.
AT_INLINE void at_strip_run(at_strip *s, int32_t pairs, at_finish f) {
#if AT_DSP
  register at_strip *frame __asm__("r0") = s;
  s->skip = ((uint32_t)-pairs & 7) * AT_STRIP_STEP_BYTES;
  AT_STRIP_FINISHED(AT_STRIP_RUN);
#else
  const uint32_t *x = s->x;
  for (int8_t *y = s->y; x != s->x_end; y += s->next) {
    const uint32_t *w = s->start + 4;
    int32_t sums[8];
    for (int i = 0; i < 8; i++) sums[i] = (int32_t)s->start[i / 2];
    for (int32_t k = 0; k < pairs; k++, x += 2, w += AT_LOADS_AHEAD ? 4 : 2)
      at_strip_pair(x[0], x[1], w, sums);
    at_strip_finish(sums, w, y, s->second, f);
  }
#endif
}

// Adds `pairs` pairs of one channel's weights to the sums of four pixels, two of them in each column.
AT_INLINE void at_four_dots(const uint32_t *x, const uint32_t *x2, const uint32_t *w, int32_t pairs,
                            int32_t sums[4]) {
  AT_UNROLL(4)
  for (int32_t k = 0; k < pairs; k++) {
    uint32_t a, b, c, d, by;
#if AT_DSP && !AT_LOADS_AHEAD
    __asm__ volatile(
        "ldr.w %[b], [%[x], #4]\nldr.w %[d], [%[x2], #4]\nldr.w %[by], [%[w]], #4\n"
        "ldr.w %[a], [%[x]], #8\nldr.w %[c], [%[x2]], #8\n"
        : [x] "+&r"(x), [x2] "+&r"(x2), [w] "+&r"(w), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c),
          [d] "=&r"(d), [by] "=&r"(by)
        :
        : "memory");
#else
    a = x[0], b = x[1], c = x2[0], d = x2[1], by = *w++;
    x += 2, x2 += 2;
#endif
    sums[0] = at_dual_mac(a, by, sums[0]);
    sums[1] = at_dual_mac(b, by, sums[1]);
    sums[2] = at_dual_mac(c, by, sums[2]);
    sums[3] = at_dual_mac(d, by, sums[3]);
  }
}

#endif
