/* What convolutions straight from their definition share: their constants, weights decoded field by field, and the way
 * from a sum to a code. */
#ifndef TNY_PLAIN_CONV_H
#define TNY_PLAIN_CONV_H

#include "tny_tensor.h"

typedef struct {
  const uint32_t *weights;  /* packed; each output channel starts on a word */
  const int32_t *bias;      /* NULL: sums have 64 bits, */
  const int64_t *long_bias; /* and this is their bias */
  const tny_scale_t *scale;
  int32_t channel_words; /* packed words of one output channel */
  int32_t in_h, in_w, in_c, out_h, out_w, out_c;
  int32_t depth, share; /* output channel c reads `depth` input channels, the first being c / share * depth */
  int32_t in_row, in_column, out_row, out_column; /* codes between neighbours; rows may be columns of the tensor */
  uint16_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
  uint8_t bits;
  uint8_t runs; /* int16: 32 bits hold the sums (with 2: and bias), and windows lie in whole stretches of 8 codes */
  int16_t zero_in, zero_out, low, high;
  uint16_t layer, tensor;
} tny_plain_conv_t;

/* Packed weights as they are read one by one; a word is read when its first bit is needed. */
typedef struct {
  const uint32_t *word;
  uint32_t held;
  int32_t bits; /* of `held` that are still to be used */
} tny_fields_t;

TNY_INLINE int32_t tny_field(tny_fields_t *fields, int32_t width)
{
  uint32_t field = fields->held;
  if (fields->bits < width) {
    const uint32_t next = *fields->word++;
    field |= next << fields->bits;
    fields->held = next >> (width - fields->bits);
    fields->bits += 32 - width;
  } else {
    fields->held >>= width;
    fields->bits -= width;
  }
  return (int32_t)(field << (32 - width)) >> (32 - width);
}

/* The weights of output channel `c`. */
TNY_NOINLINE void tny_plain_weights(const tny_plain_conv_t *conv, int32_t c, int16_t *out)
{
  tny_fields_t fields = {conv->weights + c * conv->channel_words, 0, 0};
  const int16_t *const end = out + conv->kernel_h * conv->kernel_w * conv->depth;
  for (; conv->bits == 8u && end - out >= 4; out += 4) {
    const uint32_t four = *fields.word++;
    out[0] = (int8_t)(four & 0xFFu);
    out[1] = (int8_t)(four >> 8 & 0xFFu);
    out[2] = (int8_t)(four >> 16 & 0xFFu);
    out[3] = (int8_t)(four >> 24);
  }
  while (out < end) {
    *out++ = (int16_t)tny_field(&fields, conv->bits);
  }
}

/* Nine weights of up to 8 bits; those of 8 are stored as they are, little-endian, in three words. */
TNY_INLINE void tny_nine_taps(const tny_plain_conv_t *conv, int32_t c, int8_t *out)
{
  int16_t taps[9];
  if (conv->bits == 8u) {
    const uint32_t *const words = conv->weights + c * conv->channel_words;
    for (int32_t i = 0; i < 9; i++) {
      out[i] = (int8_t)(words[i / 4] >> (8 * (i % 4)) & 0xFFu);
    }
    return;
  }
  tny_plain_weights(conv, c, taps);
  for (int32_t i = 0; i < 9; i++) {
    out[i] = (int8_t)taps[i];
  }
}

/* What brings sums of one output channel to codes, held apart from memory that is being written. */
typedef struct {
  int64_t bias;
  tny_scale_t scale;
  int32_t zero, low, high, is_long;
} tny_final_t;

TNY_INLINE tny_final_t tny_final(const tny_plain_conv_t *conv, int32_t c)
{
  const int is_long = conv->long_bias != NULL;
  const tny_final_t final = {is_long ? conv->long_bias[c] : conv->bias[c], conv->scale[c], conv->zero_out, conv->low,
                             conv->high, is_long};
  return final;
}

/* With 32 bits, sum and bias are those of TFLite Micro modulo 2^32; with 64 there is no zero point. */
TNY_INLINE int32_t tny_finish(tny_final_t final, int64_t sum)
{
  if (final.is_long) {
    const int64_t total = (int64_t)((uint64_t)sum + (uint64_t)final.bias);
    return tny_clamp(tny_rescale_long(total, final.scale), final.low, final.high);
  }
  return tny_offset(tny_rescale((int32_t)((uint32_t)sum + (uint32_t)final.bias), final.scale), final.zero, final.low,
                    final.high);
}

/* As tny_finish, where 32 bits hold the sum with the bias. */
TNY_INLINE int32_t tny_finish_short(tny_final_t final, int32_t sum)
{
  const int32_t total = sum + (int32_t)final.bias;
  if (final.is_long) {
    const int64_t half = (int64_t)1 << (final.scale.shift - 1);
    const int64_t product = (int64_t)total * final.scale.multiplier + half;
    return tny_clamp((int32_t)(product >> final.scale.shift), final.low, final.high);
  }
  return tny_offset(tny_rescale(total, final.scale), final.zero, final.low, final.high);
}

#if TNY_IMPL == 1
/* What centres codes: the zero point's negative in both halves of a word. */
TNY_INLINE uint32_t tny_centre(int32_t zero)
{
  return ((uint32_t)-zero & 0xFFFFu) * 0x10001u;
}

/* Two of four codes as centred lanes: the first and the third, or the second and the fourth. */
TNY_INLINE uint32_t tny_even(uint32_t centre, uint32_t codes)
{
  uint32_t lanes;
  __asm("sxtab16 %0, %1, %2" : "=r"(lanes) : "r"(centre), "r"(codes));
  return lanes;
}

TNY_INLINE uint32_t tny_odd(uint32_t centre, uint32_t codes)
{
  uint32_t lanes;
  __asm("sxtab16 %0, %1, %2, ror #8" : "=r"(lanes) : "r"(centre), "r"(codes));
  return lanes;
}
#endif

#endif
