/* RESIZE_BILINEAR of int8 images: places in units of 1/1024 of a pixel, weights of the four neighbours. */
#ifndef TNY_BILINEAR_H
#define TNY_BILINEAR_H

#include "tny_tensor.h"

typedef struct {
  uint32_t in_h, in_w, channels, out_h, out_w;
  int32_t step_h, step_w, start_h, start_w; /* of the places that are read */
  uint16_t layer, tensor;
} tny_bilinear_t;

/* Both neighbours of a place, and how far it is beyond the first. */
typedef struct {
  size_t first, second;
  int32_t beyond;
} tny_between_t;

TNY_INLINE tny_between_t tny_between(uint32_t index, int32_t step, int32_t start, uint32_t size)
{
  const int32_t place = (int32_t)index * step + start, last = (int32_t)size - 1;
  const int32_t below = place > 0 ? place / 1024 : 0, above = (place + 1023) / 1024;
  const tny_between_t between = {(size_t)below, (size_t)(above < last ? above : last), place - 1024 * below};
  return between;
}

TNY_INLINE int32_t tny_bilinear_code(const int8_t *in, size_t row, size_t other, size_t left, size_t right,
                                     int32_t down, int32_t across)
{
  const int64_t sum = (int64_t)in[row + left] * (1024 - down) * (1024 - across) +
                      (int64_t)in[other + left] * down * (1024 - across) +
                      (int64_t)in[row + right] * (1024 - down) * across + (int64_t)in[other + right] * down * across;
  return (int32_t)((sum + (sum > 0 ? 1 << 19 : -(1 << 19))) / (1 << 20));
}

static inline void tny_bilinear(const tny_bilinear_t *resize, const int8_t *in, int8_t *out)
{
  const size_t channels = resize->channels, pixels = resize->in_w;
  size_t index = 0;
  TNY_ENTER(resize->layer);
  for (uint32_t y = 0; y < resize->out_h; y++) {
    const tny_between_t rows = tny_between(y, resize->step_h, resize->start_h, resize->in_h);
    for (uint32_t x = 0; x < resize->out_w; x++) {
      const tny_between_t columns = tny_between(x, resize->step_w, resize->start_w, resize->in_w);
      for (size_t c = 0; c < channels; c++, index++) {
        const int32_t code = tny_bilinear_code(in + c, rows.first * pixels * channels, rows.second * pixels * channels,
                                               columns.first * channels, columns.second * channels, rows.beyond,
                                               columns.beyond);
        out[index] = (int8_t)code;
        TNY_TRACE(resize->tensor, index, code);
      }
    }
  }
}

#endif
