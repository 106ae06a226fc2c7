// Layers that remember: SVDF and LSTM. Their state starts as zero bytes; where a stored zero is
// another number, state is kept as its exclusive or with the zero-point.
#ifndef AT_RECURRENT_H
#define AT_RECURRENT_H

#include "conv_s16.h"
#include "unary.h"

typedef struct {
  int32_t depth, filters, memory, rank;  // of input, features, time, and filters for each unit
  int32_t zero, state_zero, out_zero;
  int32_t multiplier1, shift1, multiplier2, shift2;
} at_svdf;

// x is (depth), w_feature (filters, depth), w_time (filters, memory), state (filters, memory), y
// (filters / rank). Each filter keeps the last `memory` features, the newest one last.
#define AT_SVDF(NAME, T, LOW, HIGH)                                                               \
  AT_INLINE void at_svdf_##NAME(const int8_t *x, const int8_t *w_feature, const T *w_time,        \
                                const int32_t *bias, T *state, int8_t *y, at_svdf s) {            \
    for (int32_t u = 0; u < s.filters / s.rank; u++) {                                            \
      int32_t acc = bias[u];                                                                      \
      for (int32_t k = 0; k < s.rank; k++, w_feature += s.depth, w_time += s.memory,              \
                   state += s.memory) {                                                           \
        int32_t feature = 0;                                                                      \
        for (int32_t d = 0; d < s.depth; d++) feature += w_feature[d] * (x[d] - s.zero);          \
        feature = at_clamp(at_rescale(feature, s.multiplier1, s.shift1), LOW, HIGH);              \
        for (int32_t t = 0; t + 1 < s.memory; t++) state[t] = state[t + 1];                       \
        state[s.memory - 1] = (T)((T)(s.state_zero + feature) ^ s.state_zero);                    \
        for (int32_t t = 0; t < s.memory; t++)                                                    \
          acc = at_add(acc, w_time[t] * ((T)(state[t] ^ s.state_zero) - s.state_zero));           \
      }                                                                                           \
      y[u] = (int8_t)at_clamp(at_rescale(acc, s.multiplier2, s.shift2) + s.out_zero, -128, 127);  \
    }                                                                                             \
  }
AT_SVDF(s8, int8_t, -128, 127)
AT_SVDF(s16, int16_t, -32768, 32767)
#undef AT_SVDF

AT_INLINE void at_svdf_f32(const float *x, const float *w_feature, const float *w_time,
                           const float *bias, float *state, float *y, int32_t depth,
                           int32_t filters, int32_t memory, int32_t rank, float low, float high) {
  for (int32_t u = 0; u < filters / rank; u++) {
    float acc = bias[u];
    for (int32_t k = 0; k < rank; k++, w_feature += depth, w_time += memory, state += memory) {
      float feature = 0.0f, sum = 0.0f;
      for (int32_t d = 0; d < depth; d++) feature += w_feature[d] * x[d];
      for (int32_t t = 0; t + 1 < memory; t++) state[t] = state[t + 1];
      state[memory - 1] = feature;
      for (int32_t t = 0; t < memory; t++) sum += w_time[t] * state[t];
      acc += sum;
    }
    y[u] = at_clampf(acc, low, high);
  }
}

// Rescaling of the four gates (input, forget, cell, output), for the input and the hidden state.
typedef struct {
  int32_t steps, depth, units;
  int32_t zero, hidden_zero;
  int32_t multiplier[4], shift[4], hidden_multiplier[4], hidden_shift[4];
  int32_t forget_multiplier, forget_shift;  // forget gate · cell → cell
  int32_t update_multiplier, update_shift;  // input gate · cell gate → cell
  int32_t out_multiplier, out_shift;        // output gate · tanh(cell) → hidden
  int32_t cell_multiplier, cell_shift;      // of tanh's input
  int32_t clip;                             // of the cell, 0 for none
} at_lstm;

