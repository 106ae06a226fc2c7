// A layer with a window whose output replaces its input: the rows of the image that a row of outputs
// reads are kept apart, so that what lies before the first unread row may be overwritten.
#ifndef AT_IN_PLACE_H
#define AT_IN_PLACE_H

#include "columns_s8.h"

// Bring the rows under the outputs of row r into `kept`, after those of row r - 1 were there. Returns
// the window of this one row of outputs over them. A row has `size` bytes.
AT_INLINE at_window at_keep_rows(void *kept, const void *x, at_window s, int32_t r, int32_t size) {
  const int32_t reach = (s.k_h - 1) * s.step_h + 1, top = r * s.stride_h - s.pad_top;
  const int32_t begin = at_max(top, 0), end = at_min(top + reach, s.in_h);
  const int32_t before = top - s.stride_h;  // where the window stood
  const int32_t had = r ? at_max(before, 0) : 0, had_end = r ? at_min(before + reach, s.in_h) : 0;
  if (begin > had && had_end > begin)
    at_move(kept, (const int8_t *)kept + (begin - had) * size, (had_end - begin) * size);
  const int32_t load = at_max(begin, had_end);
  if (end > load)
    at_move((int8_t *)kept + (load - begin) * size, (const int8_t *)x + load * size,
            (end - load) * size);
  s.in_h = end - begin;
  s.out_h = 1;
  s.pad_top = begin - top;
  return s;
}

#endif
