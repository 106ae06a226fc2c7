// Convolutions and dense layers on int16 whose zero int8 weights are left out.
#ifndef AT_SPARSE_S16_H
#define AT_SPARSE_S16_H

#include "conv_s16.h"
#include "sparse.h"

AT_SPARSE_PATCH(s16, int16_t)
AT_SPARSE_SUMS(s32, int16_t, int8_t, int32_t, xv * wv)
AT_SPARSE_SUMS(s64, int16_t, int8_t, int64_t, xv * wv)
AT_SPARSE_SUMS(u32, int16_t, int8_t, uint32_t, (uint32_t)(xv * wv))

// The suffixes say what the products are summed in, what a bias is stored in, and the bits of a step.
#define AT_SPARSE_S16(NAME, SUMS, ACC, BIAS, MULTIPLIER, BITS, FINISH)                        \
  AT_KERNEL(at_dense_sparse_s16_##NAME##_##BITS,                                              \
            (const int16_t *x, const int8_t *w, const uint8_t *steps, const uint16_t *counts, \
             const BIAS *bias, const MULTIPLIER *multiplier, const int8_t *shift, int16_t *y, \
             int32_t out, at_range_s16 q), {                                                  \
    const int32_t bits = BITS;                                                                \
    AT_DENSE_SPARSE(SUMS, ACC, FINISH)                                                        \
  })                                                                                          \
  AT_KERNEL(at_conv_sparse_s16_##NAME##_##BITS,                                               \
            (const int16_t *x, const int8_t *w, const uint8_t *steps, const uint16_t *counts, \
             const BIAS *bias, const MULTIPLIER *multiplier, const int8_t *shift, int16_t *y, \
             int16_t *patches, const at_window *s, at_range_s16 q), {                         \
    const int32_t bits = BITS;                                                                \
    AT_CONVOLVE_SPARSE(s16, SUMS, int8_t, ACC, FINISH)                                        \
  })
#define AT_SPARSE_S16_WIDE(NAME, SUMS, ACC, BIAS, BITS) \
  AT_SPARSE_S16(NAME, SUMS, ACC, BIAS, int16_t, BITS,   \
                at_finish_s16((int64_t)acc + bias[k], multiplier[k], shift[k], q))
#define AT_SPARSE_S16_NARROW(BITS)                            \
  AT_SPARSE_S16(int32, u32, uint32_t, int32_t, int32_t, BITS, \
                at_finish_s16_int32((int32_t)(acc + (uint32_t)bias[k]), multiplier[k], shift[k], q))
AT_SPARSE_S16_WIDE(s32_b32, s32, int32_t, int32_t, 4)
AT_SPARSE_S16_WIDE(s32_b32, s32, int32_t, int32_t, 8)
AT_SPARSE_S16_WIDE(s32_b64, s32, int32_t, int64_t, 4)
AT_SPARSE_S16_WIDE(s32_b64, s32, int32_t, int64_t, 8)
AT_SPARSE_S16_WIDE(s64_b32, s64, int64_t, int32_t, 4)
AT_SPARSE_S16_WIDE(s64_b32, s64, int64_t, int32_t, 8)
AT_SPARSE_S16_WIDE(s64_b64, s64, int64_t, int64_t, 4)
AT_SPARSE_S16_WIDE(s64_b64, s64, int64_t, int64_t, 8)
AT_SPARSE_S16_NARROW(4)
AT_SPARSE_S16_NARROW(8)
#undef AT_SPARSE_S16_NARROW
#undef AT_SPARSE_S16_WIDE
#undef AT_SPARSE_S16

#endif
