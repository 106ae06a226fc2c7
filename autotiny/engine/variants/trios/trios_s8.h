// Convolutions on int8 with two multiplications for three pixels, for cores that multiply one pair of
// numbers at a time.
//
// Inputs a, b, c of three pixels become two words, P = b + 2^21·a and Q = c + 2^11·a. Summed up with
// the weights modulo 2^32 they give S = B + 2^21·A and T = C + 2^11·A. If |A|, |B|, |C| < 2^20, then S
// gives B and A modulo 2^11, and with that T gives C and the rest of A. The generator proves the bound
// from the weights, and cuts the taps in parts where all of them together may exceed it.
#ifndef AT_TRIOS_S8_H
#define AT_TRIOS_S8_H

#include "columns_s8.h"
#include "requantize.h"
#include "trios_run_s8.h"

typedef struct {
  at_rows rows;
  int32_t taps;  // of a filter, filled up to a multiple of 4
  int32_t part;  // of them whose sums stay in bounds, a multiple of 4
  int32_t strip; // pixels for each reading of the weights, 3 or a multiple of 6
} at_trios;

// Adds A, B and C, doubled.
AT_INLINE void at_part_trio(uint32_t s, uint32_t t, int32_t sums[3]) {
  const uint32_t low = (s + (1u << 20)) >> 21;  // A modulo 2^11
  const uint32_t rest = t - (low << 11);        // C + 2^22 · floor(A / 2^11)
  const int32_t high = (int32_t)(rest + (1u << 21)) >> 22;
  sums[0] += (int32_t)(low * 2) + high * (1 << 12);
  sums[1] += (int32_t)(s << 11) >> 10;
  sums[2] += (int32_t)(rest << 10) >> 9;
}

// P and Q of `size` bytes, at least one, of three pixels, every `apart` words.
AT_INLINE void at_twine(uint32_t *to, const int8_t *const from[3], int32_t size, int32_t apart) {
#if AT_THUMB
  register const int8_t *a __asm__("r0") = from[0] + size;
  register const int8_t *b __asm__("r1") = from[1] + size;
  register const int8_t *c __asm__("r2") = from[2] + size;
  register int32_t i __asm__("r3") = -size;
  register uint32_t *into __asm__("r4") = to;
  register int32_t skipped __asm__("r5") = 4 * apart - 8;
  __asm__ volatile(
      ".syntax unified\npush {r6, r7}\nmov r12, r5\n"
      "1:\nldrsb r6, [r0, r3]\nldrsb r7, [r1, r3]\nlsls r5, r6, #21\nadds r5, r5, r7\n"
      "ldrsb r7, [r2, r3]\nlsls r6, r6, #11\nadds r6, r6, r7\nstmia r4!, {r5, r6}\n"
      "add r4, r12\nadds r3, #1\nbne 1b\npop {r6, r7}\n"
      : "+l"(a), "+l"(b), "+l"(c), "+l"(i), "+l"(into), "+l"(skipped)
      :
      : "r12", "cc", "memory");
#else
  const int8_t *a = from[0], *b = from[1], *c = from[2];
  AT_ROLLED
  for (int32_t i = 0; i < size; i++, to += apart) {
    const uint32_t x = (uint32_t)a[i], y = (uint32_t)b[i], z = (uint32_t)c[i];
    to[0] = (x << 21) + y;
    to[1] = (x << 11) + z;
  }
#endif
}

// One channel of up to six pixels; columns is (taps, trios, 2) words. q holds (bias, multiplier,
// rounding, shift).
AT_INLINE void at_trios_of_channel(const uint32_t *columns, const int8_t *w, const uint32_t *q,
                                   int8_t *y, int32_t pixels, const at_trios *g, at_finish f) {
  int32_t sums[6];
  AT_ROLLED
  for (int32_t p = 0; p < 6; p++) sums[p] = (int32_t)q[0] * 2;
  AT_ROLLED
  for (int32_t left = g->taps; left > 0; left -= g->part) {
    const int32_t taps = at_min(left, g->part);
    uint32_t s[4];
    if (pixels > 3) {
      at_six_dots(columns, w, taps, s);
      at_part_trio(s[2], s[3], sums + 3);
      columns += 4 * taps;
    } else {
      at_three_dots(columns, w, taps, s);
      columns += 2 * taps;
    }
    at_part_trio(s[0], s[1], sums);
    w += taps;
  }
  at_finish_each(sums, q + 1, y, pixels, g->rows.s.out_c, f);
}

