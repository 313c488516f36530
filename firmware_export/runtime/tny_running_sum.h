/* Sums of int8 codes on one scale with more bits: of several tensors, and of the values so far along an axis. */
#ifndef TNY_RUNNING_SUM_H
#define TNY_RUNNING_SUM_H

#include "tny_tensor.h"

typedef struct {
  tny_scale_t in, out;
  int32_t start; /* of every sum, which wraps around as TFLite Micro's does */
  uint32_t outer, count, inner;
  int16_t zero_in, zero_out;
  uint16_t layer, tensor;
} tny_running_sum_t;

TNY_INLINE uint32_t tny_summand(const tny_running_sum_t *of, int32_t code)
{
  return (uint32_t)tny_rescale((code - of->zero_in) * ((int32_t)1 << 20), of->in);
}

TNY_INLINE int8_t tny_sum_code(const tny_running_sum_t *of, uint32_t sum)
{
  return (int8_t)tny_offset(tny_rescale((int32_t)sum, of->out), of->zero_out, -128, 127);
}

static inline void tny_add_n(const tny_running_sum_t *of, const int8_t *const *parts, size_t number, int8_t *out)
{
  TNY_ENTER(of->layer);
  for (size_t i = 0; i < of->count; i++) {
    uint32_t sum = (uint32_t)of->start;
    for (size_t part = 0; part < number; part++) {
      sum += tny_summand(of, parts[part][i]);
    }
    out[i] = tny_sum_code(of, sum);
    TNY_TRACE(of->tensor, i, out[i]);
  }
}

static inline void tny_cumsum(const tny_running_sum_t *of, const int8_t *in, int8_t *out, int exclusive, int reverse)
{
  TNY_ENTER(of->layer);
  for (size_t line = 0; line < (size_t)of->outer * of->inner; line++) {
    const size_t first = line / of->inner * of->count * of->inner + line % of->inner;
    uint32_t sum = (uint32_t)of->start;
    for (uint32_t i = 0; i < of->count; i++) {
      const size_t place = first + (size_t)(reverse ? of->count - 1u - i : i) * of->inner;
      const uint32_t more = tny_summand(of, in[place]);
      out[place] = tny_sum_code(of, exclusive ? sum : sum + more);
      sum += more;
      TNY_TRACE(of->tensor, place, out[place]);
    }
  }
}

#endif
