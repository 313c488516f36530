/* From the sums of a convolution to codes: rescaled, clamped, and put where the layer's output goes. */
#ifndef TNY_CODES_H
#define TNY_CODES_H

#include "tny_types.h"

/* Where the channels of two pixels go: codes of a tensor, or lanes of a ring (which for MVE are codes, too). */
typedef struct {
  int8_t *to[2];
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

/* What becomes of sums. Where the clamp begins at the zero point, as behind a ReLU, halves of negative sums need no care:
 * those are clamped. */
enum { TNY_TO_CODES, TNY_TO_LANES, TNY_ADD_EXACT, TNY_ADD_TO_EXACT, TNY_TO_RELU_CODES, TNY_TO_RELU_LANES };

/* Where a window starts from: the bias. */
TNY_INLINE void tny_begin(const tny_conv_t *conv, int32_t c, int32_t *bias)
{
  for (int32_t i = 0; i < TNY_CHANNELS; i++) {
    const int32_t high = conv->bias_high != NULL ? conv->bias_high[c + i] : 0;
    bias[i] = high * 65536 + conv->bias[c + i];
  }
}

#if TNY_IMPL == 2
/* What the sums of four channels are rescaled with. */
typedef struct {
  int32x4_t multiplier, shift; /* to the left */
  int32_t zero;
} tny_channels_t;

TNY_INLINE tny_channels_t tny_channels(const tny_conv_t *conv, int32_t c)
{
  const tny_channels_t channels = {vld1q_s32(conv->multiplier + c), vnegq_s32(vldrbq_s32(conv->shift + c)),
                                   conv->zero_out};
  return channels;
}

/* Whether channels from c on go the short way: all four, and no general requantisation. */
TNY_INLINE int tny_is_plain(const tny_conv_t *conv, int32_t c)
{
  return !conv->general && c + 4 <= conv->out_c;
}

/* Codes in the lowest bytes of the lanes; where all shifts go to the right, halves are rounded away from zero. */
TNY_INLINE int32x4_t tny_plain4(const tny_channels_t *channels, const int32_t *sum)
{
  const int32x4_t high = vqrdmulhq_s32(vld1q_s32(sum), channels->multiplier);
  const int32x4_t code = vrshlq_s32(vaddq_s32(high, vshrq_n_s32(high, 31)), channels->shift);
  return tny_saturate4(vaddq_n_s32(code, channels->zero));
}

TNY_INLINE int32x4_t tny_general4(const tny_conv_t *conv, const tny_channels_t *channels, const int32_t *sum)
{
  const int32x4_t all = vld1q_s32(sum), none = vdupq_n_s32(0);
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

/* Two pixels; if they are one and the same, twice the same. `add` is that of the sink. */
TNY_INLINE void tny_put(const tny_conv_t *conv, const tny_sink_t *sink, const tny_add_t *add,
                        const tny_channels_t *channels, const tny_target_t *target, const int32_t *sum)
{
  int32x4_t first = tny_plain4(channels, sum), second = tny_plain4(channels, sum + 4);
  (void)sink;
  tny_trace8(conv->tensor, target, first, second, 0xFFFFu);
  if (add != NULL) {
    const int32x4_t other = vldrbq_s32(target->to[0]), others = vldrbq_s32(target->to[1]);
    tny_add8(add, &first, &second, other, others);
    tny_trace8(add->tensor, target, first, second, 0xFFFFu);
  }
  vstrbq_s32(target->to[0], first);
  vstrbq_s32(target->to[1], second);
}

/* As tny_put, for any layer and for the channels from c on that there are. */
TNY_NOINLINE void tny_put_general(const tny_conv_t *conv, const tny_sink_t *sink, const tny_target_t *target, int32_t c,
                                  const int32_t *sum)
{
  const tny_channels_t channels = tny_channels(conv, c);
  const mve_pred16_t valid = vctp32q((uint32_t)tny_least(4, conv->out_c - c));
  int32x4_t first = tny_general4(conv, &channels, sum), second = tny_general4(conv, &channels, sum + 4);
  const tny_add_t *const add = sink->add;
  tny_trace8(conv->tensor, target, first, second, valid);
  if (add != NULL) {
    const int32x4_t other = vldrbq_z_s32(target->to[0], valid), others = vldrbq_z_s32(target->to[1], valid);
    tny_add8(add, &first, &second, other, others);
    tny_trace8(add->tensor, target, first, second, valid);
  }
  vstrbq_p_s32(target->to[0], first, valid);
  vstrbq_p_s32(target->to[1], second, valid);
}
#else
/* What the doubled sums of two channels are rescaled with. */
typedef struct {
  int32_t multiplier[2], shift[2];
  int32_t offset[2]; /* half a code and the zero point, before the shift */
} tny_channels_t;

TNY_INLINE tny_channels_t tny_channels(const tny_conv_t *conv, int32_t c)
{
  tny_channels_t channels;
  for (int32_t i = 0; i < 2; i++) {
    const int32_t shift = conv->shift[c + i];
    channels.multiplier[i] = conv->multiplier[c + i];
    channels.shift[i] = shift;
    channels.offset[i] = conv->general ? 0 : conv->zero_out * ((int32_t)1 << shift) + ((int32_t)1 << (shift - 1));
  }
  return channels;
}

/* Whether channels from c on go the short way: both, and no general requantisation. */
TNY_INLINE int tny_is_plain(const tny_conv_t *conv, int32_t c)
{
  return !conv->general && c + 2 <= conv->out_c;
}

/* The code of a doubled sum. Where the product rounds to 0, its sign does not matter: that of the sum is as good. */
TNY_INLINE int32_t tny_plain(const tny_channels_t *channels, int32_t i, int32_t sum)
{
  const int32_t high = tny_high_add(channels->offset[i], sum, channels->multiplier[i]);
  return tny_saturate((high + (sum >> 31)) >> channels->shift[i]);
}

#if TNY_IMPL == 1
TNY_INLINE void tny_put_lanes(const tny_conv_t *next, tny_lane_t *lanes, int32_t first, int32_t second)
{
  const uint32_t zeros = ((uint32_t)next->zero_in & 0xFFFFu) * 0x10001u;
  uint32_t both;
  __asm("pkhbt %0, %1, %2, lsl #16" : "=r"(both) : "r"(first), "r"(second));
  __asm("ssub16 %0, %1, %2" : "=r"(both) : "r"(both), "r"(zeros));
  __asm("sadd16 %0, %1, %1" : "=r"(both) : "r"(both));
  memcpy(lanes, &both, 4);
}
#endif

TNY_INLINE void tny_trace2(uint32_t tensor, const tny_target_t *target, const int32_t code[4], int32_t channels)
{
  for (int32_t i = 0; i < (target->both ? 4 : 2); i++) {
    if (i % 2 < channels) {
      TNY_TRACE(tensor, target->index[i / 2] + (size_t)(i % 2), code[i]);
    }
  }
}

/* Two pixels; if they are one and the same, twice the same. `add` is that of the sink. */
TNY_INLINE void tny_put(const tny_conv_t *conv, const tny_sink_t *sink, const tny_add_t *add,
                        const tny_channels_t *channels, const tny_target_t *target, const int32_t *sum)
{
  int8_t *const to = target->to[0], *const on = target->to[1];
  int32_t code[4] = {tny_plain(channels, 0, sum[0]), tny_plain(channels, 1, sum[1]),
                     tny_plain(channels, 0, sum[2]), tny_plain(channels, 1, sum[3])};
  tny_trace2(conv->tensor, target, code, 2);
#if TNY_IMPL == 1
  if (sink->ring != NULL) {
    tny_put_lanes(sink->next, (tny_lane_t *)(void *)to, code[0], code[1]);
    tny_put_lanes(sink->next, (tny_lane_t *)(void *)on, code[2], code[3]);
    return;
  }
#else
  (void)sink;
#endif
  if (add != NULL) {
    code[0] = tny_add(add, code[0], to[0]);
    code[1] = tny_add(add, code[1], to[1]);
    code[2] = tny_add(add, code[2], on[0]);
    code[3] = tny_add(add, code[3], on[1]);
    tny_trace2(add->tensor, target, code, 2);
  }
  to[0] = (int8_t)code[0];
  to[1] = (int8_t)code[1];
  on[0] = (int8_t)code[2];
  on[1] = (int8_t)code[3];
}

/* As tny_put, for any layer and for the channels from c on that there are. A ring of wide lanes takes whole pairs of
 * channels only: the exporter gathers the windows of others. */
TNY_NOINLINE void tny_put_general(const tny_conv_t *conv, const tny_sink_t *sink, const tny_target_t *target, int32_t c,
                                  const int32_t *sum)
{
  const int32_t channels = tny_least(2, conv->out_c - c), values = target->both ? 4 : 2;
  const tny_add_t *const add = sink->add;
  int32_t code[4] = {0, 0, 0, 0};
  for (int32_t i = 0; i < 4; i++) {
    const tny_scale_t scale = {conv->multiplier[c + i % 2], conv->shift[c + i % 2]};
    code[i] = tny_clamp(tny_requantize(sum[i] >> 1, scale) + conv->zero_out, conv->low, conv->high);
  }
  tny_trace2(conv->tensor, target, code, channels);
  for (int32_t i = 0; i < values; i++) {
    int8_t *const to = target->to[i / 2];
#if TNY_IMPL == 1
    if (sink->ring != NULL) {
      tny_put_lanes(sink->next, (tny_lane_t *)(void *)to, code[i], code[i + 1]);
      i++;
      continue;
    }
#endif
    if (i % 2 < channels) {
      code[i] = add != NULL ? tny_add(add, code[i], to[i % 2]) : code[i];
      to[i % 2] = (int8_t)code[i];
    }
  }
  if (add != NULL) {
    tny_trace2(add->tensor, target, code, channels);
  }
}
#endif

#endif
