/* Convolution of int8 tensors straight from its definition, for what the quick kernels cannot hold: any size, groups,
 * and sums that wrap around as TFLite Micro's do. */
#ifndef TNY_EXACT_CONV_H
#define TNY_EXACT_CONV_H

#include "tny_plain_conv.h"

/* The sum over one window; `in` starts with the first channel that is read. */
TNY_INLINE uint32_t tny_exact_sum(const tny_plain_conv_t *conv, const int8_t *in, const int16_t *taps, int32_t y,
                                  int32_t x)
{
  const int32_t zero = conv->zero_in, depth = conv->depth;
  uint32_t sum = 0;
  for (int32_t ky = 0; ky < conv->kernel_h; ky++) {
    const int32_t row = y + ky * conv->dilation_h;
    for (int32_t kx = 0; kx < conv->kernel_w; kx++, taps += depth) {
      const int32_t column = x + kx * conv->dilation_w;
      if (row >= 0 && row < conv->in_h && column >= 0 && column < conv->in_w) {
        const int8_t *const codes = in + (row * conv->in_w + column) * conv->in_c;
        for (int32_t i = 0; i < depth; i++) {
          sum += (uint32_t)((codes[i] - zero) * taps[i]);
        }
      }
    }
  }
  return sum;
}

static inline void tny_exact_conv(const tny_plain_conv_t *conv, const void *in, void *out, void *scratch)
{
  int16_t *const taps = (int16_t *)scratch;
  TNY_ENTER(conv->layer);
  for (int32_t c = 0; c < conv->out_c; c++) {
    const int8_t *const first = (const int8_t *)in + c / conv->share * conv->depth;
    const tny_final_t final = tny_final(conv, c);
    size_t index = (size_t)c;
    tny_plain_weights(conv, c, taps);
    for (int32_t y = 0; y < conv->out_h; y++) {
      for (int32_t x = 0; x < conv->out_w; x++, index += (size_t)conv->out_c) {
        const uint32_t sum = tny_exact_sum(conv, first, taps, y * conv->stride_h - conv->pad_top,
                                           x * conv->stride_w - conv->pad_left);
        const int32_t code = tny_finish(final, (int32_t)sum);
        tny_store(out, index, code, 0);
        TNY_TRACE(conv->tensor, index, code);
      }
    }
  }
}

#endif
