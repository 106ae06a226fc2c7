// Between real and stored numbers.
#ifndef AT_QUANTIZE_H
#define AT_QUANTIZE_H

#include "port.h"

// The stored value of a real, clamped to [low, high]; defined for every float, NaN gives low.
AT_INLINE int32_t at_stored(float x, float scale, int32_t zero, int32_t low, int32_t high) {
  const float steps = at_round(x / scale);
  if (!(steps > -1e6f)) return low;
  if (steps > 1e6f) return high;
  return at_clamp((int32_t)steps + zero, low, high);
}

AT_INLINE void at_quantize_s8(const float *x, int8_t *y, int32_t size, float scale, int32_t zero) {
  for (int32_t i = 0; i < size; i++) y[i] = (int8_t)at_stored(x[i], scale, zero, -128, 127);
}
AT_INLINE void at_quantize_s16(const float *x, int16_t *y, int32_t size, float scale,
                               int32_t zero) {
  for (int32_t i = 0; i < size; i++) y[i] = (int16_t)at_stored(x[i], scale, zero, -32768, 32767);
}
AT_INLINE void at_quantize_u8(const float *x, uint8_t *y, int32_t size, float scale,
                              int32_t zero) {
  for (int32_t i = 0; i < size; i++) y[i] = (uint8_t)at_stored(x[i], scale, zero, 0, 255);
}

AT_INLINE void at_dequantize_s8(const int8_t *x, float *y, int32_t size, float scale,
                                int32_t zero) {
  for (int32_t i = 0; i < size; i++) y[i] = scale * (float)(x[i] - zero);
}
AT_INLINE void at_dequantize_s16(const int16_t *x, float *y, int32_t size, float scale,
                                 int32_t zero) {
  for (int32_t i = 0; i < size; i++) y[i] = scale * (float)(x[i] - zero);
}
AT_INLINE void at_dequantize_u8(const uint8_t *x, float *y, int32_t size, float scale,
                                int32_t zero) {
  for (int32_t i = 0; i < size; i++) y[i] = scale * (float)(x[i] - zero);
}

// From one quantization to another; T and U are the stored types, [low, high] the range of U.
#define AT_REQUANTIZE(T, U, x, y, size, zero, multiplier, shift, out_zero, low, high)   \
  for (int32_t i = 0; i < (size); i++)                                                   \
    (y)[i] = (U)at_clamp(at_rescale((int32_t)(x)[i] - (zero), multiplier, shift) + (out_zero), \
                         low, high)

#endif
