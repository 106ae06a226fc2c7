// Convolutions and dense layers on float32 whose weights are stored as half-precision floats.
#ifndef AT_CONV_F16_H
#define AT_CONV_F16_H

#include "half.h"
#include "loops.h"

AT_INLINE void at_conv_f16(const float *x, const uint16_t *w, const float *bias, float *y,
                           at_window s, int32_t groups, float low, float high) {
  AT_CONVOLVE(float, uint16_t, float, xv * at_half(wv), at_clampf(acc + bias[k], low, high))
}

AT_INLINE void at_depthwise_f16(const float *x, const uint16_t *w, const float *bias, float *y,
                                at_window s, int32_t multiple, float low, float high) {
  AT_CONVOLVE_DEPTHWISE(float, uint16_t, float, xv *at_half(wv),
                        at_clampf(acc + bias[k], low, high))
}

#endif
