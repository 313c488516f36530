/* ABS of int16 codes; that of int8 codes is a table. */
#ifndef TNY_ABSOLUTE_H
#define TNY_ABSOLUTE_H

#include "tny_tensor.h"

typedef struct {
  tny_scale_t scale;
  uint16_t layer, tensor;
} tny_absolute_t;

static inline void tny_absolute(const tny_absolute_t *of, const void *in, void *out, size_t count)
{
  TNY_ENTER(of->layer);
  for (size_t i = 0; i < count; i++) {
    const int32_t code = tny_load(in, i, 1);
    tny_store(out, i, tny_clamp(tny_rescale(code < 0 ? -code : code, of->scale), -32768, 32767), 1);
    TNY_TRACE(of->tensor, i, tny_load(out, i, 1));
  }
}

#endif
