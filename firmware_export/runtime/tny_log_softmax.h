/* Logarithm of the softmax of int8 rows in fixed point; exponentials and reciprocals are those of tny_softmax.h. */
#ifndef TNY_LOG_SOFTMAX_H
#define TNY_LOG_SOFTMAX_H

#include "tny_softmax.h"

typedef struct {
  int32_t multiplier, back_multiplier; /* from differences of codes to Q5 exponents, and back */
  int8_t shift, back_shift;            /* to the left, and to the right */
  uint8_t radius;                      /* exp is 0 beyond */
  uint16_t depth;
  uint16_t layer, tensor;
} tny_log_softmax_t;

TNY_INLINE int32_t tny_leading_zeros(uint32_t x)
{
  int32_t zeros = 0;
  for (; (x & 0x80000000u) == 0; zeros++) {
    x <<= 1;
  }
  return zeros;
}

TNY_INLINE int32_t tny_saturated_left(int32_t x, int32_t shift)
{
  return tny_saturate_long((int64_t)x * ((int64_t)1 << shift));
}

/* Q5 natural logarithm of a Q12 number from 1 on: x = 2^power * r or 2^power * r * sqrt(2), then a rational function. */
static inline int32_t tny_logarithm(int32_t x)
{
  const int32_t root_half = 1518500250, fourth_root_half = 1805811301, quarter = (int32_t)1 << 23;
  const int32_t zeros = tny_leading_zeros((uint32_t)x);
  const int32_t others = tny_leading_zeros((uint32_t)tny_multiply(x, root_half)) - 1;
  const int32_t first = tny_saturated_left(tny_multiply(tny_saturated_left(x, zeros - 1), root_half), 1);
  const int32_t second = tny_saturated_left(x, others), r = first < second ? first : second;
  const int32_t one = (TNY_SUM_BITS - zeros) * ((int32_t)1 << 25) + quarter;
  const int32_t two = (TNY_SUM_BITS - others) * ((int32_t)1 << 25) - quarter;
  const int32_t p = (int32_t)(((int64_t)r + fourth_root_half + 1) >> 1), q = 2 * (r - fourth_root_half);
  const int32_t square = tny_multiply(q, q);
  const int32_t above = tny_multiply(q, r) + tny_multiply(tny_multiply(q, square), 117049297);
  const int32_t below = tny_multiply(p, 1057819769 + q + tny_multiply(127690142, square)) + tny_multiply(638450708, q);
  const int32_t rest = tny_multiply(tny_round_shift(above, 6), tny_reciprocal(below));
  return tny_saturated_left(tny_multiply(one > two ? one : two, 1488522236) + rest, 1);
}

/* The Q5 exponent of a difference of codes. */
TNY_INLINE int32_t tny_exponent(const tny_log_softmax_t *of, int32_t difference)
{
  return tny_multiply((int32_t)((uint32_t)difference << of->shift), of->multiplier);
}

static inline void tny_log_softmax(const tny_log_softmax_t *of, const int8_t *in, int8_t *out, size_t rows)
{
  const tny_scale_t back = {of->back_multiplier, of->back_shift};
  TNY_ENTER(of->layer);
  for (size_t first = 0; first < rows * of->depth; first += of->depth) {
    const int32_t top = tny_top(in, first, of->depth, 0), radius = of->radius;
    int32_t sum = 0;
    for (size_t i = first; i < first + of->depth; i++) {
      if (in[i] - top >= -radius) {
        sum += tny_round_shift(tny_exp(tny_exponent(of, in[i] - top)), TNY_SUM_BITS);
      }
    }
    const int32_t log = tny_logarithm(sum), back_least = tny_rescale(log + INT32_MIN, back);
    const int32_t least = back_least > -radius - 1 ? back_least : -radius - 1;
    for (size_t i = first; i < first + of->depth; i++) {
      int32_t code = -128;
      if (in[i] - top > least) {
        code = tny_offset(tny_round_shift(tny_exponent(of, in[i] - top) - log, 22), 127, -128, 127);
      }
      out[i] = (int8_t)code;
      TNY_TRACE(of->tensor, i, code);
    }
  }
}

#endif
