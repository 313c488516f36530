/* From the sums of a convolution to codes: rescaled, clamped, and put where the layer's output goes. */
#ifndef TNY_CODES_H
#define TNY_CODES_H

#include "tny_types.h"

/* Where the channels of two pixels go: codes of a tensor, or lanes of a ring (which for MVE are codes, too). */
typedef struct {
  int8_t *to[2];
  size_t stride;   /* bytes from one pair of pixels to the next */
  size_t index[2]; /* of their first channel in the tensor */
  int both;        /* whether the second pixel is another one than the first */
} tny_target_t;

TNY_INLINE int8_t *tny_place(const tny_conv_t *conv, const tny_sink_t *sink, int32_t row, int32_t x, int32_t c)
{
  if (sink->ring == NULL) {
    return sink->codes + ((size_t)row * conv->out_w + (size_t)x) * conv->out_c + c;
  }
  const tny_conv_t *const next = sink->next; /* whose rows have their margins already */
  return (int8_t *)(tny_row(sink->ring, row + next->pad_top) + (next->pad_left + x) * next->in_c + c);
}

TNY_INLINE void tny_advance(const tny_conv_t *conv, tny_target_t *target)
{
  for (int32_t i = 0; i < 2; i++) {
    target->to[i] += target->stride;
    target->index[i] += 2u * conv->out_c;
  }
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

/* Whether a layer goes the short way: all four channels, int8 weights and nothing odd. */
TNY_INLINE int tny_is_plain(const tny_conv_t *conv, int32_t c)
{
  return !conv->odd && !conv->wide && c + 4 <= conv->out_c;
}

/* Codes in the lowest bytes of the lanes; where all shifts go to the right, halves are rounded away from zero. */
TNY_INLINE int32x4_t tny_plain4(const tny_conv_t *conv, const tny_channels_t *channels, const int32_t *sum)
{
  const int32x4_t high = vqrdmulhq_s32(vld1q_s32(sum), channels->multiplier);
  const int32x4_t code = vrshlq_s32(vaddq_s32(high, vshrq_n_s32(high, 31)), channels->shift);
  return tny_saturate4(vaddq_n_s32(code, conv->zero_out));
}

TNY_INLINE int32x4_t tny_odd4(const tny_conv_t *conv, const tny_channels_t *channels, const int32_t *sum)
{
  const int32_t parts[4] = {sum[0] + sum[2], sum[1] + sum[3], 0, 0}; /* both parts of 9-bit weights */
  const int32x4_t all = vld1q_s32(conv->wide ? parts : sum), none = vdupq_n_s32(0);
  const int32x4_t right = vminq_s32(channels->shift, none), left = vmaxq_s32(channels->shift, none);
  const int32x4_t high = vqrdmulhq_s32(vshlq_s32(all, left), channels->multiplier);
  const int32x4_t down = vshrq_n_s32(vandq_s32(high, right), 31); /* -1 where halves have to round down */
  return tny_clamp4(vaddq_n_s32(vrshlq_s32(vaddq_s32(high, down), right), conv->zero_out), conv->low, conv->high);
}

TNY_INLINE void tny_trace4(uint32_t tensor, size_t index, int32x4_t codes, uint32_t valid)
{
  TNY_TRACE(tensor, index, (int8_t)vgetq_lane_s32(codes, 0));
  if (valid >> 4 & 1u) {
    TNY_TRACE(tensor, index + 1u, (int8_t)vgetq_lane_s32(codes, 1));
  }
  if (valid >> 8 & 1u) {
    TNY_TRACE(tensor, index + 2u, (int8_t)vgetq_lane_s32(codes, 2));
  }
  if (valid >> 12 & 1u) {
    TNY_TRACE(tensor, index + 3u, (int8_t)vgetq_lane_s32(codes, 3));
  }
}

TNY_INLINE void tny_trace8(uint32_t tensor, const tny_target_t *target, int32x4_t first, int32x4_t second,
                           uint32_t valid)
{
  tny_trace4(tensor, target->index[0], first, valid);
  if (target->both) {
    tny_trace4(tensor, target->index[1], second, valid);
  }
}

TNY_INLINE int32x4_t tny_load4(const int8_t *from, const tny_channels_t *channels, int plain)
{
  return plain ? vldrbq_s32(from) : vldrbq_z_s32(from, channels->valid);
}

TNY_INLINE void tny_store4(int8_t *to, int32x4_t codes, const tny_channels_t *channels, int plain)
{
  if (plain) {
    vstrbq_s32(to, codes);
  } else {
    vstrbq_p_s32(to, codes, channels->valid);
  }
}

/* Two pixels; if they are one and the same, twice the same. `plain` is a constant wherever this is inlined. */
TNY_INLINE void tny_put(const tny_conv_t *conv, const tny_sink_t *sink, const tny_channels_t *channels,
                        const tny_target_t *target, const int32_t *sum, int plain)
{
  int32x4_t first = plain ? tny_plain4(conv, channels, sum) : tny_odd4(conv, channels, sum);
  int32x4_t second = plain ? tny_plain4(conv, channels, sum + 4) : tny_odd4(conv, channels, sum + 4);
  const tny_add_t *const add = sink->add;
  tny_trace8(conv->tensor, target, first, second, channels->valid);
  if (add != NULL) {
    const int32x4_t other = tny_load4(target->to[0], channels, plain);
    const int32x4_t others = tny_load4(target->to[1], channels, plain);
    first = tny_add4(add, tny_extend4(first), other);
    second = tny_add4(add, tny_extend4(second), others);
    tny_trace8(add->tensor, target, first, second, channels->valid);
  }
  tny_store4(target->to[0], first, channels, plain);
  tny_store4(target->to[1], second, channels, plain);
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

TNY_INLINE void tny_trace2(uint32_t tensor, const tny_target_t *target, const int32_t code[4], int second)
{
  for (int32_t i = 0; i < (target->both ? 4 : 2); i++) {
    if (i % 2 == 0 || second) {
      TNY_TRACE(tensor, target->index[i / 2] + (size_t)(i % 2), code[i]);
    }
  }
}

/* Two pixels; if they are one and the same, twice the same. A ring takes whole pairs of channels only: the exporter
 * gathers the windows of others. `plain` is a constant wherever this is inlined. */
TNY_INLINE void tny_put(const tny_conv_t *conv, const tny_sink_t *sink, const tny_channels_t *channels,
                        const tny_target_t *target, const int32_t *sum, int plain)
{
  int8_t *const to = target->to[0], *const on = target->to[1];
  const tny_add_t *const add = sink->add;
  const int second = plain || channels->second;
  int32_t code[4] = {tny_code(conv, channels, 0, sum[0], plain), tny_code(conv, channels, 1, sum[1], plain),
                     tny_code(conv, channels, 0, sum[2], plain), tny_code(conv, channels, 1, sum[3], plain)};
  tny_trace2(conv->tensor, target, code, second);
  if (sink->ring != NULL) {
    tny_put_lanes(sink->next, (tny_lane_t *)(void *)to, code[0], code[1]);
    tny_put_lanes(sink->next, (tny_lane_t *)(void *)on, code[2], code[3]);
    return;
  }
  if (add != NULL) {
    code[0] = tny_add(add, code[0], to[0]);
    code[2] = tny_add(add, code[2], on[0]);
    code[1] = second ? tny_add(add, code[1], to[1]) : 0;
    code[3] = second ? tny_add(add, code[3], on[1]) : 0;
    tny_trace2(add->tensor, target, code, second);
  }
  to[0] = (int8_t)code[0];
  on[0] = (int8_t)code[2];
  if (second) {
    to[1] = (int8_t)code[1];
    on[1] = (int8_t)code[3];
  }
}
#endif

#endif
