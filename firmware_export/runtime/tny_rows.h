/* Input rows as the lanes that the hot kernels read: widened once, with their margins, into a ring of a few rows. */
#ifndef TNY_ROWS_H
#define TNY_ROWS_H

#include "tny_types.h"

static void tny_pad(const tny_conv_t *conv, tny_lane_t *out, int32_t lanes)
{
#if TNY_IMPL == 2
  memset(out, conv->zero_in, (size_t)lanes);
#else
  (void)conv;
  memset(out, 0, (size_t)lanes * sizeof *out);
#endif
}

static void tny_widen(const tny_conv_t *conv, tny_lane_t *out, const int8_t *in, int32_t count)
{
#if TNY_IMPL == 2
  (void)conv;
  memcpy(out, in, (size_t)count);
#else
  const int32_t zero = conv->zero_in;
#if TNY_IMPL == 1
  /* Four codes a step, two in one word. */
  const uint32_t centre = ((uint32_t)-zero & 0xFFFFu) * 0x10001u;
  for (; count >= 4; count -= 4, in += 4, out += 4) {
    uint32_t codes, even, odd, low, high;
    memcpy(&codes, in, 4);
    __asm("sxtab16 %0, %1, %2" : "=r"(even) : "r"(centre), "r"(codes));
    __asm("sxtab16 %0, %1, %2, ror #8" : "=r"(odd) : "r"(centre), "r"(codes));
    __asm("sadd16 %0, %1, %1" : "=r"(even) : "r"(even));
    __asm("sadd16 %0, %1, %1" : "=r"(odd) : "r"(odd));
    __asm("pkhbt %0, %1, %2, lsl #16" : "=r"(low) : "r"(even), "r"(odd));
    __asm("pkhtb %0, %1, %2, asr #16" : "=r"(high) : "r"(odd), "r"(even));
    memcpy(out, &low, 4);
    memcpy(out + 2, &high, 4);
  }
#endif
  for (int32_t i = 0; i < count; i++) {
    out[i] = (tny_lane_t)(2 * (in[i] - zero));
  }
#endif
}

/* One input row (NULL: a row of padding) with its margins. */
static void tny_expand(const tny_conv_t *conv, tny_lane_t *out, const int8_t *in)
{
  const int32_t left = conv->pad_left * conv->in_c, inner = conv->in_w * conv->in_c;
  if (in == NULL) {
    tny_pad(conv, out, conv->row_lanes);
    return;
  }
  tny_pad(conv, out, left);
  tny_widen(conv, out + left, in, inner);
  tny_pad(conv, out + left + inner, conv->row_lanes - left - inner);
}

/* `count` taps of one window row, the first at column `ix` of input row `in` (NULL: padding). */
static void tny_gather_taps(const tny_conv_t *conv, tny_lane_t *out, const int8_t *in, int32_t ix, int32_t count)
{
  const int32_t before = in == NULL ? count : tny_least(ix < 0 ? -ix : 0, count);
  const int32_t inside = tny_least(conv->in_w - ix, count) - before;
  const int32_t channels = conv->in_c;
  tny_pad(conv, out, before * channels);
  if (inside > 0) {
    tny_widen(conv, out + before * channels, in + (ix + before) * channels, inside * channels);
    tny_pad(conv, out + (before + inside) * channels, (count - before - inside) * channels);
  } else {
    tny_pad(conv, out + before * channels, (count - before) * channels);
  }
}

/* The windows of output row `row`, one after the other, each filled up to `run_length` lanes. */
static void tny_gather(const tny_conv_t *conv, tny_lane_t *out, const int8_t *in, int32_t row)
{
  const int32_t taps = conv->dilation_w == 1 ? conv->kernel_w : 1, top = row * conv->stride_h - conv->pad_top;
  for (int32_t x = 0; x < conv->out_w; x++) {
    tny_lane_t *lane = out + x * conv->run_length, *const end = lane + conv->run_length;
    const int32_t left = x * conv->stride_w - conv->pad_left;
    for (int32_t ky = 0; ky < conv->kernel_h; ky++) {
      const int32_t iy = top + ky * conv->dilation_h;
      const int8_t *const from = iy < 0 || iy >= conv->in_h ? NULL : in + iy * conv->in_w * conv->in_c;
      for (int32_t kx = 0; kx < conv->kernel_w; kx += taps, lane += taps * conv->in_c) {
        tny_gather_taps(conv, lane, from, left + kx * conv->dilation_w, taps);
      }
    }
    tny_pad(conv, lane, (int32_t)(end - lane));
  }
}

/* Bring padded rows *filled .. until - 1 of `in` into the ring. */
static void tny_fill(const tny_conv_t *conv, const tny_ring_t *ring, const int8_t *in, int32_t *filled, int32_t until)
{
  for (; *filled < until; (*filled)++) {
    const int32_t row = *filled - conv->pad_top;
    if (conv->gathered) {
      tny_gather(conv, tny_row(ring, *filled), in, *filled);
    } else {
      const int inside = row >= 0 && row < conv->in_h;
      tny_expand(conv, tny_row(ring, *filled), inside ? in + (size_t)row * conv->in_w * conv->in_c : NULL);
    }
  }
}

/* The ring rows that output rows below `rows` read. */
TNY_INLINE int32_t tny_reach(const tny_conv_t *conv, int32_t rows)
{
  return conv->gathered ? rows : (rows - 1) * conv->row_step + conv->runs;
}

#endif
