/* Addition of two tensors of different scales, alone or on what a convolution has just computed. */
#ifndef TNY_ADD_H
#define TNY_ADD_H

#include "tny_core.h"

/* y = clamp(round((conv' + other') * out) + zero_out), each operand first brought to a common scale: shifted to the left,
 * then multiplied. TFLite Micro shifts by 20; a factor of exactly 1/2 is instead shifted by 21 and divided by 4, which is
 * the same, so that all shifts to the right are positive. */
typedef struct {
  tny_scale_t conv, other, out;
  int16_t zero_conv, zero_other, zero_out, low, high;
  uint8_t left_conv, left_other;
  uint16_t layer, tensor;
} tny_add_t;

TNY_INLINE int32_t tny_rescale(int32_t x, const tny_scale_t *scale)
{
  return tny_divide(tny_high(x, scale->multiplier), scale->shift);
}

TNY_INLINE int8_t tny_add(const tny_add_t *add, int32_t conv, int32_t other)
{
  const int32_t one = tny_rescale((conv - add->zero_conv) * (1 << add->left_conv), &add->conv);
  const int32_t two = tny_rescale((other - add->zero_other) * (1 << add->left_other), &add->other);
  return (int8_t)tny_clamp(tny_rescale(one + two, &add->out) + add->zero_out, add->low, add->high);
}

#if TNY_IMPL == 2
TNY_INLINE int32x4_t tny_rescale4(int32x4_t x, const tny_scale_t *scale)
{
  const int32x4_t high = vqrdmulhq_n_s32(x, scale->multiplier);
  return vrshlq_n_s32(vaddq_s32(high, vshrq_n_s32(high, 31)), -scale->shift);
}

TNY_INLINE int32x4_t tny_clamp4(int32x4_t x, int32_t low, int32_t high)
{
  return vminq_s32(vmaxq_s32(x, vdupq_n_s32(low)), vdupq_n_s32(high));
}

TNY_INLINE int32x4_t tny_add4(const tny_add_t *add, int32x4_t conv, int32x4_t other)
{
  const int32x4_t one = tny_rescale4(vshlq_r_s32(vsubq_n_s32(conv, add->zero_conv), add->left_conv), &add->conv);
  const int32x4_t two = tny_rescale4(vshlq_r_s32(vsubq_n_s32(other, add->zero_other), add->left_other), &add->other);
  const int32x4_t sum = vaddq_n_s32(tny_rescale4(vaddq_s32(one, two), &add->out), add->zero_out);
  return tny_clamp4(sum, add->low, add->high);
}
#endif

#endif
