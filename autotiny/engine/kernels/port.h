// What differs between cores and compilers, in one place. With the DSP extension each `at_` function
// is one instruction; elsewhere it is plain C with the same result, bit for bit.
#ifndef AT_PORT_H
#define AT_PORT_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define AT_SHARED_AS(name) static __attribute__((noinline, AT_SECOND(AT_SHARES_##name, unused, )))
#define AT_SECOND(...) AT_SECOND_OF(__VA_ARGS__)
#define AT_SECOND_OF(a, b, ...) b
#define AT_ALIGNED(bytes) __attribute__((aligned(bytes)))
#define AT_INFINITY __builtin_inff()
#define AT_NAN __builtin_nanf("")
#define at_exp __builtin_expf
#define at_log __builtin_logf
#define at_sqrt __builtin_sqrtf
#define at_round __builtin_roundf
#define AT_RARE(condition) __builtin_expect(condition, 0)
#define AT_PRAGMA(text) _Pragma(#text)
// Whether the compiler has found a value that assembly needs as a constant; GCC at -Og has not.
// AT_SET_LATER: what is set before it is read, though GCC does not see that and would warn; nor does
// clang's analyzer, which does not read assembly.
// A step is a function whose code is the same in any program: nothing is propagated into it.
#if defined(__clang__)
#define AT_STEP static __attribute__((noinline, used))
// Part of whatever calls it, and no function of the program: else what its callers agree on would be
// propagated into it first, and its code would hang on all of them.
#pragma clang diagnostic ignored "-Wstatic-in-inline"
#define AT_INLINE extern inline __attribute__((always_inline, gnu_inline, unused))
#define AT_KNOWN(value) 1
#if defined(__clang_analyzer__)
#define AT_SET_LATER(value) at_fill(&(value), 0, sizeof(value))
#else
#define AT_SET_LATER(value)
#endif
#define AT_ROLLED AT_PRAGMA(clang loop unroll(disable))
#define AT_UNROLL(n) AT_PRAGMA(clang loop unroll_count(n))
#else
// Nothing is concluded from what it does: GCC 12 took some steps for ones that write nothing, and left
// their calls out (on x86-64 from -O1 on, on a Cortex-M0+ at -Os). GCC 7 does not know noipa.
#define AT_STEP static __attribute__((noipa, noinline, used))
#define AT_INLINE static inline __attribute__((always_inline, unused))
#define AT_KNOWN(value) __builtin_constant_p(value)
#define AT_SET_LATER(value) __asm__("" : "=m"(value))
#define AT_ROLLED
#define AT_UNROLL(n) AT_PRAGMA(GCC unroll n)
#endif
#else
#define AT_SET_LATER(value)
#define AT_ROLLED
#define AT_UNROLL(n)
#include <math.h>
#define AT_INLINE static inline
#define AT_STEP static
#define AT_SHARED_AS(name) static
#if __STDC_VERSION__ >= 201112L
#define AT_ALIGNED(bytes) _Alignas(bytes)
#else
#error "this compiler is told of alignment in C11 only: compile as C11, -std=c11 or its like"
#endif
#define AT_INFINITY INFINITY
#define AT_NAN NAN
#define at_exp expf
#define at_log logf
#define at_sqrt sqrtf
#define at_round roundf
#define AT_RARE(condition) (condition)
#endif
#define AT_ARENA AT_ALIGNED(16)
#define AT_WORD_ALIGNED AT_ALIGNED(4)
#define AT_SHARED AT_STEP
#include "bytes.h"
// A kernel twice: `name_own` becomes part of the function that calls it, `name` is shared by all that
// call it. Where a program says `#define AT_SHARES_name ~, used`, nothing is propagated into `name`;
// where it does not, `name` is there only if it is called.
#define AT_KERNEL(name, parameters, ...)           \
  AT_INLINE void name##_own parameters __VA_ARGS__ \
  AT_SHARED_AS(name) void name parameters __VA_ARGS__

