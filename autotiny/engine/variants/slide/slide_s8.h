// Convolutions on int8 with few channels, whose pixels are read where the rows under them lie.
//
// The rows under one row of outputs are spread to int16, one below the other; what stays under the next
// row of outputs moves up. Words of two pixels side by side begin at words if a pixel's step is an even
// number of int16; where it is odd, the second one is read from a copy of the rows that is one further.
// Weights of four channels at a time are brought to SRAM as in strip_s8.h.
#ifndef AT_SLIDE_S8_H
#define AT_SLIDE_S8_H

#include "slide_run_s8.h"
#include "strip_s8.h"

// A row from an int16 on; size is not 0.
AT_INLINE void at_widen_from(uint32_t *row, int32_t first, const int8_t *x, int32_t size) {
  uint32_t *to = row + first / 2;
  if (first % 2) {
    *to = at_pair(at_low(*to), x[0]);
    to++, x++, size--;
  }
  at_widen(to, x, size);
}

// x is (in_h, in_w, in_c), y is (out_h, out_w, out_c), w as for at_strip_channels; rows is (copies, k_h,
// pitch) words, a multiple of 4 a row.
AT_INLINE void at_slide_conv(const int8_t *x, const uint32_t *w, int8_t *y, uint32_t *rows,
                             uint32_t *block, at_window s, int32_t pitch, int32_t at_once,
                             int32_t zero, at_finish f) {
  const int32_t step = s.stride_w * s.in_c, copies = 1 + step % 2, size = s.in_w * s.in_c;
  const int32_t words = (s.k_w * s.in_c + 1) / 2, pairs = s.k_h * words;
  const int32_t beside = step % 2 ? 4 * s.k_h * pitch + 2 * step + 2 : 2 * step;
  const at_slide g = {s.k_h, words, at_once, 4 * pitch, beside, 4 * step};
  const int32_t kept = at_max(s.k_h - s.stride_h, 0), even = s.out_w & ~1;
  const uint32_t zeros = at_pair(zero, zero);
  AT_ROLLED
  for (int32_t i = 0; i < copies * s.k_h * pitch; i++) rows[i] = zeros;
  at_strip run;
  run.start = block;
  run.end = block + 4 + (AT_LOADS_AHEAD ? 4 : 2) * pairs;
  run.next = 2 * s.out_c;
  AT_ROLLED
  for (int32_t r = 0; r < s.out_h; r++, y += s.out_w * s.out_c) {
    const int32_t top = r * s.stride_h - s.pad_top;
    AT_ROLLED
    for (int32_t copy = 0; copy < copies; copy++) {
      uint32_t *const to = rows + copy * s.k_h * pitch;
      if (r && kept) at_copy_words(to, to + s.stride_h * pitch, kept * pitch);
      AT_ROLLED
      for (int32_t i = r ? kept : 0; i < s.k_h; i++) {
        if (top + i >= 0 && top + i < s.in_h) {
          at_widen_from(to + i * pitch, copy + s.pad_left * s.in_c, x + (top + i) * size, size);
        } else {
          AT_ROLLED
          for (int32_t k = 0; k < pitch; k++) to[i * pitch + k] = zeros;
        }
      }
    }
    const uint32_t *from = w;
    AT_ROLLED
    for (int32_t k = 0; k < s.out_c; k += 4) {
      from = at_strip_block(block, from, pairs);
      // As in at_strip_channels: the last one of an odd number is written twice.
      AT_ROLLED
      for (int32_t first = 0; first < s.out_w; first += even ? even : 1) {
        const int32_t steps = first < even ? even / 2 : 1;
        run.x = rows + first / 2 * step;
        run.x_end = run.x + steps * step;
        run.y = y + first * s.out_c + k;
        run.second = first < even ? s.out_c : 0;
        at_slide_run(&run, g, f);
      }
    }
  }
}

#endif
