/* Parts of a tensor whose places are computed or given, such as the rows of an embedding. */
#ifndef TNY_GATHER_H
#define TNY_GATHER_H

#include "tny_tensor.h"

typedef struct {
  uint32_t outer, size, count, inner; /* parts before the axis, places along it, places that are read, codes of each */
  uint16_t layer, tensor;
} tny_gather_t;

/* A place beyond the tensor, for which nothing is defined, counts as the nearest one. */
static inline void tny_gather_places(const tny_gather_t *gather, const int8_t *in, const void *places, int8_t *out)
{
  TNY_ENTER(gather->layer);
  const int32_t last = (int32_t)gather->size - 1;
  size_t index = 0;
  for (uint32_t part = 0; part < gather->outer; part++) {
    for (uint32_t i = 0; i < gather->count; i++) {
      const int32_t given = tny_load(places, i, 2), place = given < 0 ? 0 : given > last ? last : given;
      const int8_t *codes = in + ((size_t)part * gather->size + (size_t)place) * gather->inner;
      for (uint32_t k = 0; k < gather->inner; k++, index++) {
        out[index] = codes[k];
        TNY_TRACE(gather->tensor, index, codes[k]);
      }
    }
  }
}

#endif