// The DSP extension of Armv7E-M and Armv8-M Mainline (Cortex-M4, M7, M33).
#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP && defined(__GNUC__)
#define AT_DSP 1
#else
#define AT_DSP 0
#endif

#if AT_DSP
// A register moved by a constant of either sign below 2^20: an instruction holds twelve bits of it.
#define AT_MOVED(r, by)                                                                   \
  ".if (" by ") > 4095\nadd " r ", " r ", #((" by ") >> 12) << 12\n.endif\n"              \
  ".if (" by ") < -4095\nsub " r ", " r ", #(-(" by ") >> 12) << 12\n.endif\n"            \
  ".if (" by ") < 0\nsub " r ", " r ", #-(" by ") & 4095\n"                               \
  ".else\nadd " r ", " r ", #(" by ") & 4095\n.endif\n"
#endif

// The Thumb instructions of cores without it: 1 on Armv6-M, 2 on Armv7-M.
#if defined(__GNUC__) && defined(__ARM_ARCH_ISA_THUMB) && !AT_DSP
#define AT_THUMB __ARM_ARCH_ISA_THUMB
#else
#define AT_THUMB 0
#endif

// Whether the core issues a load beside a multiplication, as Cortex-M7 and M33 do. Compilers tell an M7
// from an M4 by its doubles alone: a build for one without says -DAT_LOADS_AHEAD=1. Results are the same
// in any case.
#ifndef AT_LOADS_AHEAD
#if defined(__ARM_ARCH_8M_MAIN__) || (defined(__ARM_FP) && (__ARM_FP & 8))
#define AT_LOADS_AHEAD 1
#else
#define AT_LOADS_AHEAD 0
#endif
#endif

AT_INLINE int32_t at_min(int32_t a, int32_t b) { return a < b ? a : b; }
AT_INLINE int32_t at_max(int32_t a, int32_t b) { return a > b ? a : b; }
AT_INLINE int32_t at_max4(int32_t a, int32_t b, int32_t c, int32_t d) {
  return at_max(at_max(a, b), at_max(c, d));
}
AT_INLINE int32_t at_sign(int32_t x) { return -(x < 0); }
AT_INLINE int32_t at_clamp(int32_t x, int32_t low, int32_t high) {
  return at_min(at_max(x, low), high);
}
AT_INLINE float at_clampf(float x, float low, float high) {
  float above = x < low ? low : x;
  return above > high ? high : above;
}

AT_INLINE int32_t at_low(uint32_t pair) { return (int16_t)(uint16_t)pair; }
AT_INLINE int32_t at_high(uint32_t pair) { return (int16_t)(uint16_t)(pair >> 16); }
AT_INLINE uint32_t at_pair(int32_t low, int32_t high) {
  return ((uint32_t)low & 0xffffu) | ((uint32_t)high << 16);
}

