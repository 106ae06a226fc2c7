// Copies between arrays of different layout.
#ifndef AT_MOVE_H
#define AT_MOVE_H

#include "port.h"

// Moves all bytes, which may be none: a step is a call, and measured as one, even where the compiler
// sees that its bytes lie there already.
AT_INLINE void at_move_all(const void *from, void *to, uint32_t size) {
#if defined(__GNUC__)
  __asm__ volatile("");
#endif
  at_shift(to, from, size);
}

// Copies runs of bytes; n counts them along each dimension, x and y are the strides in bytes.
typedef struct {
  int32_t n[5], x[5], y[5];
} at_layout;

AT_INLINE void at_move_box(const void *from, void *to, at_layout s, uint32_t run) {
  const uint8_t *x = (const uint8_t *)from;
  uint8_t *y = (uint8_t *)to;
  for (int32_t i0 = 0; i0 < s.n[0]; i0++)
    for (int32_t i1 = 0; i1 < s.n[1]; i1++)
      for (int32_t i2 = 0; i2 < s.n[2]; i2++)
        for (int32_t i3 = 0; i3 < s.n[3]; i3++)
          for (int32_t i4 = 0; i4 < s.n[4]; i4++)
            at_copy(y + i0 * s.y[0] + i1 * s.y[1] + i2 * s.y[2] + i3 * s.y[3] + i4 * s.y[4],
                    x + i0 * s.x[0] + i1 * s.x[1] + i2 * s.x[2] + i3 * s.x[3] + i4 * s.x[4], run);
}

// Repeats an element of `size` bytes.
AT_INLINE void at_repeat(void *to, const void *element, int32_t count, uint32_t size) {
  uint8_t *y = (uint8_t *)to;
  for (int32_t i = 0; i < count; i++) at_copy(y + (uint32_t)i * size, element, size);
}

// y[o][k] = x[o][index[k]] in runs of bytes; an index outside [0, limit) is moved to the nearest.
AT_INLINE void at_gather(const void *from, const int32_t *index, void *to, int32_t outer,
                         int32_t count, int32_t limit, uint32_t run) {
  const uint8_t *x = (const uint8_t *)from;
  uint8_t *y = (uint8_t *)to;
  for (int32_t o = 0; o < outer; o++, x += (uint32_t)limit * run)
    for (int32_t k = 0; k < count; k++, y += run)
      at_copy(y, x + (uint32_t)at_clamp(index[k], 0, limit - 1) * run, run);
}

#endif
