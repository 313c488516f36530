/* Codes of int8 tensors, or int16 ones where `wide` is 1, or int32 ones where it is 2, and the arithmetic of kernels that need not be fast.
 *
 * `wide` is a constant of each call, so that a program with one type of tensors carries the code for that one only.
 */
#ifndef TNY_TENSOR_H
#define TNY_TENSOR_H

#include "tny_core.h"

TNY_INLINE int32_t tny_load(const void *codes, size_t i, int wide)
{
  if (wide == 2) {
    return ((const int32_t *)codes)[i];
  }
  return wide ? ((const int16_t *)codes)[i] : ((const int8_t *)codes)[i];
}

TNY_INLINE void tny_store(void *codes, size_t i, int32_t code, int wide)
{
  if (wide == 2) {
    ((int32_t *)codes)[i] = code;
  } else if (wide) {
    ((int16_t *)codes)[i] = (int16_t)code;
  } else {
    ((int8_t *)codes)[i] = (int8_t)code;
  }
}

static inline void tny_trace_all(uint32_t tensor, const void *codes, size_t count, int wide)
{
  for (size_t i = 0; i < count; i++) {
    TNY_TRACE(tensor, i, tny_load(codes, i, wide));
  }
}

/* x / 2^shift, halves away from zero, for every x and a shift from 0 to 31. */
TNY_INLINE int32_t tny_round_shift(int32_t x, int32_t shift)
{
  const uint32_t mask = ((uint32_t)1 << shift) - 1u;
  const uint32_t rest = (uint32_t)x & mask, half = (mask >> 1) + (x < 0 ? 1u : 0u);
  return (x >> shift) + (rest > half ? 1 : 0);
}

/* tny_requantize for every x: a shift to the left wraps around, as in TFLite Micro. */
TNY_INLINE int32_t tny_rescale(int32_t x, tny_scale_t scale)
{
  const int32_t left = scale.shift < 0 ? -scale.shift : 0, right = scale.shift > 0 ? scale.shift : 0;
  const int64_t product = (int64_t)(int32_t)((uint32_t)x << left) * scale.multiplier;
  return tny_round_shift((int32_t)((product + ((int64_t)1 << 30)) >> 31), right);
}

/* clamp(x + zero, low, high) for every x; the sum wraps around, as in TFLite Micro. */
TNY_INLINE int32_t tny_offset(int32_t x, int32_t zero, int32_t low, int32_t high)
{
  return tny_clamp((int32_t)((uint32_t)x + (uint32_t)zero), low, high);
}

/* Rescaling of 64-bit sums: a multiplier of 15 bits, the whole shift, one rounding (halves up). The product wraps around
 * in 64 bits and the result in 32, as in TFLite Micro. */
TNY_INLINE int32_t tny_rescale_long(int64_t x, tny_scale_t scale)
{
  const uint64_t product = (uint64_t)x * (uint64_t)scale.multiplier + ((uint64_t)1 << (scale.shift - 1));
  return (int32_t)(uint32_t)((int64_t)product >> scale.shift);
}

#endif
