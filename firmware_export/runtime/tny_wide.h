/* Convolution of int16 tensors, whose zero points are 0: ordinary, depthwise or fully connected. */
#ifndef TNY_WIDE_H
#define TNY_WIDE_H

#include "tny_plain_conv.h"
#if TNY_IMPL >= 1
#include "tny_wide_pairs.h"
#endif

/* sum + codes[0] * taps[0] + codes[1] * taps[1] */
TNY_INLINE int32_t tny_wide_two(int32_t sum, const int16_t *codes, const int16_t *taps)
{
#if TNY_IMPL >= 1
  uint32_t both, weights; /* a pixel of an odd number of channels may start anywhere */
  memcpy(&both, codes, sizeof both);
  memcpy(&weights, taps, sizeof weights);
  __asm("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(both), "r"(weights));
  return sum;
#else
  return sum + codes[0] * taps[0] + codes[1] * taps[1];
#endif
}

/* 128 products of 16 by 9 bits fit 32 bits. */
TNY_INLINE int64_t tny_wide_dot(const int16_t *codes, const int16_t *taps, int32_t count)
{
  int64_t sum = 0;
  for (; count > 0; count -= 128) {
    int32_t products = 0, left = count < 128 ? count : 128;
    for (; left >= 4; left -= 4, codes += 4, taps += 4) {
      products = tny_wide_two(tny_wide_two(products, codes, taps), codes + 2, taps + 2);
    }
    for (; left > 0; left--) {
      products += *codes++ * *taps++;
    }
    sum += products;
  }
  return sum;
}

/* Add what tap (ky, kx) contributes to a row of outputs; `in` is the row that it meets. */
TNY_NOINLINE void tny_wide_tap(const tny_plain_conv_t *conv, const int16_t *in, const int16_t *taps, int32_t kx,
                               int64_t *sums)
{
  const int32_t step = conv->stride_w, width = conv->in_w, columns = conv->out_w, depth = conv->depth;
  const int32_t pixel = conv->in_c;
  int32_t x = 0, column = kx * conv->dilation_w - conv->pad_left;
  for (; x < columns && column < 0; x++) {
    column += step;
  }
  for (; x < columns && column < width; x++, column += step) {
    sums[x] += tny_wide_dot(in + column * pixel, taps, depth);
  }
}

/* The sums of row `row`; `in` starts with the first channel that is read. */
TNY_NOINLINE void tny_wide_sums(const tny_plain_conv_t *conv, const int16_t *in, const int16_t *taps, int32_t row,
                                int64_t *sums)
{
  for (int32_t ky = 0; ky < conv->kernel_h; ky++) {
    const int32_t y = row * conv->stride_h - conv->pad_top + ky * conv->dilation_h;
    for (int32_t kx = 0; kx < conv->kernel_w && y >= 0 && y < conv->in_h; kx++) {
      tny_wide_tap(conv, in + y * conv->in_w * conv->in_c, taps + (ky * conv->kernel_w + kx) * conv->depth, kx, sums);
    }
  }
}

#if TNY_IMPL == 0
/* sum + the products of `count` codes, a multiple of 8. */
TNY_INLINE int32_t tny_wide_run(const int16_t *codes, const int16_t *taps, int32_t count, int32_t sum)
{
  for (const int16_t *const end = taps + count; taps != end; taps += 4, codes += 4) {
    sum += codes[0] * taps[0] + codes[1] * taps[1];
    sum += codes[2] * taps[2] + codes[3] * taps[3];
  }
  return sum;
}

/* As tny_wide_sums, where 32 bits hold the sums and what a window reads of a row lies in one stretch. */
TNY_NOINLINE void tny_wide_runs(const tny_plain_conv_t *conv, const int16_t *in, const int16_t *taps, int32_t row,
                                int64_t *sums)
{
  const int32_t depth = conv->depth, width = conv->in_w, kernel = conv->kernel_w, line = width * depth;
  const int32_t top = row * conv->stride_h - conv->pad_top, step = conv->dilation_h;
  int32_t left = -(int32_t)conv->pad_left;
  for (int32_t x = 0; x < conv->out_w; x++, left += conv->stride_w) {
    const int32_t first = left < 0 ? -left : 0, end = left + kernel > width ? width - left : kernel;
    const int32_t count = (end - first) * depth;
    const int16_t *tap = taps + first * depth;
    int32_t sum = 0;
    for (int32_t ky = 0, y = top; ky < conv->kernel_h; ky++, y += step, tap += kernel * depth) {
      if (y >= 0 && y < conv->in_h && count > 0) {
        sum = tny_wide_run(in + y * line + (left + first) * depth, tap, count, sum);
      }
    }
    sums[x] = sum;
  }
}
#endif

/* Row `row` of output channel `c`; the sums are 0 afterwards. */
TNY_NOINLINE void tny_wide_codes(const tny_plain_conv_t *conv, int32_t row, int32_t c, int64_t *sums, int16_t *out)
{
  const tny_final_t final = tny_final(conv, c);
  const int32_t columns = conv->out_w, step = conv->out_c;
  size_t index = (size_t)(row * columns * step + c);
  for (int32_t x = 0; x < columns; x++, index += (size_t)step) {
    out[index] = (int16_t)tny_finish(final, sums[x]);
    sums[x] = 0;
    TNY_TRACE(conv->tensor, index, out[index]);
  }
}

static inline void tny_wide(const tny_plain_conv_t *conv, const void *in, void *out, void *scratch)
{
  int64_t *const sums = (int64_t *)scratch;
  int16_t *const taps = (int16_t *)(void *)(sums + conv->out_w);
  TNY_ENTER(conv->layer);
#if TNY_IMPL >= 1
  if (conv->runs) {
    tny_wide_pairs(conv, (const int16_t *)in, (int16_t *)out, scratch);
    return;
  }
#endif
  memset(sums, 0, (size_t)conv->out_w * sizeof *sums);
  for (int32_t c = 0; c < conv->out_c; c++) {
    tny_plain_weights(conv, c, taps);
    for (int32_t row = 0; row < conv->out_h; row++) {
#if TNY_IMPL == 0
      if (conv->runs) {
        tny_wide_runs(conv, (const int16_t *)in, taps, row, sums);
        tny_wide_codes(conv, row, c, sums, (int16_t *)out);
        continue;
      }
#endif
      tny_wide_sums(conv, (const int16_t *)in + c / conv->share * conv->depth, taps, row, sums);
      tny_wide_codes(conv, row, c, sums, (int16_t *)out);
    }
  }
}

#endif
