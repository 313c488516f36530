/* The order in which operators meet the codes of a tensor: up to six axes, each with a step of its own. */
#ifndef TNY_WALK_H
#define TNY_WALK_H

#include "tny_tensor.h"

#define TNY_AXES 6

/* Places along each axis, of which the last one moves fastest; unused axes come first and have one place. */
typedef uint32_t tny_sizes_t[TNY_AXES];
/* Codes from one place of an axis to the next; 0 repeats the same code. */
typedef int32_t tny_steps_t[TNY_AXES];

/* The places of all axes together. */
TNY_INLINE uint32_t tny_places(const uint32_t *sizes)
{
  uint32_t count = 1;
  for (int32_t axis = 0; axis < TNY_AXES; axis++) {
    count *= sizes[axis];
  }
  return count;
}

/* Where the codes of row `row` start; a row is what lies along the last axis. */
TNY_INLINE int32_t tny_row_start(const uint32_t *sizes, const int32_t *steps, uint32_t row)
{
  int32_t start = 0;
  for (int32_t axis = TNY_AXES - 2; axis >= 0 && row > 0; axis--) {
    start += (int32_t)(row % sizes[axis]) * steps[axis];
    row /= sizes[axis];
  }
  return start;
}

#endif