// The arithmetic below wraps like the core's registers do.
AT_INLINE int32_t at_add(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
AT_INLINE int32_t at_sub(int32_t a, int32_t b) { return (int32_t)((uint32_t)a - (uint32_t)b); }

#if AT_DSP
#define AT_ASM2(name, op, T)                                               \
  AT_INLINE int32_t name(int32_t a, T b) {                                 \
    int32_t d;                                                             \
    __asm__(op " %0, %1, %2" : "=r"(d) : "r"(a), "r"(b));                  \
    return d;                                                              \
  }
// high word of a·b, rounded
AT_ASM2(at_mul_high, "smmulr", int32_t)
// a times the low or the high half of b, over 2^16, rounded down
AT_ASM2(at_mul_by_low, "smulwb", uint32_t)
AT_ASM2(at_mul_by_high, "smulwt", uint32_t)
#undef AT_ASM2

// a + high word of b·c, rounded
AT_INLINE int32_t at_mul_high_add(int32_t a, int32_t b, int32_t c) {
  int32_t d;
  __asm__("smmlar %0, %1, %2, %3" : "=r"(d) : "r"(b), "r"(c), "r"(a));
  return d;
}
// acc + x.low·w.low + x.high·w.high
AT_INLINE int32_t at_dual_mac(uint32_t x, uint32_t w, int32_t acc) {
  int32_t d;
  __asm__("smlad %0, %1, %2, %3" : "=r"(d) : "r"(x), "r"(w), "r"(acc));
  return d;
}
AT_INLINE int32_t at_dual_mul(uint32_t x, uint32_t w) {
  int32_t d;
  __asm__("smuad %0, %1, %2" : "=r"(d) : "r"(x), "r"(w));
  return d;
}
#define AT_HALF_MAC(name, op)                                                \
  AT_INLINE int32_t name(uint32_t x, uint32_t w, int32_t acc) {              \
    int32_t d;                                                               \
    __asm__(op " %0, %1, %2, %3" : "=r"(d) : "r"(x), "r"(w), "r"(acc));      \
    return d;                                                                \
  }
AT_HALF_MAC(at_mac_ll, "smlabb")
AT_HALF_MAC(at_mac_lh, "smlabt")
AT_HALF_MAC(at_mac_hl, "smlatb")
AT_HALF_MAC(at_mac_hh, "smlatt")
#undef AT_HALF_MAC
// Bytes 0 and 2 (even) or 1 and 3 (odd) of a word of int8 as a pair of int16.
AT_INLINE uint32_t at_even_bytes(uint32_t bytes) {
  uint32_t d;
  __asm__("sxtb16 %0, %1" : "=r"(d) : "r"(bytes));
  return d;
}
AT_INLINE uint32_t at_odd_bytes(uint32_t bytes) {
  uint32_t d;
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(d) : "r"(bytes));
  return d;
}
// (low of a, low of b) and (high of a, high of b)
AT_INLINE uint32_t at_pack_low(uint32_t a, uint32_t b) {
  uint32_t d;
  __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(d) : "r"(a), "r"(b));
  return d;
}
AT_INLINE uint32_t at_pack_high(uint32_t a, uint32_t b) {
  uint32_t d;
  __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(d) : "r"(b), "r"(a));
  return d;
}
AT_INLINE uint32_t at_add_pairs(uint32_t a, uint32_t b) {
  uint32_t d;
  __asm__("sadd16 %0, %1, %2" : "=r"(d) : "r"(a), "r"(b));
  return d;
}
AT_INLINE uint32_t at_sub_pairs(uint32_t a, uint32_t b) {
  uint32_t d;
  __asm__("ssub16 %0, %1, %2" : "=r"(d) : "r"(a), "r"(b));
  return d;
}
// x clamped to [-128, 127]
AT_INLINE int32_t at_saturate8(int32_t x) {
  int32_t d;
  __asm__("ssat %0, #8, %1" : "=r"(d) : "r"(x));
  return d;
}
#else
AT_INLINE int32_t at_mul_high(int32_t a, int32_t b) {
#if defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB == 1
  // Only products of 32 bits: from four of 16-bit halves.
  const uint32_t a_low = (uint32_t)a & 0xffffu, b_low = (uint32_t)b & 0xffffu;
  const int32_t a_high = a >> 16, b_high = b >> 16;
  const int32_t left = a_high * (int32_t)b_low, right = (int32_t)a_low * b_high;
  const uint32_t middle = (a_low * b_low >> 16) + ((uint32_t)left & 0xffffu) +
                          ((uint32_t)right & 0xffffu) + 0x8000u;
  return a_high * b_high + (left >> 16) + (right >> 16) + (int32_t)(middle >> 16);
#else
  return (int32_t)(((int64_t)a * b + 0x80000000LL) >> 32);
#endif
}
AT_INLINE int32_t at_mul_high_add(int32_t a, int32_t b, int32_t c) {
  return at_add(a, at_mul_high(b, c));
}
// From products of 32 bits, of the halves of a.
AT_INLINE int32_t at_mul_by(int32_t a, int32_t b) {
  return (a >> 16) * b + (((a & 0xffff) * b) >> 16);
}
AT_INLINE int32_t at_mul_by_low(int32_t a, uint32_t b) { return at_mul_by(a, at_low(b)); }
AT_INLINE int32_t at_mul_by_high(int32_t a, uint32_t b) { return at_mul_by(a, at_high(b)); }
AT_INLINE int32_t at_dual_mul(uint32_t x, uint32_t w) {
  return at_add(at_low(x) * at_low(w), at_high(x) * at_high(w));
}
AT_INLINE int32_t at_dual_mac(uint32_t x, uint32_t w, int32_t acc) {
  return at_add(acc, at_dual_mul(x, w));
}
AT_INLINE int32_t at_mac_ll(uint32_t x, uint32_t w, int32_t acc) {
  return at_add(acc, at_low(x) * at_low(w));
}
AT_INLINE int32_t at_mac_lh(uint32_t x, uint32_t w, int32_t acc) {
  return at_add(acc, at_low(x) * at_high(w));
}
AT_INLINE int32_t at_mac_hl(uint32_t x, uint32_t w, int32_t acc) {
  return at_add(acc, at_high(x) * at_low(w));
}
AT_INLINE int32_t at_mac_hh(uint32_t x, uint32_t w, int32_t acc) {
  return at_add(acc, at_high(x) * at_high(w));
}
AT_INLINE uint32_t at_even_bytes(uint32_t bytes) {
  return at_pair((int8_t)(uint8_t)bytes, (int8_t)(uint8_t)(bytes >> 16));
}
AT_INLINE uint32_t at_odd_bytes(uint32_t bytes) { return at_even_bytes(bytes >> 8); }
AT_INLINE uint32_t at_pack_low(uint32_t a, uint32_t b) { return (a & 0xffffu) | (b << 16); }
AT_INLINE uint32_t at_pack_high(uint32_t a, uint32_t b) {
  return (a >> 16) | (b & 0xffff0000u);
}
AT_INLINE uint32_t at_add_pairs(uint32_t a, uint32_t b) {
  return at_pair(at_low(a) + at_low(b), at_high(a) + at_high(b));
}
AT_INLINE uint32_t at_sub_pairs(uint32_t a, uint32_t b) {
  return at_pair(at_low(a) - at_low(b), at_high(a) - at_high(b));
}
AT_INLINE int32_t at_saturate8(int32_t x) { return at_clamp(x, -128, 127); }
#endif

