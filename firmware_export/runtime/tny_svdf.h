/* SVDF: the newest value of every filter behind those of the state, and the filters over them. */
#ifndef TNY_SVDF_H
#define TNY_SVDF_H

#include "tny_tensor.h"

typedef struct {
  const int8_t *features; /* weights of each filter: `depth` codes */
  const void *times;      /* and `memory` codes */
  const int32_t *bias;    /* of each unit, which is `rank` filters */
  tny_scale_t scale, out;
  int16_t zero_in, zero_state, zero_out, low, high; /* the latter two bound the newest value without its zero point */
  uint16_t units, rank, depth, memory;
  uint16_t layer, tensor;
} tny_svdf_t;

/* The newest value of a filter; where its zero point leads beyond the type it wraps around, as in TFLite Micro. */
TNY_INLINE int32_t tny_svdf_newest(const tny_svdf_t *of, const int8_t *in, uint32_t filter, int wide)
{
  const int8_t *const weights = of->features + filter * of->depth;
  uint32_t sum = 0;
  for (uint32_t i = 0; i < of->depth; i++) {
    sum += (uint32_t)((in[i] - of->zero_in) * weights[i]);
  }
  const int32_t code = tny_clamp(tny_rescale((int32_t)sum, of->scale), of->low, of->high) + of->zero_state;
  return wide ? (int16_t)code : (int8_t)code;
}

/* Value `place` of the state that follows: those of the state itself move on by one. */
TNY_INLINE int32_t tny_svdf_value(const tny_svdf_t *of, const int8_t *in, const void *state, uint32_t place, int wide)
{
  const uint32_t last = of->memory - 1u;
  return place % of->memory < last ? tny_load(state, place + 1u, wide)
                                   : tny_svdf_newest(of, in, place / of->memory, wide);
}

static inline void tny_svdf(const tny_svdf_t *of, const int8_t *in, const void *state, int8_t *out, int wide)
{
  const uint32_t size = (uint32_t)of->rank * of->memory;
  TNY_ENTER(of->layer);
  for (uint32_t unit = 0; unit < of->units; unit++) {
    uint32_t sum = (uint32_t)of->bias[unit]; /* wraps around, as that of TFLite Micro does */
    for (uint32_t i = unit * size; i < (unit + 1u) * size; i++) {
      const int32_t value = tny_svdf_value(of, in, state, i, wide) - of->zero_state;
      sum += (uint32_t)value * (uint32_t)tny_load(of->times, i, wide);
    }
    out[unit] = (int8_t)tny_offset(tny_rescale((int32_t)sum, of->out), of->zero_out, -128, 127);
    TNY_TRACE(of->tensor, unit, out[unit]);
  }
}

static inline void tny_svdf_state(const tny_svdf_t *of, const int8_t *in, const void *state, void *out, int wide)
{
  const uint32_t size = (uint32_t)of->units * of->rank * of->memory;
  TNY_ENTER(of->layer);
  for (uint32_t place = 0; place < size; place++) {
    const int32_t value = tny_svdf_value(of, in, state, place, wide);
    tny_store(out, place, value, wide);
    TNY_TRACE(of->tensor, place, value);
  }
}

#endif
