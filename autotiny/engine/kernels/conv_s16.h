// Convolutions and dense layers on int16 with int8 weights.
#ifndef AT_CONV_S16_H
#define AT_CONV_S16_H

#include "loops.h"

// acc · multiplier · 2^(shift - 15), halves rounded up. acc has 48 bits, shift < 15.
AT_INLINE int32_t at_rescale_wide(int64_t acc, int32_t multiplier, int32_t shift) {
  const int32_t right = 15 - shift;
  return (int32_t)((acc * multiplier + ((int64_t)1 << (right - 1))) >> right);
}

typedef struct {
  int32_t zero;       // what to add to an input: minus its zero-point
  int32_t out_zero;   // zero-point of the output
  int32_t low, high;  // activation
} at_range_s16;

AT_INLINE int16_t at_finish_s16(int64_t acc, int32_t multiplier, int32_t shift, at_range_s16 q) {
  return (int16_t)at_clamp(at_rescale_wide(acc, multiplier, shift) + q.out_zero, q.low, q.high);
}

// The same of an int32 accumulator, rescaled as int8 layers are.
AT_INLINE int16_t at_finish_s16_int32(int32_t acc, int32_t multiplier, int32_t shift,
                                      at_range_s16 q) {
  return (int16_t)at_clamp(at_rescale(acc, multiplier, shift) + q.out_zero, q.low, q.high);
}

// The suffix says what the products are summed in: s32 where no sum can leave it, and what a bias
// is stored in. multiplier and shift have a value for each output channel.
#define AT_CONV_S16(NAME, ACC, BIAS)                                                              \
  AT_INLINE void at_conv_s16_##NAME(const int16_t *x, const int8_t *w, const BIAS *bias,          \
                                    const int16_t *multiplier, const int8_t *shift, int16_t *y,   \
                                    at_window s, int32_t groups, at_range_s16 q) {                \
    AT_CONVOLVE(int16_t, int8_t, ACC, (xv + q.zero) * wv,                                         \
                at_finish_s16((int64_t)acc + bias[k], multiplier[k], shift[k], q))                \
  }                                                                                               \
  AT_INLINE void at_depthwise_s16_##NAME(const int16_t *x, const int8_t *w, const BIAS *bias,     \
                                         const int16_t *multiplier, const int8_t *shift,          \
                                         int16_t *y, at_window s, int32_t multiple,               \
                                         at_range_s16 q) {                                        \
    AT_CONVOLVE_DEPTHWISE(int16_t, int8_t, ACC, (xv + q.zero) * wv,                               \
                          at_finish_s16((int64_t)acc + bias[k], multiplier[k], shift[k], q))      \
  }

AT_CONV_S16(s32_b32, int32_t, int32_t)
AT_CONV_S16(s32_b64, int32_t, int64_t)
AT_CONV_S16(s64_b32, int64_t, int32_t)
AT_CONV_S16(s64_b64, int64_t, int64_t)
#undef AT_CONV_S16

// Where the model has int32 biases: everything in int32.
AT_INLINE void at_conv_s16_int32(const int16_t *x, const int8_t *w, const int32_t *bias,
                                 const int32_t *multiplier, const int8_t *shift, int16_t *y,
                                 at_window s, int32_t groups, at_range_s16 q) {
  AT_CONVOLVE(int16_t, int8_t, uint32_t, (uint32_t)((xv + q.zero) * wv),
              at_finish_s16_int32((int32_t)(acc + (uint32_t)bias[k]), multiplier[k], shift[k], q))
}

#endif
