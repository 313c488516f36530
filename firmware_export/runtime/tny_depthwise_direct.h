/* Depthwise convolution of int8 tensors for any window, four channels at a time from where they lie: nothing is copied,
 * so that outputs must not replace inputs.
 */
#ifndef TNY_DEPTHWISE_DIRECT_H
#define TNY_DEPTHWISE_DIRECT_H

#include "tny_depthwise.h"

/* Of four channels: the taps one after the other, and what brings sums to codes. */
typedef struct {
  const int16_t *taps;
#if TNY_IMPL == 2
  int32x4_t bias, multiplier, left, right; /* shifts to the left: none of these is negative, none of those positive */
#else
  tny_final_t finals[4];
#endif
} tny_direct_t;

#if TNY_IMPL == 1
#define TNY_TAP_OF(k) ((k) == 1 ? 2 : (k) == 2 ? 1 : (k)) /* two lanes of a word are channels 0 and 2, or 1 and 3 */
#else
#define TNY_TAP_OF(k) (k)
#endif

/* The taps of channels from `c` on side by side; `own` is memory for those of one channel. */
static inline void tny_direct_taps(const tny_plain_conv_t *conv, int32_t c, int16_t *own, int16_t *taps)
{
  const int32_t count = conv->kernel_h * conv->kernel_w;
  for (int32_t k = 0; k < 4; k++) {
    tny_plain_weights(conv, c + k, own);
    for (int32_t i = 0; i < count; i++) {
      taps[4 * i + TNY_TAP_OF(k)] = own[i];
    }
  }
}

/* Add `count` taps of a row, between whose inputs lie `step` codes. */
TNY_INLINE void tny_direct_row(const int8_t *in, const int16_t *taps, int32_t zero, int32_t step, int32_t count,
                               int32_t *sums)
{
#if TNY_IMPL == 2
  int32x4_t sum = vld1q_s32(sums);
  for (; count > 0; count--, in += step, taps += 4) {
    sum = vaddq_s32(sum, vmulq_s32(vsubq_n_s32(vldrbq_s32(in), zero), vldrhq_s32(taps)));
  }
  vst1q_s32(sums, sum);
#elif TNY_IMPL == 1
  const uint32_t centre = tny_centre(zero);
  int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
  for (; count > 0; count--, in += step, taps += 4) {
    uint32_t codes, evens, odds;
    memcpy(&codes, in, 4);
    memcpy(&evens, taps, 4);
    memcpy(&odds, taps + 2, 4);
    const uint32_t even = tny_even(centre, codes), odd = tny_odd(centre, codes);
    __asm("smlabb %0, %1, %2, %0" : "+r"(s0) : "r"(even), "r"(evens));
    __asm("smlabb %0, %1, %2, %0" : "+r"(s1) : "r"(odd), "r"(odds));
    __asm("smlatt %0, %1, %2, %0" : "+r"(s2) : "r"(even), "r"(evens));
    __asm("smlatt %0, %1, %2, %0" : "+r"(s3) : "r"(odd), "r"(odds));
  }
  sums[0] = s0;
  sums[1] = s1;
  sums[2] = s2;
  sums[3] = s3;
#else
  for (; count > 0; count--, in += step, taps += 4) {
    sums[0] += (in[0] - zero) * taps[0];
    sums[1] += (in[1] - zero) * taps[1];
    sums[2] += (in[2] - zero) * taps[2];
    sums[3] += (in[3] - zero) * taps[3];
  }
#endif
}

