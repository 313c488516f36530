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
  const tny_ring_t ring = *task->ring;
  const int32_t from = conv->lane_offset + pixels->x * conv->pixel_step, further = pixels->on * conv->pixel_step;
  const int32_t rows = (pixels->other - pixels->row) * conv->row_step;
  int32_t row = pixels->row * conv->row_step + conv->row_offset;
  for (uint32_t left = conv->runs; left > 0u; left--, run++, row++) {
    run->first = tny_row(&ring, row) + from;
    run->second = run->first + further;
    if (rows != 0) {
      run->second = tny_row(&ring, row + rows) + from + further;
    }
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

/* Whether the windows of output rows first .. end - 1 lie one after the other, as do their outputs: then they are one row. */
TNY_INLINE int tny_is_one_row(const tny_task_t *task, int32_t first, int32_t end)
{
  const tny_conv_t *const conv = task->conv;
  return conv->runs == 1u && conv->row_step == 1u && task->sink->ring == NULL &&
         conv->pixel_step * conv->out_w == conv->row_lanes &&
         (int32_t)((uint32_t)first % task->ring->rows) + end - first <= task->ring->rows;
}

#if TNY_IMPL >= 1 && !defined(TNY_SMALL)
/* Pairs of pixels of one row, or the last ones of two rows, where they lie in ring and output. */
typedef struct {
  int8_t *to, *on; /* of channel 0 */
  int32_t count;
  int in_row; /* whether both pixels of a pair lie in one row, one behind the other */
#ifndef TNY_UNTRACED
  tny_pixels_t pixels;
#endif
  tny_pair_t run[TNY_MAX_RUNS];
} tny_part_t;

/* Parts whose places are found once for all channels. */
#define TNY_PARTS (TNY_IMPL == 2 ? 4 : 3)

/* Bytes from one pixel of the output to the next. */
TNY_INLINE int32_t tny_pixel_bytes(const tny_task_t *task)
{
  return task->conv->out_c * (task->sink->ring != NULL ? (int32_t)sizeof(tny_lane_t) : 1);
}

/* Part `number` of output rows first .. end - 1: pairs of each row, then, of an odd width, the last pixels of two rows. */
TNY_NOINLINE void tny_part(const tny_task_t *task, int32_t first, int32_t end, int32_t last, int32_t number,
                           tny_part_t *part)
{
  const int32_t rows = last > 0 ? end - first : 0;
  const int32_t row = first + (number < rows ? number : 2 * (number - rows));
  const tny_pixels_t all = {row, row, 0, 1, (last + 1) / 2};
  const tny_pixels_t rest = {row, tny_least(row + 1, end - 1), last, 0, 1};
  const tny_pixels_t pixels = number < rows ? all : rest;
  part->to = tny_place(task->conv, task->sink, row, pixels.x, 0);
  part->on = part->to + pixels.on * tny_pixel_bytes(task);
  if (pixels.other != row) {
    part->on = tny_place(task->conv, task->sink, pixels.other, pixels.x, 0);
  }
  part->count = pixels.count;
  part->in_row = pixels.on != 0;
#ifndef TNY_UNTRACED
  part->pixels = pixels;
#endif
  tny_stretches(task, &pixels, part->run);
}

/* The codes that were made of a part, for who wants to see them. */
TNY_INLINE void tny_stream_trace(const tny_task_t *task, const tny_part_t *part, const tny_stream_t *stream)
{
#ifndef TNY_UNTRACED
  const int ring = task->sink->ring != NULL;
  const int32_t channel = task->c * (ring ? (int32_t)sizeof(tny_lane_t) : 1);
  int8_t *to = part->to + channel, *on = part->on + channel;
  for (int32_t done = 0; done < part->pixels.count; done++, to += stream->stride, on += stream->stride) {
    const tny_target_t target = tny_target(task, &part->pixels, to, on, done);
#if TNY_IMPL == 2
    tny_trace8(task->conv->tensor, &target, vldrbq_s32(to), vldrbq_s32(on), 0xFFFFu);
#else
    int32_t code[4];
    for (int32_t i = 0; i < 4; i++) {
      const int8_t *const at = target.to[i / 2];
      code[i] = ring ? ((const tny_lane_t *)(const void *)at)[i % 2] / 2 + task->sink->next->zero_in : at[i % 2];
    }
    tny_trace2(task->conv->tensor, &target, code, 2);
#endif
  }
#else
  (void)task;
  (void)part;
  (void)stream;
#endif
}

/* Output rows first .. end - 1 of all channels from task->c on that go the short way, TNY_CHANNELS at a time. */
TNY_INLINE void tny_stream_task(tny_task_t *task, int32_t first, int32_t end, int32_t last)
{
  const tny_conv_t *const conv = task->conv;
  const tny_sink_t *const sink = task->sink;
  const int ring = sink->ring != NULL;
  const int32_t size = ring ? (int32_t)sizeof(tny_lane_t) : 1, rows = end - first;
  const int32_t parts = (last > 0 ? rows : 0) + (last % 2 == 0 ? (rows + 1) / 2 : 0), held = parts <= TNY_PARTS;
  tny_stream_add_t constants;
  tny_stream_t stream;
  tny_part_t part[TNY_PARTS];
  const uint32_t added = sink->add != NULL ? tny_stream_adds(sink->add, &constants) : 0u;
  if (conv->general || (sink->add != NULL && added == 0u)) {
    return;
  }
  const int relu = conv->zero_out == -128;
  const uint32_t put = ring ? (relu ? TNY_TO_RELU_LANES : TNY_TO_LANES) : added != 0u ? added :
                       relu ? TNY_TO_RELU_CODES : TNY_TO_CODES;
  const uint32_t zeros = ring ? ((uint32_t)sink->next->zero_in & 0xFFFFu) * 0x10001u : 0u;
  tny_stream_layer(conv, put, sink->add != NULL ? (uint32_t)(uintptr_t)&constants : zeros, task->weights, &stream);
  const tny_streams_t in_row = tny_streams_of(conv, put, 1), in_two_rows = tny_streams_of(conv, put, 0);
  for (int32_t i = 0; held && i < parts; i++) {
    tny_part(task, first, end, last, i, part + i);
  }
  /* What the calls below cannot change is read once. */
  const tny_unpack_t unpack = conv->unpack;
  const uint32_t chunks = conv->runs * ((conv->run_length + 15u) / 16u), pair_words = conv->pair_words;
  const uint32_t *words = conv->weights;
  const int32_t channels = conv->out_c;
  for (; task->c + TNY_CHANNELS <= channels; task->c += TNY_CHANNELS) {
    for (int32_t pair = 0; pair < TNY_CHANNELS / 2; pair++, words += pair_words) {
      unpack(words, task->weights + 32 * pair, chunks);
    }
    tny_stream_channels(conv, task->c, &stream);
    for (int32_t i = 0; i < parts; i++) {
      tny_part_t *const one = part + (held ? i : 0);
      if (!held) {
        tny_part(task, first, end, last, i, one);
      }
      if (parts > 1 || task->c == 0) {
        tny_stream_runs_of(conv, one->run, &stream);
      }
      stream.to = one->to + task->c * size;
      stream.on = one->on + task->c * size;
      stream.behind = stream.to + stream.stride * one->count;
      (one->in_row ? in_row : in_two_rows)(&stream);
      tny_stream_trace(task, one, &stream);
    }
  }
}
#endif

/* Output rows first .. end - 1; then, of an odd width, the last pixels of two rows at a time. */
TNY_NOINLINE void tny_task(const tny_task_t *task, int32_t first, int32_t end, int32_t last)
{
  const tny_conv_t *const conv = task->conv;
  const tny_sink_t *const sink = task->sink;
  const int32_t step = 2 * conv->pixel_step;
  const size_t stride = 2u * conv->out_c * (sink->ring != NULL ? sizeof(tny_lane_t) : 1u);
  int32_t bias[TNY_CHANNELS];
  tny_pair_t run[TNY_MAX_RUNS];
  tny_window_t window;
#ifndef TNY_SMALL
  const tny_channels_t channels = tny_channels(conv, task->c);
  const tny_add_t *const add = sink->add;
  const int plain = tny_is_plain(conv, task->c);
#endif
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
  for (int32_t columns = last > 0 ? 2 : 1; columns > last % 2; columns--) {
    for (int32_t row = first; row < end; row += columns == 2 ? 1 : 2) {
      const tny_pixels_t all = {row, row, 0, 1, (last + 1) / 2};
      const tny_pixels_t rest = {row, tny_least(row + 1, end - 1), last, 0, 1};
      const tny_pixels_t pixels = columns == 2 ? all : rest;
      int8_t *to = tny_place(conv, sink, row, pixels.x, task->c);
      int8_t *on = tny_place(conv, sink, pixels.other, pixels.x + pixels.on, task->c);
      tny_stretches(task, &pixels, run);
      window.at = 0;
      for (int32_t done = 0; done < pixels.count; done++, to += stride, on += stride, window.at += step) {
        sums(&window);
        const tny_target_t target = tny_target(task, &pixels, to, on, done);
#ifndef TNY_SMALL
        if (plain) {
          tny_put(conv, sink, add, &channels, &target, window.sum);
          continue;
        }
#endif
        tny_put_general(conv, sink, &target, task->c, window.sum);
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
  const int one_row = tny_is_one_row(&task, first, first + count);
  const int32_t last = (one_row ? count * conv->out_w : conv->out_w) - 1, end = first + (one_row ? 1 : count);
  TNY_ENTER(conv->layer);
#if TNY_IMPL >= 1 && !defined(TNY_SMALL)
  tny_stream_task(&task, first, end, last);
#endif
  for (; task.c < conv->out_c; task.c += TNY_CHANNELS) {
    tny_decode(&task);
    tny_task(&task, first, end, last);
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
