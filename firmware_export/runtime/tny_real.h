/* Integers as real numbers and back, for tensors that hold the bits of float32 numbers: what IEEE 754 and C say, to the
 * nearest and of two the even one, in integers alone. The exporter proves that no number leaves the range. */
#ifndef TNY_REAL_H
#define TNY_REAL_H

#include "tny_tensor.h"

typedef struct {
  uint32_t count, mantissa; /* of the scale, 2^23 to 2^24 */
  int16_t exponent, zero_in;
  uint16_t layer, tensor;
} tny_dequantize_t;

typedef struct {
  uint32_t count, mantissa;
  int16_t exponent, zero_out, low, high;
  uint16_t layer, tensor;
} tny_quotient_t;

/* The bits of magnitude * 2^exponent. */
TNY_FUNCTION uint32_t tny_real_bits(uint64_t magnitude, int32_t exponent)
{
  uint32_t found, lost = 0;
  if (magnitude == 0u) {
    return 0;
  }
  for (; magnitude >> 25 != 0u; exponent++) {
    lost |= (uint32_t)magnitude & 1u;
    magnitude >>= 1;
  }
  found = (uint32_t)magnitude;
  if (found >> 24 != 0u) {
    const uint32_t odd = found >> 1 & 1u;
    found = (found >> 1) + ((found & 1u) & (lost | odd));
    exponent++;
  }
  for (; found >> 23 == 0u; exponent--) {
    found <<= 1;
  }
  return ((uint32_t)(exponent + 149) << 23) + found; /* its leading one adds 1 to the exponent, as does a carry */
}

static inline void tny_dequantize(const tny_dequantize_t *grid, const void *in, void *out, int wide_in)
{
  TNY_ENTER(grid->layer);
  for (size_t i = 0; i < grid->count; i++) {
    const int64_t x = (int64_t)tny_load(in, i, wide_in) - grid->zero_in;
    const uint32_t bits = tny_real_bits((uint64_t)(x < 0 ? -x : x) * grid->mantissa, grid->exponent);
    ((uint32_t *)out)[i] = bits | (x < 0 ? (uint32_t)1 << 31 : 0u);
    TNY_TRACE(grid->tensor, i, tny_load(out, i, 2));
  }
}

/* round(x / scale), halves away from zero, of the quotient as float32 has it; `bits` are those of x. */
TNY_FUNCTION int32_t tny_real_quotient(uint32_t bits, uint32_t mantissa, int32_t exponent)
{
  const int32_t biased = (int32_t)(bits >> 23 & 0xFFu);
  uint32_t left = (bits & 0x7FFFFFu) | 0x800000u, found = 0;
  if (biased == 0) {
    return 0; /* or next to nothing */
  }
  for (int digit = 0; digit < 26; digit++) {
    found <<= 1;
    if (left >= mantissa) {
      left -= mantissa;
      found |= 1u;
    }
    left <<= 1;
  }
  int32_t shift = biased - 150 - exponent - 25;
  const int32_t drop = found >> 25 != 0u ? 2 : 1;
  const uint32_t rest = found & (((uint32_t)1 << drop) - 1u), half = (uint32_t)1 << (drop - 1);
  found >>= drop;
  shift += drop;
  if (rest > half || (rest == half && (left != 0u || (found & 1u) != 0u))) {
    found++;
  }
  if (shift >= 0) {
    found = shift > 6 ? (uint32_t)1 << 30 : found << shift;
  } else {
    found = shift < -25 ? 0u : (found + ((uint32_t)1 << (-shift - 1))) >> -shift;
  }
  return bits >> 31 != 0u ? -(int32_t)found : (int32_t)found;
}

static inline void tny_quotients(const tny_quotient_t *grid, const void *in, void *out, int wide)
{
  TNY_ENTER(grid->layer);
  for (size_t i = 0; i < grid->count; i++) {
    const int32_t code = tny_real_quotient(((const uint32_t *)in)[i], grid->mantissa, grid->exponent);
    tny_store(out, i, tny_offset(code, grid->zero_out, grid->low, grid->high), wide);
    TNY_TRACE(grid->tensor, i, tny_load(out, i, wide));
  }
}

#endif
