/* Products of matrices, both computed or one of them constant; axes before the last two broadcast. */
#ifndef TNY_MATMUL_H
#define TNY_MATMUL_H

#include "tny_walk.h"

typedef struct {
  tny_sizes_t sizes; /* of the output */
  tny_steps_t first_steps, second_steps;
  uint32_t depth;                  /* products of one sum */
  int32_t first_depth, second_depth; /* codes between those that meet in neighbouring products */
  tny_scale_t scale;               /* of 64-bit sums: a multiplier of 15 bits and the whole shift */
  int16_t zero_first, zero_second, zero_out;
  uint16_t layer, tensor;
} tny_matmul_t;

TNY_INLINE int32_t tny_matmul_code(const tny_matmul_t *of, const void *first, const void *second, int32_t i, int32_t j,
                                   int wide)
{
  uint32_t narrow = 0;
  uint64_t sum = 0;
  for (uint32_t k = 0; k < of->depth; k++, i += of->first_depth, j += of->second_depth) {
    const int32_t a = tny_load(first, (size_t)i, wide) - of->zero_first;
    const int32_t b = tny_load(second, (size_t)j, wide) - of->zero_second;
    if (wide) {
      sum += (uint64_t)((int64_t)a * b);
    } else {
      narrow += (uint32_t)(a * b);
    }
  }
  if (wide) {
    return tny_clamp(tny_rescale_long((int64_t)sum, of->scale), -32768, 32767);
  }
  return tny_offset(tny_rescale((int32_t)narrow, of->scale), of->zero_out, -128, 127);
}

static inline void tny_matmul(const tny_matmul_t *of, const void *first, const void *second, void *out, int wide)
{
  const uint32_t width = of->sizes[TNY_AXES - 1], count = tny_places(of->sizes);
  TNY_ENTER(of->layer);
  for (uint32_t index = 0, row = 0; index < count; row++) {
    int32_t i = tny_row_start(of->sizes, of->first_steps, row), j = tny_row_start(of->sizes, of->second_steps, row);
    for (uint32_t k = 0; k < width; k++, index++) {
      const int32_t code = tny_matmul_code(of, first, second, i, j, wide);
      tny_store(out, index, code, wide);
      TNY_TRACE(of->tensor, index, code);
      i += of->first_steps[TNY_AXES - 1];
      j += of->second_steps[TNY_AXES - 1];
    }
  }
}

#endif
