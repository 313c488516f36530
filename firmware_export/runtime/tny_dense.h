/* Fully connected on one pixel: each weight is used once, so that 8-bit ones are read from where they are stored, as int8
 * in the order of the packed ones: 16 of a channel, 16 of the next, and so on.
 */
#ifndef TNY_DENSE_H
#define TNY_DENSE_H

#include "tny_codes.h"

/* Sums over all lanes for `channels` (2, for MVE 4) from `weights` on; the words of a pair lie `pair` words after those
 * of the one before. The weights of lanes that are not there are 0. */
#if TNY_IMPL == 2
#define TNY_DENSE_CHANNELS 4

TNY_ASSEMBLY void tny_dense_four(const int8_t *weights TNY_UNUSED, const int8_t *lanes TNY_UNUSED,
                                 const int8_t *others TNY_UNUSED, uint32_t chunks TNY_UNUSED, int32_t *sums TNY_UNUSED)
{
  __asm volatile(
      "push {r4, r6, r8, r10, r11, lr}\n\t"
      "movs r4, #0\n\t"
      "movs r6, #0\n\t"
      "mov r8, r4\n\t"
      "mov r10, r4\n\t"
      "dls lr, r3\n"
      "1:\n\t"
      "vldrb.8 q0, [r1], #16\n\t"
      "vldrb.8 q1, [r0], #32\n\t"
      "vmladava.s8 r4, q1, q0\n\t"
      "vldrb.8 q2, [r0, #-16]\n\t"
      "vmladava.s8 r6, q2, q0\n\t"
      "vldrb.8 q1, [r2], #32\n\t"
      "vmladava.s8 r8, q1, q0\n\t"
      "vldrb.8 q2, [r2, #-16]\n\t"
      "vmladava.s8 r10, q2, q0\n\t"
      "le lr, 1b\n\t"
      "ldr r12, [sp, #24]\n\t"
      "strd r4, r6, [r12]\n\t"
      "strd r8, r10, [r12, #8]\n\t"
      "pop {r4, r6, r8, r10, r11, pc}\n\t" ::
          : "r0", "r1", "r2", "r3", "r12", "d0", "d1", "d2", "d3", "d4", "d5", "cc", "memory");
}

TNY_INLINE void tny_dense_sums(const uint32_t *weights, uint32_t pair, const tny_lane_t *lanes, uint32_t chunks,
                               int32_t *sums)
{
  tny_dense_four((const int8_t *)weights, lanes, (const int8_t *)(weights + pair), chunks, sums);
}
#elif TNY_IMPL == 1
#define TNY_DENSE_CHANNELS 2
#define TNY_DENSE_DOUBLED 1 /* lanes and biases are doubled already */

/* Eight lanes of two channels, whose weights the `loads` bring. */
#define TNY_DENSE_STEP(loads)       \
  "ldm r1!, {r8, r9, r10, r11}\n\t" \
  loads                             \
  "sxtb16 r12, r4\n\t"              \
  "smlad r3, r12, r8, r3\n\t"       \
  "sxtb16 r12, r6\n\t"              \
  "smlad lr, r12, r8, lr\n\t"       \
  "sxtb16 r12, r4, ror #8\n\t"      \
  "smlad r3, r12, r9, r3\n\t"       \
  "sxtb16 r12, r6, ror #8\n\t"      \
  "smlad lr, r12, r9, lr\n\t"       \
  "sxtb16 r12, r5\n\t"              \
  "smlad r3, r12, r10, r3\n\t"      \
  "sxtb16 r12, r7\n\t"              \
  "smlad lr, r12, r10, lr\n\t"      \
  "sxtb16 r12, r5, ror #8\n\t"      \
  "smlad r3, r12, r11, r3\n\t"      \
  "sxtb16 r12, r7, ror #8\n\t"      \
  "smlad lr, r12, r11, lr\n\t"

TNY_ASSEMBLY void tny_dense_two(const uint32_t *weights TNY_UNUSED, const tny_lane_t *lanes TNY_UNUSED,
                                uint32_t bytes TNY_UNUSED, int32_t *sums TNY_UNUSED)
{
  __asm volatile(
      "push {r3, r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"
      "add r2, r0, r2\n\t"
      "movs r3, #0\n\t"
      "mov lr, r3\n"
      "1:\n\t" TNY_DENSE_STEP("ldrd r4, r5, [r0], #8\n\tldrd r6, r7, [r0, #8]\n\t")
      TNY_DENSE_STEP("ldrd r6, r7, [r0, #16]\n\tldrd r4, r5, [r0], #24\n\t")
      "cmp r0, r2\n\t"
      "bne 1b\n\t"
      "pop {r0}\n\t"
      "strd r3, lr, [r0]\n\t"
      "pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t" ::
          : "r0", "r1", "r2", "r3", "r12", "cc", "memory");
}

