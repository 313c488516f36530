/* Padding along any axes: the output holds one value, then the input at its place. */
#ifndef TNY_PAD_H
#define TNY_PAD_H

#include "tny_walk.h"

typedef struct {
  tny_sizes_t sizes; /* of the input */
  tny_steps_t steps; /* in the output */
  int32_t start;     /* where its first code goes */
  uint32_t count;    /* codes of the output */
  int32_t value;
  uint16_t layer, tensor;
} tny_pad_t;

static inline void tny_pad_tensor(const tny_pad_t *pad, const void *in, void *out, int wide)
{
  const uint32_t width = pad->sizes[TNY_AXES - 1], count = tny_places(pad->sizes);
  const int32_t step = pad->steps[TNY_AXES - 1];
  TNY_ENTER(pad->layer);
  for (size_t index = 0; index < pad->count; index++) {
    tny_store(out, index, pad->value, wide);
  }
  for (uint32_t index = 0, row = 0; index < count; row++) {
    int32_t place = pad->start + tny_row_start(pad->sizes, pad->steps, row);
    for (uint32_t i = 0; i < width; i++, index++, place += step) {
      tny_store(out, (size_t)place, tny_load(in, index, wide), wide);
    }
  }
  tny_trace_all(pad->tensor, out, pad->count, wide);
}

#endif
