/* Convolution where each output channel reads one input channel, so above all the depthwise one.
 *
 * A channel is done alone: the rows that a window spans lie in a ring as centred int16 lanes with their margins. Outputs
 * may replace an input of the same shape, as rows are in the ring before.
 */
#ifndef TNY_DEPTHWISE_H
#define TNY_DEPTHWISE_H

#include "tny_plain_conv.h"

typedef struct {
  int32_t *sums;        /* of one row of outputs */
  int16_t *rows, *taps; /* the ring and the decoded weights */
  int32_t count, lanes; /* rows of the ring, lanes of each */
} tny_channel_t;

TNY_INLINE tny_channel_t tny_channel(const tny_plain_conv_t *conv, void *scratch)
{
  tny_channel_t channel;
  channel.count = (conv->kernel_h - 1) * conv->dilation_h + 1;
  channel.lanes = (conv->out_w - 1) * conv->stride_w + (conv->kernel_w - 1) * conv->dilation_w + 1;
  channel.sums = (int32_t *)scratch;
  channel.rows = (int16_t *)(void *)(channel.sums + conv->out_w);
  channel.taps = channel.rows + channel.count * channel.lanes;
  return channel;
}

/* Row `row` of input channel `c`; 0 outside the image. */
static inline void tny_channel_row(const tny_plain_conv_t *conv, const void *in, int32_t c, int32_t row, int16_t *out,
                                int32_t lanes, int wide)
{
  const int32_t end = conv->pad_left + conv->in_w, inside = row >= 0 && row < conv->in_h;
  const int32_t first = inside ? conv->pad_left : lanes, last = end < lanes ? end : lanes;
  const int32_t zero = conv->zero_in, step = conv->in_column;
  size_t place = (size_t)(row * conv->in_row + c);
  int32_t i = 0;
  for (; i < first && i < lanes; i++) {
    out[i] = 0;
  }
  for (; i < last; i++, place += (size_t)step) {
    out[i] = (int16_t)(tny_load(in, place, wide) - zero);
  }
  for (; i < lanes; i++) {
    out[i] = 0;
  }
}

/* Add what three taps beside each other contribute to a row of outputs. */
TNY_INLINE void tny_three_taps(const int16_t *lane, const int16_t *taps, int32_t next, int32_t step, int32_t *sums,
                               const int32_t *end)
{
  const int32_t w0 = taps[0], w1 = taps[1], w2 = taps[2];
  for (; sums < end; sums++, lane += step) {
    *sums += lane[0] * w0 + lane[next] * w1 + lane[2 * next] * w2;
  }
}

TNY_INLINE void tny_one_tap(const int16_t *lane, int32_t w, int32_t step, int32_t *sums, const int32_t *end)
{
  for (; sums < end; sums++, lane += step) {
    *sums += lane[0] * w;
  }
}

/* The sums of a row of outputs; the windows start with row `first` of the ring. */
TNY_NOINLINE void tny_channel_sums(const tny_plain_conv_t *conv, const tny_channel_t *channel, int32_t first)
{
  const int32_t next = conv->dilation_w, step = conv->stride_w, width = conv->kernel_w;
  const int32_t *const end = channel->sums + conv->out_w;
  const int16_t *taps = channel->taps;
  for (int32_t ky = 0; ky < conv->kernel_h; ky++, first += conv->dilation_h) {
    const int16_t *lane = channel->rows + first % channel->count * channel->lanes;
    int32_t kx = 0;
    for (; kx + 3 <= width; kx += 3, lane += 3 * next, taps += 3) {
      tny_three_taps(lane, taps, next, step, channel->sums, end);
    }
    for (; kx < width; kx++, lane += next, taps++) {
      tny_one_tap(lane, *taps, step, channel->sums, end);
    }
  }
}

/* The exporter proves for int8 tensors that no step of this leaves 32 bits. */
TNY_INLINE int32_t tny_finish_quickly(tny_final_t final, int32_t sum)
{
  return tny_clamp(tny_requantize(sum + (int32_t)final.bias, final.scale) + final.zero, final.low, final.high);
}

/* Row `row` of output channel `c`; the sums are 0 afterwards. */
static inline void tny_channel_codes(const tny_plain_conv_t *conv, int32_t row, int32_t c, int32_t *sums, void *out,
                                     int wide)
{
  const tny_final_t final = tny_final(conv, c);
  const int32_t columns = conv->out_w, step = conv->out_column;
  size_t index = (size_t)(row * conv->out_row + c);
  for (int32_t x = 0; x < columns; x++, index += (size_t)step) {
    const int32_t code = wide ? tny_finish(final, sums[x]) : tny_finish_quickly(final, sums[x]);
    sums[x] = 0;
    tny_store(out, index, code, wide);
    TNY_TRACE(conv->tensor, index, code);
  }
}

static inline void tny_channel_rows(const tny_plain_conv_t *conv, const tny_channel_t *channel, const void *in,
                                    void *out, int32_t c, int wide)
{
  int32_t filled = 0;
  for (int32_t row = 0; row < conv->out_h; row++) {
    const int32_t first = row * conv->stride_h;
    for (filled = filled > first ? filled : first; filled < first + channel->count; filled++) {
      tny_channel_row(conv, in, c / conv->share, filled - conv->pad_top,
                      channel->rows + filled % channel->count * channel->lanes, channel->lanes, wide);
    }
    tny_channel_sums(conv, channel, first);
    tny_channel_codes(conv, row, c, channel->sums, out, wide);
  }
}

static inline void tny_depthwise(const tny_plain_conv_t *conv, const void *in, void *out, void *scratch, int wide)
{
  const tny_channel_t channel = tny_channel(conv, scratch);
  TNY_ENTER(conv->layer);
  memset(channel.sums, 0, (size_t)conv->out_w * sizeof *channel.sums);
  for (int32_t c = 0; c < conv->out_c; c++) {
    tny_plain_weights(conv, c, channel.taps);
    tny_channel_rows(conv, &channel, in, out, c, wide);
  }
}

#endif
