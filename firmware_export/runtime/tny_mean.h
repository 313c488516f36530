/* Mean over neighbouring axes, for example the height and width of an image: one exact sum, one rescaling. */
#ifndef TNY_MEAN_H
#define TNY_MEAN_H

#include "tny_tensor.h"

typedef struct {
  uint32_t outer, count, inner; /* sizes of the axes before, of those that go, and of those behind */
  tny_scale_t scale;            /* holds the division by `count` */
  int16_t zero_in, zero_out, low, high;
  uint16_t layer, tensor;
} tny_mean_t;

static inline void tny_mean(const tny_mean_t *mean, const void *in, void *out, int wide)
{
  TNY_ENTER(mean->layer);
  for (size_t index = 0; index < (size_t)mean->outer * mean->inner; index++) {
    size_t place = index / mean->inner * mean->count * mean->inner + index % mean->inner;
    uint32_t sum = 0; /* wraps around, as that of TFLite Micro does */
    for (uint32_t i = 0; i < mean->count; i++, place += mean->inner) {
      sum += (uint32_t)(tny_load(in, place, wide) - mean->zero_in);
    }
    const int32_t code = tny_offset(tny_rescale((int32_t)sum, mean->scale), mean->zero_out, mean->low, mean->high);
    tny_store(out, index, code, wide);
    TNY_TRACE(mean->tensor, index, code);
  }
}

#endif
