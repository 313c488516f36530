/* Transposed convolution: a window spreads each input pixel over the output; here each output gathers its share. */
#ifndef TNY_TRANSPOSE_CONV_H
#define TNY_TRANSPOSE_CONV_H

#include "tny_plain_conv.h"

/* The sum of `depth` products; `in` and `taps` start with the first channel. */
TNY_INLINE int64_t tny_transpose_dot(const tny_plain_conv_t *conv, const void *in, size_t first, const int16_t *taps,
                                     int wide)
{
  int64_t sum = 0;
  for (int32_t i = 0; i < conv->depth; i++) {
    sum += (tny_load(in, first + (size_t)i, wide) - conv->zero_in) * taps[i];
  }
  return sum;
}

/* Input pixel (y, x) reaches row y * stride - pad + ky and column alike. */
TNY_INLINE int64_t tny_transpose_sum(const tny_plain_conv_t *conv, const void *in, const int16_t *taps, int32_t y,
                                     int32_t x, int wide)
{
  int64_t sum = 0;
  for (int32_t ky = 0; ky < conv->kernel_h; ky++) {
    const int32_t row = y + conv->pad_top - ky;
    for (int32_t kx = 0; kx < conv->kernel_w; kx++, taps += conv->depth) {
      const int32_t column = x + conv->pad_left - kx;
      if (row >= 0 && column >= 0 && row % conv->stride_h == 0 && column % conv->stride_w == 0 &&
          row / conv->stride_h < conv->in_h && column / conv->stride_w < conv->in_w) {
        const int32_t pixel = row / conv->stride_h * conv->in_w + column / conv->stride_w;
        sum += tny_transpose_dot(conv, in, (size_t)(pixel * conv->in_c), taps, wide);
      }
    }
  }
  return sum;
}

static inline void tny_transpose_conv(const tny_plain_conv_t *conv, const void *in, void *out, void *scratch, int wide)
{
  int16_t *const taps = (int16_t *)scratch;
  TNY_ENTER(conv->layer);
  for (int32_t c = 0; c < conv->out_c; c++) {
    const tny_final_t final = tny_final(conv, c);
    size_t index = (size_t)c;
    tny_plain_weights(conv, c, taps);
    for (int32_t y = 0; y < conv->out_h; y++) {
      for (int32_t x = 0; x < conv->out_w; x++, index += (size_t)conv->out_c) {
        const int32_t code = tny_finish(final, tny_transpose_sum(conv, in, taps, y, x, wide));
        tny_store(out, index, code, wide);
        TNY_TRACE(conv->tensor, index, code);
      }
    }
  }
}

#endif
