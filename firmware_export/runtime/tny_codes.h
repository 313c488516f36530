/* From the sums of a convolution to codes: rescaled, clamped, and put where the layer's output goes. */
#ifndef TNY_CODES_H
#define TNY_CODES_H

#include "tny_types.h"

/* Where the channels of one pixel go: codes of a tensor, or lanes of a ring (which for MVE are codes, too). */
typedef struct {
  int8_t *codes;
  tny_lane_t *lanes;
  size_t index; /* of its first channel in the tensor */
} tny_pixel_t;

TNY_INLINE tny_pixel_t tny_pixel(const tny_conv_t *conv, const tny_sink_t *sink, int32_t row, int32_t x, int32_t c)
{
  tny_pixel_t pixel = {NULL, NULL, ((size_t)row * conv->out_w + (size_t)x) * conv->out_c + (size_t)c};
  if (sink->ring != NULL) { /* its rows have their margins already */
    const tny_conv_t *const next = sink->next;
    pixel.lanes = tny_row(sink->ring, row + next->pad_top) + (next->pad_left + x) * next->in_c + c;
  } else {
    pixel.codes = sink->codes + pixel.index;
  }
#if TNY_IMPL == 2
  pixel.codes = sink->ring != NULL ? pixel.lanes : pixel.codes;
#endif
  return pixel;
}

/* Two columns on. */
TNY_INLINE void tny_advance(const tny_conv_t *conv, tny_pixel_t *pixel)
{
  const size_t values = 2u * conv->out_c;
  pixel->index += values;
#if TNY_IMPL == 2
  pixel->codes += values;
#else
  if (pixel->lanes != NULL) {
    pixel->lanes += values;
  } else {
    pixel->codes += values;
  }
#endif
}

#if TNY_IMPL == 2
/* What the sums of four channels are rescaled with. */
typedef struct {
  int32x4_t multiplier, shift; /* to the left */
  mve_pred16_t valid;          /* channels that there are */
} tny_channels_t;

TNY_INLINE tny_channels_t tny_channels(const tny_conv_t *conv, int32_t c)
{
  const int32_t count = conv->wide ? 2 : 4;
  const tny_channels_t channels = {vld1q_s32(conv->multiplier + c), vnegq_s32(vldrbq_s32(conv->shift + c)),
                                   vctp32q((uint32_t)tny_least(count, conv->out_c - c))};
  return channels;
}

/* Codes in the lowest bytes of the lanes; where all shifts go to the right, halves are rounded away from zero. */
TNY_INLINE int32x4_t tny_plain4(const tny_conv_t *conv, const tny_channels_t *channels, int32x4_t sum)
{
  const int32x4_t high = vqrdmulhq_s32(sum, channels->multiplier);
  int32x4_t code = vrshlq_s32(vaddq_s32(high, vshrq_n_s32(high, 31)), channels->shift);
  code = vaddq_n_s32(code, conv->zero_out);
  __asm("vqmovnb.s32 %q0, %q0\n\tvqmovnb.s16 %q0, %q0" : "+w"(code)); /* saturates; intrinsics copy the vector */
  return code;
}

TNY_INLINE int32x4_t tny_odd4(const tny_conv_t *conv, const tny_channels_t *channels, int32x4_t sum)
{
  const int32x4_t none = vdupq_n_s32(0), right = vminq_s32(channels->shift, none);
  const int32x4_t high = vqrdmulhq_s32(vshlq_s32(sum, vmaxq_s32(channels->shift, none)), channels->multiplier);
  const int32x4_t down = vshrq_n_s32(vandq_s32(high, right), 31); /* -1 where halves have to round down */
  return tny_clamp4(vaddq_n_s32(vrshlq_s32(vaddq_s32(high, down), right), conv->zero_out), conv->low, conv->high);
}

TNY_INLINE void tny_trace4(uint32_t tensor, size_t index, int32x4_t codes, mve_pred16_t valid)
{
  const uint32_t lanes = valid;
  TNY_TRACE(tensor, index, (int8_t)vgetq_lane_s32(codes, 0));
  if (lanes >> 4 & 1u) {
    TNY_TRACE(tensor, index + 1u, (int8_t)vgetq_lane_s32(codes, 1));
  }
  if (lanes >> 8 & 1u) {
    TNY_TRACE(tensor, index + 2u, (int8_t)vgetq_lane_s32(codes, 2));
  }
  if (lanes >> 12 & 1u) {
    TNY_TRACE(tensor, index + 3u, (int8_t)vgetq_lane_s32(codes, 3));
  }
}

/* Whether a layer goes the short way: all four channels, int8 weights and nothing odd. */
TNY_INLINE int tny_is_plain(const tny_conv_t *conv, int32_t c)
{
  return !conv->odd && !conv->wide && c + 4 <= conv->out_c;
}

