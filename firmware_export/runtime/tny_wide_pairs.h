/* Convolution of int16 tensors for a few channels and two columns at a time, with the DSP extension or MVE. */
#ifndef TNY_WIDE_PAIRS_H
#define TNY_WIDE_PAIRS_H

#include "tny_plain_conv.h"
#include "tny_window.h"

/* Rows of a window, at most; the exporter leaves higher ones to other kernels. */
#define TNY_WIDE_ROWS 16

/* Lanes of one channel, then those of the next, of all TNY_CHANNELS. */
#if TNY_IMPL == 2
#define TNY_WIDE_LANES 8

/* 8 lanes of two pixels and of four channels, whose weights take a byte. */
#define TNY_SIXTEEN_STEP           \
  "vldrh.16 q0, [r3], #16\n\t"     \
  "vldrb.s16 q2, [r1], #32\n\t"    \
  "vldrh.16 q1, [r5], #16\n\t"     \
  "vmladava.s16 r0, q2, q0\n\t"    \
  "vldrb.s16 q3, [r1, #-24]\n\t"   \
  "vmladava.s16 r8, q2, q1\n\t"    \
  "vmladava.s16 r2, q3, q0\n\t"    \
  "vldrb.s16 q2, [r1, #-16]\n\t"   \
  "vmladava.s16 r10, q3, q1\n\t"   \
  "vmladava.s16 r4, q2, q0\n\t"    \
  "vldrb.s16 q3, [r1, #-8]\n\t"    \
  "vmladava.s16 r12, q2, q1\n\t"   \
  "vmladava.s16 r6, q3, q0\n\t"    \
  "vmladava.s16 lr, q3, q1\n\t"
#define TNY_SIXTEEN_SKIP    \
  "ldr r7, [sp]\n\t"        \
  "ldr r7, [r7, #32]\n\t"   \
  "add r1, r1, r7\n\t"
TNY_WINDOW(tny_wide_window, TNY_SIXTEEN_STEP, "#8", TNY_SIXTEEN_SKIP)
#else
#define TNY_WIDE_LANES 2
#define tny_wide_window tny_window
#endif

/* The weights of channel `c`, of which `out` is the first. */
TNY_INLINE void tny_wide_weights(const tny_plain_conv_t *conv, int32_t c, tny_weight_t *out)
{
  tny_fields_t fields = {conv->weights + c * conv->channel_words, 0, 0};
  for (int32_t left = conv->kernel_h * conv->kernel_w * conv->depth; left > 0; left -= 8) {
    for (int32_t i = 0; conv->bits == 8u && i < 2; i++) {
      const uint32_t four = *fields.word++;
#if TNY_IMPL == 2
      memcpy(out + 4 * i, &four, 4);
#else
      out[0] = (int8_t)(four & 0xFFu);
      out[1] = (int8_t)(four >> 8 & 0xFFu);
      out[4] = (int8_t)(four >> 16 & 0xFFu);
      out[5] = (int8_t)(four >> 24);
      out += 8;
#endif
    }
    if (conv->bits == 8u) {
#if TNY_IMPL == 2
      out += 32;
#endif
      continue;
    }
    for (int32_t i = 0; i < 8; i += TNY_WIDE_LANES, out += TNY_CHANNELS * TNY_WIDE_LANES) {
      for (int32_t k = 0; k < TNY_WIDE_LANES; k++) {
        out[k] = (tny_weight_t)tny_field(&fields, conv->bits);
      }
    }
  }
}

/* Where the windows of a row of outputs lie, and the weights that meet them. */
typedef struct {
  const int16_t *row[TNY_WIDE_ROWS];
  const tny_weight_t *taps;
  int32_t rows;
} tny_wide_rows_t;

TNY_INLINE tny_wide_rows_t tny_wide_rows(const tny_plain_conv_t *conv, const int16_t *in, const tny_weight_t *taps,
                                         int32_t row)
{
  const int32_t line = conv->in_w * conv->depth, step = conv->dilation_h;
  tny_wide_rows_t rows = {{NULL}, taps, 0};
  for (int32_t ky = 0, y = row * conv->stride_h - conv->pad_top; ky < conv->kernel_h; ky++, y += step) {
    if (y >= 0 && y < conv->in_h) {
      rows.row[rows.rows++] = in + y * line;
    } else if (rows.rows == 0) {
      rows.taps += TNY_CHANNELS * conv->kernel_w * conv->depth;
    }
  }
  return rows;
}

