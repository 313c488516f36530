/* A template of a kernel: ABS of int8 tensors. Copy it as tny_<operator>.h; a package carries the files named tny_*.h.
 * Its other half, which fills the descriptor and calls the function, is tinyfuse/firmware/operators/TEMPLATE.py. */
#ifndef TNY_ABSOLUTE_H
#define TNY_ABSOLUTE_H

#include "tny_tensor.h"

/* The constants of one layer; every descriptor ends with `layer` and `tensor`. */
typedef struct {
  tny_scale_t scale;
  int16_t zero_in, zero_out, low, high;
  uint16_t layer, tensor; /* names for profiles and traces */
} tny_absolute_t;

static inline void tny_absolute(const tny_absolute_t *layer, const int8_t *in, int8_t *out, size_t count)
{
  TNY_ENTER(layer->layer); /* instructions are counted for this layer from here on */
  for (size_t i = 0; i < count; i++) {
    const int32_t x = in[i] - layer->zero_in;
    const int32_t code = tny_rescale(x < 0 ? -x : x, layer->scale);
    out[i] = (int8_t)tny_offset(code, layer->zero_out, layer->low, layer->high);
    TNY_TRACE(layer->tensor, i, out[i]); /* `tinyfuse verify` compares every value that is traced */
  }
}

#endif
