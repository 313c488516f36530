/* Addition of two tensors of different scales, alone or on what a convolution has just computed. */
#ifndef TNY_ADD_H
#define TNY_ADD_H

#include "tny_core.h"

#define TNY_ADD_SHIFT 20

/* y = clamp(round((conv' + other') * out) + zero_out), each operand first brought to a common scale. */
typedef struct {
  tny_scale_t conv, other, out;
  int16_t zero_conv, zero_other, zero_out, low, high;
  uint16_t layer, tensor;
} tny_add_t;

TNY_INLINE int8_t tny_add(const tny_add_t *add, int32_t conv, int32_t other)
{
  const int32_t one = tny_requantize((conv - add->zero_conv) * (1 << TNY_ADD_SHIFT), add->conv);
  const int32_t two = tny_requantize((other - add->zero_other) * (1 << TNY_ADD_SHIFT), add->other);
  return (int8_t)tny_clamp(tny_requantize(one + two, add->out) + add->zero_out, add->low, add->high);
}

#endif
