/* Depthwise convolution of int8 tensors, one output channel after the other: its few weights are decoded once. */
#ifndef TNY_DEPTHWISE_H
#define TNY_DEPTHWISE_H

#include "tny_direct.h"

/* The sum over the taps of one window that lie inside the image; `in` starts with the channel. */
TNY_INLINE int32_t tny_depthwise_sum(const tny_direct_t *conv, const int8_t *in, const int16_t *taps, tny_span_t y,
                                     tny_span_t x)
{
  const int32_t zero = conv->zero_in, step = conv->dilation_w * conv->in_c;
  int32_t sum = 0;
  for (int32_t ky = y.first; ky < y.last; ky++) {
    const int32_t row = (y.start + ky * conv->dilation_h) * conv->in_w + x.start;
    const int8_t *from = in + (row + x.first * conv->dilation_w) * conv->in_c;
    for (int32_t kx = x.first; kx < x.last; kx++, from += step) {
      sum += (*from - zero) * taps[ky * conv->kernel_w + kx];
    }
  }
  return sum;
}

static inline void tny_depthwise(const tny_direct_t *conv, const int8_t *in, int8_t *out, int16_t *taps)
{
  TNY_ENTER(conv->layer);
  for (int32_t c = 0; c < conv->out_c; c++) {
    const int8_t *const channel = in + c / conv->share;
    const uint32_t bias = (uint32_t)conv->bias[c];
    size_t index = (size_t)c;
    tny_decode(conv, c, taps);
    for (int32_t row = 0; row < conv->out_h; row++) {
      const tny_span_t y = tny_span(row * conv->stride_h - conv->pad_top, conv->dilation_h, conv->kernel_h, conv->in_h);
      for (int32_t column = 0; column < conv->out_w; column++, index += conv->out_c) {
        const tny_span_t x = tny_span(column * conv->stride_w - conv->pad_left, conv->dilation_w, conv->kernel_w,
                                      conv->in_w);
        const int32_t sum = (int32_t)((uint32_t)tny_depthwise_sum(conv, channel, taps, y, x) + bias);
        out[index] = (int8_t)tny_offset(tny_rescale(sum, conv->scale[c]), conv->zero_out, conv->low, conv->high);
        TNY_TRACE(conv->tensor, index, out[index]);
      }
    }
  }
}

#endif
