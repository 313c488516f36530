/* Convolution (and, on one pixel, fully connected): input rows are widened once, weights are decoded once for a group of
 * output rows.
 */
#ifndef TNY_CONV_H
#define TNY_CONV_H

#include "tny_codes.h"
#include "tny_rows.h"
#include "tny_unpack.h"
#include "tny_window.h"

/* Channels from c on, whose decoded weights are at `weights`, from the input rows in `ring`. */
typedef struct {
  const tny_conv_t *conv;
  const tny_ring_t *ring;
  const tny_sink_t *sink;
  tny_lane_t *weights;
  int32_t c;
} tny_task_t;

/* Decode the weights of a task; returns how many channels they are of. */
TNY_INLINE int32_t tny_decode(const tny_task_t *task)
{
  const tny_conv_t *const conv = task->conv;
  const uint32_t chunks = conv->runs * ((conv->run_length + 15u) / 16u);
  const uint32_t *const words = conv->weights + (size_t)(task->c / 2) * conv->pair_words;
  conv->unpack(words, task->weights, chunks);
#if TNY_IMPL == 2
  if (!conv->wide) {
    if (task->c + 2 < conv->out_c) {
      conv->unpack(words + conv->pair_words, task->weights + 32, chunks);
    }
    return 4;
  }
#endif
  return 2;
}

/* Where the windows of pixels (row, x) and (other, x + on) start. */
TNY_INLINE void tny_stretches(const tny_task_t *task, int32_t row, int32_t other, int32_t x, int32_t on, tny_pair_t *run)
{
  const tny_conv_t *const conv = task->conv;
  const int32_t from = conv->lane_offset + x * conv->pixel_step, further = on * conv->pixel_step;
  for (int32_t i = 0; i < conv->runs; i++) {
    const int32_t first = row * conv->row_step + conv->row_offset + i;
    run[i].first = tny_row(task->ring, first) + from;
    run[i].second = further + (other == row ? run[i].first
                                            : tny_row(task->ring, first + (other - row) * conv->row_step) + from);
  }
}

/* `count` times two pixels: (row, x) and (other, x + on), then those two columns on, and so on. The second one is
 * computed, but not put, if it is the first one again. `plain` is a constant wherever this is inlined. */
TNY_INLINE void tny_pixels(const tny_task_t *task, int32_t row, int32_t other, int32_t x, int32_t on, int32_t count,
                           int plain)
{
  const tny_conv_t *const conv = task->conv;
  const tny_sink_t *const sink = task->sink;
  const tny_channels_t channels = tny_channels(conv, task->c);
  const int two = other != row || on != 0;
  tny_pixel_t first = tny_pixel(conv, sink, row, x, task->c), second = tny_pixel(conv, sink, other, x + on, task->c);
  tny_pair_t run[TNY_MAX_RUNS];
  tny_window_t window;
  window.weights = task->weights;
  window.last = run + conv->runs;
  window.lanes = conv->run_length;
  window.at = 0;
  window.run = run;
  window.bias = conv->bias + task->c;
#if TNY_IMPL == 2
  const int32_t bias[4] = {window.bias[0], window.bias[1], 0, 0};
  window.bias = !plain && conv->wide ? bias : window.bias;
#endif
  tny_stretches(task, row, other, x, on, run);
  for (;; window.at += 2 * conv->pixel_step, tny_advance(conv, &first), tny_advance(conv, &second)) {
    tny_window(&window);
    tny_put(conv, sink, &channels, &first, window.sum, plain);
    if (two) {
      tny_put(conv, sink, &channels, &second, window.sum + TNY_CHANNELS, plain);
    }
    if (--count == 0) {
      return;
    }
  }
}

#ifndef TNY_SMALL
TNY_NOINLINE void tny_plain_pixels(const tny_task_t *task, int32_t row, int32_t other, int32_t x, int32_t on,
                                   int32_t count)
{
  tny_pixels(task, row, other, x, on, count, 1);
}
#endif

TNY_NOINLINE void tny_any_pixels(const tny_task_t *task, int32_t row, int32_t other, int32_t x, int32_t on,
                                 int32_t count)
{
#ifndef TNY_SMALL
  if (tny_is_plain(task->conv, task->c)) {
    tny_plain_pixels(task, row, other, x, on, count);
    return;
  }
#endif
  tny_pixels(task, row, other, x, on, count, 0);
}

/* Output rows first .. first + count - 1 from the ring, which holds what they need. `scratch` holds the decoded weights
 * of one task. The last pixels of an odd width go two rows at a time. */
TNY_NOINLINE void tny_conv_rows(const tny_conv_t *conv, const tny_ring_t *ring, int32_t first, int32_t count,
                                const tny_sink_t *sink, tny_lane_t *scratch)
{
  tny_task_t task = {conv, ring, sink, scratch, 0};
  const int32_t end = first + count, last = conv->out_w - 1;
  TNY_ENTER(conv->layer);
  while (task.c < conv->out_c) {
    const int32_t channels = tny_decode(&task);
    for (int32_t row = first; row < end && last > 0; row++) {
      tny_any_pixels(&task, row, row, 0, 1, conv->out_w / 2);
    }
    for (int32_t row = first; row < end && last % 2 == 0; row += 2) {
      tny_any_pixels(&task, row, tny_least(row + 1, end - 1), last, 0, 1);
    }
    task.c += channels;
  }
}

/* One convolution from tensor to tensor. */
TNY_NOINLINE void tny_conv(const tny_conv_t *conv, const int8_t *in, int8_t *out, tny_lane_t *ring_memory,
                           uint16_t ring_rows, tny_lane_t *scratch)
{
  const tny_ring_t ring = {ring_memory, ring_rows, conv->row_lanes};
  const tny_sink_t sink = {out, NULL, NULL, NULL};
  int32_t filled = 0;
  for (int32_t row = 0; row < conv->out_h; row += conv->group) {
    const int32_t count = tny_least(conv->group, conv->out_h - row);
    TNY_ENTER(conv->layer);
    tny_fill(conv, &ring, in, &filled, tny_reach(conv, row + count));
    tny_conv_rows(conv, &ring, row, count, &sink, scratch);
  }
}

#endif
