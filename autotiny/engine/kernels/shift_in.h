// A window that moves along a series: the oldest values leave it, new ones come in.
#ifndef AT_SHIFT_IN_H
#define AT_SHIFT_IN_H

#include "port.h"

// window is (kept + fresh,) bytes: what lies behind its first `fresh` bytes moves to its beginning,
// and x (fresh,) is written behind that.
AT_INLINE void at_shift_in(void *window, const void *x, uint32_t kept, uint32_t fresh) {
  uint8_t *const first = (uint8_t *)window;
  at_shift(first, first + fresh, kept);
  at_copy(first + kept, x, fresh);
}

#endif