// x / 2^shift, rounded to the nearest; halves go away from zero. 0 <= shift <= 31.
AT_INLINE int32_t at_round_shift(int32_t x, int32_t shift) {
  const int32_t mask = (int32_t)((1u << shift) - 1u);
  return (x >> shift) + ((x & mask) > (mask >> 1) + (x < 0));
}

// x · multiplier · 2^(shift - 31), rounded after the multiplication and after the shift, as
// TensorFlow Lite Micro does it. multiplier >= 0, -31 <= shift.
AT_INLINE int32_t at_rescale(int32_t x, int32_t multiplier, int32_t shift) {
  const int32_t left = at_max(shift, 0);
  const int32_t wide = (int32_t)((uint32_t)x << left);
  const int32_t high = (int32_t)(((int64_t)wide * multiplier + (1 << 30)) >> 31);
  return at_round_shift(high, at_max(-shift, 0));
}

// The same in fewer instructions where |x| < 2^30 and -30 <= shift < 0. As rounding carries a half
// upwards, negative values first lose one.
AT_INLINE int32_t at_rescale_down(int32_t x, int32_t multiplier, int32_t shift) {
  const int32_t high = at_mul_high(x * 2, multiplier);
  return (high + at_sign(high) + ((1 << -shift) >> 1)) >> -shift;
}

#endif
