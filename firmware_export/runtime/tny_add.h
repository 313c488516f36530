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

#if TNY_IMPL == 2
/* As tny_requantize, four values by one scale. */
TNY_INLINE int32x4_t tny_requantize4(int32x4_t x, tny_scale_t scale)
{
  if (scale.shift > 0) {
    const int32x4_t high = vqrdmulhq_n_s32(x, scale.multiplier);
    return vrshlq_n_s32(vaddq_s32(high, vshrq_n_s32(high, 31)), -scale.shift);
  }
  return vqrdmulhq_n_s32(vshlq_r_s32(x, -scale.shift), scale.multiplier);
}

TNY_INLINE int32x4_t tny_clamp4(int32x4_t x, int32_t low, int32_t high)
{
  return vminq_s32(vmaxq_s32(x, vdupq_n_s32(low)), vdupq_n_s32(high));
}

TNY_INLINE int32x4_t tny_add4(const tny_add_t *add, int32x4_t conv, int32x4_t other)
{
  const int32x4_t one = tny_requantize4(vshlq_n_s32(vsubq_n_s32(conv, add->zero_conv), TNY_ADD_SHIFT), add->conv);
  const int32x4_t two = tny_requantize4(vshlq_n_s32(vsubq_n_s32(other, add->zero_other), TNY_ADD_SHIFT), add->other);
  const int32x4_t sum = tny_requantize4(vaddq_s32(one, two), add->out);
  return tny_clamp4(vaddq_n_s32(sum, add->zero_out), add->low, add->high);
}
#endif

#endif
