/* Convolution (and, on one pixel, fully connected): input rows are widened once, weights are decoded once for a group of
 * output rows.
 */
#ifndef TNY_CONV_H
#define TNY_CONV_H

#include "tny_codes.h"
#include "tny_dense.h"
#include "tny_rows.h"
#include "tny_stream.h"
#include "tny_stream_mve.h"
#include "tny_unpack.h"
#include "tny_window.h"

/* Channels from c on, whose decoded weights are at `weights`, from the input rows in `ring`. */
typedef struct {
  const tny_conv_t *conv;
  const tny_ring_t *ring;
  const tny_sink_t *sink;
  tny_weight_t *weights;
  int32_t c;
} tny_task_t;

TNY_INLINE void tny_decode(const tny_task_t *task)
{
  const tny_conv_t *const conv = task->conv;
  const uint32_t chunks = conv->runs * ((conv->run_length + 15u) / 16u);
  const uint32_t *const words = conv->weights + (size_t)(task->c / 2) * conv->pair_words;
  conv->unpack(words, task->weights, chunks);
#if TNY_IMPL == 2
  if (task->c + 2 < conv->out_c) {
    conv->unpack(words + conv->pair_words, task->weights + 32, chunks);
  }
#endif
}

/* Two pixels, (row, x) and (other, x + on), and how many times two columns further. */
typedef struct {
  int32_t row, other, x, on, count;
} tny_pixels_t;

/* Where the windows of two pixels start. */
TNY_INLINE void tny_stretches(const tny_task_t *task, const tny_pixels_t *pixels, tny_pair_t *run)
{
  const tny_conv_t *const conv = task->conv;
  const int32_t from = conv->lane_offset + pixels->x * conv->pixel_step, further = pixels->on * conv->pixel_step;
  const int32_t rows = (pixels->other - pixels->row) * conv->row_step;
  int32_t row = pixels->row * conv->row_step + conv->row_offset;
  for (const tny_pair_t *const end = run + conv->runs; run != end; run++, row++) {
    const tny_lane_t *const first = tny_row(task->ring, row) + from;
    run->first = first;
    run->second = (rows == 0 ? first : tny_row(task->ring, row + rows) + from) + further;
  }
}

/* Where two pixels go, `done` times two columns further. */
TNY_INLINE tny_target_t tny_target(const tny_task_t *task, const tny_pixels_t *pixels, int8_t *first, int8_t *second,
                                   int32_t done)
{
  const tny_conv_t *const conv = task->conv;
  const int32_t pixel = pixels->row * conv->out_w + pixels->x + 2 * done;
  const int32_t on = (pixels->other - pixels->row) * conv->out_w + pixels->on;
  const size_t index = (size_t)pixel * conv->out_c + (size_t)task->c;
  const tny_target_t target = {{first, second}, {index, index + (size_t)(on * conv->out_c)}, on != 0};
  return target;
}

#if TNY_IMPL >= 1 && !defined(TNY_SMALL)
#define TNY_STREAMS
/* What is the same for all rows of a task. */
TNY_INLINE void tny_stream_begin(const tny_task_t *task, const tny_window_t *window, const tny_channels_t *channels,
                                 const tny_stream_add_t *add, tny_stream_t *stream)
{
  const tny_conv_t *const conv = task->conv;
  stream->weights = window->weights;
  stream->last = window->last;
  stream->lanes = window->lanes;
  stream->at = 0;
  stream->runs = window->run;
  stream->step = 2 * conv->pixel_step;
  stream->stride = 2 * conv->out_c * (task->sink->ring != NULL ? (int32_t)sizeof(tny_lane_t) : 1);
  memcpy(stream->bias, window->bias, sizeof stream->bias);
#if TNY_IMPL == 2
  vst1q_s32(stream->multiplier, channels->multiplier);
  vst1q_s32(stream->shift, channels->shift);
  stream->zero = channels->zero;
  stream->add = add != NULL ? add->of : NULL;
#else
  const int ring = task->sink->ring != NULL;
  stream->skip = window->skip;
  memcpy(stream->multiplier, channels->multiplier, sizeof stream->multiplier);
  memcpy(stream->offset, channels->offset, sizeof stream->offset);
  memcpy(stream->shift, channels->shift, sizeof stream->shift);
  stream->more = ring ? ((uint32_t)task->sink->next->zero_in & 0xFFFFu) * 0x10001u : (uint32_t)(uintptr_t)add;
#endif
}

/* Pairs of pixels one after the other, straight to where their codes go. */
TNY_INLINE void tny_stream(const tny_task_t *task, tny_stream_t *stream, const tny_pixels_t *pixels, int8_t *to,
                           int8_t *on, int adds)
{
  const tny_conv_t *const conv = task->conv;
  const int ring = task->sink->ring != NULL;
  stream->to = to;
  stream->on = on;
#if TNY_IMPL == 2
  stream->end = to + stream->stride * pixels->count;
#else
  stream->count = (uint32_t)pixels->count;
#endif
  tny_streams_of(conv, ring, adds)(stream);
#ifndef TNY_UNTRACED
  for (int32_t done = 0; done < pixels->count; done++, to += stream->stride, on += stream->stride) {
    const tny_target_t target = tny_target(task, pixels, to, on, done);
#if TNY_IMPL == 2
    tny_trace8(conv->tensor, &target, vldrbq_s32(to), vldrbq_s32(on), 0xFFFFu);
#else
    int32_t code[4];
    for (int32_t i = 0; i < 4; i++) {
      const int8_t *const at = target.to[i / 2];
      code[i] = ring ? ((const tny_lane_t *)(const void *)at)[i % 2] / 2 + task->sink->next->zero_in : at[i % 2];
    }
    tny_trace2(conv->tensor, &target, code, 2);
#endif
  }
#endif
}
#endif