/* `plain` is a constant wherever this is inlined. */
TNY_INLINE void tny_put(const tny_conv_t *conv, const tny_sink_t *sink, const tny_channels_t *channels,
                        const tny_pixel_t *pixel, const int32_t *sum, int plain)
{
  int32x4_t codes = vld1q_s32(sum);
  if (!plain && conv->wide) { /* the sums of both parts of the weights */
    const int32_t both[4] = {sum[0] + sum[2], sum[1] + sum[3], 0, 0};
    codes = vld1q_s32(both);
  }
  codes = plain ? tny_plain4(conv, channels, codes) : tny_odd4(conv, channels, codes);
  tny_trace4(conv->tensor, pixel->index, codes, channels->valid);
  if (sink->add != NULL) {
    const int32x4_t extended = vmovlbq_s16(vmovlbq_s8(vreinterpretq_s8_s32(codes)));
    codes = tny_add4(sink->add, extended, plain ? vldrbq_s32(pixel->codes)
                                                : vldrbq_z_s32(pixel->codes, channels->valid));
    tny_trace4(sink->add->tensor, pixel->index, codes, channels->valid);
  }
  if (plain) {
    vstrbq_s32(pixel->codes, codes);
  } else {
    vstrbq_p_s32(pixel->codes, codes, channels->valid);
  }
}
#else
/* What the doubled sums of two channels are rescaled with. */
typedef struct {
  int32_t multiplier[2], shift[2];
  int32_t offset[2]; /* half a code and the zero point, before the shift */
  int second;        /* whether there is a second channel */
} tny_channels_t;

TNY_INLINE tny_channels_t tny_channels(const tny_conv_t *conv, int32_t c)
{
  tny_channels_t channels;
  for (int32_t i = 0; i < 2; i++) {
    const int32_t shift = conv->shift[c + i];
    channels.multiplier[i] = conv->multiplier[c + i];
    channels.shift[i] = shift;
    channels.offset[i] = conv->odd ? 0 : conv->zero_out * ((int32_t)1 << shift) + ((int32_t)1 << (shift - 1));
  }
  channels.second = c + 1 < conv->out_c;
  return channels;
}

/* Whether a layer goes the short way: both channels and nothing odd. */
TNY_INLINE int tny_is_plain(const tny_conv_t *conv, int32_t c)
{
  return !conv->odd && c + 2 <= conv->out_c;
}

/* The code of a doubled sum. Where the product rounds to 0, its sign does not matter: that of the sum is as good. */
TNY_INLINE int32_t tny_code(const tny_conv_t *conv, const tny_channels_t *channels, int32_t i, int32_t sum, int plain)
{
  if (!plain) {
    const tny_scale_t scale = {channels->multiplier[i], channels->shift[i]};
    return tny_clamp(tny_requantize(sum >> 1, scale) + conv->zero_out, conv->low, conv->high);
  }
  const int32_t high = tny_high_add(channels->offset[i], sum, channels->multiplier[i]);
  return tny_saturate((high + (sum >> 31)) >> channels->shift[i]);
}

TNY_INLINE void tny_put_lanes(const tny_conv_t *next, tny_lane_t *lanes, int32_t first, int32_t second)
{
#if TNY_IMPL == 1
  const uint32_t zeros = ((uint32_t)next->zero_in & 0xFFFFu) * 0x10001u;
  uint32_t both;
  __asm("pkhbt %0, %1, %2, lsl #16" : "=r"(both) : "r"(first), "r"(second));
  __asm("ssub16 %0, %1, %2" : "=r"(both) : "r"(both), "r"(zeros));
  __asm("sadd16 %0, %1, %1" : "=r"(both) : "r"(both));
  memcpy(lanes, &both, 4);
#else
  lanes[0] = (tny_lane_t)(2 * (first - next->zero_in));
  lanes[1] = (tny_lane_t)(2 * (second - next->zero_in));
#endif
}

TNY_INLINE void tny_put_code(const tny_sink_t *sink, int8_t *at, size_t index, int32_t code)
{
  (void)index;
  if (sink->add == NULL) {
    *at = (int8_t)code;
  } else {
    *at = tny_add(sink->add, code, *at);
    TNY_TRACE(sink->add->tensor, index, *at);
  }
}

/* A ring takes whole pairs of channels only: the exporter gathers the windows of others. `plain` is a constant wherever
 * this is inlined. */
TNY_INLINE void tny_put(const tny_conv_t *conv, const tny_sink_t *sink, const tny_channels_t *channels,
                        const tny_pixel_t *pixel, const int32_t *sum, int plain)
{
  const int32_t first = tny_code(conv, channels, 0, sum[0], plain), second = tny_code(conv, channels, 1, sum[1], plain);
  const int both = plain || channels->second;
  TNY_TRACE(conv->tensor, pixel->index, first);
  if (both) {
    TNY_TRACE(conv->tensor, pixel->index + 1u, second);
  }
  if (pixel->lanes != NULL) {
    tny_put_lanes(sink->next, pixel->lanes, first, second);
    return;
  }
  tny_put_code(sink, pixel->codes, pixel->index, first);
  if (both) {
    tny_put_code(sink, pixel->codes + 1, pixel->index + 1u, second);
  }
}
#endif

#endif
