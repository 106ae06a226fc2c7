// Images of another size; x is (in_h, in_w, depth), y is (out_h, out_w, depth).
#ifndef AT_RESIZE_H
#define AT_RESIZE_H

#include "port.h"

// Rows and columns to copy from; a pixel is a run of bytes.
AT_INLINE void at_resize_nearest(const void *from, void *to, const int16_t *rows,
                                 const int16_t *cols, int32_t out_h, int32_t out_w, int32_t in_w,
                                 uint32_t run) {
  const uint8_t *x = (const uint8_t *)from;
  uint8_t *y = (uint8_t *)to;
  for (int32_t r = 0; r < out_h; r++)
    for (int32_t c = 0; c < out_w; c++, y += run)
      at_copy(y, x + (uint32_t)(rows[r] * in_w + cols[c]) * run, run);
}

// rows and cols hold three numbers each: the pixel before, the one behind, and the distance from
// the first in 1/1024.
#define AT_RESIZE_STORED(NAME, T, ACC)                                                       \
  AT_INLINE void at_resize_bilinear_##NAME(const T *x, T *y, const int16_t *rows,            \
                                           const int16_t *cols, int32_t out_h,               \
                                           int32_t out_w, int32_t in_w, int32_t depth) {     \
    for (int32_t r = 0; r < out_h; r++) {                                                    \
      const T *above = x + rows[3 * r] * in_w * depth;                                       \
      const T *below = x + rows[3 * r + 1] * in_w * depth;                                   \
      const int32_t v = rows[3 * r + 2];                                                     \
      for (int32_t c = 0; c < out_w; c++) {                                                  \
        const int32_t left = cols[3 * c] * depth, right = cols[3 * c + 1] * depth;           \
        const int32_t u = cols[3 * c + 2];                                                   \
        for (int32_t d = 0; d < depth; d++) {                                                \
          const ACC sum = (ACC)above[left + d] * ((1024 - v) * (1024 - u)) +                 \
                          (ACC)below[left + d] * (v * (1024 - u)) +                          \
                          (ACC)above[right + d] * ((1024 - v) * u) +                         \
                          (ACC)below[right + d] * (v * u);                                   \
          *y++ = (T)((sum + (sum > 0 ? 1 << 19 : -(1 << 19))) / (1 << 20));                  \
        }                                                                                    \
      }                                                                                      \
    }                                                                                        \
  }
AT_RESIZE_STORED(s8, int8_t, int32_t)
AT_RESIZE_STORED(s16, int16_t, int64_t)
#undef AT_RESIZE_STORED

// rows and cols hold two numbers each; the distances stand in v_of and u_of.
AT_INLINE void at_resize_bilinear_f32(const float *x, float *y, const int16_t *rows,
                                      const int16_t *cols, const float *v_of, const float *u_of,
                                      int32_t out_h, int32_t out_w, int32_t in_w, int32_t depth) {
  for (int32_t r = 0; r < out_h; r++) {
    const float *above = x + rows[2 * r] * in_w * depth;
    const float *below = x + rows[2 * r + 1] * in_w * depth;
    const float v = v_of[r];
    for (int32_t c = 0; c < out_w; c++) {
      const int32_t left = cols[2 * c] * depth, right = cols[2 * c + 1] * depth;
      const float u = u_of[c];
      for (int32_t d = 0; d < depth; d++)
        *y++ = above[left + d] * (1.0f - v) * (1.0f - u) + below[left + d] * v * (1.0f - u) +
               above[right + d] * (1.0f - v) * u + below[right + d] * v * u;
    }
  }
}

#endif
