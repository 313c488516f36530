/* What convolutions straight from their definition share: their constants, weights decoded field by field, and the
 * part of a window that lies inside the image. */
#ifndef TNY_DIRECT_H
#define TNY_DIRECT_H

#include "tny_codes.h"

typedef struct {
  const uint32_t *weights;  /* packed; each output channel starts on a word */
  const int32_t *bias;      /* NULL: sums have 64 bits, */
  const int64_t *long_bias; /* and this is their bias */
  const tny_scale_t *scale;
  uint16_t channel_words; /* packed words of one output channel */
  uint8_t bits;
  uint16_t in_h, in_w, in_c, out_h, out_w, out_c;
  uint16_t depth, share; /* output channel c reads `depth` input channels, the first being c / share * depth */
  uint8_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
  int16_t zero_in, zero_out, low, high;
  uint16_t layer, tensor;
} tny_direct_t;

/* The weights of output channel `c`; a word is read when its first bit is needed. */
static inline void tny_decode(const tny_direct_t *conv, int32_t c, int16_t *out)
{
  const uint32_t *word = conv->weights + (size_t)c * conv->channel_words;
  const int32_t count = conv->kernel_h * conv->kernel_w * conv->depth, unused = 32 - conv->bits;
  uint64_t held = 0;
  int32_t bits = 0;
  for (int32_t i = 0; i < count; i++) {
    if (bits < conv->bits) {
      held |= (uint64_t)*word++ << bits;
      bits += 32;
    }
    out[i] = (int16_t)((int32_t)((uint32_t)held << unused) >> unused);
    held >>= conv->bits;
    bits -= conv->bits;
  }
}

/* Along one axis: tap k reads place start + k * dilation, which lies inside the image for first <= k < last. */
typedef struct {
  int32_t start, first, last;
} tny_span_t;

TNY_INLINE tny_span_t tny_span(int32_t start, int32_t dilation, int32_t kernel, int32_t size)
{
  const int32_t until = (size - start + dilation - 1) / dilation;
  const tny_span_t span = {start, start < 0 ? (dilation - 1 - start) / dilation : 0, until < kernel ? until : kernel};
  return span;
}

#endif
