/* The other operators, one tensor at a time. */
#ifndef TNY_OPS_H
#define TNY_OPS_H

#include "tny_add.h"
#include "tny_core.h"

/* `count` rows of `size` codes, `from` and `to` codes apart: concatenation is made of such copies. */
TNY_INLINE void tny_copy(const int8_t *in, size_t from, int8_t *out, size_t to, size_t size, size_t count)
{
  for (; count > 0; count--, in += from, out += to) {
    memcpy(out, in, size);
  }
}

TNY_INLINE void tny_trace_all(uint32_t tensor, const int8_t *codes, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    TNY_TRACE(tensor, i, codes[i]);
  }
}

TNY_INLINE void tny_add_tensors(const tny_add_t *add, const int8_t *conv, const int8_t *other, int8_t *out, size_t count)
{
  TNY_ENTER(add->layer);
  for (size_t i = 0; i < count; i++) {
    out[i] = tny_add(add, conv[i], other[i]);
    TNY_TRACE(add->tensor, i, out[i]);
  }
}

typedef struct {
  uint16_t in_h, in_w, channels, out_h, out_w;
  uint8_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  int16_t low, high;
  uint16_t layer, tensor;
} tny_pool_t;

/* Means over the taps inside the image, halves away from zero. */
TNY_INLINE void tny_average_pool(const tny_pool_t *pool, const int8_t *in, int8_t *out)
{
  size_t index = 0;
  TNY_ENTER(pool->layer);
  for (int32_t y = 0; y < pool->out_h; y++) {
    for (int32_t x = 0; x < pool->out_w; x++) {
      for (int32_t c = 0; c < pool->channels; c++, index++) {
        int32_t sum = 0, taps = 0;
        for (int32_t ky = 0; ky < pool->kernel_h; ky++) {
          const int32_t iy = y * pool->stride_h - pool->pad_top + ky;
          for (int32_t kx = 0; kx < pool->kernel_w; kx++) {
            const int32_t ix = x * pool->stride_w - pool->pad_left + kx;
            if (iy >= 0 && iy < pool->in_h && ix >= 0 && ix < pool->in_w) {
              sum += in[(iy * pool->in_w + ix) * pool->channels + c];
              taps++;
            }
          }
        }
        sum = sum > 0 ? (sum + taps / 2) / taps : (sum - taps / 2) / taps;
        out[index] = (int8_t)tny_clamp(sum, pool->low, pool->high);
        TNY_TRACE(pool->tensor, index, out[index]);
      }
    }
  }
}

#endif
