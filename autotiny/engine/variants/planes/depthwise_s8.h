// Depthwise 3×3 convolution, one channel after the other: the channel's image is spread to int16 in
// scratch memory, with its padding, so that one word holds two neighbours of a line.
#ifndef AT_DEPTHWISE_S8_H
#define AT_DEPTHWISE_S8_H

#include "requantize.h"
#include "window.h"

// Lines are rows or columns of the image, whichever leave fewer odd ends. Distances in x and y count
// bytes, in the plane int16; all are constants where the kernel is called.
typedef struct {
  int32_t x_lines, x_length;  // of the input
  int32_t x_next, x_line;     // from one input element to the next, from one line to the next
  int32_t lines, length;      // of the output
  int32_t y_next, y_line;     // the same distances in the output
  int32_t stride;             // along a line: 1 or 2
  int32_t pitch;              // of the plane's lines, even
  int32_t apart;              // lines of the plane from one line of outputs to the next
  int32_t first;              // where the image begins in the plane, behind the padding
  int32_t size;               // int16 of the plane
} at_planes;

// One channel's image into the middle of the plane.
AT_INLINE void at_take_channel(const int8_t *x, int16_t *plane, at_planes g) {
  plane += g.first;
  AT_ROLLED
  for (int32_t r = 0; r < g.x_lines; r++, x += g.x_line, plane += g.pitch) {
#if AT_DSP && defined(__OPTIMIZE__)
    if (AT_KNOWN(g.x_length + g.x_next)) {
      const int8_t *from = x;
      int16_t *to = plane;
      const int32_t unroll = g.x_length % 6 == 0   ? 6
                             : g.x_length % 5 == 0 ? 5
                             : g.x_length % 4 == 0 ? 4
                             : g.x_length % 3 == 0 ? 3
                                                   : 1;
      int32_t left = g.x_length / unroll, element;
      __asm__ volatile(
          "1:\n.rept %c[unroll]\n"
          ".if %c[next] < 256\nldrsb %[e], [%[from]], #%c[next]\n"
          ".else\nldrsb %[e], [%[from]]\nadd %[from], %[from], #%c[next]\n.endif\n"
          "strh %[e], [%[to]], #2\n.endr\n"
          "subs %[left], %[left], #1\nbne 1b\n"
          : [from] "+r"(from), [to] "+r"(to), [left] "+r"(left), [e] "=&r"(element)
          : [next] "i"(g.x_next), [unroll] "i"(unroll)
          : "cc", "memory");
      continue;
    }
#endif
    for (int32_t c = 0; c < g.x_length; c++) plane[c] = x[c * g.x_next];
  }
}

// The doubled accumulator of the 3×3 patch that begins at p.
AT_INLINE int32_t at_plane_sum(const int16_t *p, const uint32_t *w, int32_t pitch) {
  int32_t acc = (int32_t)w[0];
  for (int i = 0; i < 3; i++, p += pitch)
    acc = at_add(acc, p[0] * at_low(w[1 + 2 * i]) + p[1] * at_low(w[2 + 2 * i]) +
                          p[2] * at_high(w[2 + 2 * i]));
  return acc;
}

#if AT_DSP && defined(__OPTIMIZE__)
#define AT_BOUND(a)                                    \
  "cmp " a ", #%c[low]\nit lt\nmovlt " a ", #%c[low]\n" \
  "cmp " a ", #%c[high]\nit gt\nmovgt " a ", #%c[high]\n"
#endif

