// Bytes that are copied, moved and set, and words at any address. Included by port.h alone.
#ifndef AT_BYTES_H
#define AT_BYTES_H

#if defined(__cplusplus) && defined(__clang__)
// C's initializers, which are an extension in C++17 that all compilers have.
#pragma clang diagnostic ignored "-Wc99-extensions"
#pragma clang diagnostic ignored "-Wc++20-designator"
#elif defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wpedantic"
#if __GNUC__ >= 12
#pragma GCC diagnostic ignored "-Wc++20-extensions"
#endif
#endif

#if defined(__GNUC__)
#define AT_MEMCPY __builtin_memcpy
#define AT_MEMMOVE __builtin_memmove
#define AT_MEMSET __builtin_memset
#else
#include <string.h>
#define AT_MEMCPY memcpy
#define AT_MEMMOVE memmove
#define AT_MEMSET memset
#endif

// The only calls of these three: checkers of code that want others can be told so here.
// NOLINTBEGIN(clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling)
AT_INLINE void at_copy(void *to, const void *from, size_t size) { AT_MEMCPY(to, from, size); }
AT_INLINE void at_shift(void *to, const void *from, size_t size) { AT_MEMMOVE(to, from, size); }
AT_INLINE void at_fill(void *to, int value, size_t size) { AT_MEMSET(to, value, size); }
// NOLINTEND(clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling)

// A word from an address that need not be word-aligned; the core's LDR does it.
AT_INLINE uint32_t at_word(const void *p) {
  uint32_t word;
  at_copy(&word, p, sizeof word);
  return word;
}
AT_INLINE void at_put_word(void *p, uint32_t word) { at_copy(p, &word, sizeof word); }

#endif
