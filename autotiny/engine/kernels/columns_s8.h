// Patches of an image as columns of int16 pairs.
#ifndef AT_COLUMNS_S8_H
#define AT_COLUMNS_S8_H

#include "window.h"

// Bytes 0 … size - 1 (a multiple of 4) of x as pairs (0, 2), (1, 3), (4, 6), …, every `apart` words.
// Returns where the next pair goes.
AT_INLINE uint32_t *at_spread(uint32_t *to, const int8_t *x, int32_t size, int32_t apart) {
  const int8_t *end = x + size;
#if AT_DSP
  uint32_t even, odd;
  __asm__ volatile(
      "1:\nldr %[odd], [%[x]], #4\n"
      "sxtb16 %[even], %[odd]\nsxtb16 %[odd], %[odd], ror #8\n"
      "str %[even], [%[to]]\nstr %[odd], [%[to], %[apart]]\nadd %[to], %[to], %[apart], lsl #1\n"
      "cmp %[x], %[end]\nbne 1b\n"
      : [x] "+r"(x), [to] "+r"(to), [even] "=&r"(even), [odd] "=&r"(odd)
      : [end] "r"(end), [apart] "r"(4 * apart)
      : "cc", "memory");
#else
  for (; x != end; x += 4, to += 2 * apart) {
    to[0] = at_even_bytes(at_word(x));
    to[apart] = at_odd_bytes(at_word(x));
  }
#endif
  return to;
}

// size bytes, word by word; from and to need not be aligned.
AT_INLINE void at_move(int8_t *to, const int8_t *from, int32_t size) {
  AT_ROLLED
  for (; size >= 4; size -= 4, to += 4, from += 4) at_put_word(to, at_word(from));
  AT_ROLLED
  for (; size > 0; size--) *to++ = *from++;
}

// size words; size is a multiple of 4 and not 0.
AT_INLINE void at_copy_words(uint32_t *to, const uint32_t *from, int32_t size) {
#if AT_DSP
  const uint32_t *end = from + size;
  __asm__ volatile(
      ".p2align 2\n1:\nldm.w %[from]!, {r4, r5, r6, r8}\nstm.w %[to]!, {r4, r5, r6, r8}\n"
      "cmp %[from], %[end]\nbne 1b\n"
      : [from] "+&r"(from), [to] "+&r"(to)
      : [end] "r"(end)
      : "r4", "r5", "r6", "r8", "cc", "memory");
#else
  for (; size > 0; size--) *to++ = *from++;
#endif
}

// Rows of `size` bytes that begin `apart` bytes from each other move together, to y at or before x.
AT_INLINE void at_close_rows(const int8_t *x, int8_t *y, int32_t rows, int32_t apart,
                             int32_t size) {
  AT_ROLLED
  for (int32_t r = 0; r < rows; r++) at_move(y + r * size, x + r * apart, size);
}

// at_move, but up to 3 bytes more; size is not 0.
AT_INLINE void at_join(int8_t *to, const int8_t *from, int32_t size) {
#if AT_DSP
  uint32_t word;
  __asm__ volatile(
      "1:\nldr %[word], [%[from]], #4\nsubs %[size], #4\nstr %[word], [%[to]], #4\nbgt 1b\n"
      : [from] "+r"(from), [to] "+r"(to), [size] "+r"(size), [word] "=&r"(word)
      :
      : "cc", "memory");
#else
  for (int32_t k = 0; k < size; k += 4) at_put_word(to + k, at_word(from + k));
#endif
}

// The rows of an image that lie under one row of outputs, padding included: a ring in scratch
// memory holds those loaded so far. Without padding the rows are read where they are.
typedef struct {
  at_window s;
  int32_t slots;  // rows of the ring; 0: no padding, no ring
  int32_t pitch;  // bytes of a padded row
  int8_t zero;    // the stored zero of the image
} at_rows;

// Load the rows below `end` that are not in the ring yet; returns the new first one to load.
AT_INLINE int32_t at_load_rows(int8_t *ring, const int8_t *x, int32_t next, int32_t end,
                               at_rows g) {
  const int32_t size = g.s.in_w * g.s.in_c;
  AT_ROLLED
  for (; next < end; next++) {
    int8_t *to = ring + (next + g.s.pad_top) % g.slots * g.pitch;
    if (next < 0 || next >= g.s.in_h)
      at_fill(to, g.zero, (uint32_t)g.pitch);
    else
      at_move(to + g.s.pad_left * g.s.in_c, x + next * size, size);
  }
  return next;
}

AT_INLINE const int8_t *at_row(const int8_t *ring, const int8_t *x, int32_t row, at_rows g) {
  return g.slots ? ring + (row + g.s.pad_top) % g.slots * g.pitch : x + row * g.s.in_w * g.s.in_c;
}

// The patch whose rows begin at row, a column of bytes further on, spread; its pairs stand every
// `apart` words. Kernel rows whose bytes fill no whole words are first joined in `joined`; what is too
// much at the end of one, the next overwrites, and up to 3 bytes behind the last are read.
AT_INLINE void at_column(uint32_t *to, int8_t *joined, const int8_t *const *row, int32_t left,
                         int32_t apart, int32_t k_h, int32_t run) {
  if (run % 4 == 0) {
    AT_ROLLED
    for (int32_t i = 0; i < k_h; i++) to = at_spread(to, row[i] + left, run, apart);
  } else {
    AT_ROLLED
    for (int32_t i = 0; i < k_h; i++) at_join(joined + i * run, row[i] + left, run);
    at_spread(to, joined, (k_h * run + 3) / 4 * 4, apart);
  }
}

// Rows under the outputs of row r; at most 16.
AT_INLINE void at_rows_under(const int8_t *row[16], const int8_t *ring, const int8_t *x, int32_t r,
                             at_rows g) {
  AT_ROLLED
  for (int32_t i = 0; i < g.s.k_h; i++)
    row[i] = at_row(ring, x, r * g.s.stride_h - g.s.pad_top + i, g);
}

// An empty ring; returns the first row to load.
AT_INLINE int32_t at_first_row(int8_t *ring, at_rows g) {
  if (g.slots) at_fill(ring, g.zero, (uint32_t)(g.slots * g.pitch));
  return -g.s.pad_top;
}

// Load what is missing of the rows under the outputs of row r and before; returns the next to load.
AT_INLINE int32_t at_load_under(int8_t *ring, const int8_t *x, int32_t next, int32_t r,
                                at_rows g) {
  const int32_t end = r * g.s.stride_h - g.s.pad_top + g.s.k_h;
  return g.slots ? at_load_rows(ring, x, next, end, g) : next;
}

// The way over the outputs, row by row.
typedef struct {
  int32_t next;  // row to load
  int32_t r, c;  // the output
} at_scan;

AT_INLINE at_scan at_scan_of(int8_t *ring, at_rows g) {
  const at_scan at = {at_first_row(ring, g), -1, g.s.out_w - 1};
  return at;
}

// To the next output; returns whether it begins a row. What that needs is loaded.
AT_INLINE int32_t at_advance(at_scan *at, int8_t *ring, const int8_t *x, at_rows g) {
  if (++at->c < g.s.out_w) return 0;
  at->c = 0;
  at->r++;
  at->next = at_load_under(ring, x, at->next, at->r, g);
  return 1;
}

#endif
