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

/* Whether a factor is 2^19 exactly, as that of the operand with the larger scale is. */
TNY_INLINE int tny_is_exact(const tny_factor_t *factor)
{
  return factor->multiplier == (int32_t)1 << 30 && factor->left - factor->shift == (TNY_IMPL == 2 ? 20 : 21);
}

#if TNY_IMPL == 2
TNY_INLINE int32x4_t tny_times4(const tny_factor_t *factor, int32x4_t x)
{
  const int32x4_t high = vqrdmulhq_n_s32(vshlq_r_s32(x, factor->left), factor->multiplier);
  return vrshlq_n_s32(vaddq_s32(high, vshrq_n_s32(high, 31)), -factor->shift);
}

/* Codes in the lowest bytes of the lanes; those that are added to them in whole lanes. */
TNY_INLINE void tny_add8(const tny_add_t *add, int32x4_t *first, int32x4_t *second, int32x4_t other, int32x4_t others)
{
  const int32x4_t one = tny_times4(&add->conv, vsubq_n_s32(tny_extend4(*first), add->conv.zero));
  const int32x4_t ones = tny_times4(&add->conv, vsubq_n_s32(tny_extend4(*second), add->conv.zero));
  const int32x4_t sum = vaddq_s32(one, tny_times4(&add->other, vsubq_n_s32(other, add->other.zero)));
  const int32x4_t sums = vaddq_s32(ones, tny_times4(&add->other, vsubq_n_s32(others, add->other.zero)));
  *first = vaddq_n_s32(tny_times4(&add->out, sum), add->out.zero);
  *second = vaddq_n_s32(tny_times4(&add->out, sums), add->out.zero);
  if (add->narrow) {
    *first = tny_clamp4(*first, add->low, add->high);
    *second = tny_clamp4(*second, add->low, add->high);
  }
  *first = tny_saturate4(*first);
  *second = tny_saturate4(*second);
}

TNY_INLINE int8_t tny_add(const tny_add_t *add, int32_t conv, int32_t other)
{
  int32x4_t first = vdupq_n_s32(conv), second = first;
  tny_add8(add, &first, &second, vdupq_n_s32(other), first);
  return (int8_t)vgetq_lane_s32(first, 0);
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
