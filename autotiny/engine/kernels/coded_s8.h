// Int8 weights that are stored coded: as indices of equal length, as Huffman codes, or by range ANS.
//
// A stream of uint16 gives symbols, 0 being the most frequent one; book says which weight each stands
// for. Where rows have a codebook each these are `apart` bytes from each other, else apart is 0. The
// encoders, and the papers they follow, stand in autotiny/engine/entropy.py.
#ifndef AT_CODED_S8_H
#define AT_CODED_S8_H

#include "requantize.h"

typedef struct {
  const uint16_t *next;
  uint32_t state;  // of ANS, or bits that were read ahead, the first one highest
  int32_t left;    // number of those bits
} at_reader;

AT_INLINE at_reader at_begin_bits(const uint16_t *stream) {
  const at_reader r = {stream, 0, 0};
  return r;
}

// The next 16 bits.
AT_INLINE uint32_t at_look(at_reader *r) {
  if (r->left < 16) {
    r->state |= (uint32_t)*r->next++ << (16 - r->left);
    r->left += 16;
  }
  return r->state >> 16;
}
AT_INLINE void at_skip(at_reader *r, int32_t bits) {
  r->state <<= bits;
  r->left -= bits;
}

AT_INLINE int32_t at_next_shared(at_reader *r, int32_t bits) {
  const int32_t symbol = (int32_t)(at_look(r) >> (16 - bits));
  at_skip(r, bits);
  return symbol;
}

// counts holds how many codes have 1, 2, ... bits. Codes of one length are consecutive numbers, less
// than the beginnings of longer ones: what is left of `code` counts from the first one of `length`.
AT_INLINE int32_t at_next_huffman(at_reader *r, const uint16_t *counts) {
  uint32_t code = at_look(r), taken;
  int32_t symbol = 0, room = 15;
  AT_ROLLED
  while (code >= (taken = (uint32_t)*counts << room)) {
    code -= taken;
    symbol += *counts++;
    room--;
  }
  at_skip(r, 16 - room);
  return symbol + (int32_t)(code >> room);
}

AT_INLINE at_reader at_begin_ans(const uint16_t *stream) {
  const at_reader r = {stream + 2, (uint32_t)stream[0] << 16 | stream[1], 0};
  return r;
}

// From the state's slot within the share of a symbol to the state before that symbol went in.
AT_INLINE void at_narrow(at_reader *r, uint32_t share, uint32_t slot) {
  r->state = (r->state >> 12) * share + slot;
  if (AT_RARE(r->state >> 16 == 0)) r->state = r->state << 16 | *r->next++;
}

// shares holds the frequency of each symbol; together they are 4096. As the first ones are the most
// frequent, a search from there is short, and needs no table of 4096 symbols.
AT_INLINE int32_t at_next_ans(at_reader *r, const uint16_t *shares) {
  const uint16_t *s = shares;
  uint32_t slot = r->state & 4095u, share = *s;
  if (slot < share) {
    at_narrow(r, share, slot);
    return 0;
  }
  AT_ROLLED
  do {
    slot -= share;
    share = *++s;
  } while (slot >= share);
  at_narrow(r, share, slot);
  return (int32_t)(s - shares);
}

// at_decode_: w becomes (rows, depth) plain weights.
// at_dense_coded_: x is (depth), y is (out); each weight is used as it becomes plain. `sparse` says
// that symbol 0 is a weight of zero. The input's zero-point is folded into bias. multiplier and shift
// (to the right) have a value for each output if `each` is 1, one for all if it is 0.
#define AT_CODED(name, TABLE, begin)                                                            \
  AT_KERNEL(at_decode_##name,                                                                   \
            (const uint16_t *stream, TABLE table, const int8_t *book, int32_t apart, int8_t *w, \
             int32_t rows, int32_t depth), {                                                    \
    at_reader r = begin(stream);                                                                \
    AT_ROLLED                                                                                   \
    for (int32_t k = 0; k < rows; k++, book += apart) {                                         \
      AT_ROLLED                                                                                 \
      for (int32_t d = 0; d < depth; d++) *w++ = book[at_next_##name(&r, table)];               \
    }                                                                                           \
  })                                                                                            \
  AT_INLINE void at_dense_coded_##name(const int8_t *x, const uint16_t *stream, TABLE table,    \
                                       const int8_t *book, int32_t apart, int32_t sparse,       \
                                       const int32_t *bias, const int32_t *multiplier,          \
                                       const int8_t *shift, int32_t each, int8_t *y,            \
                                       int32_t depth, int32_t out, int32_t zero, at_finish f) { \
    at_reader r = begin(stream);                                                                \
    AT_ROLLED                                                                                   \
    for (int32_t k = 0; k < out; k++, book += apart) {                                          \
      int32_t sum = bias[k];                                                                    \
      AT_ROLLED                                                                                 \
      for (int32_t d = 0; d < depth; d++) {                                                     \
        const int32_t symbol = at_next_##name(&r, table);                                       \
        if (symbol > 0 || !sparse) sum += book[symbol] * x[d];                                  \
      }                                                                                         \
      const int32_t right = shift[k * each], rounding = (2 * zero + 1) * (1 << right) >> 1;     \
      const uint32_t q[3] = {(uint32_t)multiplier[k * each], (uint32_t)rounding,                \
                             (uint32_t)right};                                                  \
      y[k] = at_finished(sum * 2, q, f);                                                        \
    }                                                                                           \
  }

AT_CODED(shared, int32_t, at_begin_bits)
AT_CODED(huffman, const uint16_t *, at_begin_bits)
AT_CODED(ans, const uint16_t *, at_begin_ans)
#undef AT_CODED

#endif