/* Whether the windows of output rows first .. end - 1 lie one after the other, as do their outputs: then they are one row. */
TNY_INLINE int tny_is_one_row(const tny_task_t *task, int32_t first, int32_t end)
{
  const tny_conv_t *const conv = task->conv;
  return conv->runs == 1u && conv->row_step == 1u && task->sink->ring == NULL &&
         conv->pixel_step * conv->out_w == conv->row_lanes &&
         (int32_t)((uint32_t)first % task->ring->rows) + end - first <= task->ring->rows;
}

/* Output rows first .. end - 1; then, of an odd width, the last pixels of two rows at a time. */
TNY_INLINE void tny_task(const tny_task_t *task, int32_t first, int32_t end)
{
  const tny_conv_t *const conv = task->conv;
  const tny_sink_t *const sink = task->sink;
  const int one_row = tny_is_one_row(task, first, end);
  const int32_t last = (one_row ? (end - first) * conv->out_w : conv->out_w) - 1, step = 2 * conv->pixel_step;
  const size_t stride = 2u * conv->out_c * (sink->ring != NULL ? sizeof(tny_lane_t) : 1u);
  int32_t bias[TNY_CHANNELS];
  tny_pair_t run[TNY_MAX_RUNS];
  tny_window_t window;
#ifndef TNY_SMALL
  const tny_channels_t channels = tny_channels(conv, task->c);
  const tny_add_t *const add = sink->add;
  const int plain = tny_is_plain(conv, task->c);
#endif
#ifdef TNY_STREAMS
  tny_stream_add_t constants;
  const int adds = add != NULL && tny_stream_adds(add, conv, &constants);
  const int streams = plain && (add == NULL || adds);
#endif
  end = one_row ? first + 1 : end;
  tny_begin(conv, task->c, bias);
#if TNY_IMPL == 0
  tny_begin_pair(bias);
#endif
  window.weights = task->weights;
  window.last = run + conv->runs;
  window.lanes = conv->run_length;
  window.run = run;
  window.bias = bias;
  window.skip = TNY_CHUNK_WEIGHTS / 16 * (-window.lanes & 15u); /* not for MVE, whose steps are whole chunks */
  const tny_sums_t sums = TNY_WINDOW_OF(conv);
#ifdef TNY_STREAMS
  tny_stream_t stream;
  if (streams) {
    tny_stream_begin(task, &window, &channels, adds ? &constants : NULL, &stream);
  }
#endif
  for (int32_t columns = last > 0 ? 2 : 1; columns > last % 2; columns--) {
    for (int32_t row = first; row < end; row += columns == 2 ? 1 : 2) {
      const tny_pixels_t all = {row, row, 0, 1, (last + 1) / 2};
      const tny_pixels_t rest = {row, tny_least(row + 1, end - 1), last, 0, 1};
      const tny_pixels_t pixels = columns == 2 ? all : rest;
      int8_t *to = tny_place(conv, sink, row, pixels.x, task->c);
      int8_t *on = tny_place(conv, sink, pixels.other, pixels.x + pixels.on, task->c);
      tny_stretches(task, &pixels, run);
      window.at = 0;
#ifdef TNY_STREAMS
      if (streams) {
        tny_stream(task, &stream, &pixels, to, on, adds);
        continue;
      }
#endif
      for (int32_t done = 0; done < pixels.count; done++, to += stride, on += stride, window.at += step) {
        sums(&window);
#ifndef TNY_SMALL
        if (plain) {
          const tny_target_t target = tny_target(task, &pixels, to, on, done);
          tny_put(conv, sink, add, &channels, &target, window.sum);
        } else
#endif
        {
          const tny_target_t target = tny_target(task, &pixels, to, on, done);
          tny_put_general(conv, sink, &target, task->c, window.sum);
        }
      }
    }
  }
}

/* Output rows first .. first + count - 1 from the ring, which holds what they need. `scratch` holds the decoded weights
 * of one task. */
TNY_NOINLINE void tny_conv_rows(const tny_conv_t *conv, const tny_ring_t *ring, int32_t first, int32_t count,
                                const tny_sink_t *sink, tny_weight_t *scratch)
{
  tny_task_t task = {conv, ring, sink, scratch, 0};
  TNY_ENTER(conv->layer);
  for (; task.c < conv->out_c; task.c += TNY_CHANNELS) {
    tny_decode(&task);
    tny_task(&task, first, first + count);
  }
}

/* One convolution from tensor to tensor. */
TNY_NOINLINE void tny_conv(const tny_conv_t *conv, const int8_t *in, int8_t *out, tny_lane_t *ring_memory,
                           uint16_t ring_rows, tny_weight_t *scratch)
{
  const tny_ring_t ring = {ring_memory, ring_rows, conv->row_lanes};
  const tny_sink_t sink = {out, NULL, NULL, NULL};
  int32_t filled = 0;
  for (int32_t row = 0; row < conv->out_h; row += conv->group) {
    const int32_t count = tny_least(conv->group, conv->out_h - row);
    TNY_ENTER(conv->layer);
    tny_fill(conv, &ring, in, &filled, tny_reach(conv, row + count));
    if (conv->dense) {
      tny_dense(conv, ring_memory, out);
    } else {
      tny_conv_rows(conv, &ring, row, count, &sink, scratch);
    }
  }
}

#endif
