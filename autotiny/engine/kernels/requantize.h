// From doubled int32 accumulators to int8 outputs, bit-exact to TensorFlow Lite Micro.
#ifndef AT_REQUANTIZE_H
#define AT_REQUANTIZE_H

#include "port.h"

// What follows an accumulator.
typedef enum {
  AT_RELU,   // saturation at a zero-point of -128: nothing below zero survives
  AT_SIGNED, // saturation at [-128, 127]
  AT_CAP,    // as AT_RELU, but with an upper bound below 127; of some kernels
  AT_CLAMP   // any bounds
} at_finish_kind;

typedef struct {
  at_finish_kind kind;
  int32_t low, high;  // for AT_CAP and AT_CLAMP
} at_finish;

// The output for a doubled accumulator. q is (multiplier, rounding, shift); rounding is
// 2^(shift-1) + zero-point · 2^shift. The reference rounds halves away from zero in the shift; as
// rounding carries a half upwards, negative values first lose one, unless zero swallows them.
AT_INLINE int8_t at_finished(int32_t doubled, const uint32_t *q, at_finish f) {
  const int32_t multiplier = (int32_t)q[0], rounding = (int32_t)q[1];
  int32_t y;
  if (f.kind == AT_RELU || f.kind == AT_CAP) {
    y = at_mul_high_add(rounding, doubled, multiplier);
  } else {
    y = at_mul_high(doubled, multiplier);
    y += rounding + (y >> 31);
  }
  y >>= q[2];
  return (int8_t)(f.kind == AT_CLAMP || f.kind == AT_CAP ? at_clamp(y, f.low, f.high) : at_saturate8(y));
}

#endif
