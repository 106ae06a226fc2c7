// Functions of one element.
#ifndef AT_UNARY_H
#define AT_UNARY_H

#include "port.h"

// table has the result for each byte, as unsigned index.
AT_INLINE void at_lookup_s8(const int8_t *x, int8_t *y, const int8_t *table, int32_t size) {
  for (int32_t i = 0; i < size; i++) y[i] = table[(uint8_t)x[i]];
}

AT_INLINE void at_clamp_f32(const float *x, float *y, int32_t size, float low, float high) {
  for (int32_t i = 0; i < size; i++) y[i] = at_clampf(x[i], low, high);
}

AT_INLINE float at_logistic(float x) { return 1.0f / (1.0f + at_exp(-x)); }
// By exp, since small runtimes have no tanh; close to zero by its series.
AT_INLINE float at_tanh(float x) {
  const float size = x < 0.0f ? -x : x, square = x * x;
  if (size < 0.1f)
    return x * (1.0f - square / 3.0f * (1.0f - square * 0.4f * (1.0f - square * (17.0f / 42.0f))));
  const float result = 1.0f - 2.0f / (at_exp(2.0f * size) + 1.0f);
  return x < 0.0f ? -result : result;
}
AT_INLINE float at_hard_swish(float x) { return x * at_clampf(x + 3.0f, 0.0f, 6.0f) / 6.0f; }
AT_INLINE float at_abs(float x) { return x < 0.0f ? -x : x; }
AT_INLINE float at_neg(float x) { return -x; }
AT_INLINE float at_square(float x) { return x * x; }
AT_INLINE float at_rsqrt(float x) { return 1.0f / at_sqrt(x); }
// exp(x) - 1 below zero; close to zero by its series, where the subtraction would lose digits.
AT_INLINE float at_elu(float x) {
  if (x >= 0.0f) return x;
  if (x > -0.06f)
    return x * (1.0f + x / 2.0f * (1.0f + x / 3.0f * (1.0f + x / 4.0f * (1.0f + x / 5.0f))));
  return at_exp(x) - 1.0f;
}

#define AT_MAP_F32(NAME)                                               \
  AT_INLINE void at_map_##NAME(const float *x, float *y, int32_t size) { \
    for (int32_t i = 0; i < size; i++) y[i] = at_##NAME(x[i]);          \
  }
AT_MAP_F32(logistic)
AT_MAP_F32(tanh)
AT_MAP_F32(exp)
AT_MAP_F32(elu)
AT_MAP_F32(hard_swish)
AT_MAP_F32(abs)
AT_MAP_F32(neg)
AT_MAP_F32(square)
AT_MAP_F32(sqrt)
AT_MAP_F32(rsqrt)
AT_MAP_F32(log)
#undef AT_MAP_F32

AT_INLINE void at_leaky_relu_f32(const float *x, float *y, int32_t size, float alpha) {
  for (int32_t i = 0; i < size; i++) y[i] = x[i] > 0.0f ? x[i] : x[i] * alpha;
}

// Along the last dimension: x and y are (rows, depth).
AT_INLINE void at_log_softmax_f32(const float *x, float *y, int32_t rows, int32_t depth) {
  for (int32_t r = 0; r < rows; r++, x += depth, y += depth) {
    float top = x[0];
    for (int32_t i = 1; i < depth; i++) top = x[i] > top ? x[i] : top;
    float sum = at_exp(x[0] - top);
    for (int32_t i = 1; i < depth; i++) sum += at_exp(x[i] - top);
    const float log_sum = at_log(sum);
    for (int32_t i = 0; i < depth; i++) y[i] = x[i] - top - log_sum;
  }
}

// A real number without its fraction, as far as int32 goes; NaN gives 0.
AT_INLINE int32_t at_whole(float x) {
  if (x != x) return 0;
  if (x >= 2147483648.0f) return INT32_MAX;
  return x > -2147483648.0f ? (int32_t)x : INT32_MIN;
}