// One channel of outputs. For each channel w holds the doubled bias, for each line of the filter the
// doubled weights as pairs (0, 1) and (1, 2), then (multiplier, rounding, shift).
AT_INLINE void at_convolve_plane(const int16_t *plane, const uint32_t *w, int8_t *y, at_planes g,
                                 at_finish f) {
#if AT_DSP && defined(__OPTIMIZE__)
// r4 to r9 hold the filter, r10 and r11 multiplier and rounding, r0 runs over the plane, r1 over y;
// stack words: 0 bias, 1 shift, 2 where r0 ends this line, 3 lines left. r7 may be a frame pointer.
#define AT_RELU_ONE(a) "smmlar " a ", " a ", r10, r11\nasr " a ", r2\nssat " a ", #8, " a "\n"
#define AT_SIGNED_ONE(a)                                                                  \
  "smmulr " a ", " a ", r10\nadd " a ", " a ", " a ", asr #31\nadd " a ", " a ", r11\n"   \
  "asr " a ", r2\nssat " a ", #8, " a "\n"
#define AT_CLAMP_ONE(a)                                                                   \
  "smmulr " a ", " a ", r10\nadd " a ", " a ", " a ", asr #31\nadd " a ", " a ", r11\n"   \
  "asr " a ", r2\n" AT_BOUND(a)
#define AT_LINE_TWO(load, w01, w12) /* two outputs from words (0, 1) and (2, 3) */        \
  load "smlad r12, r2, " w01 ", r12\nsmlatb lr, r2, " w01 ", lr\n"                         \
  "smlabt r12, r3, " w12 ", r12\nsmlad lr, r3, " w12 ", lr\n"
#define AT_LINE_ONE(load, w01, w12) \
  load "smlad r12, r2, " w01 ", r12\nsmlabt r12, r3, " w12 ", r12\n"
#define AT_ONE(first, finish)                                                             \
  "ldr r12, [sp]\n" AT_LINE_ONE(first, "r4", "r5")                                        \
  AT_LINE_ONE("ldrd r2, r3, [r0, #%c[line1]]\n", "r6", "r7")                              \
  AT_LINE_ONE("ldrd r2, r3, [r0, #%c[line2]]\n", "r8", "r9")                              \
  "ldr r2, [sp, #4]\n" finish("r12") "strb r12, [r1]\n"
#define AT_TWO(finish)                                                                    \
  "ldr lr, [sp]\nldrd r2, r3, [r0], #4\n"                                                 \
  "smlad r12, r2, r4, lr\nsmlatb lr, r2, r4, lr\n"                                        \
  "smlabt r12, r3, r5, r12\nsmlad lr, r3, r5, lr\n"                                       \
  AT_LINE_TWO("ldrd r2, r3, [r0, #%c[line1]]\n", "r6", "r7")                              \
  AT_LINE_TWO("ldrd r2, r3, [r0, #%c[line2]]\n", "r8", "r9")                              \
  "ldr r2, [sp, #4]\n" finish("lr") finish("r12")                                         \
  "strb lr, [r1, #%c[next]]\nstrb r12, [r1]\n" AT_MOVED("r1", "2*%c[next]")
#define AT_PLANE(body, tail)                                                              \
  __asm__ volatile(                                                                       \
      "push {r7}\nsub sp, sp, #16\n"                                                      \
      "ldmia r2!, {r3-r9}\nldmia r2, {r10-r12}\nstrd r3, r12, [sp]\n"                     \
      "mov r3, #%c[lines]\nstr r3, [sp, #12]\n"                                           \
      "2:\n.if %c[steps]\nadd r3, r0, #4*%c[steps]\nstr r3, [sp, #8]\n"                   \
      "1:\n" body "ldr r3, [sp, #8]\ncmp r0, r3\nbne 1b\n.endif\n" tail                   \
      "add r0, r0, #%c[plane_line]\n"                                                     \
      AT_MOVED("r1", "%c[y_line]")                                                        \
      "ldr r3, [sp, #12]\nsubs r3, r3, #1\nstr r3, [sp, #12]\nbne 2b\n"                   \
      "add sp, sp, #16\npop {r7}\n"                                                       \
      : "+r"(from), "+r"(to), "+r"(stream)                                                \
      : [lines] "i"(g.lines), [steps] "i"(steps), [odd] "i"(odd), [next] "i"(g.y_next),   \
        [line1] "i"(2 * g.pitch - 4), [line2] "i"(4 * g.pitch - 4),                       \
        [tail1] "i"(2 * g.pitch), [tail2] "i"(4 * g.pitch),                               \
        [plane_line] "i"(2 * g.pitch * g.apart - 4 * steps),                              \
        [y_line] "i"(g.y_line - steps * (g.stride == 1 ? 2 : 1) * g.y_next),              \
        [low] "i"(f.low), [high] "i"(f.high)                                              \
      : "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory")
#define AT_TAIL(finish) /* the last of an odd number of outputs */                        \
  ".if %c[odd]\nldr r12, [sp]\n" AT_LINE_ONE("ldrd r2, r3, [r0]\n", "r4", "r5")           \
  AT_LINE_ONE("ldrd r2, r3, [r0, #%c[tail1]]\n", "r6", "r7")                              \
  AT_LINE_ONE("ldrd r2, r3, [r0, #%c[tail2]]\n", "r8", "r9")                              \
  "ldr r2, [sp, #4]\n" finish("r12") "strb r12, [r1]\n.endif\n"
#define AT_STEP_ONE(finish) AT_ONE("ldrd r2, r3, [r0], #4\n", finish) "add r1, r1, #%c[next]\n"
  if (AT_KNOWN(g.length + g.stride + (int32_t)f.kind)) {
    register const int16_t *from __asm__("r0") = plane;
    register int8_t *to __asm__("r1") = y;
    register const uint32_t *stream __asm__("r2") = w;
    const int32_t steps = g.stride == 1 ? g.length / 2 : g.length;
    const int32_t odd = g.stride == 1 && g.length % 2;
    if (g.stride == 1 && f.kind == AT_RELU)
      AT_PLANE(AT_TWO(AT_RELU_ONE), AT_TAIL(AT_RELU_ONE));
    else if (g.stride == 1 && f.kind == AT_SIGNED)
      AT_PLANE(AT_TWO(AT_SIGNED_ONE), AT_TAIL(AT_SIGNED_ONE));
    else if (g.stride == 1)
      AT_PLANE(AT_TWO(AT_CLAMP_ONE), AT_TAIL(AT_CLAMP_ONE));
    else if (f.kind == AT_RELU)
      AT_PLANE(AT_STEP_ONE(AT_RELU_ONE), "");
    else if (f.kind == AT_SIGNED)
      AT_PLANE(AT_STEP_ONE(AT_SIGNED_ONE), "");
    else
      AT_PLANE(AT_STEP_ONE(AT_CLAMP_ONE), "");
    return;
  }
#undef AT_STEP_ONE
#undef AT_TAIL
#undef AT_PLANE
#undef AT_TWO
#undef AT_ONE
#undef AT_LINE_ONE
#undef AT_LINE_TWO
#endif
  AT_ROLLED
  for (int32_t r = 0; r < g.lines; r++, plane += g.pitch * g.apart, y += g.y_line) {
    AT_ROLLED
    for (int32_t c = 0; c < g.length; c += 16) {
      const int32_t size = at_min(16, g.length - c);
      int32_t sums[16];
      AT_ROLLED
      for (int32_t i = 0; i < size; i++)
        sums[i] = at_plane_sum(plane + (c + i) * g.stride, w, g.pitch);
      at_finish_each(sums, w + 7, y + c * g.y_next, size, g.y_next, f);
    }
  }
}

