// The powers of the frequencies in a frame of sound, in integers.
#ifndef AT_SIGNAL_FFT_H
#define AT_SIGNAL_FFT_H

#include "port.h"

// Complex numbers are two int32, the real one in the low word. N real samples are transformed as
// n = N / 2 complex ones, of which the even samples are the real parts. What is windowed is scaled
// by 2^15 / n, so that n numbers of any sign add up in an int32: nothing is scaled on the way.
AT_INLINE uint64_t at_complex(int32_t re, int32_t im) {
  return (uint64_t)(uint32_t)im << 32 | (uint32_t)re;
}
AT_INLINE int32_t at_re(uint64_t z) { return (int32_t)(uint32_t)z; }
AT_INLINE int32_t at_im(uint64_t z) { return (int32_t)(uint32_t)(z >> 32); }

// Two samples that need not be word-aligned, as a pair.
AT_INLINE uint32_t at_two_samples(const int16_t *x) {
#if AT_DSP
  return at_word(x);
#else
  return at_pair(x[0], x[1]);
#endif
}

// Samples 2i and 2i + 1 times the window, over 2^bits, rounded to the nearest (halves go up); zeros
// behind the frame.
AT_INLINE uint64_t at_windowed(const int16_t *x, const int16_t *window, int32_t i, int32_t pairs,
                               int32_t bits) {
  if (i >= pairs) return 0;
  const int32_t half = (1 << bits) >> 1;
  const uint32_t samples = at_two_samples(x + 2 * i), factors = at_two_samples(window + 2 * i);
  return at_complex(at_mac_ll(samples, factors, half) >> bits,
                    at_mac_hh(samples, factors, half) >> bits);
}

// Joins four transforms of a quarter of the size: b, c and d are already turned, and still to be
// multiplied by `times`. The four results are m numbers apart.
AT_INLINE void at_join4(uint64_t *z, int32_t m, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                        int32_t times) {
  const int32_t even_re = at_re(a) + times * at_re(b), even_im = at_im(a) + times * at_im(b);
  const int32_t odd_re = at_re(a) - times * at_re(b), odd_im = at_im(a) - times * at_im(b);
  const int32_t sum_re = at_re(c) + at_re(d), sum_im = at_im(c) + at_im(d);
  const int32_t rest_re = at_re(c) - at_re(d), rest_im = at_im(c) - at_im(d);
  z[0] = at_complex(even_re + times * sum_re, even_im + times * sum_im);
  z[m] = at_complex(odd_re + times * rest_im, odd_im - times * rest_re);
  z[2 * m] = at_complex(even_re - times * sum_re, even_im - times * sum_im);
  z[3 * m] = at_complex(odd_re - times * rest_im, odd_im + times * rest_re);
}

// a + b·(high half of w) / 2^16, rounded down
AT_INLINE int32_t at_plus_by_high(int32_t a, int32_t b, uint32_t w) {
#if AT_DSP
  int32_t d;
  __asm__("smlawt %0, %1, %2, %3" : "=r"(d) : "r"(b), "r"(w), "r"(a));
  return d;
#else
  return a + at_mul_by_high(b, w);
#endif
}

// Half of z·(cos − i·sin); w is (cos, sin) with 15 fraction bits.
AT_INLINE uint64_t at_turned(uint64_t z, uint32_t w) {
  return at_complex(at_plus_by_high(at_mul_by_low(at_re(z), w), at_im(z), w),
                    at_mul_by_low(at_im(z), w) - at_mul_by_high(at_re(z), w));
}

// i + 1 with its bits in reversed order, of so many; `now` is i with them.
AT_INLINE uint32_t at_next_reversed(uint32_t now, int32_t i, int32_t bits) {
#if AT_DSP
  (void)now;
  uint32_t d;
  __asm__("rbit %0, %1" : "=r"(d) : "r"(i + 1));
  return d >> (32 - bits);
#else
  (void)i;
  uint32_t bit = 1u << (bits - 1);
  for (; now & bit; bit >>= 1) now ^= bit;
  return now | bit;
#endif
}

// The first stage: windows the frame, in the order of reversed bits, and joins four numbers each.
AT_INLINE void at_fft_first(const int16_t *x, const int16_t *window, uint64_t *z, int32_t pairs,
                            int32_t n, int32_t bits) {
  const int32_t quarter = n >> 2;
  uint32_t reversed = 0;
  AT_ROLLED
  for (int32_t i = 0; i < quarter; i++) {
    at_join4(z + 4 * reversed, 1, at_windowed(x, window, i, pairs, bits),
             at_windowed(x, window, i + 2 * quarter, pairs, bits),
             at_windowed(x, window, i + quarter, pairs, bits),
             at_windowed(x, window, i + 3 * quarter, pairs, bits), 1);
    reversed = at_next_reversed(reversed, i, bits - 2);
  }
}

