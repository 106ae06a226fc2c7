// Convolutions on int8 with few channels, whose pixels are read where the rows under them lie.
//
// The rows under some rows of outputs are spread to int16, one below the other; what stays under the next
// ones moves up. Words of two pixels side by side begin at words if a pixel's step is an even number of
// int16; where it is odd, beside each word lies the one that is a step further. Weights of four channels
// at a time are brought to SRAM as in strip_s8.h.
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

// A row twice, every second word: (0, 1), (2, 3), … to `even`, (zero, 0), (1, 2), … to `odd`; what is
// missing at the end is zero.
AT_INLINE void at_widen_twice(uint32_t *even, uint32_t *odd, const int8_t *x, int32_t size,
                              int32_t zero) {
  uint32_t last = at_pair(0, zero);  // the upper half is the int16 before x
  AT_ROLLED
  for (; size >= 4; size -= 4, x += 4, even += 4, odd += 4) {
    const uint32_t a = at_even_bytes(at_word(x)), b = at_odd_bytes(at_word(x));
    even[0] = at_pack_low(a, b);
    even[2] = at_pack_high(a, b);
    odd[0] = last >> 16 | a << 16;
    odd[2] = (b & 0xffffu) | (a & 0xffff0000u);
    last = b;
  }
  AT_ROLLED
  for (; size > 0; size -= 2, x += 2, even += 2, odd += 2) {
    const int32_t second = size > 1 ? x[1] : zero;
    even[0] = at_pair(x[0], second);
    odd[0] = at_pair(at_high(last), x[0]);
    last = at_pair(0, second);
  }
  odd[0] = at_pair(at_high(last), zero);
}

// x is (in_h, in_w, in_c), y is (out_h, out_w, out_c), w as for at_strip_channels; `at_once` rows of y
// are computed for each copy of the weights. rows is (k_h + (at_once - 1) * stride_h, pitch) words, a
// multiple of 4 a row, of which `lead` come before the padding; for `in_code` rows of a filter stands
// the code of an M4.
AT_INLINE void at_slide_conv(const int8_t *x, const uint32_t *w, int8_t *y, uint32_t *rows,
                             uint32_t *block, at_window s, int32_t at_once, int32_t pitch,
                             int32_t lead, int32_t in_code, int32_t zero, at_finish f) {
  const int32_t step = s.stride_w * s.in_c, copies = 1 + step % 2, size = s.in_w * s.in_c;
  const int32_t words = (s.k_w * s.in_c + 1) / 2, pairs = s.k_h * words;
  const int32_t beside = step % 2 ? 4 : 2 * step;
  const at_slide g = {s.k_h, words, in_code, 4 * pitch, 4 * copies, beside, 4 * copies * step};
  const int32_t kept = at_max(s.k_h - s.stride_h, 0), even = s.out_w & ~1;
  const int32_t first = s.pad_left * s.in_c;  // int16 of padding
  // Where x begins in a row, among the words of a pixel and among those a step further.
  const int32_t near = lead + 2 * (first / 2);
  const int32_t far = lead + 2 * ((first - step - 1 + first % 2) / 2) + 1;
  const uint32_t zeros = at_pair(zero, zero);
  AT_ROLLED
  for (int32_t i = 0; i < (s.k_h + (at_once - 1) * s.stride_h) * pitch; i++) rows[i] = zeros;
  at_strip run;
  run.start = block;
  run.end = block + 4 + (AT_LOADS_AHEAD ? 4 : 2) * pairs;
  run.next = 2 * s.out_c;
  AT_ROLLED
  for (int32_t r = 0; r < s.out_h; r += at_once) {
    const int32_t top = r * s.stride_h - s.pad_top, count = at_min(at_once, s.out_h - r);
    if (r && kept) at_copy_words(rows, rows + at_once * s.stride_h * pitch, kept * pitch);
    AT_ROLLED
    for (int32_t i = r ? kept : 0; i < s.k_h + (count - 1) * s.stride_h; i++) {
      uint32_t *const row = rows + i * pitch;
      const int32_t from = (top + i) * size;
      if (top + i < 0 || top + i >= s.in_h) {
        AT_ROLLED
        for (int32_t k = 0; k < pitch; k++) row[k] = zeros;
      } else if (copies == 1) {
        at_widen_from(row, first, x + from, size);
      } else if (first % 2) {
        at_widen_twice(row + far, row + near, x + from, size, zero);
      } else {
        at_widen_twice(row + near, row + far, x + from, size, zero);
      }
    }
    const uint32_t *from = w;
    AT_ROLLED
    for (int32_t k = 0; k < s.out_c; k += 4) {
      from = at_strip_block(block, from, pairs);
      const uint32_t *row = rows + lead;
      int8_t *to = y + k;
      AT_ROLLED
      for (int32_t i = 0; i < count; i++, row += s.stride_h * pitch, to += s.out_w * s.out_c) {
        // As in at_strip_channels: the last one of an odd number is written twice.
        AT_ROLLED
        for (int32_t c = 0; c < s.out_w; c += even ? even : 1) {
          const int32_t steps = c < even ? even / 2 : 1;
          run.x = row + c / 2 * copies * step;
          run.x_end = run.x + steps * copies * step;
          run.y = to + c * s.out_c;
          run.second = c < even ? s.out_c : 0;
          at_slide_run(&run, g, f);
        }
      }
    }
    y += at_once * s.out_w * s.out_c;
  }
}

#endif
