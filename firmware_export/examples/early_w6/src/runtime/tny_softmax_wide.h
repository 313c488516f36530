/* Softmax of int16 rows: exp on [-10, 0] and 1 / (1 + x) on [0, 1] by interpolation between 513 samples. */
#ifndef TNY_SOFTMAX_WIDE_H
#define TNY_SOFTMAX_WIDE_H

#include "tny_tensor.h"

typedef struct {
  const int16_t *exponentials, *reciprocals; /* in units of 2^-15 */
  tny_scale_t scale;                         /* from differences of codes to places in the first table */
  uint16_t depth;
  uint16_t layer, tensor;
} tny_softmax_wide_t;

/* `place` is clamped to int16, the range of the table. */
TNY_INLINE int32_t tny_interpolate(const int16_t *samples, int32_t place)
{
  const int32_t inside = tny_clamp(place, -32768, 32767);
  const int16_t *const sample = samples + 256 + (inside >> 7);
  return sample[0] + (((sample[1] - sample[0]) * (inside & 127) + 64) >> 7);
}

TNY_INLINE int32_t tny_wide_exp(const tny_softmax_wide_t *softmax, int32_t difference)
{
  /* Clamped first: the sum could leave 32 bits. */
  const int32_t place = tny_clamp(tny_rescale(difference, softmax->scale), -65535, 0);
  return tny_interpolate(softmax->exponentials, place + 32767);
}

static inline void tny_softmax_wide(const tny_softmax_wide_t *softmax, const void *input, void *output, size_t rows)
{
  const size_t depth = softmax->depth;
  const int16_t *in = (const int16_t *)input;
  int16_t *out = (int16_t *)output;
  TNY_ENTER(softmax->layer);
  for (size_t row = 0; row < rows; row++, in += depth, out += depth) {
    int32_t top = in[0], shift = 30;
    uint32_t sum = 0;
    for (size_t i = 1; i < depth; i++) {
      top = in[i] > top ? in[i] : top;
    }
    for (size_t i = 0; i < depth; i++) {
      sum += (uint32_t)tny_wide_exp(softmax, in[i] - top);
    }
    for (; (sum & 0x40000000u) == 0; shift--) {
      sum <<= 1;
    }
    /* sum is in [1, 2) of units of 2^30 now; the table starts at 1. */
    const int32_t place = (int32_t)((sum + (1u << 13)) >> 14) - (1 << 16) - (1 << 15);
    const int32_t factor = tny_interpolate(softmax->reciprocals, place), half = (int32_t)1 << (shift - 1);
    for (size_t i = 0; i < depth; i++) {
      const int32_t share = (tny_wide_exp(softmax, in[i] - top) * factor + half) >> shift;
      out[i] = (int16_t)tny_clamp(share, 0, 32767);
      TNY_TRACE(softmax->tensor, row * depth + i, out[i]);
    }
  }
}

#endif
