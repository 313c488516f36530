/* Convolution of int16 tensors, whose zero points are 0: ordinary, depthwise or fully connected. */
#ifndef TNY_WIDE_H
#define TNY_WIDE_H

#include "tny_direct.h"

TNY_INLINE int64_t tny_wide_sum(const tny_direct_t *conv, const int16_t *in, const int16_t *taps, tny_span_t y,
                                tny_span_t x)
{
  int64_t sum = 0;
  for (int32_t ky = y.first; ky < y.last; ky++) {
    for (int32_t kx = x.first; kx < x.last; kx++) {
      const int32_t pixel = (y.start + ky * conv->dilation_h) * conv->in_w + x.start + kx * conv->dilation_w;
      const int16_t *const from = in + pixel * conv->in_c, *const tap = taps + (ky * conv->kernel_w + kx) * conv->depth;
      for (int32_t i = 0; i < conv->depth; i++) {
        sum += from[i] * tap[i];
      }
    }
  }
  return sum;
}

/* With 32 bits, sum and bias are those of TFLite Micro modulo 2^32. The quotient may lie far outside int16. */
TNY_INLINE int16_t tny_wide_code(const tny_direct_t *conv, int64_t sum, int32_t c)
{
  int64_t code;
  if (conv->long_bias != NULL) {
    code = tny_rescale_long(sum + conv->long_bias[c], conv->scale[c]);
  } else {
    code = tny_rescale((int32_t)((uint32_t)sum + (uint32_t)conv->bias[c]), conv->scale[c]);
  }
  return (int16_t)(code < conv->low ? conv->low : code > conv->high ? conv->high : code);
}

static inline void tny_wide(const tny_direct_t *conv, const void *input, void *output, int16_t *taps)
{
  const int16_t *const in = (const int16_t *)input;
  int16_t *const out = (int16_t *)output;
  TNY_ENTER(conv->layer);
  for (int32_t c = 0; c < conv->out_c; c++) {
    const int16_t *const channels = in + c / conv->share * conv->depth;
    size_t index = (size_t)c;
    tny_decode(conv, c, taps);
    for (int32_t row = 0; row < conv->out_h; row++) {
      const tny_span_t y = tny_span(row * conv->stride_h - conv->pad_top, conv->dilation_h, conv->kernel_h, conv->in_h);
      for (int32_t column = 0; column < conv->out_w; column++, index += conv->out_c) {
        const tny_span_t x = tny_span(column * conv->stride_w - conv->pad_left, conv->dilation_w, conv->kernel_w,
                                      conv->in_w);
        out[index] = tny_wide_code(conv, tny_wide_sum(conv, channels, taps, y, x), c);
        TNY_TRACE(conv->tensor, index, out[index]);
      }
    }
  }
}

#endif