// x is (in_h, in_w, in_c), y is (out_h, out_w, out_c), w is (out_c, taps), c holds the constants of each
// channel. Strips of pixels run on from one row of outputs to the next; the ring holds the rows under
// all pixels of a block. columns has 2 · taps words for every three pixels of a strip.
AT_INLINE void at_conv_trios(const int8_t *x, const int8_t *w, const uint32_t *c, int8_t *y,
                             int8_t *ring, uint32_t *columns, const at_trios *trios, at_finish f) {
  const at_rows g = trios->rows;
  const int32_t run = g.s.k_w * g.s.in_c, pitch = g.slots ? g.pitch : g.s.in_w * g.s.in_c;
  const int32_t out_c = g.s.out_c;
  const int8_t *const image = g.slots ? ring : x;
  at_scan at = at_scan_of(ring, g);
  int32_t row = -g.s.stride_h, slot = 0;  // of the first row under the output
  AT_ROLLED
  for (int32_t rest = g.s.out_h * g.s.out_w; rest > 0; rest -= trios->strip) {
    const int32_t strip = at_min(rest, trios->strip);
    AT_ROLLED
    for (int32_t first = 0; first < strip; first += 6) {
      const int32_t pixels = at_min(strip - first, 6), apart = pixels > 3 ? 4 : 2;
      const int8_t *from[6];
      int32_t slots[6];
      AT_ROLLED
      for (int32_t p = 0; p < 6; p++) {
        if (p < pixels && at_advance(&at, ring, x, g)) {
          row += g.s.stride_h;
          slot = g.slots ? row % g.slots : row;
        }
        slots[p] = slot;
        from[p] = image + slot * pitch + at.c * g.s.stride_w * g.s.in_c;
      }
      uint32_t *to = columns + first / 6 * 4 * trios->taps;
      AT_ROLLED
      for (int32_t i = 0; i < g.s.k_h; i++, to += apart * run) {
        at_twine(to, from, run, apart);
        if (pixels > 3) at_twine(to + 2, from + 3, run, apart);
        AT_ROLLED
        for (int32_t p = 0; p < 6; p++) {
          from[p] += pitch;
          if (++slots[p] == g.slots) from[p] -= g.slots * pitch;
        }
      }
    }
    const int8_t *by = w;
    const uint32_t *q = c;
    AT_ROLLED
    for (int32_t k = 0; k < out_c; k++, by += trios->taps, q += 4) {
      const uint32_t *column = columns;
      int8_t *to = y + k;
      AT_ROLLED
      for (int32_t left = strip; left > 0; left -= 6, to += 6 * out_c, column += 4 * trios->taps)
        at_trios_of_channel(column, by, q, to, at_min(left, 6), trios, f);
    }
    y += strip * out_c;
  }
}

// One function for all layers of one finish.
#define AT_TRIOS(name, KIND)                                                               \
  AT_KERNEL(at_conv_trios_##name,                                                          \
            (const int8_t *x, const int8_t *w, const uint32_t *c, int8_t *y, int8_t *ring, \
             uint32_t *columns, const at_trios *trios, int32_t low, int32_t high), {       \
    const at_finish f = {KIND, low, high};                                                 \
    at_conv_trios(x, w, c, y, ring, columns, trios, f);                                    \
  })
AT_TRIOS(relu, AT_RELU)
AT_TRIOS(signed, AT_SIGNED)
AT_TRIOS(clamp, AT_CLAMP)
#undef AT_TRIOS

#endif
