// Sums and means over the middle of three dimensions: x is (outer, count, inner), y (outer, inner).
#ifndef AT_REDUCE_H
#define AT_REDUCE_H

#include "port.h"

// y = (sum of x + offset) · multiplier · 2^(shift - 31) + out_zero; offset is -count · zero-point.
AT_INLINE void at_reduce_s8(const int8_t *x, int8_t *y, int32_t outer, int32_t count, int32_t inner,
                            int32_t offset, int32_t multiplier, int32_t shift, int32_t out_zero) {
  for (int32_t o = 0; o < outer; o++, x += count * inner) {
    for (int32_t k = 0; k < inner; k++) {
      int32_t sum = offset;
      for (int32_t i = 0; i < count; i++) sum += x[i * inner + k];
      *y++ = (int8_t)at_clamp(at_rescale(sum, multiplier, shift) + out_zero, -128, 127);
    }
  }
}

// y = sum of x / divisor
AT_INLINE void at_reduce_f32(const float *x, float *y, int32_t outer, int32_t count, int32_t inner,
                             float divisor) {
  for (int32_t o = 0; o < outer; o++, x += count * inner) {
    for (int32_t k = 0; k < inner; k++) {
      float sum = 0.0f;
      for (int32_t i = 0; i < count; i++) sum += x[i * inner + k];
      *y++ = sum / divisor;
    }
  }
}

#endif
