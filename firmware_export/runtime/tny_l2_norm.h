/* Rows of int8 codes divided by their length, in units of 1/128. */
#ifndef TNY_L2_NORM_H
#define TNY_L2_NORM_H

#include "tny_tensor.h"

typedef struct {
  uint32_t rows, depth;
  int16_t zero;
  uint16_t layer, tensor;
} tny_l2_norm_t;

/* x << shift, at most the largest int32; x is no less than 0. */
TNY_INLINE int32_t tny_left_saturated(int32_t x, int32_t shift)
{
  return x > INT32_MAX >> shift ? INT32_MAX : x * ((int32_t)1 << shift);
}

/* a * b / 2^31, halves up. */
TNY_INLINE int32_t tny_l2_times(int32_t a, int32_t b)
{
  return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}

/* One over the root of `value`: five rounds of Newton's method from 1, with three integer bits. */
TNY_NOINLINE tny_scale_t tny_inverse_root(int32_t value)
{
  int32_t shift = 11, x = (int32_t)1 << 28;
  if (value <= 1) {
    const tny_scale_t one = {INT32_MAX, 0};
    return one;
  }
  for (; value >= (int32_t)1 << 29; shift++) {
    value /= 4;
  }
  for (; value < (int32_t)1 << 27; shift--) {
    value *= 4;
  }
  const int32_t half = ((value >> 1) + 1) >> 1, half_three = ((int32_t)1 << 28) + ((int32_t)1 << 27);
  for (int32_t i = 0; i < 5; i++) {
    const int32_t cube = tny_left_saturated(tny_l2_times(tny_l2_times(x, x), x), 6);
    x = tny_left_saturated(tny_l2_times(half_three, x) - tny_l2_times(half, cube), 3);
  }
  x = tny_l2_times(x, 1518500250); /* half the root of 2 */
  const tny_scale_t scale = {shift < 0 ? x * ((int32_t)1 << -shift) : x, shift < 0 ? 0 : shift};
  return scale;
}

static inline void tny_l2_norm(const tny_l2_norm_t *norm, const int8_t *in, int8_t *out)
{
  TNY_ENTER(norm->layer);
  for (uint32_t row = 0; row < norm->rows; row++) {
    const size_t first = (size_t)row * norm->depth, last = first + norm->depth;
    int32_t squares = 0;
    for (size_t i = first; i < last; i++) {
      squares += (in[i] - norm->zero) * (in[i] - norm->zero);
    }
    tny_scale_t scale = tny_inverse_root(squares);
    scale.shift -= 7;
    for (size_t i = first; i < last; i++) {
      out[i] = (int8_t)tny_clamp(tny_rescale(in[i] - norm->zero, scale), -128, 127);
      TNY_TRACE(norm->tensor, i, out[i]);
    }
  }
}

#endif
