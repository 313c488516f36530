/* Softmax of int8 rows in fixed point.
 *
 * A number with i integer bits ("Qi") counts units of 2^(i - 31). exp goes through a polynomial and one factor for each
 * bit of its argument, 1 / (1 + x) through Newton's method; all roundings are those of gemmlowp in TFLite Micro.
 */
#ifndef TNY_SOFTMAX_H
#define TNY_SOFTMAX_H

#include "tny_tensor.h"

#define TNY_SUM_BITS 12 /* integer bits of the sum of exponentials */

typedef struct {
  uint32_t multiplier; /* Q5 exponent = -(difference << shift) * multiplier / 2^31 */
  uint8_t shift, radius;
  uint16_t depth;
  uint16_t layer, tensor;
} tny_softmax_t;

/* The product of a Qi and a Qj number, Q(i + j), halves up. */
TNY_INLINE int32_t tny_multiply(int32_t a, int64_t b)
{
  return (int32_t)((a * b + ((int64_t)1 << 30)) >> 31);
}

TNY_INLINE int32_t tny_saturate_long(int64_t x)
{
  return (int32_t)(x > INT32_MAX ? INT32_MAX : x < INT32_MIN ? INT32_MIN : x);
}

/* Q0 exp of a Q5 number from -31 to 0: exp(-1/8) * polynomial for the part in [-1/4, 0), then exp(-2^k) for the rest. */
static inline int32_t tny_exp(int32_t x)
{
  static const int32_t powers[7] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
  const int32_t eighth = 1895147668, third = 715827883, quarter = (int32_t)1 << 24;
  const int32_t part = (int32_t)((uint32_t)x & 0xFFFFFFu) - quarter, rest = part - x;
  const int32_t y = part * 32 + ((int32_t)1 << 28), y2 = tny_multiply(y, y);
  const int32_t y3 = tny_multiply(y2, y), y4 = tny_multiply(y2, y2);
  const int32_t higher = tny_round_shift(tny_multiply(tny_round_shift(y4, 2) + y3, third) + y2, 1);
  int32_t result = eighth + tny_multiply(eighth, y + higher);
  if (x == 0) {
    return INT32_MAX;
  }
  for (int32_t bit = 0; bit < 7; bit++) {
    if (((rest >> (24 + bit)) & 1) != 0) {
      result = tny_multiply(result, powers[bit]);
    }
  }
  return result;
}

/* Q0 number 1 / (1 + x) of a Q0 number in [0, 1]. */
static inline int32_t tny_reciprocal(int32_t x)
{
  const int32_t half = (int32_t)(((uint32_t)x + 0x80000000u) >> 1), one = (int32_t)1 << 29;
  int32_t guess = 1515870810 + tny_multiply(half, -1010580540);
  for (int32_t step = 0; step < 3; step++) {
    guess += tny_saturate_long((int64_t)tny_multiply(guess, one - tny_multiply(half, guess)) * 4);
  }
  return tny_saturate_long((int64_t)guess * 2);
}

/* exp(code - top) on the scale of the codes. */
TNY_INLINE int32_t tny_exp_code(const tny_softmax_t *softmax, int32_t top, int32_t code)
{
  const int32_t difference = top - code;
  if (difference > softmax->radius) {
    return 0;
  }
  return tny_exp(tny_multiply(-(int32_t)((uint32_t)difference << softmax->shift), softmax->multiplier));
}

TNY_INLINE int32_t tny_top(const void *codes, size_t first, size_t count, int wide)
{
  int32_t top = tny_load(codes, first, wide);
  for (size_t i = first + 1; i < first + count; i++) {
    const int32_t code = tny_load(codes, i, wide);
    top = code > top ? code : top;
  }
  return top;
}

static inline void tny_softmax(const tny_softmax_t *softmax, const int8_t *in, void *out, size_t rows, int wide_out)
{
  const int32_t low = wide_out ? -32768 : -128;
  TNY_ENTER(softmax->layer);
  for (size_t first = 0; first < rows * softmax->depth; first += softmax->depth) {
    const int32_t top = tny_top(in, first, softmax->depth, 0);
    int32_t zeros = 0;
    uint32_t sum = 0;
    for (size_t i = first; i < first + softmax->depth; i++) {
      sum += (uint32_t)tny_round_shift(tny_exp_code(softmax, top, in[i]), TNY_SUM_BITS);
    }
    for (; (sum & 0x80000000u) == 0; zeros++) {
      sum <<= 1;
    }
    const int32_t factor = tny_reciprocal((int32_t)(sum - 0x80000000u));
    const int32_t shift = TNY_SUM_BITS + 30 - zeros - (wide_out ? 15 : 7);
    for (size_t i = first; i < first + softmax->depth; i++) {
      const int32_t share = tny_round_shift(tny_multiply(factor, tny_exp_code(softmax, top, in[i])), shift);
      tny_store(out, i, tny_offset(share, low, low, -low - 1), wide_out);
      TNY_TRACE(softmax->tensor, i, tny_load(out, i, wide_out));
    }
  }
}

#endif