// Joins transforms of m numbers to such of 4m. turns holds (cos, sin) of once, twice and three times
// 2πk/n, one k after the other.
AT_INLINE void at_fft_join4(uint64_t *z, const uint32_t *turns, int32_t n, int32_t m) {
  const int32_t last = n - 4 * m;
  AT_ROLLED
  for (uint64_t *at = z;; at += 4 * m) {
    at_join4(at, m, at[0], at[m], at[2 * m], at[3 * m], 1);
    if (at == z + last) break;
  }
  AT_ROLLED
  for (int32_t j = 1; j < m; j++) {
    turns += 3 * (n / (4 * m));
    AT_ROLLED
    for (uint64_t *at = z + j;; at += 4 * m) {
      at_join4(at, m, at[0], at_turned(at[m], turns[1]), at_turned(at[2 * m], turns[0]),
               at_turned(at[3 * m], turns[2]), 2);
      if (at == z + j + last) break;
    }
  }
}

// Joins two numbers m apart, of which b is turned and still to be multiplied by `times`.
AT_INLINE void at_join2(uint64_t *z, int32_t m, uint64_t b, int32_t times) {
  const uint64_t a = z[0];
  z[0] = at_complex(at_re(a) + times * at_re(b), at_im(a) + times * at_im(b));
  z[m] = at_complex(at_re(a) - times * at_re(b), at_im(a) - times * at_im(b));
}

// Joins two transforms of n/2 numbers to one; turns is as for four.
AT_INLINE void at_fft_join2(uint64_t *z, const uint32_t *turns, int32_t n) {
  const int32_t m = n >> 1, quarter = n >> 2;
  uint64_t *const end = z + quarter;
  at_join2(z, m, z[m], 1);
  // a quarter of a turn more is −i times as much
  at_join2(end, m, at_complex(at_im(end[m]), -at_re(end[m])), 1);
  AT_ROLLED
  for (uint64_t *at = z + 1; at < end; at++) {
    turns += 3;
    at_join2(at, m, at_turned(at[m], *turns), 2);
    const uint64_t b = at_turned(at[m + quarter], *turns);
    at_join2(at + quarter, m, at_complex(at_im(b), -at_re(b)), 2);
  }
}

// x² for |x| < 2^25.
AT_INLINE uint64_t at_square_s32(int32_t x) {
#if AT_THUMB == 1
  // Only products of 32 bits: from those of its upper and its twelve lower bits.
  const uint32_t size = (uint32_t)(x < 0 ? -x : x), high = size >> 12, low = size & 0xfffu;
  return ((uint64_t)(high * high) << 24) + ((uint64_t)(high * low) << 13) + low * low;
#else
  return (uint64_t)((int64_t)x * x);
#endif
}

// Bits that amplitudes lose before they are squared, so that sums of powers fit 64 bits.
#define AT_POWER_BITS 6

AT_INLINE uint64_t at_power(int32_t re, int32_t im) {
  return at_square_s32(re >> AT_POWER_BITS) + at_square_s32(im >> AT_POWER_BITS);
}

// From the transform of n complex numbers to the n + 1 powers of 2n real ones, in place; turns is
// (cos, sin) of 2πk/2n for k < n/2.
AT_INLINE void at_powers(uint64_t *z, const uint32_t *turns, int32_t n) {
  const uint64_t first = z[0];
  z[n] = at_power(at_re(first) - at_im(first), 0);
  z[0] = at_power(at_re(first) + at_im(first), 0);
  AT_ROLLED
  for (int32_t k = 1; k < n >> 1; k++) {
    const uint64_t a = z[k], b = z[n - k];
    // the transforms of the even samples, and of the odd ones, doubled and turned
    const int32_t even_re = (at_re(a) + at_re(b)) >> 1, even_im = (at_im(a) - at_im(b)) >> 1;
    const uint64_t odd = at_turned(at_complex(at_im(a) + at_im(b), at_re(b) - at_re(a)), turns[k]);
    z[k] = at_power(even_re + at_re(odd), even_im + at_im(odd));
    z[n - k] = at_power(even_re - at_re(odd), even_im - at_im(odd));
  }
  z[n >> 1] = at_power(at_re(z[n >> 1]), at_im(z[n >> 1]));
}

// x is (frame,) int16, window (frame,) with 15 fraction bits. turns is (n/4, 3) pairs as `at_fft_join4`
// takes them, then (n/2,) as `at_powers` does. z is (n + 1): the powers of the frequencies k/2n.
AT_INLINE void at_spectrum(const int16_t *x, const int16_t *window, const uint32_t *turns,
                           uint64_t *z, int32_t frame, int32_t n, int32_t bits) {
  at_fft_first(x, window, z, frame >> 1, n, bits);
  // each of its own, so that the distances within it are constants
  if (n >= 16) at_fft_join4(z, turns, n, 4);
  if (n >= 64) at_fft_join4(z, turns, n, 16);
  if (n >= 256) at_fft_join4(z, turns, n, 64);
  if (n >= 1024) at_fft_join4(z, turns, n, 256);
  if (bits & 1) at_fft_join2(z, turns, n);
  at_powers(z, turns + 3 * (n >> 2), n);
}

#endif
