// Logarithms of whole numbers, in integers.
#ifndef AT_SIGNAL_LOG_H
#define AT_SIGNAL_LOG_H

#include "port.h"

// Zeros before the first one of a number that is not 0.
AT_INLINE int32_t at_zeros_before(uint32_t x) {
#if defined(__GNUC__) && AT_THUMB != 1
  return __builtin_clz(x);
#else
  int32_t zeros = 0;
  if (!(x >> 16)) zeros += 16, x <<= 16;
  if (!(x >> 24)) zeros += 8, x <<= 8;
  if (!(x >> 28)) zeros += 4, x <<= 4;
  if (!(x >> 30)) zeros += 2, x <<= 2;
  return x >> 31 ? zeros : zeros + 1;
#endif
}

// log2(x) with 15 fraction bits, that of 0 as of 1: off by less than 2^-13. table samples
// log2(1 + i/64) for i <= 64 with as many, and lines join its values.
AT_INLINE int32_t at_log2(uint64_t x, const uint16_t *table) {
  const uint32_t above = (uint32_t)(x >> 32), below = (uint32_t)x;
  const int32_t zeros = above ? at_zeros_before(above) : at_zeros_before(below | !below);
  const uint32_t leading =
      above ? (uint32_t)((x << zeros) >> 32) : (below | !below) << zeros;
  const uint32_t index = (leading >> 25) & 63u, between = (leading >> 9) & 0xffffu;
  const uint32_t low = table[index], slope = table[index + 1] - low;
  return (((above ? 63 : 31) - zeros) << 15) + (int32_t)(low + ((slope * between) >> 16));
}

#endif
