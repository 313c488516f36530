/* Functions with one slope below 0 and another from 0 on, on int16 codes: RELU, RELU6, LEAKY_RELU. */
#ifndef TNY_SLOPES_H
#define TNY_SLOPES_H

#include "tny_tensor.h"

typedef struct {
  tny_scale_t negative, positive;
  int16_t zero_in, zero_out, low, high;
  uint16_t layer, tensor;
} tny_slopes_t;

static inline void tny_slopes(const tny_slopes_t *slopes, const void *in, void *out, size_t count)
{
  TNY_ENTER(slopes->layer);
  for (size_t i = 0; i < count; i++) {
    const int32_t x = tny_load(in, i, 1) - slopes->zero_in;
    const int32_t code = tny_rescale(x, x < 0 ? slopes->negative : slopes->positive);
    tny_store(out, i, tny_offset(code, slopes->zero_out, slopes->low, slopes->high), 1);
    TNY_TRACE(slopes->tensor, i, tny_load(out, i, 1));
  }
}

#endif