// A real or whole number as another type; integers keep their low bits.
#define AT_CAST(NAME, T, U, VALUE)                                                   \
  AT_INLINE void at_cast_##NAME(const T *x, U *y, int32_t size) {                    \
    for (int32_t i = 0; i < size; i++) {                                             \
      const T v = x[i];                                                              \
      y[i] = (U)(VALUE);                                                             \
    }                                                                                \
  }
AT_CAST(float32_int8, float, int8_t, at_whole(v))
AT_CAST(float32_int16, float, int16_t, at_whole(v))
AT_CAST(float32_int32, float, int32_t, at_whole(v))
AT_CAST(int8_float32, int8_t, float, v)
AT_CAST(int8_int16, int8_t, int16_t, v)
AT_CAST(int8_int32, int8_t, int32_t, v)
AT_CAST(int16_float32, int16_t, float, v)
AT_CAST(int16_int32, int16_t, int32_t, v)
AT_CAST(int32_float32, int32_t, float, v)
AT_CAST(int32_int8, int32_t, int8_t, v)
AT_CAST(int32_int16, int32_t, int16_t, v)
AT_CAST(bool_float32, uint8_t, float, v)
#undef AT_CAST

// From one scale to another, clamped; zero-points are 0.
AT_INLINE void at_relu_s16(const int16_t *x, int16_t *y, int32_t size, int32_t multiplier,
                           int32_t shift, int32_t low, int32_t high) {
  for (int32_t i = 0; i < size; i++)
    y[i] = (int16_t)at_clamp(at_rescale(x[i], multiplier, shift), low, high);
}

// Negative values are scaled by another factor; sign is that of alpha.
AT_INLINE void at_leaky_relu_s16(const int16_t *x, int16_t *y, int32_t size, int32_t zero,
                                 int32_t out_zero, int32_t multiplier, int32_t shift,
                                 int32_t negative_multiplier, int32_t negative_shift,
                                 int32_t sign) {
  for (int32_t i = 0; i < size; i++) {
    const int32_t v = x[i] - zero;
    const int32_t scaled = v >= 0 ? at_rescale(v, multiplier, shift)
                                  : sign * at_rescale(v, negative_multiplier, negative_shift);
    y[i] = (int16_t)at_clamp(scaled + out_zero, -32768, 32767);
  }
}

// table has 256 values of the logistic function, at multiples of 1/24, with 16 fraction bits.
AT_INLINE void at_logistic_s16(const int16_t *x, int16_t *y, const uint16_t *table, int32_t size,
                               int32_t multiplier, int32_t shift) {
  const int32_t half = shift > 0 ? 1 << (shift - 1) : 0;
  for (int32_t i = 0; i < size; i++) {
    const int32_t v = (x[i] * multiplier + half) >> shift;
    const uint32_t u = (uint32_t)(v < 0 ? -v : v), k = u >> 9;
    uint32_t result = 0x7fffu << 10;
    if (k < 255) {
      const uint32_t a = table[k], b = table[k + 1];
      result = (a << 9) + (u & 0x1ffu) * (b - a);
    }
    result = v >= 0 ? result + (1u << 9) : (1u << 25) - result + (1u << 9) - 1u;
    y[i] = (int16_t)(uint16_t)(result >> 10);
  }
}

AT_INLINE void at_tanh_s16(const int16_t *x, int16_t *y, const uint16_t *table, int32_t size,
                           int32_t multiplier, int32_t shift) {
  const int32_t half = shift > 0 ? 1 << (shift - 1) : 0;
  for (int32_t i = 0; i < size; i++) {
    const int32_t v = (x[i] * multiplier + half) >> shift;
    const uint32_t u = (uint32_t)(v < 0 ? -v : v), k = u >> 8;
    int32_t result = 0xffff << 8;
    if (k < 255) {
      const uint32_t a = table[k], b = table[k + 1];
      result = (int32_t)((a << 8) + (u & 0xffu) * (b - a));
    }
    result = v >= 0 ? result - (1 << 23) + (1 << 7) : -result + (1 << 23) + (1 << 7) - 1;
    y[i] = (int16_t)(result >> 8);
  }
}

#endif
