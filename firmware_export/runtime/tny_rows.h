/* Input rows as the lanes that the hot kernels read: widened once, with their margins, into a ring of a few rows. */
#ifndef TNY_ROWS_H
#define TNY_ROWS_H

#include "tny_types.h"

TNY_FUNCTION void tny_pad(const tny_conv_t *conv, tny_lane_t *out, int32_t lanes)
{
#if TNY_IMPL == 0
  if (lanes > 0) {
    memset(out, conv->zero_in, (size_t)lanes);
  }
#elif TNY_IMPL == 2
  for (; lanes > 0; lanes -= 16, out += 16) {
    vstrbq_p_s8(out, vdupq_n_s8((int8_t)conv->zero_in), vctp8q((uint32_t)lanes));
  }
#else
  (void)conv;
  for (int32_t i = 0; i < lanes; i++) {
    out[i] = 0;
  }
#endif
}

TNY_INLINE void tny_widen(const tny_conv_t *conv, tny_lane_t *out, const int8_t *in, int32_t count)
{
#if TNY_IMPL == 2
  (void)conv;
  __asm volatile("wlstp.8 lr, %2, 2f\n"
                 "1:\n\t"
                 "vldrb.8 q0, [%1], #16\n\t"
                 "vstrb.8 q0, [%0], #16\n\t"
                 "letp lr, 1b\n"
                 "2:"
                 : "+r"(out), "+r"(in)
                 : "r"(count)
                 : "lr", "d0", "d1", "memory");
#elif TNY_IMPL == 0
  (void)conv;
  memcpy(out, in, (size_t)count);
#else
  const int32_t zero = conv->zero_in;
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
  for (int32_t i = 0; i < count; i++) {
    out[i] = (tny_lane_t)(2 * (in[i] - zero));
  }
#endif
}

/* One input row (NULL: a row of padding) with its margins. */
TNY_FUNCTION void tny_expand(const tny_conv_t *conv, tny_lane_t *out, const int8_t *in)
{
  const int32_t left = conv->pad_left * conv->in_c, inner = conv->in_w * conv->in_c;
  const int32_t lanes = conv->row_lanes + conv->shared_lanes;
  if (in == NULL) {
    tny_pad(conv, out, lanes);
    return;
  }
  tny_pad(conv, out, left);
  tny_widen(conv, out + left, in, inner);
  tny_pad(conv, out + left + inner, lanes - left - inner);
}

/* `count` taps of one window row, the first at column `x` of input row `in`, some of them outside. */
TNY_FUNCTION void tny_gather_edge(const tny_conv_t *conv, tny_lane_t *out, const int8_t *in, int32_t x, int32_t count)
{
  for (; count > 0; count--, x++, out += conv->in_c) {
    if (in == NULL || x < 0 || x >= conv->in_w) {
      tny_pad(conv, out, conv->in_c);
    } else {
      tny_widen(conv, out, in + x * conv->in_c, conv->in_c);
    }
  }
}

/* `taps` taps of every window of an output row, from column `x` of input row `in` (NULL: padding) on. */
TNY_FUNCTION void tny_gather_taps(const tny_conv_t *conv, tny_lane_t *out, const int8_t *in, int32_t x, int32_t taps)
{
  const int32_t lanes = taps * conv->in_c, step = conv->stride_w, run_length = conv->run_length;
  const int32_t last = in == NULL ? -1 : conv->in_w - taps; /* column from which all taps are inside */
#if TNY_IMPL == 2
  const mve_pred16_t some = vctp8q((uint32_t)lanes);
#endif
  for (int32_t column = conv->out_w; column > 0; column--, x += step, out += run_length) {
#if TNY_IMPL == 2
    if (lanes <= 16 && x >= 0 && x <= last) {
      int32_t inside = tny_least(column, (last - x) / step + 1);
      const int8_t *from = in + x * conv->in_c;
      column -= inside;
      x += step * inside;
      for (; inside > 0; inside--, from += step * conv->in_c, out += run_length) {
        vstrbq_p_s8(out, vldrbq_z_s8(from, some), some);
      }
      if (column == 0) {
        return;
      }
    }
#endif
    if (x < 0 || x > last) {
      tny_gather_edge(conv, out, in, x, taps);
    } else {
      tny_widen(conv, out, in + x * conv->in_c, lanes);
    }
  }
}

/* The windows of output row `row`, one after the other, `run_length` lanes each: what a window leaves of them meets
 * weights of zero. */
TNY_FUNCTION void tny_gather(const tny_conv_t *conv, tny_lane_t *out, const int8_t *in, int32_t row)
{
  const int32_t taps = conv->dilation_w == 1 ? conv->kernel_w : 1;
  for (int32_t ky = 0; ky < conv->kernel_h; ky++) {
    const int32_t y = row * conv->stride_h - conv->pad_top + ky * conv->dilation_h;
    const int8_t *const from = y < 0 || y >= conv->in_h ? NULL : in + y * conv->in_w * conv->in_c;
    for (int32_t kx = 0; kx < conv->kernel_w; kx += taps, out += taps * conv->in_c) {
      tny_gather_taps(conv, out, from, kx * conv->dilation_w - conv->pad_left, taps);
    }
  }
}

/* Bring padded rows *filled .. until - 1 of `in` into the ring. */
TNY_FUNCTION void tny_fill(const tny_conv_t *conv, const tny_ring_t *ring, const int8_t *in, int32_t *filled, int32_t until)
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
