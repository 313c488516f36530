/* Depthwise 3x3 convolution of int8 tensors, four channels at a time: the rows that a window spans lie in a ring of
 * lanes, which the kernels for DSP and MVE read. Other cores take the kernel for any window.
 *
 * Outputs may replace an input of the same shape, as rows are in the ring before.
 */
#ifndef TNY_QUICK_DEPTHWISE_H
#define TNY_QUICK_DEPTHWISE_H

#include "tny_depthwise.h"

#if TNY_IMPL == 2
#include "tny_depthwise_mve.h"
#elif TNY_IMPL == 1
#include "tny_depthwise_dsp.h"
#endif

#if TNY_IMPL >= 1
/* Codes that the kernels have saturated: clamped further, where the layer wants that. */
static inline void tny_quick_codes(const tny_plain_conv_t *conv, int8_t *out)
{
  const int32_t low = conv->low, high = conv->high, step = conv->out_column;
  if (low > -128 || high < 127) {
    for (int32_t x = 0; x < conv->out_w; x++) {
      out[x * step] = (int8_t)tny_clamp(out[x * step], low, high);
    }
  }
}

/* Channels from `first` to 3 of one output row, whose codes start at `index`. */
static inline void tny_quick_row(const tny_plain_conv_t *conv, int8_t *out, size_t index, int32_t first)
{
  for (int32_t k = first; k < 4; k++) {
    tny_quick_codes(conv, out + index + k);
    for (int32_t x = 0; x < conv->out_w; x++) {
      const size_t place = index + (size_t)(x * conv->out_column + k);
      TNY_TRACE(conv->tensor, place, out[place]);
    }
  }
}

/* Four channels from `c` on, of which those before `first` are done already. */
static inline void tny_quick_four(const tny_plain_conv_t *conv, tny_four_t *four, const int8_t *in, int8_t *out,
                                  int32_t c, int32_t first)
{
  int32_t filled = 0;
  tny_four_begin(conv, four, c);
  for (int32_t row = 0; row < conv->out_h; row += TNY_FOUR_ROWS(conv)) {
    const int32_t rows = conv->out_h - row < TNY_FOUR_ROWS(conv) ? 1 : TNY_FOUR_ROWS(conv);
    const int32_t until = (row + TNY_FOUR_ROWS(conv) - 1) * conv->stride_h + 3;
    for (; filled < until; filled++) {
      const int32_t y = filled - conv->pad_top;
      tny_four_fill(conv, four, y < 0 || y >= conv->in_h ? NULL : in + y * conv->in_row + c, filled);
    }
    tny_four_rows(conv, four, out + row * conv->out_row + c, row * conv->stride_h, rows, first);
    for (int32_t k = 0; k < rows; k++) {
      tny_quick_row(conv, out, (size_t)((row + k) * conv->out_row + c), first);
    }
  }
}
#endif

static inline void tny_quick_depthwise(const tny_plain_conv_t *conv, const void *in, void *out, void *scratch)
{
#if TNY_IMPL >= 1
  tny_four_t *const four = (tny_four_t *)scratch;
  TNY_ENTER(conv->layer);
  for (int32_t done = 0; done < conv->out_c; done += 4) {
    const int32_t c = done + 4 <= conv->out_c ? done : conv->out_c - 4;
    tny_quick_four(conv, four, (const int8_t *)in, (int8_t *)out, c, done - c);
  }
#else
  tny_depthwise(conv, in, out, scratch, 0);
#endif
}

#endif
