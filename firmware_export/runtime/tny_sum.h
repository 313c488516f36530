/* Addition of whole int8 tensors. */
#ifndef TNY_SUM_H
#define TNY_SUM_H

#include "tny_add.h"
#include "tny_tensor.h"

static inline void tny_add_tensors(const tny_add_t *add, const int8_t *first, const int8_t *second, int8_t *out,
                                   size_t count)
{
  TNY_ENTER(add->layer);
  for (size_t i = 0; i < count; i++) {
    out[i] = tny_add(add, first[i], second[i]);
    TNY_TRACE(add->tensor, i, out[i]);
  }
}

#endif
