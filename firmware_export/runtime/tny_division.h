/* One tensor of int8 codes divided by another; both broadcast. */
#ifndef TNY_DIVISION_H
#define TNY_DIVISION_H

#include "tny_elementwise.h"
#include "tny_softmax.h"

/* In the place of 1 / 0, which C leaves open. */
#define TNY_BY_ZERO (-1515870788)

TNY_INLINE uint32_t tny_bits(uint32_t x)
{
  uint32_t bits = 0;
  for (; x > 0; x >>= 1) {
    bits++;
  }
  return bits;
}

/* a / b on the scale `out`, for codes without their zero points. */
TNY_INLINE int32_t tny_quotient(int32_t a, int32_t b, tny_scale_t out)
{
  const int32_t top = b < 0 ? -a : a;
  const uint32_t bottom = (uint32_t)(b < 0 ? -b : b), bits = tny_bits(bottom);
  const uint32_t room = 31u - tny_bits((uint32_t)(top < 0 ? -top - 1 : top));
  const int32_t inverse = bottom ? tny_reciprocal((int32_t)((bottom << (32u - bits)) - 0x80000000u)) : TNY_BY_ZERO;
  const tny_scale_t first = {inverse, 0}, second = {out.multiplier, (int32_t)(room + bits) - 1 + out.shift};
  return tny_rescale(tny_rescale((int32_t)((uint32_t)top << room), first), second);
}

static inline void tny_division(const tny_elementwise_t *of, const int8_t *first, const int8_t *second, int8_t *out)
{
  const uint32_t count = tny_places(of->sizes), width = of->sizes[TNY_AXES - 1];
  TNY_ENTER(of->layer);
  for (uint32_t index = 0; index < count; index++) {
    const int32_t row = (int32_t)(index / width), column = (int32_t)(index % width);
    const int32_t i = tny_row_start(of->sizes, of->first_steps, (uint32_t)row) + column * of->first_steps[TNY_AXES - 1];
    const int32_t j = tny_row_start(of->sizes, of->second_steps, (uint32_t)row) + column * of->second_steps[TNY_AXES - 1];
    const int32_t value = tny_quotient(first[i] - of->zero_first, second[j] - of->zero_second, of->out);
    const int32_t code = tny_offset(value, of->zero_out, of->low, of->high);
    out[index] = (int8_t)code;
    TNY_TRACE(of->tensor, index, code);
  }
}

#endif