// x is (steps, depth), y (steps, units), w and r hold the weights (units, depth) and (units, units)
// of the four gates one behind the other, bias (4, units); hidden and cell are (units) and state.
// gates is scratch of 5 · units. All gates are 16 bits, before their functions in 1/4096.
#define AT_LSTM(NAME, T, ACC, RESCALE, LOW, HIGH)                                                 \
  AT_INLINE void at_lstm_##NAME(const T *x, const int8_t *w, const int8_t *r, const ACC *bias,    \
                                const uint16_t *table, T *hidden, int16_t *cell, int16_t *gates,  \
                                T *y, at_lstm s) {                                                \
    int16_t *tanh_cell = gates + 4 * s.units;                                                     \
    for (int32_t step = 0; step < s.steps; step++, x += s.depth) {                                \
      for (int32_t g = 0; g < 4; g++) {                                                           \
        int16_t *gate = gates + g * s.units;                                                      \
        for (int32_t u = 0; u < s.units; u++) {                                                   \
          const int8_t *wp = w + (g * s.units + u) * s.depth;                                     \
          const int8_t *rp = r + (g * s.units + u) * s.units;                                     \
          ACC from_x = bias[g * s.units + u], from_h = 0;                                         \
          for (int32_t d = 0; d < s.depth; d++) from_x += wp[d] * (x[d] - s.zero);                \
          for (int32_t d = 0; d < s.units; d++)                                                   \
            from_h += rp[d] * ((T)(hidden[d] ^ s.hidden_zero) - s.hidden_zero);                   \
          const int32_t a = RESCALE(from_x, s.multiplier[g], s.shift[g]);                         \
          const int32_t b = RESCALE(from_h, s.hidden_multiplier[g], s.hidden_shift[g]);           \
          gate[u] = (int16_t)at_clamp(                                                            \
              at_clamp(a, -32768, 32767) + at_clamp(b, -32768, 32767), -32768, 32767);            \
        }                                                                                         \
        if (g == 2)                                                                               \
          at_tanh_s16(gate, gate, table, s.units, 3, 0);                                          \
        else                                                                                      \
          at_logistic_s16(gate, gate, table, s.units, 3, 0);                                      \
      }                                                                                           \
      for (int32_t u = 0; u < s.units; u++) {                                                     \
        const int32_t kept = at_clamp(at_rescale(gates[s.units + u] * cell[u],                    \
                                                 s.forget_multiplier, s.forget_shift),            \
                                      -32768, 32767);                                             \
        const int32_t added = at_clamp(at_rescale(gates[u] * gates[2 * s.units + u],              \
                                                  s.update_multiplier, s.update_shift),           \
                                       -32768, 32767);                                            \
        int32_t sum = at_clamp(kept + added, -32768, 32767);                                      \
        if (s.clip > 0) sum = at_clamp(sum, -s.clip, s.clip);                                     \
        cell[u] = (int16_t)sum;                                                                   \
      }                                                                                           \
      at_tanh_s16(cell, tanh_cell, table, s.units, s.cell_multiplier, s.cell_shift);              \
      for (int32_t u = 0; u < s.units; u++) {                                                     \
        const int32_t v = at_rescale(tanh_cell[u] * gates[3 * s.units + u], s.out_multiplier,     \
                                     s.out_shift);                                                \
        const T h = (T)at_clamp(v + s.hidden_zero, LOW, HIGH);                                    \
        hidden[u] = (T)(h ^ s.hidden_zero);                                                       \
        *y++ = h;                                                                                 \
      }                                                                                           \
    }                                                                                             \
  }
AT_LSTM(s8, int8_t, int32_t, at_rescale, -128, 127)
AT_LSTM(s16, int16_t, int64_t, at_rescale_wide, -32768, 32767)
#undef AT_LSTM

AT_INLINE void at_lstm_f32(const float *x, const float *w, const float *r, const float *bias,
                           float *hidden, float *cell, float *gates, float *y, int32_t steps,
                           int32_t depth, int32_t units, float clip) {
  for (int32_t step = 0; step < steps; step++, x += depth) {
    for (int32_t g = 0; g < 4; g++) {
      for (int32_t u = 0; u < units; u++) {
        const float *wp = w + (g * units + u) * depth, *rp = r + (g * units + u) * units;
        float from_x = 0.0f, from_h = 0.0f;
        for (int32_t d = 0; d < depth; d++) from_x += wp[d] * x[d];
        for (int32_t d = 0; d < units; d++) from_h += rp[d] * hidden[d];
        const float sum = from_x + bias[g * units + u] + from_h;
        gates[g * units + u] = g == 2 ? at_tanh(sum) : at_logistic(sum);
      }
    }
    for (int32_t u = 0; u < units; u++) {
      cell[u] = gates[units + u] * cell[u] + gates[u] * gates[2 * units + u];
      if (clip > 0.0f) cell[u] = at_clampf(cell[u], -clip, clip);
      hidden[u] = at_tanh(cell[u]) * gates[3 * units + u];
      *y++ = hidden[u];
    }
  }
}

#endif
