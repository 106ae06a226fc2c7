// Logarithms of the powers of frequencies, from sound to features.
#ifndef AT_SIGNAL_SPECTROGRAM_H
#define AT_SIGNAL_SPECTROGRAM_H

#include "signal_fft.h"
#include "signal_log.h"

// x is (samples,) int16, y is (frames, bins); z is (n + 1,), undefined before and after. The window,
// its bits and the turns are as `at_spectrum` takes them; bins are the frequencies from `first` on.
// A feature is log2 of the power, less offset, scaled.
#define AT_SPECTROGRAM(NAME, T, LOW, HIGH)                                                        \
  AT_INLINE void at_spectrogram_##NAME(                                                           \
      const int16_t *x, T *y, uint64_t *z, const int16_t *window, const uint32_t *turns,          \
      const uint16_t *table, int32_t frames, int32_t frame, int32_t hop, int32_t n, int32_t bits, \
      int32_t bins, int32_t first, int32_t offset, int32_t multiplier, int32_t shift,             \
      int32_t zero) {                                                                             \
    AT_ROLLED                                                                                     \
    for (int32_t t = 0; t < frames; t++, x += hop) {                                              \
      at_spectrum(x, window, turns, z, frame, n, bits);                                           \
      AT_ROLLED                                                                                   \
      for (int32_t k = 0; k < bins; k++) {                                                        \
        const int32_t log = at_log2(z[first + k], table) - offset;                                \
        *y++ = (T)at_clamp(at_rescale_down(log, multiplier, shift) + zero, LOW, HIGH);            \
      }                                                                                           \
    }                                                                                             \
  }

AT_SPECTROGRAM(s8, int8_t, -128, 127)
AT_SPECTROGRAM(s16, int16_t, -32768, 32767)
#undef AT_SPECTROGRAM

#endif
