/* Sums, means, maxima and minima over any axes. */
#ifndef TNY_REDUCE_H
#define TNY_REDUCE_H

#include "tny_walk.h"

typedef struct {
  tny_sizes_t sizes, reduced_sizes; /* of the axes that stay, and of those that go */
  tny_steps_t steps, reduced_steps;
  tny_scale_t scale; /* of the sum; holds the division of a mean as well */
  int16_t zero_in, zero_out, low, high;
  uint16_t layer, tensor;
} tny_reduce_t;

/* The largest (`what`: 1) or smallest (2) code, or the sum of codes without their zero point, which wraps around as TFLite Micro's does. */
TNY_INLINE int32_t tny_reduced(const tny_reduce_t *reduce, const void *in, int32_t start, int wide, int what)
{
  const uint32_t width = reduce->reduced_sizes[TNY_AXES - 1], count = tny_places(reduce->reduced_sizes);
  const int32_t step = reduce->reduced_steps[TNY_AXES - 1];
  int32_t top = what == 2 ? INT16_MAX : INT16_MIN;
  uint32_t sum = 0;
  for (uint32_t done = 0, row = 0; done < count; done += width, row++) {
    int32_t place = start + tny_row_start(reduce->reduced_sizes, reduce->reduced_steps, row);
    for (uint32_t i = 0; i < width; i++, place += step) {
      const int32_t code = tny_load(in, (size_t)place, wide);
      top = (what == 2 ? code < top : code > top) ? code : top;
      sum += (uint32_t)(code - reduce->zero_in);
    }
  }
  return what ? top : (int32_t)sum;
}

static inline void tny_reduce(const tny_reduce_t *reduce, const void *in, void *out, int wide, int what)
{
  const uint32_t width = reduce->sizes[TNY_AXES - 1], count = tny_places(reduce->sizes);
  TNY_ENTER(reduce->layer);
  for (uint32_t index = 0; index < count; index++) {
    const int32_t start = tny_row_start(reduce->sizes, reduce->steps, index / width) +
                          (int32_t)(index % width) * reduce->steps[TNY_AXES - 1];
    int32_t code = tny_reduced(reduce, in, start, wide, what);
    if (!what) {
      code = tny_offset(tny_rescale(code, reduce->scale), reduce->zero_out, reduce->low, reduce->high);
    }
    tny_store(out, index, code, wide);
    TNY_TRACE(reduce->tensor, index, code);
  }
}

#endif
