/* Truth values, one byte each: comparisons of int8 codes, their combinations, and codes chosen by them. */
#ifndef TNY_LOGIC_H
#define TNY_LOGIC_H

#include "tny_walk.h"

/* What is computed; a constant of each call. */
#define TNY_EQUAL 0
#define TNY_NOT_EQUAL 1
#define TNY_GREATER 2
#define TNY_GREATER_EQUAL 3
#define TNY_LESS 4
#define TNY_LESS_EQUAL 5
#define TNY_AND 6
#define TNY_OR 7
#define TNY_NOT 8

typedef struct {
  tny_sizes_t sizes; /* of the output */
  tny_steps_t first_steps, second_steps;
  tny_scale_t first, second; /* of compared codes, which are shifted by 8 before */
  int16_t zero_first, zero_second;
  uint16_t layer, tensor;
} tny_logic_t;

typedef struct {
  tny_sizes_t sizes; /* of the output */
  tny_steps_t condition_steps, first_steps, second_steps;
  uint16_t layer, tensor;
} tny_select_t;

TNY_INLINE int tny_compared(int32_t a, int32_t b, int what)
{
  switch (what) {
  case TNY_EQUAL:
    return a == b;
  case TNY_NOT_EQUAL:
    return a != b;
  case TNY_GREATER:
    return a > b;
  case TNY_GREATER_EQUAL:
    return a >= b;
  case TNY_LESS:
    return a < b;
  case TNY_LESS_EQUAL:
    return a <= b;
  case TNY_AND:
    return a != 0 && b != 0;
  case TNY_OR:
    return a != 0 || b != 0;
  default:
    return a == 0;
  }
}

/* Where place `index` of the output lies in an operand. */
TNY_INLINE size_t tny_operand(const uint32_t *sizes, const int32_t *steps, uint32_t index)
{
  const uint32_t width = sizes[TNY_AXES - 1];
  return (size_t)(tny_row_start(sizes, steps, index / width) + (int32_t)(index % width) * steps[TNY_AXES - 1]);
}

static inline void tny_logic(const tny_logic_t *of, const int8_t *first, const int8_t *second, int8_t *out, int what)
{
  const uint32_t count = tny_places(of->sizes);
  TNY_ENTER(of->layer);
  for (uint32_t index = 0; index < count; index++) {
    int32_t a = first[tny_operand(of->sizes, of->first_steps, index)];
    int32_t b = second[tny_operand(of->sizes, of->second_steps, index)];
    if (what < TNY_AND) {
      a = tny_rescale((a - of->zero_first) * 256, of->first);
      b = tny_rescale((b - of->zero_second) * 256, of->second);
    }
    out[index] = (int8_t)tny_compared(a, b, what);
    TNY_TRACE(of->tensor, index, out[index]);
  }
}

static inline void tny_select(const tny_select_t *of, const int8_t *condition, const void *first, const void *second,
                              void *out, int wide)
{
  const uint32_t count = tny_places(of->sizes);
  TNY_ENTER(of->layer);
  for (uint32_t index = 0; index < count; index++) {
    const int chosen = condition[tny_operand(of->sizes, of->condition_steps, index)] != 0;
    const size_t place = tny_operand(of->sizes, chosen ? of->first_steps : of->second_steps, index);
    const int32_t code = tny_load(chosen ? first : second, place, wide);
    tny_store(out, index, code, wide);
    TNY_TRACE(of->tensor, index, code);
  }
}

#endif