TNY_INLINE void tny_dense_sums(const uint32_t *weights, uint32_t pair, const tny_lane_t *lanes, uint32_t chunks,
                               int32_t *sums)
{
  (void)pair;
  tny_dense_two(weights, lanes, 32u * chunks, sums);
}
#else
#define TNY_DENSE_CHANNELS 2
#define TNY_DENSE_DOUBLED 2

/* Of the 16 bytes of a chunk, those at 1 and 2 of each word have changed places. */
TNY_INLINE int32_t tny_dense_word(int32_t sum, uint32_t word, const tny_lane_t *lanes)
{
  return sum + (int8_t)(word & 0xFFu) * lanes[0] + (int8_t)(word >> 16 & 0xFFu) * lanes[1] +
         (int8_t)(word >> 8 & 0xFFu) * lanes[2] + (int8_t)(word >> 24) * lanes[3];
}

TNY_INLINE void tny_dense_sums(const uint32_t *weights, uint32_t pair, const tny_lane_t *lanes, uint32_t chunks,
                               int32_t *sums)
{
  int32_t a = 0, b = 0;
  (void)pair;
  for (; chunks > 0; chunks--, weights += 4) {
    for (int32_t i = 0; i < 4; i++, weights++, lanes += 4) {
      a = tny_dense_word(a, weights[0], lanes);
      b = tny_dense_word(b, weights[4], lanes);
    }
  }
  sums[0] = a;
  sums[1] = b;
}
#endif

/* Codes of up to `count` channels from c on. */
TNY_INLINE void tny_dense_codes(const tny_conv_t *conv, int32_t c, int32_t count, const int32_t *sums, int8_t *out)
{
#if TNY_IMPL == 2
  const tny_channels_t channels = tny_channels(conv, c);
  const mve_pred16_t valid = vctp32q((uint32_t)count);
  int32x4_t bias = vldrhq_s32(conv->bias + c);
  if (conv->bias_high != NULL) {
    bias = vaddq_s32(bias, vshlq_n_s32(vldrhq_s32(conv->bias_high + c), 16));
  }
  int32_t all[4];
  vst1q_s32(all, vaddq_s32(vld1q_s32(sums), bias));
  const int32x4_t codes = tny_general4(conv, &channels, all);
  vstrbq_p_s32(out + c, codes, valid);
  tny_trace4(conv->tensor, (size_t)c, codes, valid);
#else
  const int32_t valid = count < TNY_DENSE_CHANNELS ? count : TNY_DENSE_CHANNELS;
  int32_t bias[TNY_CHANNELS];
  tny_begin(conv, c, bias);
  if (tny_is_plain(conv, c)) {
    const tny_channels_t channels = tny_channels(conv, c);
    const int32_t first = tny_plain(&channels, 0, TNY_DENSE_DOUBLED * (sums[0] + bias[0]));
    const int32_t second = tny_plain(&channels, 1, TNY_DENSE_DOUBLED * (sums[1] + bias[1]));
    out[c] = (int8_t)first;
    out[c + 1] = (int8_t)second;
    TNY_TRACE(conv->tensor, (size_t)c, first);
    TNY_TRACE(conv->tensor, (size_t)c + 1u, second);
    return;
  }
  for (int32_t i = 0; i < valid; i++) {
    const tny_scale_t scale = {conv->multiplier[c + i], conv->shift[c + i]};
    const int32_t code = tny_clamp(tny_requantize((sums[i] + bias[i]) * TNY_DENSE_DOUBLED / 2, scale) + conv->zero_out, conv->low,
                                   conv->high);
    out[c + i] = (int8_t)code;
    TNY_TRACE(conv->tensor, (size_t)(c + i), code);
  }
#endif
}

/* All outputs from `lanes`, the widened inputs; behind them is room for a whole chunk. */
TNY_NOINLINE void tny_dense(const tny_conv_t *conv, tny_lane_t *lanes, int8_t *out)
{
  const uint32_t chunks = (conv->run_length + 15u) / 16u, pair = conv->pair_words;
  const int32_t channels = conv->out_c;
  const uint32_t *weights = conv->weights;
  int32_t sums[TNY_DENSE_CHANNELS];
  for (uint32_t lane = conv->run_length; lane < 16u * chunks; lane++) {
    lanes[lane] = 0;
  }
  for (int32_t c = 0; c < channels; c += TNY_DENSE_CHANNELS, weights += TNY_DENSE_CHANNELS / 2 * pair) {
    tny_dense_sums(weights, c + 2 < channels ? pair : 0u, lanes, chunks, sums);
    tny_dense_codes(conv, c, channels - c, sums, out);
  }
}

#endif