static inline void tny_direct_begin(const tny_plain_conv_t *conv, int32_t c, tny_direct_t *direct)
{
#if TNY_IMPL == 2
  const int32x4_t none = vdupq_n_s32(0);
  const tny_scale_t *const scale = conv->scale + c;
  const int32_t multiplier[4] = {scale[0].multiplier, scale[1].multiplier, scale[2].multiplier, scale[3].multiplier};
  const int32_t shift[4] = {-scale[0].shift, -scale[1].shift, -scale[2].shift, -scale[3].shift};
  direct->bias = vld1q_s32(conv->bias + c);
  direct->multiplier = vld1q_s32(multiplier);
  direct->left = vmaxq_s32(vld1q_s32(shift), none);
  direct->right = vminq_s32(vld1q_s32(shift), none);
#else
  for (int32_t k = 0; k < 4; k++) {
    direct->finals[k] = tny_final(conv, c + k);
  }
#endif
}

TNY_INLINE void tny_direct_codes(const tny_plain_conv_t *conv, const tny_direct_t *direct, const int32_t *sums,
                                 int8_t *out)
{
  (void)conv;
#if TNY_IMPL == 2
  const int32x4_t all = vshlq_s32(vaddq_s32(vld1q_s32(sums), direct->bias), direct->left);
  const int32x4_t high = vqrdmulhq_s32(all, direct->multiplier);
  const int32x4_t down = vshrq_n_s32(vandq_s32(high, direct->right), 31); /* -1 where halves have to round down */
  const int32x4_t code = vaddq_n_s32(vrshlq_s32(vaddq_s32(high, down), direct->right), conv->zero_out);
  vstrbq_s32(out, tny_clamp4(code, conv->low, conv->high));
#else
  for (int32_t k = 0; k < 4; k++) {
    out[k] = (int8_t)tny_finish_quickly(direct->finals[k], sums[k]);
  }
#endif
}

/* Four channels of the output at (y, x); `in` starts with the first of them. */
TNY_NOINLINE void tny_direct_pixel(const tny_plain_conv_t *conv, const tny_direct_t *direct, const int8_t *in, int32_t y,
                                   int32_t x, int8_t *out)
{
  const int32_t top = y * conv->stride_h - conv->pad_top, left = x * conv->stride_w - conv->pad_left;
  const int32_t across = conv->dilation_w, width = conv->kernel_w;
  const int32_t first = left < 0 ? (-left + across - 1) / across : 0;
  const int32_t inside = (conv->in_w - left + across - 1) / across, end = inside < width ? inside : width;
  int32_t sums[4] = {0, 0, 0, 0};
  for (int32_t ky = 0; ky < conv->kernel_h; ky++) {
    const int32_t row = top + ky * conv->dilation_h;
    if (row >= 0 && row < conv->in_h && first < end) {
      tny_direct_row(in + row * conv->in_row + (left + first * across) * conv->in_column,
                     direct->taps + 4 * (ky * width + first), conv->zero_in, across * conv->in_column, end - first, sums);
    }
  }
  tny_direct_codes(conv, direct, sums, out);
}

/* Needs four channels or more; the scratch memory holds five times the taps of one. */
static inline void tny_depthwise_direct(const tny_plain_conv_t *conv, const int8_t *in, int8_t *out, void *scratch)
{
  const int32_t count = conv->kernel_h * conv->kernel_w;
  int16_t *const taps = (int16_t *)scratch;
  tny_direct_t direct;
  TNY_ENTER(conv->layer);
  direct.taps = taps;
  for (int32_t done = 0; done < conv->out_c; done += 4) {
    const int32_t c = done + 4 <= conv->out_c ? done : conv->out_c - 4;
    tny_direct_taps(conv, c, taps + 4 * count, taps);
    tny_direct_begin(conv, c, &direct);
    for (int32_t y = 0; y < conv->out_h; y++) {
      for (int32_t x = 0; x < conv->out_w; x++) {
        const size_t index = (size_t)(y * conv->out_row + x * conv->out_column + c);
        tny_direct_pixel(conv, &direct, in + c, y, x, out + index);
        for (int32_t k = done - c; k < 4; k++) {
          TNY_TRACE(conv->tensor, index + (size_t)k, out[index + (size_t)k]);
        }
      }
    }
  }
}

#endif
