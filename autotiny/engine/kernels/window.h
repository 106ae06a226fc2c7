// The geometry that convolutions and poolings share.
#ifndef AT_WINDOW_H
#define AT_WINDOW_H

#include "port.h"

typedef struct {
  int32_t in_h, in_w, in_c;
  int32_t out_h, out_w, out_c;
  int32_t k_h, k_w;          // filter or pooling window
  int32_t stride_h, stride_w;
  int32_t step_h, step_w;    // dilation
  int32_t pad_top, pad_left;
} at_window;

// The first and the last-but-one tap whose input index origin + tap·step lies in [0, size).
AT_INLINE int32_t at_first_tap(int32_t origin, int32_t step) {
  return origin < 0 ? (-origin + step - 1) / step : 0;
}
AT_INLINE int32_t at_end_tap(int32_t origin, int32_t step, int32_t size, int32_t taps) {
  return at_min(taps, (size - origin + step - 1) / step);
}

#endif
