/* The ring and the inner loop of depthwise 3x3 convolution with the DSP extension.
 *
 * Two columns of a row are two 16-bit lanes of one word: the code less the zero point. A unit holds such a word of each
 * of the three rows of the ring, row r being the (r % 3)rd, so that one load brings two columns of a window.
 */
#ifndef TNY_DEPTHWISE_DSP_H
#define TNY_DEPTHWISE_DSP_H

#include "tny_plain_conv.h"

/* One channel; the assembly below knows the order of the members. */
typedef struct {
  int32_t bias[2];            /* doubled, twice */
  int32_t multiplier, offset; /* half a code and the zero point, before the shift */
  int32_t shift;
  const uint32_t *end, *rest; /* behind the units of pairs of outputs, and behind that of a last one, or NULL */
  const uint32_t *units;
  int8_t *out;
  int32_t step; /* bytes between outputs */
  const uint32_t *taps;
  uint32_t table[10]; /* the taps of each row, those of the first two again: which row is where in a unit changes */
} tny_threes_t;

/* Four channels; the ring of each lies behind. */
typedef struct {
  tny_threes_t channels[4];
  int32_t units;    /* of each channel */
  uint32_t ring[1]; /* and more */
} tny_four_t;

#define TNY_FOUR_ROWS(conv) ((void)(conv), 1)

/* Two outputs share what is loaded. Weights come as (w0, w1) and (w1, w2); `steps` adds the products, `high` multiplies
 * by the scale: without the sign of the sums where what is negative becomes -128, however it is rounded. */
#define TNY_THREES(name, steps, high)                                                                        \
  TNY_ASSEMBLY void name(tny_threes_t *channel TNY_UNUSED)                                                   \
  {                                                                                                          \
    __asm volatile(                                                                                          \
        "push {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"                                                    \
        "ldm r0!, {r1, r2, r3, r4, r5, r6, r7}\n\t"                                                          \
        "push {r1, r2, r3, r4, r5, r6, r7}\n\t"                                                              \
        "ldm r0, {r0, r1, r2, r3}\n\t" /* units, out, step, taps */                                          \
        "ldm r3, {r4, r5, r6, r7, r8, r9}\n\t"                                                               \
        "ldr r3, [sp, #20]\n\t"                                                                              \
        "cmp r0, r3\n\t"                                                                                     \
        "beq 2f\n"                                                                                           \
        "1:\n\t"                                                                                             \
        "ldrd r12, lr, [sp]\n\t" steps                                                                       \
        "ldrd r3, r10, [sp, #8]\n\t" /* multiplier, offset */                                                \
        high                                                                                                 \
        "ldrd r3, r10, [sp, #16]\n\t" /* shift, end */                                                       \
        "asr r12, r12, r3\n\t"                                                                               \
        "asr lr, lr, r3\n\t"                                                                                 \
        "ssat r12, #8, r12\n\t"                                                                              \
        "ssat lr, #8, lr\n\t"                                                                                \
        "strb lr, [r1, r2]\n\t"                                                                              \
        "strb r12, [r1]\n\t"                                                                                 \
        "add r1, r1, r2, lsl #1\n\t"                                                                         \
        "cmp r0, r10\n\t"                                                                                    \
        "bne 1b\n"                                                                                           \
        "2:\n\t"                                                                                             \
        "ldr r3, [sp, #24]\n\t"                                                                              \
        "cmp r3, #0\n\t"                                                                                     \
        "beq 3f\n\t"                                                                                         \
        "movs r2, #0\n\t" /* both outputs go to one place, the valid one last */                             \
        "strd r3, r2, [sp, #20]\n\t"                                                                         \
        "b 1b\n"                                                                                             \
        "3:\n\t"                                                                                             \
        "add sp, sp, #28\n\t"                                                                                \
        "pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t" ::                                                  \
            : "r0", "r1", "r2", "r3", "r12", "cc", "memory");                                                \
  }

#define TNY_HIGH                     \
  "smmlar r11, r12, r3, r10\n\t"     \
  "add r12, r11, r12, asr #31\n\t"   \
  "smmlar r11, lr, r3, r10\n\t"      \
  "add lr, r11, lr, asr #31\n\t"
