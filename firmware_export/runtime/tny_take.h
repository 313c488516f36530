/* Codes at places of several axes: padding that mirrors. */
#ifndef TNY_TAKE_H
#define TNY_TAKE_H

#include "tny_walk.h"

typedef struct {
  tny_sizes_t sizes;      /* of the output */
  const uint32_t *places; /* in the input, of each place of the first axis, then of the next */
  uint16_t layer, tensor;
} tny_take_t;

static inline void tny_take(const tny_take_t *take, const void *in, void *out, int wide)
{
  const uint32_t count = tny_places(take->sizes);
  TNY_ENTER(take->layer);
  for (uint32_t index = 0; index < count; index++) {
    const uint32_t *places = take->places;
    uint32_t place = 0, inner = count, rest = index;
    for (int32_t axis = 0; axis < TNY_AXES; axis++) {
      inner /= take->sizes[axis];
      place += places[rest / inner];
      rest %= inner;
      places += take->sizes[axis];
    }
    const int32_t code = tny_load(in, place, wide);
    tny_store(out, index, code, wide);
    TNY_TRACE(take->tensor, index, code);
  }
}

#endif
