/* Places of the largest or, where `smallest` is 1, smallest int8 codes along an axis; of equals the first counts. */
#ifndef TNY_ARG_MAX_H
#define TNY_ARG_MAX_H

#include "tny_tensor.h"

typedef struct {
  uint32_t outer, count, inner; /* sizes of the axes before, of the one that goes, and of those behind */
  uint16_t layer, tensor;
} tny_arg_max_t;

static inline void tny_arg_max(const tny_arg_max_t *of, const int8_t *in, void *out, int smallest)
{
  TNY_ENTER(of->layer);
  for (size_t index = 0; index < (size_t)of->outer * of->inner; index++) {
    const int8_t *codes = in + index / of->inner * of->count * of->inner + index % of->inner;
    uint32_t best = 0;
    for (uint32_t i = 1; i < of->count; i++) {
      const int32_t gain = codes[(size_t)i * of->inner] - codes[(size_t)best * of->inner];
      best = (smallest ? gain < 0 : gain > 0) ? i : best;
    }
    tny_store(out, index, (int32_t)best, 2);
    TNY_TRACE(of->tensor, index, (int32_t)best);
  }
}

#endif
