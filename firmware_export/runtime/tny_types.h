/* What a convolution is, where its input rows lie, and where its output goes. */
#ifndef TNY_TYPES_H
#define TNY_TYPES_H

#include "tny_add.h"
#include "tny_core.h"

/* The most stretches of one window; the exporter gathers higher windows. */
#define TNY_MAX_RUNS 5
/* Channels that a window is computed for at a time. */
#if TNY_IMPL == 2
#define TNY_CHANNELS 4
#else
#define TNY_CHANNELS 2
#endif

/* Decoded weights: lanes, or in portable C a * 1 + b * 65536 for the weights a and b of both channels. */
#if TNY_IMPL == 0
typedef int32_t tny_weight_t;
#else
typedef tny_lane_t tny_weight_t;
#endif

typedef struct tny_window tny_window_t;
typedef void (*tny_unpack_t)(const uint32_t *words, tny_weight_t *out, uint32_t chunks);
typedef void (*tny_sums_t)(tny_window_t *window);

typedef struct {
  const uint32_t *weights;   /* packed, a pair of channels after the other */
  /* Up to a multiple of four channels. The bias is bias_high * 65536 + bias: with the DSP extension doubled, else less
   * the zero point's part (and in portable C what tny_pairs.h says); bias_high is NULL if all are 0. The scale of channel c is multiplier[c] * 2^(-shift[c] - 31). */
  const int16_t *bias, *bias_high;
  const int32_t *multiplier;
  const int8_t *shift;
  tny_unpack_t unpack;
  tny_sums_t sums; /* of portable C: the window for the layer's weights */
  uint16_t pair_words; /* packed words of one pair of channels */
  uint16_t in_h, in_w, in_c, out_h, out_w, out_c;
  uint8_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
  int16_t zero_in, zero_out, low, high;
  uint16_t runs, run_length;        /* stretches of a window and the lanes of each */
  uint16_t pixel_step, row_step;    /* lanes between output pixels, ring rows between output rows */
  uint16_t row_lanes;               /* lanes from one ring row to the next */
  uint16_t shared_lanes;            /* of the right margin: they are the next row's left margin */
  uint16_t row_offset, lane_offset; /* where the first window starts in a ring that was made for another layer */
  uint16_t group;                   /* output rows for which weights are decoded once */
  uint8_t gathered;                 /* a ring row holds the whole windows of one output row */
  uint8_t general;                  /* some shift is not in 1..20, or the clamp is narrower than int8 */
  uint8_t nine_bit;                 /* weights do not fit int8: those of MVE take two bytes */
  uint8_t dense;                    /* one pixel and 8-bit weights: see tny_dense.h */
  uint16_t layer, tensor;           /* names for profiles and traces */
} tny_conv_t;

/* A window of consecutive rows in a ring: row r lies at base + (r % rows) * stride. */
typedef struct {
  tny_lane_t *base;
  uint16_t rows, stride;
} tny_ring_t;

TNY_INLINE tny_lane_t *tny_row(const tny_ring_t *ring, int32_t row)
{
  return ring->base + (size_t)((uint32_t)row % ring->rows) * ring->stride;
}

/* Where the codes of a convolution go. */
typedef struct {
  int8_t *codes;          /* tensor [h, w, c]: stored there, or with `add` added to what is there */
  const tny_add_t *add;
  const tny_ring_t *ring; /* or, as lanes, to the ring that the convolution `next` reads */
  const tny_conv_t *next;
} tny_sink_t;

TNY_INLINE int32_t tny_least(int32_t a, int32_t b)
{
  return a < b ? a : b;
}

#endif
