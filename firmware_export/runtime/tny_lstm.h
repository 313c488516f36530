/* LSTM over a sequence of int8 codes, with int16 gates and cell state; each inference begins from the state after a reset:
 * a hidden state of zero points, which adds nothing, and a cell state of 0. */
#ifndef TNY_LSTM_H
#define TNY_LSTM_H

#include "tny_sigmoid_wide.h"

#define TNY_GATES 4 /* input, forget, cell, output */

typedef struct {
  const int8_t *weights, *recurrent; /* of each unit of each gate: `depth` and `units` codes */
  const int32_t *bias;               /* of each unit of each gate */
  tny_scale_t weight_scales[TNY_GATES], recurrent_scales[TNY_GATES];
  tny_scale_t forget, update, hide;  /* of the products that make the cell state and the output */
  const uint16_t *sigmoids;
  int32_t shift;                     /* to the left, from 3 times a code of the cell state to an argument */
  int16_t zero_in, zero_out, low, high; /* the latter two bound the cell state */
  uint16_t steps, depth, units;
  uint16_t layer, tensor;
} tny_lstm_t;

TNY_INLINE int32_t tny_lstm_sum(const int8_t *codes, const int8_t *weights, uint32_t count, int32_t zero, int32_t bias)
{
  uint32_t sum = (uint32_t)bias; /* wraps around, as that of TFLite Micro does */
  for (uint32_t i = 0; i < count; i++) {
    sum += (uint32_t)((codes[i] - zero) * weights[i]);
  }
  return (int32_t)sum;
}

TNY_INLINE int32_t tny_clamp_wide(int32_t x)
{
  return tny_clamp(x, -32768, 32767);
}

/* The output of one unit of a gate; `before` is the output of the step before, NULL for none. */
TNY_NOINLINE int16_t tny_lstm_gate(const tny_lstm_t *of, uint32_t gate, uint32_t unit, const int8_t *in,
                                   const int8_t *before)
{
  const uint32_t row = gate * of->units + unit;
  const int32_t sum = tny_lstm_sum(in, of->weights + row * of->depth, of->depth, of->zero_in, of->bias[row]);
  int32_t argument = tny_clamp_wide(tny_rescale(sum, of->weight_scales[gate]));
  if (before != NULL) {
    const int32_t more = tny_lstm_sum(before, of->recurrent + row * of->units, of->units, of->zero_out, 0);
    argument = tny_clamp_wide(argument + tny_clamp_wide(tny_rescale(more, of->recurrent_scales[gate])));
  }
  return (int16_t)(gate == 2 ? tny_tanh_code(of->sigmoids, 3 * argument) : tny_logistic_code(of->sigmoids, 3 * argument));
}

/* The output code of one unit, whose cell state changes. */
TNY_INLINE int32_t tny_lstm_unit(const tny_lstm_t *of, const int16_t *gates, int16_t *cell)
{
  const int32_t kept = tny_clamp_wide(tny_rescale(gates[1] * *cell, of->forget));
  const int32_t added = tny_clamp_wide(tny_rescale(gates[0] * gates[2], of->update));
  *cell = (int16_t)tny_clamp(kept + added, of->low, of->high);
  const int32_t right = of->shift < 0 ? -of->shift : 0, half = right > 0 ? (int32_t)1 << (right - 1) : 0;
  const int32_t argument = (3 * *cell * ((int32_t)1 << (of->shift > 0 ? of->shift : 0)) + half) >> right;
  const int32_t product = tny_tanh_code(of->sigmoids, argument) * gates[3];
  return tny_offset(tny_rescale(product, of->hide), of->zero_out, -128, 127);
}

static inline void tny_lstm(const tny_lstm_t *of, const int8_t *in, int8_t *out, void *scratch)
{
  int16_t *const cells = (int16_t *)scratch;
  const int8_t *before = NULL;
  TNY_ENTER(of->layer);
  memset(cells, 0, of->units * sizeof *cells);
  for (uint32_t step = 0; step < of->steps; step++, in += of->depth, before = out, out += of->units) {
    for (uint32_t unit = 0; unit < of->units; unit++) {
      int16_t gates[TNY_GATES];
      for (uint32_t gate = 0; gate < TNY_GATES; gate++) {
        gates[gate] = tny_lstm_gate(of, gate, unit, in, before);
      }
      out[unit] = (int8_t)tny_lstm_unit(of, gates, cells + unit);
      TNY_TRACE(of->tensor, (size_t)step * of->units + unit, out[unit]);
    }
  }
}

#endif