#define TNY_HIGH_LOW                 \
  "smmlar r12, r12, r3, r10\n\t"     \
  "smmlar lr, lr, r3, r10\n\t"
#define TNY_THREES_BY_ONE            \
  "ldm r0!, {r3, r10, r11}\n\t"      \
  "smlad r12, r3, r4, r12\n\t"       \
  "smlatb lr, r3, r4, lr\n\t"        \
  "smlad r12, r10, r6, r12\n\t"      \
  "smlatb lr, r10, r6, lr\n\t"       \
  "smlad r12, r11, r8, r12\n\t"      \
  "smlatb lr, r11, r8, lr\n\t"       \
  "ldm r0, {r3, r10, r11}\n\t"       \
  "smlabt r12, r3, r5, r12\n\t"      \
  "smlad lr, r3, r5, lr\n\t"         \
  "smlabt r12, r10, r7, r12\n\t"     \
  "smlad lr, r10, r7, lr\n\t"        \
  "smlabt r12, r11, r9, r12\n\t"     \
  "smlad lr, r11, r9, lr\n\t"
#define TNY_THREES_BY_TWO            \
  "ldm r0!, {r3, r10, r11}\n\t"      \
  "smlad r12, r3, r4, r12\n\t"       \
  "smlad r12, r10, r6, r12\n\t"      \
  "smlad r12, r11, r8, r12\n\t"      \
  "ldm r0!, {r3, r10, r11}\n\t"      \
  "smlabt r12, r3, r5, r12\n\t"      \
  "smlad lr, r3, r4, lr\n\t"         \
  "smlabt r12, r10, r7, r12\n\t"     \
  "smlad lr, r10, r6, lr\n\t"        \
  "smlabt r12, r11, r9, r12\n\t"     \
  "smlad lr, r11, r8, lr\n\t"        \
  "ldm r0, {r3, r10, r11}\n\t"       \
  "smlabt lr, r3, r5, lr\n\t"        \
  "smlabt lr, r10, r7, lr\n\t"       \
  "smlabt lr, r11, r9, lr\n\t"

TNY_THREES(tny_threes, TNY_THREES_BY_ONE, TNY_HIGH)
TNY_THREES(tny_threes_low, TNY_THREES_BY_ONE, TNY_HIGH_LOW)
TNY_THREES(tny_threes_by_two, TNY_THREES_BY_TWO, TNY_HIGH)
TNY_THREES(tny_threes_by_two_low, TNY_THREES_BY_TWO, TNY_HIGH_LOW)

/* Both lanes from signed numbers of 16 bits. */
TNY_INLINE uint32_t tny_lanes_of(int32_t first, int32_t second)
{
  return ((uint32_t)first & 0xFFFFu) | (uint32_t)second << 16;
}

static inline void tny_threes_begin(const tny_plain_conv_t *conv, tny_threes_t *channel, int32_t c)
{
  const tny_scale_t scale = conv->scale[c];
  int8_t taps[9];
  tny_nine_taps(conv, c, taps);
  for (int32_t row = 0; row < 5; row++) {
    const int8_t *const tap = taps + 3 * (row % 3);
    channel->table[2 * row] = tny_lanes_of(2 * tap[0], 2 * tap[1]);
    channel->table[2 * row + 1] = tny_lanes_of(2 * tap[1], 2 * tap[2]);
  }
  channel->bias[0] = channel->bias[1] = 2 * conv->bias[c];
  channel->multiplier = scale.multiplier;
  channel->offset = conv->zero_out * ((int32_t)1 << scale.shift) + ((int32_t)1 << (scale.shift - 1));
  channel->shift = scale.shift;
}

static inline void tny_four_begin(const tny_plain_conv_t *conv, tny_four_t *four, int32_t c)
{
  const int32_t pairs = conv->out_w / 2, step = conv->stride_w;
  four->units = (pairs + conv->out_w % 2) * step + 1;
  for (int32_t k = 0; k < 4; k++) {
    tny_threes_t *const channel = four->channels + k;
    channel->units = four->ring + 3 * k * four->units;
    channel->end = channel->units + 3 * pairs * step;
    channel->rest = conv->out_w % 2 != 0 ? channel->end + 3 * step : NULL;
    channel->step = conv->out_column;
    tny_threes_begin(conv, channel, c + k);
  }
}

