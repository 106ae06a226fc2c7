// Energies of overlapping bands, of which each begins at the middle of the one before.
#ifndef AT_SIGNAL_MEL_H
#define AT_SIGNAL_MEL_H

#include "port.h"

// The powers between two middles: their sum, and that weighted with 15 fraction bits.
typedef struct {
  uint64_t rising, whole;
} at_flank;

AT_INLINE at_flank at_flank_of(const uint64_t *power, const uint16_t *weights, int32_t count) {
  at_flank sum = {0, 0};
#if AT_THUMB != 1
  uint32_t above = 0;
#endif
  AT_ROLLED
  for (int32_t k = 0; k < count; k++) {
    const uint64_t p = power[k];
    const uint32_t w = weights[k];
    sum.whole += p;
#if AT_THUMB == 1
    // Only products of 32 bits: powers have 49 bits, weights 16.
    const uint32_t low = (uint32_t)p & 0xffffu, middle = (uint32_t)p >> 16;
    sum.rising += low * w + ((uint64_t)(middle * w) << 16);
    sum.rising += (uint64_t)((uint32_t)(p >> 32) * w) << 32;
#else
    sum.rising += (uint64_t)(uint32_t)p * w;
    above += (uint32_t)(p >> 32) * w;
#endif
  }
#if AT_THUMB != 1
  sum.rising += (uint64_t)above << 32;
#endif
  return sum;
}

#endif
