/* Padding of an image along its rows, columns and channels. */
#ifndef TNY_PAD_H
#define TNY_PAD_H

#include "tny_tensor.h"

typedef struct {
  int32_t in_h, in_w, in_c, out_h, out_w, out_c;
  int32_t top, left, front; /* places before the image along each axis */
  int16_t value;
  uint16_t layer, tensor;
} tny_pad_t;

static inline void tny_pad_tensor(const tny_pad_t *pad, const void *in, void *out, int wide)
{
  size_t index = 0;
  TNY_ENTER(pad->layer);
  for (int32_t y = -pad->top; y < pad->out_h - pad->top; y++) {
    for (int32_t x = -pad->left; x < pad->out_w - pad->left; x++) {
      const int inside = y >= 0 && y < pad->in_h && x >= 0 && x < pad->in_w;
      for (int32_t c = -pad->front; c < pad->out_c - pad->front; c++, index++) {
        int32_t code = pad->value;
        if (inside && c >= 0 && c < pad->in_c) {
          code = tny_load(in, (size_t)((y * pad->in_w + x) * pad->in_c + c), wide);
        }
        tny_store(out, index, code, wide);
        TNY_TRACE(pad->tensor, index, code);
      }
    }
  }
}

#endif