// The same with 2×2 max-pooling behind; g's lines, length and distances in y are those of the pooled
// outputs, the convolution has stride 1.
AT_INLINE void at_convolve_plane_max(const int16_t *plane, const uint32_t *w, int8_t *y,
                                     at_planes g, at_finish f) {
#if AT_DSP && defined(__OPTIMIZE__)
// Registers as above, the four outputs under a window in r10, r11 (upper line), r12, lr; stack words:
// 0 bias, 1 multiplier, 2 rounding, 3 shift, 4 where r0 ends this line, 5 lines left.
#define AT_UPPER(w01, w12)                                       \
  "smlad r10, r2, " w01 ", r10\nsmlatb r11, r2, " w01 ", r11\n"  \
  "smlabt r10, r3, " w12 ", r10\nsmlad r11, r3, " w12 ", r11\n"
#define AT_LOWER(w01, w12)                                       \
  "smlad r12, r2, " w01 ", r12\nsmlatb lr, r2, " w01 ", lr\n"    \
  "smlabt r12, r3, " w12 ", r12\nsmlad lr, r3, " w12 ", lr\n"
#define AT_MAX(a, b) "cmp " a ", " b "\nit lt\nmovlt " a ", " b "\n"
#define AT_POOLED_RELU "smmlar r10, r10, r3, r11\nasr r10, r12\nssat r10, #8, r10\n"
#define AT_POOLED_SIGNED                                                           \
  "smmulr r10, r10, r3\nadd r10, r10, r10, asr #31\nadd r10, r10, r11\n"           \
  "asr r10, r12\nssat r10, #8, r10\n"
#define AT_POOLED_CLAMP                                                            \
  "smmulr r10, r10, r3\nadd r10, r10, r10, asr #31\nadd r10, r10, r11\n"           \
  "asr r10, r12\n" AT_BOUND("r10")
#define AT_PLANE_MAX(finish)                                                                \
  __asm__ volatile(                                                                         \
      "push {r7}\nsub sp, sp, #24\n"                                                        \
      "ldmia r2!, {r3-r9}\nldmia r2, {r10-r12}\nstrd r3, r10, [sp]\nstrd r11, r12, [sp, #8]\n" \
      "mov r3, #%c[lines]\nstr r3, [sp, #20]\n"                                             \
      "2:\nadd r3, r0, #4*%c[length]\nstr r3, [sp, #16]\n"                                  \
      "1:\nldrd r2, r3, [r0], #4\n"                                                         \
      "smuad r10, r2, r4\nsmultb r11, r2, r4\nsmlabt r10, r3, r5, r10\nsmlad r11, r3, r5, r11\n" \
      "ldrd r2, r3, [r0, #%c[line1]]\n" AT_UPPER("r6", "r7")                                \
      "smuad r12, r2, r4\nsmultb lr, r2, r4\nsmlabt r12, r3, r5, r12\nsmlad lr, r3, r5, lr\n" \
      "ldrd r2, r3, [r0, #%c[line2]]\n" AT_UPPER("r8", "r9") AT_LOWER("r6", "r7")           \
      "ldrd r2, r3, [r0, #%c[line3]]\n" AT_LOWER("r8", "r9")                                \
      AT_MAX("r10", "r11") AT_MAX("r12", "lr") AT_MAX("r10", "r12")                         \
      "ldrd r2, r3, [sp]\nldrd r11, r12, [sp, #8]\nadd r10, r10, r2\n" finish               \
      "strb r10, [r1]\nadd r1, r1, #%c[next]\n"                                             \
      "ldr r3, [sp, #16]\ncmp r0, r3\nbne 1b\n"                                             \
      "add r0, r0, #%c[plane_line]\n"                                                       \
      AT_MOVED("r1", "%c[y_line]")                                                          \
      "ldr r3, [sp, #20]\nsubs r3, r3, #1\nstr r3, [sp, #20]\nbne 2b\n"                     \
      "add sp, sp, #24\npop {r7}\n"                                                         \
      : "+r"(from), "+r"(to), "+r"(stream)                                                  \
      : [lines] "i"(g.lines), [length] "i"(g.length), [next] "i"(g.y_next),                 \
        [line1] "i"(2 * g.pitch - 4), [line2] "i"(4 * g.pitch - 4),                         \
        [line3] "i"(6 * g.pitch - 4), [plane_line] "i"(4 * g.pitch - 4 * g.length),         \
        [y_line] "i"(g.y_line - g.length * g.y_next), [low] "i"(f.low), [high] "i"(f.high)  \
      : "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory")
  if (AT_KNOWN(g.length + (int32_t)f.kind)) {
    register const int16_t *from __asm__("r0") = plane;
    register int8_t *to __asm__("r1") = y;
    register const uint32_t *stream __asm__("r2") = w;
    if (f.kind == AT_RELU)
      AT_PLANE_MAX(AT_POOLED_RELU);
    else if (f.kind == AT_SIGNED)
      AT_PLANE_MAX(AT_POOLED_SIGNED);
    else
      AT_PLANE_MAX(AT_POOLED_CLAMP);
    return;
  }
#undef AT_PLANE_MAX
#undef AT_POOLED_CLAMP
#undef AT_POOLED_SIGNED
#undef AT_POOLED_RELU
#undef AT_MAX
#undef AT_LOWER
#undef AT_UPPER
#endif
  AT_ROLLED
  for (int32_t r = 0; r < g.lines; r++, plane += 2 * g.pitch, y += g.y_line) {
    AT_ROLLED
    for (int32_t c = 0; c < g.length; c++) {
      int32_t best = INT32_MIN;
      for (int j = 0; j < 4; j++)
        best = at_max(best, at_plane_sum(plane + j / 2 * g.pitch + 2 * c + j % 2, w, g.pitch));
      y[c * g.y_next] = at_finished(best, w + 7, f);
    }
  }
}

