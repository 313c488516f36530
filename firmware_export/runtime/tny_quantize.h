/* The same numbers on another grid: QUANTIZE between int8 and int16 tensors, or to int32. */
#ifndef TNY_QUANTIZE_H
#define TNY_QUANTIZE_H

#include "tny_tensor.h"

typedef struct {
  tny_scale_t scale;
  int32_t zero_out, low, high;
  int16_t zero_in;
  uint16_t layer, tensor;
} tny_quantize_t;

static inline void tny_quantize(const tny_quantize_t *grid, const void *in, void *out, size_t count, int wide_in,
                                int wide_out)
{
  TNY_ENTER(grid->layer);
  for (size_t i = 0; i < count; i++) {
    const int32_t code = tny_rescale(tny_load(in, i, wide_in) - grid->zero_in, grid->scale);
    tny_store(out, i, tny_offset(code, grid->zero_out, grid->low, grid->high), wide_out);
    TNY_TRACE(grid->tensor, i, tny_load(out, i, wide_out));
  }
}

#endif
