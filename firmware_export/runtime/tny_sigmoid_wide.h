/* LOGISTIC and TANH of int16 codes: 256 samples of the logistic function, and straight lines between them. */
#ifndef TNY_SIGMOID_WIDE_H
#define TNY_SIGMOID_WIDE_H

#include "tny_tensor.h"

typedef struct {
  const uint16_t *sigmoids; /* of k / 24, in units of 2^-16 */
  int32_t multiplier;       /* the argument is (code * multiplier + half) >> shift */
  uint8_t shift;
  uint16_t layer, tensor;
} tny_sigmoid_wide_t;

/* 2^(16 + bits) times the logistic function of a size in units of 1 / (24 * 2^bits); a little below 1 beyond the table. */
TNY_INLINE int32_t tny_sigmoid(const uint16_t *sigmoids, int32_t size, int32_t bits)
{
  const int32_t place = size >> bits, rest = size & (((int32_t)1 << bits) - 1);
  if (place >= 255) {
    /* The logistic function keeps one bit less than the hyperbolic tangent. */
    return bits == 9 ? (int32_t)0x7FFF << 10 : (int32_t)0xFFFF << 8;
  }
  return (int32_t)sigmoids[place] * ((int32_t)1 << bits) +
         rest * ((int32_t)sigmoids[place + 1] - (int32_t)sigmoids[place]);
}

/* 2^15 times the logistic function of an argument in units of 1 / (3 * 4096). */
TNY_INLINE int32_t tny_logistic_code(const uint16_t *sigmoids, int32_t argument)
{
  const int32_t found = tny_sigmoid(sigmoids, argument < 0 ? -argument : argument, 9);
  return (argument >= 0 ? found + (1 << 9) : ((int32_t)1 << 25) - found + (1 << 9) - 1) >> 10;
}

/* 2^15 times the hyperbolic tangent, 2 logistic(2x) - 1. */
TNY_INLINE int32_t tny_tanh_code(const uint16_t *sigmoids, int32_t argument)
{
  const int32_t size = tny_sigmoid(sigmoids, argument < 0 ? -argument : argument, 8) - ((int32_t)1 << 23);
  return (argument >= 0 ? size + (1 << 7) : -size + (1 << 7) - 1) >> 8;
}

/* `tangent` is a constant of each call. */
TNY_INLINE void tny_sigmoid_wide(const tny_sigmoid_wide_t *of, const void *in, void *out, size_t count, int tangent)
{
  const int32_t half = of->shift > 0 ? (int32_t)1 << (of->shift - 1) : 0;
  TNY_ENTER(of->layer);
  for (size_t i = 0; i < count; i++) {
    const int32_t argument = (tny_load(in, i, 1) * of->multiplier + half) >> of->shift;
    const int32_t code = tangent ? tny_tanh_code(of->sigmoids, argument) : tny_logistic_code(of->sigmoids, argument);
    tny_store(out, i, code, 1);
    TNY_TRACE(of->tensor, i, code);
  }
}

#endif