/* `count` times two pixels, the first window from column `left` on, the second one `further` columns on; of each window
 * the columns first .. end - 1 are there. The sums go to `sums`, those of the next channel `columns` behind them. */
TNY_INLINE void tny_wide_columns(const tny_plain_conv_t *conv, const tny_wide_rows_t *rows, int32_t left, int32_t further,
                                 int32_t count, int32_t *sums)
{
  const int32_t depth = conv->depth, width = conv->in_w, kernel = conv->kernel_w, columns = conv->out_w;
  const int32_t first = left < 0 ? -left : 0, end = left + kernel > width ? width - left : kernel;
  const int32_t bytes = TNY_IMPL == 2 ? 2 : 1; /* MVE takes lanes for bytes */
  const int32_t lanes = (end - first) * depth, none[TNY_CHANNELS] = {0};
  tny_pair_t run[TNY_WIDE_ROWS];
  tny_window_t window = {rows->taps + TNY_CHANNELS * first * depth, run + rows->rows,
                         (uint32_t)lanes, bytes * (left + first) * depth, run, none, {0},
                         (uint32_t)(TNY_CHANNELS * (kernel * depth - lanes))};
  for (int32_t i = 0; i < rows->rows; i++) {
    run[i].first = (const tny_lane_t *)(const void *)rows->row[i];
    run[i].second = (const tny_lane_t *)(const void *)(rows->row[i] + further * depth);
  }
  for (; count > 0; count--, window.at += 2 * bytes * further * depth, sums += 2) {
    if (rows->rows > 0 && lanes > 0) {
      tny_wide_window(&window);
    }
    for (int32_t i = 0; i < TNY_CHANNELS; i++) {
      sums[i * columns] = window.sum[i];
      if (further > 0) {
        sums[i * columns + 1] = window.sum[TNY_CHANNELS + i];
      }
    }
  }
}

/* Sums of row `row` for TNY_CHANNELS channels. */
TNY_NOINLINE void tny_wide_channels(const tny_plain_conv_t *conv, const int16_t *in, const tny_weight_t *taps, int32_t row,
                                    int32_t *sums)
{
  const int32_t step = conv->stride_w, last = conv->in_w - conv->kernel_w, columns = conv->out_w;
  const tny_wide_rows_t rows = tny_wide_rows(conv, in, taps, row);
  for (int32_t x = 0, left = -(int32_t)conv->pad_left; x < columns;) {
    const int32_t inside = left < 0 || left + step > last ? 0 : (last - left - step) / (2 * step) + 1;
    const int32_t pairs = inside < (columns - x) / 2 ? inside : (columns - x) / 2;
    tny_wide_columns(conv, &rows, left, pairs > 0 ? step : 0, pairs > 0 ? pairs : 1, sums + x);
    x += pairs > 0 ? 2 * pairs : 1;
    left += pairs > 0 ? 2 * pairs * step : step;
  }
}

/* Row `row` of output channel `c`. */
TNY_NOINLINE void tny_wide_row(const tny_plain_conv_t *conv, int32_t row, int32_t c, const int32_t *sums, int16_t *out)
{
  const tny_final_t final = tny_final(conv, c);
  const int32_t columns = conv->out_w, step = conv->out_c;
  size_t index = (size_t)(row * columns * step + c);
  for (int32_t x = 0; x < columns; x++, index += (size_t)step) {
    const int32_t code = conv->runs == 2 ? tny_finish_short(final, sums[x]) : tny_finish(final, sums[x]);
    out[index] = (int16_t)code;
    TNY_TRACE(conv->tensor, index, code);
  }
}

TNY_INLINE void tny_wide_pairs(const tny_plain_conv_t *conv, const int16_t *in, int16_t *out, void *scratch)
{
  int32_t *const sums = (int32_t *)scratch;
  tny_weight_t *const taps = (tny_weight_t *)(void *)(sums + TNY_CHANNELS * conv->out_w);
  for (int32_t c = 0; c < conv->out_c; c += TNY_CHANNELS) {
    const int32_t channels = tny_least(TNY_CHANNELS, conv->out_c - c);
    for (int32_t i = 0; i < channels; i++) {
      tny_wide_weights(conv, c + i, taps + i * TNY_WIDE_LANES);
    }
    for (int32_t row = 0; row < conv->out_h; row++) {
      tny_wide_channels(conv, in, taps, row, sums);
      for (int32_t i = 0; i < channels; i++) {
        tny_wide_row(conv, row, c + i, sums + i * conv->out_w, out);
      }
    }
  }
}

#endif