/* Two columns of four channels turn into two lanes of each, in units that lie `units` apart. */
TNY_INLINE void tny_unit(uint32_t centre, uint32_t left, uint32_t right, uint32_t *to, int32_t units)
{
  const uint32_t even = tny_even(centre, left), odd = tny_odd(centre, left);
  const uint32_t evens = tny_even(centre, right), odds = tny_odd(centre, right);
  uint32_t word;
  __asm("pkhbt %0, %1, %2, lsl #16" : "=r"(word) : "r"(even), "r"(evens));
  to[0] = word;
  __asm("pkhbt %0, %1, %2, lsl #16" : "=r"(word) : "r"(odd), "r"(odds));
  to[3 * units] = word;
  __asm("pkhtb %0, %1, %2, asr #16" : "=r"(word) : "r"(evens), "r"(even));
  to[6 * units] = word;
  __asm("pkhtb %0, %1, %2, asr #16" : "=r"(word) : "r"(odds), "r"(odd));
  to[9 * units] = word;
}

/* Four channels of a column, which may be outside the image: zero points there. */
TNY_INLINE uint32_t tny_column(const tny_plain_conv_t *conv, const int8_t *in, int32_t column)
{
  uint32_t codes = ((uint32_t)conv->zero_in & 0xFFu) * 0x01010101u;
  if (in != NULL && column >= 0 && column < conv->in_w) {
    memcpy(&codes, in + column * conv->in_column, 4);
  }
  return codes;
}

/* Units up to `end` inside the image. */
TNY_NOINLINE void tny_units(uint32_t centre, const int8_t *in, int32_t step, uint32_t *to, const uint32_t *end,
                            int32_t units)
{
  for (; to != end; to += 3, in += 2 * step) {
    uint32_t left, right;
    memcpy(&left, in, 4);
    memcpy(&right, in + step, 4);
    tny_unit(centre, left, right, to, units);
  }
}

/* Units `unit` .. `end` - 1, which may be outside. */
TNY_NOINLINE void tny_units_edge(const tny_plain_conv_t *conv, const int8_t *in, int32_t unit, int32_t end,
                                 uint32_t *to, int32_t units)
{
  const uint32_t centre = tny_centre(conv->zero_in);
  for (to += 3 * unit; unit < end; unit++, to += 3) {
    const int32_t column = 2 * unit - conv->pad_left;
    tny_unit(centre, tny_column(conv, in, column), tny_column(conv, in, column + 1), to, units);
  }
}

/* Padded row `row`, four channels from `in` on (NULL: padding). */
TNY_NOINLINE void tny_four_fill(const tny_plain_conv_t *conv, tny_four_t *four, const int8_t *in, int32_t row)
{
  const uint32_t centre = tny_centre(conv->zero_in);
  const int32_t units = four->units, whole = (conv->in_w + conv->pad_left) / 2;
  const int32_t first = (conv->pad_left + 1) / 2, end = whole < units ? whole : units;
  uint32_t *const to = four->ring + row % 3;
  if (in == NULL || first >= end) {
    tny_units_edge(conv, in, 0, units, to, units);
    return;
  }
  tny_units_edge(conv, in, 0, first, to, units);
  tny_units(centre, in + (2 * first - conv->pad_left) * conv->in_column, conv->in_column, to + 3 * first, to + 3 * end,
            units);
  tny_units_edge(conv, in, end, units, to, units);
}

/* The output row whose window starts with padded row `top`, of the channels from `first` on. */
TNY_NOINLINE void tny_four_rows(const tny_plain_conv_t *conv, tny_four_t *four, int8_t *out, int32_t top, int32_t rows,
                                int32_t first)
{
  static void (*const kernels[4])(tny_threes_t *) = {tny_threes, tny_threes_low, tny_threes_by_two,
                                                     tny_threes_by_two_low};
  void (*const threes)(tny_threes_t *) = kernels[2 * (conv->stride_w - 1) + (conv->zero_out == -128 ? 1 : 0)];
  const int32_t from = 2 * ((3 - top % 3) % 3);
  (void)rows;
  for (int32_t k = first; k < 4; k++) {
    tny_threes_t *const channel = four->channels + k;
    channel->out = out + k;
    channel->taps = channel->table + from;
    threes(channel);
  }
}

#endif