// x is (in_h, in_w, channels), y is (out_h, out_w, channels).
AT_INLINE void at_depthwise_3x3_s8(const int8_t *x, const uint32_t *w, int8_t *y, int16_t *plane,
                                   int32_t channels, int32_t zero, at_planes g, at_finish f) {
  AT_ROLLED
  for (int32_t i = 0; i < g.size; i++) plane[i] = (int16_t)zero;
  AT_ROLLED
  for (int32_t k = 0; k < channels; k++, w += 10) {
    at_take_channel(x + k, plane, g);
    at_convolve_plane(plane, w, y + k, g, f);
  }
}

// Convolution of a one-channel image: x is (in_h, in_w), y is (out_h, out_w, channels).
AT_INLINE void at_conv_plane_3x3_s8(const int8_t *x, const uint32_t *w, int8_t *y, int16_t *plane,
                                    int32_t channels, int32_t zero, at_planes g, at_finish f) {
  AT_ROLLED
  for (int32_t i = 0; i < g.size; i++) plane[i] = (int16_t)zero;
  at_take_channel(x, plane, g);
  AT_ROLLED
  for (int32_t k = 0; k < channels; k++, w += 10) at_convolve_plane(plane, w, y + k, g, f);
}

// The same with 2×2 max-pooling behind.
AT_INLINE void at_conv_plane_3x3_max_pool_s8(const int8_t *x, const uint32_t *w, int8_t *y,
                                             int16_t *plane, int32_t channels, int32_t zero,
                                             at_planes g, at_finish f) {
  AT_ROLLED
  for (int32_t i = 0; i < g.size; i++) plane[i] = (int16_t)zero;
  at_take_channel(x, plane, g);
  AT_ROLLED
  for (int32_t k = 0; k < channels; k++, w += 10) at_convolve_plane_max(plane, w, y + k, g, f);
}

#if AT_DSP && defined(__OPTIMIZE__)
#undef AT_CLAMP_ONE
#undef AT_SIGNED_ONE
#undef AT_RELU_ONE
#undef AT_BOUND
#endif
#endif
