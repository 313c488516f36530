/* Codes that change their places: slices with steps, and axes in another order. */
#ifndef TNY_MOVE_H
#define TNY_MOVE_H

#include "tny_walk.h"

typedef struct {
  tny_sizes_t sizes; /* of the output */
  tny_steps_t steps; /* in the input */
  int32_t start;     /* the first code that is read */
  uint16_t layer, tensor;
} tny_move_t;

static inline void tny_move(const tny_move_t *move, const void *in, void *out, int wide)
{
  const uint32_t width = move->sizes[TNY_AXES - 1], count = tny_places(move->sizes);
  const int32_t step = move->steps[TNY_AXES - 1];
  TNY_ENTER(move->layer);
  for (uint32_t index = 0, row = 0; index < count; row++) {
    int32_t place = move->start + tny_row_start(move->sizes, move->steps, row);
    for (uint32_t i = 0; i < width; i++, index++, place += step) {
      const int32_t code = tny_load(in, (size_t)place, wide);
      tny_store(out, index, code, wide);
      TNY_TRACE(move->tensor, index, code);
    }
  }
}

#endif
