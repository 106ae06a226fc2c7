// Int8 convolutions and dense layers whose weights lie in model order: two dot products at a time
// share one of their operands, which is what eight registers can hold.
#ifndef AT_DOTS_S8_H
#define AT_DOTS_S8_H

#include "columns_s8.h"
#include "requantize.h"

// Adds to sums shared · p and shared · q, over size int8, at least one.
AT_INLINE void at_two_dots(const int8_t *shared, const int8_t *p, const int8_t *q, int32_t size,
                           int32_t sums[2]) {
  int32_t a = sums[0], b = sums[1];
#if defined(__GNUC__) && defined(__ARM_ARCH_ISA_THUMB) && !AT_DSP
  int32_t s, t;
#if __ARM_ARCH_ISA_THUMB == 1
  // The index runs up to zero. One sum lies in a high register: all low ones are taken.
  int32_t i = -size;
  __asm__ volatile(
      ".syntax unified\n"
      "1:\nldrsb %[s], [%[w], %[i]]\nldrsb %[t], [%[p], %[i]]\nmuls %[t], %[s], %[t]\n"
      "adds %[a], %[a], %[t]\nldrsb %[t], [%[q], %[i]]\nmuls %[t], %[s], %[t]\n"
      "add %[b], %[b], %[t]\nadds %[i], #1\nbne 1b\n"
      : [a] "+l"(a), [b] "+h"(b), [i] "+l"(i), [s] "=&l"(s), [t] "=&l"(t)
      : [w] "l"(shared + size), [p] "l"(p + size), [q] "l"(q + size)
      : "cc", "memory");
#else
#define AT_TAP                                                                       \
  "ldrsb %[s], [%[w]], #1\nldrsb %[t], [%[p]], #1\nmla %[a], %[s], %[t], %[a]\n"     \
  "ldrsb %[t], [%[q]], #1\nmla %[b], %[s], %[t], %[b]\n"
  for (; size % 4 != 0; size--) {
    a += *shared * *p++;
    b += *shared++ * *q++;
  }
  if (size > 0)
    __asm__ volatile("1:\n" AT_TAP AT_TAP AT_TAP AT_TAP "subs %[n], #4\nbne 1b\n"
                     : [a] "+r"(a), [b] "+r"(b), [w] "+r"(shared), [p] "+r"(p), [q] "+r"(q),
                       [n] "+r"(size), [s] "=&r"(s), [t] "=&r"(t)
                     :
                     : "cc", "memory");
#undef AT_TAP
#endif
#else
#if AT_DSP
  AT_ROLLED
  for (; size >= 4; size -= 4, shared += 4, p += 4, q += 4) {
    const uint32_t s = at_word(shared), u = at_word(p), v = at_word(q);
    const uint32_t even = at_even_bytes(s), odd = at_odd_bytes(s);
    a = at_dual_mac(odd, at_odd_bytes(u), at_dual_mac(even, at_even_bytes(u), a));
    b = at_dual_mac(odd, at_odd_bytes(v), at_dual_mac(even, at_even_bytes(v), b));
  }
#endif
  AT_UNROLL(4)
  for (int32_t i = 0; i < size; i++) {
    const int32_t s = shared[i];
    a += s * p[i];
    b += s * q[i];
  }
#endif
  sums[0] = a;
  sums[1] = b;
}

// All channels of two patches of `taps` int8. w is (channels, taps), c holds (bias, multiplier,
// rounding, shift) of each channel; y0 and y1 may be equal, y0 is written last.
AT_INLINE void at_dots_of_patches(const int8_t *x0, const int8_t *x1, const int8_t *w,
                                  const uint32_t *c, int8_t *y0, int8_t *y1, int32_t taps,
                                  int32_t channels, at_finish f) {
  AT_ROLLED
  for (int32_t k = 0; k < channels; k++, w += taps, c += 4) {
    int32_t sums[2] = {(int32_t)c[0], (int32_t)c[0]};
    at_two_dots(w, x0, x1, taps, sums);
    y1[k] = at_finished(sums[1] * 2, c + 1, f);
    y0[k] = at_finished(sums[0] * 2, c + 1, f);
  }
}

// x is (in_h, in_w, in_c), y is (out_h, out_w, out_c). Scratch: the ring; two patches.
AT_INLINE void at_conv_dots(const int8_t *x, const int8_t *w, const uint32_t *c, int8_t *y,
                            int8_t *ring, int8_t *patches, const at_rows *rows, at_finish f) {
  const at_rows g = *rows;
  const int32_t run = g.s.k_w * g.s.in_c, taps = g.s.k_h * run;
  int32_t next = -g.s.pad_top;
  if (g.slots) at_fill(ring, g.zero, (uint32_t)(g.slots * g.pitch));
  for (int32_t r = 0; r < g.s.out_h; r++) {
    const int32_t top = r * g.s.stride_h - g.s.pad_top;
    if (g.slots) next = at_load_rows(ring, x, next, top + g.s.k_h, g);
    for (int32_t column = 0; column < g.s.out_w; column += 2) {
      const int32_t more = column + 1 < g.s.out_w;
      AT_ROLLED
      for (int32_t p = 0; p < 2; p++) {
        const int32_t left = (column + (p & more)) * g.s.stride_w * g.s.in_c;
        AT_ROLLED
        for (int32_t i = 0; i < g.s.k_h; i++)
          at_move(patches + p * taps + i * run, at_row(ring, x, top + i, g) + left, run);
      }
      at_dots_of_patches(patches, patches + taps, w, c, y, more ? y + g.s.out_c : y, taps,
                         g.s.out_c, f);
      y += more ? 2 * g.s.out_c : g.s.out_c;
    }
  }
}

// x is (depth), y is (out), w is (out, depth), c as above.
AT_INLINE void at_dense_dots(const int8_t *x, const int8_t *w, const uint32_t *c, int8_t *y,
                             int32_t depth, int32_t out, at_finish f) {
  AT_ROLLED
  for (int32_t k = 0; k < out; k += 2, w += 2 * depth, c += 8) {
    const int32_t more = k + 1 < out;
    int32_t sums[2] = {(int32_t)c[0], more ? (int32_t)c[4] : 0};
    at_two_dots(x, w, more ? w + depth : w, depth, sums);
    y[k] = at_finished(sums[0] * 2, c + 1, f);
    if (more) y[k + 1] = at_finished(sums[1] * 2, c + 5, f);
  }
}

// One function for all layers of one finish.
#define AT_DOTS(name, KIND)                                                                 \
  AT_KERNEL(at_conv_dots_##name,                                                            \
            (const int8_t *x, const int8_t *w, const uint32_t *c, int8_t *y, int8_t *ring,  \
             int8_t *patches, const at_rows *rows, int32_t low, int32_t high), {            \
    const at_finish f = {KIND, low, high};                                                  \
    at_conv_dots(x, w, c, y, ring, patches, rows, f);                                       \
  })                                                                                        \
  AT_KERNEL(at_dense_dots_##name,                                                           \
            (const int8_t *x, const int8_t *w, const uint32_t *c, int8_t *y, int32_t depth, \
             int32_t out, int32_t low, int32_t high), {                                     \
    const at_finish f = {KIND, low, high};                                                  \
    at_dense_dots(x, w, c, y, depth, out, f);                                               \
  })
AT_DOTS(relu, AT_RELU)
AT_DOTS(signed, AT_SIGNED)
AT_DOTS(clamp, AT_CLAMP)
#undef AT_DOTS

#endif
