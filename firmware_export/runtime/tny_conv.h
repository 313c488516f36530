/* Convolution (and, on one pixel, fully connected): rows are widened once, weights are decoded once for a group of
 * rows, and the window is `runs` contiguous stretches of both.
 *
 * The inner step serves two output pixels and two output channels, so that each load is used twice.
 */
#ifndef TNY_CONV_H
#define TNY_CONV_H

#include "tny_add.h"
#include "tny_core.h"

#define TNY_MAX_RUNS 16

typedef void (*tny_unpack_t)(const uint32_t *words, tny_lane_t *out, uint32_t count);

typedef struct {
  const uint32_t *weights;    /* packed; each pair of channels starts on a word */
  const int32_t *bias;        /* [channels, rounded up to even]; lanes that are not centred: less the zero point's part */
  const tny_scale_t *scale;   /* as bias */
  tny_unpack_t unpack;
  uint16_t pair_words; /* packed words of one pair of channels */
  uint16_t in_h, in_w, in_c, out_h, out_w, out_c;
  uint8_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
  int16_t zero_in, zero_out, low, high;
  uint16_t runs, run_length;        /* stretches of a window and the lanes of each */
  uint16_t pixel_step, row_step;    /* lanes between output pixels, ring rows between output rows */
  uint16_t row_lanes;               /* lanes of one ring row */
  uint16_t row_offset, lane_offset; /* where the first window starts in a ring that was made for another layer */
  uint16_t group;                   /* output rows for which weights are decoded once */
  uint8_t gathered;                 /* a ring row holds the whole windows of one output row */
  uint8_t odd;                      /* some shift is not positive, or the clamp is narrower than int8 */
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

/* The lane of a code, and the lane that padding has. */
#if TNY_IMPL == 2
#define TNY_LANE(conv, code) ((tny_lane_t)(code))
#define TNY_PADDING(conv) ((tny_lane_t)(conv)->zero_in)
#else
#define TNY_LANE(conv, code) ((tny_lane_t)((code) - (conv)->zero_in))
#define TNY_PADDING(conv) ((tny_lane_t)0)
#endif

static void tny_pad(const tny_conv_t *conv, tny_lane_t *out, int32_t lanes)
{
  const tny_lane_t padding = TNY_PADDING(conv);
  (void)conv;
  for (int32_t i = 0; i < lanes; i++) {
    out[i] = padding;
  }
}

static void tny_widen(const tny_conv_t *conv, tny_lane_t *out, const int8_t *in, int32_t count)
{
#if TNY_IMPL == 2
  (void)conv;
  memcpy(out, in, (size_t)count);
#else
  const int32_t zero = conv->zero_in;
#if TNY_IMPL == 1
  /* Four codes a step: subtracting in 16-bit halves of one word. */
  const uint32_t zeros = ((uint32_t)zero & 0xFFFFu) | (uint32_t)zero << 16;
  for (; count >= 4; count -= 4, in += 4, out += 4) {
    uint32_t codes, even, odd, low, high;
    memcpy(&codes, in, 4);
    __asm("sxtb16 %0, %1" : "=r"(even) : "r"(codes));
    __asm("sxtb16 %0, %1, ror #8" : "=r"(odd) : "r"(codes));
    __asm("ssub16 %0, %1, %2" : "=r"(even) : "r"(even), "r"(zeros));
    __asm("ssub16 %0, %1, %2" : "=r"(odd) : "r"(odd), "r"(zeros));
    __asm("pkhbt %0, %1, %2, lsl #16" : "=r"(low) : "r"(even), "r"(odd));
    __asm("pkhtb %0, %1, %2, asr #16" : "=r"(high) : "r"(odd), "r"(even));
    memcpy(out, &low, 4);
    memcpy(out + 2, &high, 4);
  }
#endif
  for (int32_t i = 0; i < count; i++) {
    out[i] = (tny_lane_t)(in[i] - zero);
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

/* The windows of output row `row`, one after the other, each filled up to `run_length` lanes. */
static void tny_gather(const tny_conv_t *conv, tny_lane_t *out, const int8_t *in, int32_t row)
{
  for (int32_t x = 0; x < conv->out_w; x++) {
    tny_lane_t *lane = out + x * conv->run_length, *const end = lane + conv->run_length;
    for (int32_t ky = 0; ky < conv->kernel_h; ky++) {
      const int32_t iy = row * conv->stride_h - conv->pad_top + ky * conv->dilation_h;
      for (int32_t kx = 0; kx < conv->kernel_w; kx++, lane += conv->in_c) {
        const int32_t ix = x * conv->stride_w - conv->pad_left + kx * conv->dilation_w;
        if (iy < 0 || iy >= conv->in_h || ix < 0 || ix >= conv->in_w) {
          tny_pad(conv, lane, conv->in_c);
        } else {
          tny_widen(conv, lane, in + (iy * conv->in_w + ix) * conv->in_c, conv->in_c);
        }
      }
    }
    tny_pad(conv, lane, (int32_t)(end - lane));
  }
}

#if TNY_IMPL == 1 && defined(__OPTIMIZE__)
/* A whole window whose runs have a multiple of 16 lanes. Per step: four weights words serve two pixels of four lanes.
 * All registers are taken, so that what changes once per run only lives in memory. */
TNY_INLINE void tny_window_dsp(const tny_lane_t *w, const tny_lane_t *const *run, int32_t runs, int32_t lanes,
                               int32_t at, int32_t step, int32_t sum[4])
{
  int32_t s0 = sum[0], s1 = sum[1], s2 = sum[2], s3 = sum[3];
  const tny_lane_t *p0, *p1, *end;
  const tny_lane_t *const *next = run, *const *const last = run + runs;
  const int32_t at_bytes = at * 2, step_bytes = step * 2, run_bytes = lanes * 4;
#define TNY_STEP                     \
  "ldm %[w]!, {r4, r5, r6, r7}\n\t"  \
  "ldrd r8, r9, [%[p0]], #8\n\t"     \
  "smlad %[s0], r4, r8, %[s0]\n\t"   \
  "smlad %[s1], r5, r8, %[s1]\n\t"   \
  "smlad %[s0], r6, r9, %[s0]\n\t"   \
  "smlad %[s1], r7, r9, %[s1]\n\t"   \
  "ldrd r8, r9, [%[p1]], #8\n\t"     \
  "smlad %[s2], r4, r8, %[s2]\n\t"   \
  "smlad %[s3], r5, r8, %[s3]\n\t"   \
  "smlad %[s2], r6, r9, %[s2]\n\t"   \
  "smlad %[s3], r7, r9, %[s3]\n\t"
  __asm volatile(
      "1:\n\t"
      "ldr r4, %[next]\n\t"
      "ldr r5, %[at]\n\t"
      "ldr r6, %[step]\n\t"
      "ldr r7, %[bytes]\n\t"
      "ldr %[p0], [r4], #4\n\t"
      "str r4, %[next]\n\t"
      "add %[p0], %[p0], r5\n\t"
      "add %[p1], %[p0], r6\n\t"
      "add r7, r7, %[w]\n\t"
      "str r7, %[end]\n\t"
      "2:\n\t" TNY_STEP TNY_STEP TNY_STEP TNY_STEP
      "ldr r4, %[end]\n\t"
      "cmp %[w], r4\n\t"
      "bne 2b\n\t"
      "ldr r4, %[next]\n\t"
      "ldr r5, %[last]\n\t"
      "cmp r4, r5\n\t"
      "bne 1b\n\t"
      : [w] "+r"(w), [p0] "=&r"(p0), [p1] "=&r"(p1), [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3),
        [next] "+m"(next), [end] "=m"(end)
      : [at] "m"(at_bytes), [step] "m"(step_bytes), [bytes] "m"(run_bytes), [last] "m"(last)
      : "r4", "r5", "r6", "r7", "r8", "r9", "cc", "memory");
#undef TNY_STEP
  sum[0] = s0;
  sum[1] = s1;
  sum[2] = s2;
  sum[3] = s3;
}
#endif

/* Sums of two channels (weights interleaved) over two pixels: sum[0..1] channels of pixel 0, sum[2..3] of pixel 1.
 * `lanes` is a multiple of 4. */
TNY_INLINE const tny_lane_t *tny_dot(const tny_lane_t *w, const tny_lane_t *p0, const tny_lane_t *p1, int32_t lanes,
                                     int32_t sum[4])
{
#if TNY_IMPL == 2
  for (; lanes > 0; lanes -= 16, w += 32, p0 += 16, p1 += 16) {
    const mve_pred16_t inside = vctp8q((uint32_t)lanes);
    const int16x8x2_t pairs = vld2q_s16((const int16_t *)(const void *)w);
    const int8x16_t a = vreinterpretq_s8_s16(pairs.val[0]), b = vreinterpretq_s8_s16(pairs.val[1]);
    const int8x16_t x0 = vldrbq_z_s8(p0, inside), x1 = vldrbq_z_s8(p1, inside);
    sum[0] = vmladavaq_s8(sum[0], a, x0);
    sum[1] = vmladavaq_s8(sum[1], b, x0);
    sum[2] = vmladavaq_s8(sum[2], a, x1);
    sum[3] = vmladavaq_s8(sum[3], b, x1);
  }
  return w + 2 * lanes; /* lanes is 0 or minus what the last step read too much */
#elif TNY_IMPL == 1
  for (; lanes > 0; lanes -= 2, w += 4, p0 += 2, p1 += 2) {
    uint32_t a, b, x0, x1;
    memcpy(&a, w, 4);
    memcpy(&b, w + 2, 4);
    memcpy(&x0, p0, 4);
    memcpy(&x1, p1, 4);
    __asm("smlad %0, %1, %2, %0" : "+r"(sum[0]) : "r"(a), "r"(x0));
    __asm("smlad %0, %1, %2, %0" : "+r"(sum[1]) : "r"(b), "r"(x0));
    __asm("smlad %0, %1, %2, %0" : "+r"(sum[2]) : "r"(a), "r"(x1));
    __asm("smlad %0, %1, %2, %0" : "+r"(sum[3]) : "r"(b), "r"(x1));
  }
  return w;
#else
  for (; lanes > 0; lanes -= 2, w += 4, p0 += 2, p1 += 2) {
    sum[0] += w[0] * p0[0] + w[1] * p0[1];
    sum[1] += w[2] * p0[0] + w[3] * p0[1];
    sum[2] += w[0] * p1[0] + w[1] * p1[1];
    sum[3] += w[2] * p1[0] + w[3] * p1[1];
  }
  return w;
#endif
}

/* Where the codes of a convolution go. */
typedef struct {
  int8_t *codes;          /* tensor [h, w, c]: stored there, or with `add` added to what is there */
  const tny_add_t *add;
  const tny_ring_t *ring; /* or, as lanes, to the ring that the convolution `next` reads */
  const tny_conv_t *next;
} tny_sink_t;

/* Where value (row, 0, 0) goes; a ring row has its margins already. */
TNY_INLINE tny_lane_t *tny_sink_lanes(const tny_sink_t *sink, int32_t row)
{
  return tny_row(sink->ring, row + sink->next->pad_top) + sink->next->pad_left * sink->next->in_c;
}

/* The code of a sum where every shift is positive and the clamp that of int8. */
TNY_INLINE int32_t tny_plain_code(const tny_conv_t *conv, int32_t sum, tny_scale_t scale)
{
  int32_t code = tny_divide(tny_high(sum, scale.multiplier), scale.shift) + conv->zero_out;
#if TNY_IMPL >= 1
  __asm("ssat %0, #8, %1" : "=r"(code) : "r"(code));
  return code;
#else
  return tny_clamp(code, -128, 127);
#endif
}

TNY_INLINE int32_t tny_code(const tny_conv_t *conv, int32_t sum, tny_scale_t scale)
{
  return tny_clamp(tny_requantize(sum, scale) + conv->zero_out, conv->low, conv->high);
}

/* One value; `start` is the index of its row, `place` its index in the row. */
TNY_INLINE void tny_put(const tny_conv_t *conv, const tny_sink_t *sink, tny_lane_t *lanes, int8_t *codes, size_t start,
                        size_t place, int32_t code)
{
  (void)start;
  TNY_TRACE(conv->tensor, start + place, code);
  if (lanes != NULL) {
    lanes[place] = TNY_LANE(sink->next, code);
  } else if (sink->add == NULL) {
    codes[place] = (int8_t)code;
  } else {
    codes[place] = tny_add(sink->add, code, codes[place]);
    TNY_TRACE(sink->add->tensor, start + place, codes[place]);
  }
}

/* Two neighbouring values, at an even place. */
TNY_INLINE void tny_put2(const tny_conv_t *conv, const tny_sink_t *sink, tny_lane_t *lanes, int8_t *codes, size_t start,
                         size_t place, int32_t first, int32_t second)
{
#if TNY_IMPL == 2
  tny_put(conv, sink, lanes, codes, start, place, first);
  tny_put(conv, sink, lanes, codes, start, place + 1, second);
#else
  if (lanes != NULL) {
    const int32_t zero = sink->next->zero_in;
    const uint32_t both = ((uint32_t)(first - zero) & 0xFFFFu) | (uint32_t)(second - zero) << 16;
    TNY_TRACE(conv->tensor, start + place, first);
    TNY_TRACE(conv->tensor, start + place + 1, second);
    memcpy(lanes + place, &both, 4);
  } else {
    tny_put(conv, sink, NULL, codes, start, place, first);
    tny_put(conv, sink, NULL, codes, start, place + 1, second);
  }
#endif
}

#if TNY_IMPL == 2 && defined(__OPTIMIZE__)
/* A whole window whose runs have a multiple of 16 lanes: per step 16 lanes of two pixels meet two channels. */
TNY_INLINE void tny_window_mve(const tny_lane_t *w, const tny_lane_t *const *run, int32_t runs, int32_t lanes,
                               int32_t at, int32_t step, int32_t sum[4])
{
  int32_t s0 = sum[0], s1 = sum[1], s2 = sum[2], s3 = sum[3];
  const tny_lane_t *p0, *p1;
  const tny_lane_t *const *const last = run + runs;
  __asm volatile(
      "1:\n\t"
      "ldr %[p0], [%[run]], #4\n\t"
      "add %[p0], %[p0], %[at]\n\t"
      "add %[p1], %[p0], %[step]\n\t"
      "dls lr, %[count]\n\t"
      "2:\n\t"
      "vld20.16 {q0, q1}, [%[w]]\n\t"
      "vld21.16 {q0, q1}, [%[w]]!\n\t"
      "vldrb.8 q2, [%[p0]], #16\n\t"
      "vldrb.8 q3, [%[p1]], #16\n\t"
      "vmladava.s8 %[s0], q0, q2\n\t"
      "vmladava.s8 %[s1], q1, q2\n\t"
      "vmladava.s8 %[s2], q0, q3\n\t"
      "vmladava.s8 %[s3], q1, q3\n\t"
      "le lr, 2b\n\t"
      "cmp %[run], %[last]\n\t"
      "bne 1b\n\t"
      : [w] "+&r"(w), [run] "+&r"(run), [p0] "=&r"(p0), [p1] "=&r"(p1), [s0] "+&Te"(s0), [s1] "+&Te"(s1),
        [s2] "+&Te"(s2), [s3] "+&Te"(s3)
      : [at] "r"(at), [step] "r"(step), [count] "r"(lanes / 16), [last] "r"(last)
      : "q0", "q1", "q2", "q3", "lr", "cc", "memory");
  sum[0] = s0;
  sum[1] = s1;
  sum[2] = s2;
  sum[3] = s3;
}
#endif

/* Sums over one window of two pixels: `at` lanes into each run, the second pixel `step` lanes on. */
TNY_INLINE void tny_window(const tny_conv_t *conv, const tny_lane_t *weights, const tny_lane_t *const *run, int32_t at,
                           int32_t step, int32_t sum[4])
{
#if TNY_IMPL == 1 && defined(__OPTIMIZE__)
  if (conv->run_length % 16 == 0) {
    tny_window_dsp(weights, run, conv->runs, conv->run_length, at, step, sum);
    return;
  }
#elif TNY_IMPL == 2 && defined(__OPTIMIZE__)
  if (conv->run_length % 16 == 0) {
    tny_window_mve(weights, run, conv->runs, conv->run_length, at, step, sum);
    return;
  }
#endif
  for (int32_t i = 0; i < conv->runs; i++) {
    const tny_lane_t *const p = run[i] + at;
    weights = tny_dot(weights, p, p + step, conv->run_length, sum);
  }
}

/* What a row of output needs at each step. */
typedef struct {
  const tny_lane_t *run[TNY_MAX_RUNS];
  tny_lane_t *lanes;
  int8_t *codes;
  size_t start;
} tny_target_t;

TNY_INLINE void tny_aim(const tny_conv_t *conv, const tny_ring_t *ring, int32_t row, const tny_sink_t *sink,
                        tny_target_t *target)
{
  target->start = (size_t)row * conv->out_w * conv->out_c;
  target->lanes = sink->ring != NULL ? tny_sink_lanes(sink, row) : NULL;
  target->codes = sink->ring != NULL ? NULL : sink->codes + target->start;
  for (int32_t i = 0; i < conv->runs; i++) {
    target->run[i] = tny_row(ring, row * conv->row_step + i + conv->row_offset) + conv->lane_offset;
  }
}

#if TNY_IMPL == 2
/* Four values at once: two channels of two pixels. */
typedef struct {
  int32x4_t multiplier, shift;
} tny_scale4_t;

TNY_INLINE int32x4_t tny_requantize4(int32x4_t x, tny_scale4_t scale)
{
  const int32x4_t high = vqrdmulhq_s32(x, scale.multiplier);
  const int32x4_t down = vshrq_n_s32(vandq_s32(high, scale.shift), 31); /* -1 where halves have to round down */
  return vrshlq_s32(vqaddq_s32(high, down), scale.shift);
}

TNY_INLINE int32x4_t tny_clamp4(int32x4_t x, int32_t low, int32_t high)
{
  return vminq_s32(vmaxq_s32(x, vdupq_n_s32(low)), vdupq_n_s32(high));
}

TNY_INLINE tny_scale4_t tny_scale4(tny_scale_t a, tny_scale_t b)
{
  const int32_t multiplier[4] = {a.multiplier, b.multiplier, a.multiplier, b.multiplier};
  const int32_t shift[4] = {-a.shift, -b.shift, -a.shift, -b.shift};
  const tny_scale4_t scale = {vld1q_s32(multiplier), vld1q_s32(shift)};
  return scale;
}

TNY_INLINE int32x4_t tny_add4(const tny_add_t *add, int32x4_t conv, int32x4_t other)
{
  const int32x4_t one = vshlq_n_s32(vsubq_n_s32(conv, add->zero_conv), TNY_ADD_SHIFT);
  const int32x4_t two = vshlq_n_s32(vsubq_n_s32(other, add->zero_other), TNY_ADD_SHIFT);
  const int32x4_t sum = vaddq_s32(tny_requantize4(one, tny_scale4(add->conv, add->conv)),
                                  tny_requantize4(two, tny_scale4(add->other, add->other)));
  const int32x4_t code = vaddq_n_s32(tny_requantize4(sum, tny_scale4(add->out, add->out)), add->zero_out);
  return tny_clamp4(code, add->low, add->high);
}

TNY_INLINE void tny_trace4(uint32_t tensor, size_t at, size_t pixel, int32x4_t codes)
{
  TNY_TRACE(tensor, at, vgetq_lane_s32(codes, 0));
  TNY_TRACE(tensor, at + 1, vgetq_lane_s32(codes, 1));
  TNY_TRACE(tensor, at + pixel, vgetq_lane_s32(codes, 2));
  TNY_TRACE(tensor, at + pixel + 1, vgetq_lane_s32(codes, 3));
}

/* Channels c and c + 1 of all pairs of pixels; returns the first pixel that is left. */
static int32_t tny_pairs(const tny_conv_t *conv, const tny_sink_t *sink, const tny_target_t *target, int32_t c,
                         const tny_lane_t *weights)
{
  const int32_t bias0 = conv->bias[c], bias1 = conv->bias[c + 1], step = conv->pixel_step;
  const tny_scale4_t scale = tny_scale4(conv->scale[c], conv->scale[c + 1]);
  const size_t pixel = conv->out_c;
  const uint32_t offset[4] = {0, 1, (uint32_t)pixel, (uint32_t)pixel + 1};
  const uint32x4_t offsets = vld1q_u32(offset);
  int8_t *to = (target->lanes != NULL ? target->lanes : target->codes) + c;
  size_t index = target->start + (size_t)c;
  int32_t x = 0;
  for (; x + 1 < conv->out_w; x += 2, to += 2 * pixel, index += 2 * pixel) {
    int32_t sum[4] = {bias0, bias1, bias0, bias1};
    tny_window(conv, weights, target->run, x * step, step, sum);
    int32x4_t code = tny_clamp4(vaddq_n_s32(tny_requantize4(vld1q_s32(sum), scale), conv->zero_out), -128, 127);
    tny_trace4(conv->tensor, index, pixel, code);
    if (sink->add != NULL) {
      code = tny_add4(sink->add, code, vldrbq_gather_offset_s32(to, offsets));
      tny_trace4(sink->add->tensor, index, pixel, code);
    }
    vstrbq_scatter_offset_s32(to, offsets, code);
  }
  return x;
}
#else
/* Channels c and c + 1 of pixels from x on, two at a time; returns the first pixel that is left. */
static int32_t tny_pairs(const tny_conv_t *conv, const tny_sink_t *sink, const tny_target_t *target, int32_t c,
                         const tny_lane_t *weights)
{
  const int32_t bias0 = conv->bias[c], bias1 = conv->bias[c + 1], step = conv->pixel_step;
  const tny_scale_t scale0 = conv->scale[c], scale1 = conv->scale[c + 1];
  size_t place = (size_t)c;
  int32_t x = 0;
  for (; x + 1 < conv->out_w; x += 2, place += 2u * conv->out_c) {
    int32_t sum[4] = {bias0, bias1, bias0, bias1};
    tny_window(conv, weights, target->run, x * step, step, sum);
    tny_put2(conv, sink, target->lanes, target->codes, target->start, place, tny_plain_code(conv, sum[0], scale0),
             tny_plain_code(conv, sum[1], scale1));
    tny_put2(conv, sink, target->lanes, target->codes, target->start, place + conv->out_c,
             tny_plain_code(conv, sum[2], scale0), tny_plain_code(conv, sum[3], scale1));
  }
  return x;
}

#endif

/* Pixel x of channels c and, if there is one, c + 1. */
static void tny_single(const tny_conv_t *conv, const tny_sink_t *sink, const tny_target_t *target, int32_t c, int32_t x,
                       const tny_lane_t *weights)
{
  int32_t sum[4] = {conv->bias[c], conv->bias[c + 1], 0, 0};
  const size_t place = (size_t)(x * conv->out_c + c);
  tny_window(conv, weights, target->run, x * conv->pixel_step, 0, sum);
  for (int32_t i = 0; i < 2 && c + i < conv->out_c; i++) {
    tny_put(conv, sink, target->lanes, target->codes, target->start, place + (size_t)i,
            tny_code(conv, sum[i], conv->scale[c + i]));
  }
}

/* Output rows first .. first + count - 1 from the ring, which holds what they need. `scratch` holds the decoded weights
 * of two channels. */
static void tny_conv_rows(const tny_conv_t *conv, const tny_ring_t *ring, int32_t first, int32_t count,
                          const tny_sink_t *sink, tny_lane_t *scratch)
{
  const uint32_t lanes = 2u * conv->runs * conv->run_length;
  TNY_ENTER(conv->layer);
  for (int32_t c = 0; c < conv->out_c; c += 2) {
    conv->unpack(conv->weights + (size_t)(c / 2) * conv->pair_words, scratch, lanes);
    for (int32_t row = first; row < first + count; row++) {
      tny_target_t target;
      tny_aim(conv, ring, row, sink, &target);
      int32_t x = conv->odd || c + 1 == conv->out_c ? 0 : tny_pairs(conv, sink, &target, c, scratch);
      for (; x < conv->out_w; x++) {
        tny_single(conv, sink, &target, c, x, scratch);
      }
    }
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

TNY_INLINE int32_t tny_least(int32_t a, int32_t b)
{
  return a < b ? a : b;
}

/* One convolution from tensor to tensor. */
TNY_INLINE void tny_conv(const tny_conv_t *conv, const int8_t *in, int8_t *out, tny_lane_t *ring_memory,
                     uint16_t ring_rows, tny_lane_t *scratch)
{
  const tny_ring_t ring = {ring_memory, ring_rows, conv->row_lanes};
  const tny_sink_t sink = {out, NULL, NULL, NULL};
  int32_t filled = 0;
  for (int32_t row = 0; row < conv->out_h; row += conv->group) {
    const int32_t count = tny_least(conv->group, conv->out_h - row);
    TNY_ENTER(conv->layer);
    tny_fill(conv, &ring, in, &filled, tny_reach(conv, row + count));
    tny_conv_rows(conv, &ring, row, count, &sink, scratch);
  }
}

#endif
