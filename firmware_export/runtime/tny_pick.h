/* Parts of a tensor by number: GATHER, and the rows and columns of RESIZE_NEAREST_NEIGHBOR. */
#ifndef TNY_PICK_H
#define TNY_PICK_H

#include "tny_tensor.h"

typedef struct {
  const uint32_t *outer, *inner;            /* which parts; NULL for all in their order */
  uint32_t outer_count, inner_count, inner_size; /* picked along both axes, and there along the inner one */
  uint32_t width;                           /* codes of one part */
  uint16_t layer, tensor;
} tny_pick_t;

static inline void tny_pick(const tny_pick_t *pick, const void *in, void *out, int wide)
{
  size_t index = 0;
  TNY_ENTER(pick->layer);
  for (uint32_t i = 0; i < pick->outer_count; i++) {
    const size_t row = (size_t)(pick->outer != NULL ? pick->outer[i] : i) * pick->inner_size;
    for (uint32_t j = 0; j < pick->inner_count; j++) {
      const size_t first = (row + (pick->inner != NULL ? pick->inner[j] : j)) * pick->width;
      for (uint32_t k = 0; k < pick->width; k++, index++) {
        const int32_t code = tny_load(in, first + k, wide);
        tny_store(out, index, code, wide);
        TNY_TRACE(pick->tensor, index, code);
      }
    }
  }
}

#endif
