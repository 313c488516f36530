/* Addition of two tensors of different scales, alone or on what a convolution has just computed. */
#ifndef TNY_ADD_H
#define TNY_ADD_H

#include "tny_core.h"

/* A factor multiplier * 2^(left - shift - 32), for MVE 2^(left - shift - 31); `half` is that of the shift to the right. */
typedef struct {
  int32_t multiplier, half;
  int16_t zero;
  uint8_t left, shift;
} tny_factor_t;

/* y = clamp(round((conv' + other') * out) + zero), each operand first brought to a common scale. TFLite Micro shifts by
 * 20 to the left; a factor of exactly 1/2 is instead shifted by 21 and divided by 4, which is the same, so that all
 * shifts to the right are positive. */
typedef struct {
  tny_factor_t conv, other, out;
  int16_t low, high;
  uint8_t narrow; /* the clamp is narrower than int8 */
  uint16_t layer, tensor;
} tny_add_t;

#if TNY_IMPL == 2
TNY_INLINE int32x4_t tny_times4(const tny_factor_t *factor, int32x4_t x)
{
  const int32x4_t high = vqrdmulhq_n_s32(vshlq_r_s32(x, factor->left), factor->multiplier);
  return vrshlq_n_s32(vaddq_s32(high, vshrq_n_s32(high, 31)), -factor->shift);
}

/* A code in the lowest byte of each lane, from codes in all of it. */
TNY_INLINE int32x4_t tny_add4(const tny_add_t *add, int32x4_t conv, int32x4_t other)
{
  const int32x4_t one = tny_times4(&add->conv, vsubq_n_s32(conv, add->conv.zero));
  const int32x4_t two = tny_times4(&add->other, vsubq_n_s32(other, add->other.zero));
  const int32x4_t sum = vaddq_n_s32(tny_times4(&add->out, vaddq_s32(one, two)), add->out.zero);
  return add->narrow ? tny_clamp4(sum, add->low, add->high) : tny_saturate4(sum);
}

TNY_INLINE int8_t tny_add(const tny_add_t *add, int32_t conv, int32_t other)
{
  return (int8_t)vgetq_lane_s32(tny_add4(add, vdupq_n_s32(conv), vdupq_n_s32(other)), 0);
}
#else
TNY_INLINE int32_t tny_times(const tny_factor_t *factor, int32_t x)
{
  const int32_t doubled = x * ((int32_t)1 << factor->left);
  return (tny_high_add(factor->half, doubled, factor->multiplier) + (doubled >> 31)) >> factor->shift;
}

TNY_INLINE int8_t tny_add(const tny_add_t *add, int32_t conv, int32_t other)
{
  const int32_t one = tny_times(&add->conv, conv - add->conv.zero);
  const int32_t two = tny_times(&add->other, other - add->other.zero);
  const int32_t sum = tny_saturate(tny_times(&add->out, one + two) + add->out.zero);
  return (int8_t)(add->narrow ? tny_clamp(sum, add->low, add->high) : sum);
}
#endif

#endif
