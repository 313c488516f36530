/* Operators of two tensors that broadcast: sums, differences, products, the smaller, the larger, PRELU. */
#ifndef TNY_ELEMENTWISE_H
#define TNY_ELEMENTWISE_H

#include "tny_walk.h"

/* What is computed; a constant of each call, so that the compiler keeps one case. */
#define TNY_SUM 0
#define TNY_DIFFERENCE 1
#define TNY_SQUARED_DIFFERENCE 2
#define TNY_PRODUCT 3
#define TNY_PRELU 4
#define TNY_MINIMUM 5
#define TNY_MAXIMUM 6

/* `first` and `second` bring operands to a common scale, `out` what is computed of them to that of the output; PRELU
 * takes `first` for codes from zero on and `out` for the others. */
typedef struct {
  tny_sizes_t sizes; /* of the output */
  tny_steps_t first_steps, second_steps;
  tny_scale_t first, second, out;
  int16_t zero_first, zero_second, zero_out, low, high;
  uint8_t left; /* shift of operands before they are brought to the common scale */
  uint16_t layer, tensor;
} tny_elementwise_t;

TNY_INLINE uint32_t tny_common(int32_t x, tny_scale_t scale, uint32_t left)
{
  return (uint32_t)tny_rescale((int32_t)((uint32_t)x << left), scale);
}

/* The output code of operands without their zero points; sums wrap around where TFLite Micro's do. */
TNY_INLINE int32_t tny_elementwise_code(const tny_elementwise_t *of, int32_t a, int32_t b, int what)
{
  tny_scale_t scale = of->out;
  uint32_t value = 0;
  if (what == TNY_PRODUCT) {
    value = (uint32_t)a * (uint32_t)b;
  } else if (what == TNY_PRELU) {
    value = a >= 0 ? (uint32_t)a : (uint32_t)a * (uint32_t)b;
    scale = a >= 0 ? of->first : of->out;
  } else {
    const uint32_t one = tny_common(a, of->first, of->left), two = tny_common(b, of->second, of->left);
    value = what == TNY_SUM ? one + two : one - two;
    value = what == TNY_SQUARED_DIFFERENCE ? value * value : value;
  }
  return tny_offset(tny_rescale((int32_t)value, scale), of->zero_out, of->low, of->high);
}

static inline void tny_elementwise(const tny_elementwise_t *of, const void *first, const void *second, void *out,
                                   int what, int wide)
{
  const uint32_t width = of->sizes[TNY_AXES - 1], count = tny_places(of->sizes);
  const int32_t step = of->first_steps[TNY_AXES - 1], other = of->second_steps[TNY_AXES - 1];
  TNY_ENTER(of->layer);
  for (uint32_t index = 0, row = 0; index < count; row++) {
    int32_t i = tny_row_start(of->sizes, of->first_steps, row), j = tny_row_start(of->sizes, of->second_steps, row);
    const int narrow = what == TNY_PRELU ? 0 : wide; /* alpha is int8 in any case */
    for (const uint32_t end = index + width; index < end; index++, i += step, j += other) {
      const int32_t a = tny_load(first, (size_t)i, wide), b = tny_load(second, (size_t)j, narrow);
      int32_t code = a;
      if (what == TNY_MINIMUM || what == TNY_MAXIMUM) {
        code = (what == TNY_MINIMUM) == (a < b) ? a : b;
      } else {
        code = tny_elementwise_code(of, a - of->zero_first, b - of->zero_second, what);
      }
      tny_store(out, index, code, wide);
      TNY_TRACE(of->tensor, index, code);
    }
  }
}

#endif
