// Half-precision floats as they are stored: sign, 5 bits of exponent, 10 of fraction.
#ifndef AT_HALF_H
#define AT_HALF_H

#include "port.h"

// Finite values only. One instruction where the FPU converts; elsewhere the bits are moved to their
// places in a float32 and the exponent is mended by a multiplication, which also serves subnormals.
AT_INLINE float at_half(uint16_t bits) {
#if defined(__ARM_FP16_FORMAT_IEEE) && defined(__ARM_FP) && (__ARM_FP & 2)
  __fp16 value;
  at_copy(&value, &bits, sizeof value);
  return (float)value;
#else
  const uint32_t moved = ((uint32_t)(bits & 0x7fffu) << 13) | ((uint32_t)(bits & 0x8000u) << 16);
  float value;
  at_copy(&value, &moved, sizeof value);
  return value * 5.192296858534828e33f;  // 2^112
#endif
}

#endif
