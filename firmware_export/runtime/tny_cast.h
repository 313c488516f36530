/* Numbers in another type: what does not fit wraps around, what is not 0 is true. */
#ifndef TNY_CAST_H
#define TNY_CAST_H

#include "tny_tensor.h"

typedef struct {
  uint32_t count;
  uint16_t layer, tensor;
} tny_cast_t;

static inline void tny_cast(const tny_cast_t *cast, const void *in, void *out, int wide_in, int wide, int truth)
{
  TNY_ENTER(cast->layer);
  for (uint32_t i = 0; i < cast->count; i++) {
    const int32_t value = tny_load(in, i, wide_in), found = truth ? value != 0 : value;
    tny_store(out, i, found, wide);
    TNY_TRACE(cast->tensor, i, tny_load(out, i, wide));
  }
}

#endif
