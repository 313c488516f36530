/* Average and maximum over windows, without any rescaling; taps outside the image do not count. */
#ifndef TNY_POOL_H
#define TNY_POOL_H

#include "tny_tensor.h"

typedef struct {
  int32_t in_h, in_w, channels, out_h, out_w;
  uint16_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  int16_t low, high;
  uint16_t layer, tensor;
} tny_pool_t;

/* What one window of one channel holds. */
typedef struct {
  int32_t sum, largest, taps;
} tny_taps_t;

TNY_INLINE tny_taps_t tny_pool_window(const tny_pool_t *pool, const void *in, int32_t top, int32_t left, int32_t c,
                                      int wide)
{
  const int32_t y0 = top > 0 ? top : 0, x0 = left > 0 ? left : 0;
  const int32_t bottom = top + pool->kernel_h, right = left + pool->kernel_w;
  const int32_t y1 = bottom < pool->in_h ? bottom : pool->in_h, x1 = right < pool->in_w ? right : pool->in_w;
  tny_taps_t taps = {0, -32768, (y1 - y0) * (x1 - x0)};
  for (int32_t y = y0; y < y1; y++) {
    for (int32_t x = x0; x < x1; x++) {
      const int32_t code = tny_load(in, (size_t)((y * pool->in_w + x) * pool->channels + c), wide);
      taps.sum += code;
      taps.largest = code > taps.largest ? code : taps.largest;
    }
  }
  return taps;
}

/* Halves are rounded away from zero. */
TNY_INLINE int32_t tny_mean_of(tny_taps_t taps)
{
  return taps.sum > 0 ? (taps.sum + taps.taps / 2) / taps.taps : (taps.sum - taps.taps / 2) / taps.taps;
}

/* `average` is a constant of each call: the compiler drops the other half. */
TNY_INLINE void tny_pool(const tny_pool_t *pool, const void *in, void *out, int wide, int average)
{
  size_t index = 0;
  TNY_ENTER(pool->layer);
  for (int32_t y = 0; y < pool->out_h; y++) {
    for (int32_t x = 0; x < pool->out_w; x++) {
      for (int32_t c = 0; c < pool->channels; c++, index++) {
        const tny_taps_t taps = tny_pool_window(pool, in, y * pool->stride_h - pool->pad_top,
                                                x * pool->stride_w - pool->pad_left, c, wide);
        const int32_t code = tny_clamp(average ? tny_mean_of(taps) : taps.largest, pool->low, pool->high);
        tny_store(out, index, code, wide);
        TNY_TRACE(pool->tensor, index, code);
      }
    }
  }
}

static inline void tny_average_pool(const tny_pool_t *pool, const void *in, void *out, int wide)
{
  tny_pool(pool, in, out, wide, 1);
}

static inline void tny_max_pool(const tny_pool_t *pool, const void *in, void *out, int wide)
{
  tny_pool(pool, in, out, wide, 0);
}

#endif
