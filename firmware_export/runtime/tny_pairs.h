/* The window of portable C: one multiplication serves both channels of a pair.
 *
 * With the weights a and b of both channels in w = a + 65536 b, a product x w holds x a in its lower half and x b in its
 * upper one, and so does a sum m of `taps` of them as long as |sum x a| < 2^15, which the exporter proves. Of every m the
 * upper half is added to s, rounded to the nearest, and m as a whole to t, modulo 2^32: then s is the sum of channel b,
 * and t - 65536 s that of channel a.
 */
#ifndef TNY_PAIRS_H
#define TNY_PAIRS_H

#include "tny_types.h"

#define TNY_HALF 0x8000 /* added to every m: its upper half is then rounded; the bias of channel a has it subtracted */

/* Where t and s start from, instead of the biases. */
TNY_INLINE void tny_begin_pair(int32_t *bias)
{
  bias[0] = (int32_t)((uint32_t)bias[0] + ((uint32_t)bias[1] << 16));
}

#if defined(__GNUC__) && defined(__OPTIMIZE__) && defined(__ARM_ARCH_6M__)
#define TNY_ASSEMBLED
/* Armv6-M: t and s of both pixels in r8 to r11 and TNY_HALF in r12, which only moves and additions reach. r3 counts lanes
 * from below up to 0; r0 and r1 are the ends of both stretches, r2 the weights, r6 and r7 a sum m of either pixel. */
#define TNY_FIRST(w)       \
  "ldrsb r6, [r0, r3]\n\t" \
  "muls r6, " w "\n\t"     \
  "ldrsb r7, [r1, r3]\n\t" \
  "muls r7, " w "\n\t"
#define TNY_MORE           \
  "adds r3, #1\n\t"        \
  "ldrsb r4, [r0, r3]\n\t" \
  "muls r4, r5\n\t"        \
  "adds r6, r4\n\t"        \
  "ldrsb r4, [r1, r3]\n\t" \
  "muls r4, r5\n\t"        \
  "adds r7, r4\n\t"
#define TNY_SPLIT        \
  "add r6, r12\n\t"      \
  "add r8, r6\n\t"       \
  "asrs r6, r6, #16\n\t" \
  "add r9, r6\n\t"       \
  "add r7, r12\n\t"      \
  "add r10, r7\n\t"      \
  "asrs r7, r7, #16\n\t" \
  "add r11, r7\n\t"      \
  "adds r3, #1\n\t"
#define TNY_ONE "ldm r2!, {r5}\n\t" TNY_FIRST("r5") TNY_SPLIT
#define TNY_TWO "ldm r2!, {r4, r5}\n\t" TNY_FIRST("r4") TNY_MORE
#define TNY_FOUR TNY_TWO "ldm r2!, {r5}\n\t" TNY_MORE "ldm r2!, {r5}\n\t" TNY_MORE
#define TNY_EIGHT TNY_FOUR "ldm r2!, {r5}\n\t" TNY_MORE "ldm r2!, {r5}\n\t" TNY_MORE "ldm r2!, {r5}\n\t" TNY_MORE \
  "ldm r2!, {r5}\n\t" TNY_MORE
#define TNY_PAIRS(taps, step)                                        \
  TNY_ASSEMBLY void tny_sums_##taps(tny_window_t *window TNY_UNUSED) \
  {                                                                  \
    __asm volatile(                                                  \
        ".syntax unified\n\t"                                        \
        "push {r4, r5, r6, r7, lr}\n\t"                              \
        "mov r4, r8\n\t"                                             \
        "mov r5, r9\n\t"                                             \
        "mov r6, r10\n\t"                                            \
        "mov r7, r11\n\t"                                            \
        "push {r4, r5, r6, r7}\n\t"                                  \
        "mov lr, r0\n\t"                                             \
        "ldr r2, [r0]\n\t"                                           \
        "ldr r3, [r0, #16]\n\t"                                      \
        "ldr r4, [r0, #20]\n\t"                                      \
        "ldm r4!, {r5, r6}\n\t"                                      \
        "mov r8, r5\n\t"                                             \
        "mov r9, r6\n\t"                                             \
        "mov r10, r5\n\t"                                            \
        "mov r11, r6\n\t"                                            \
        "movs r4, #1\n\t"                                            \
        "lsls r4, r4, #15\n\t"                                       \
        "mov r12, r4\n"                                              \
        "1:\n\t"                                                     \
        "ldm r3!, {r0, r1}\n\t"                                      \
        "push {r3}\n\t"                                              \
        "mov r5, lr\n\t"                                             \
        "ldr r3, [r5, #8]\n\t"                                       \
        "ldr r4, [r5, #12]\n\t"                                      \
        "adds r4, r4, r3\n\t"                                        \
        "adds r0, r0, r4\n\t"                                        \
        "adds r1, r1, r4\n\t"                                        \
        "rsbs r3, r3, #0\n"                                          \
        "2:\n\t" step "bne 2b\n\t"                                   \
        "pop {r3}\n\t"                                               \
        "mov r0, lr\n\t"                                             \
        "ldr r4, [r0, #40]\n\t"                                      \
        "lsls r4, r4, #2\n\t"                                        \
        "adds r2, r2, r4\n\t"                                        \
        "ldr r4, [r0, #4]\n\t"                                       \
        "cmp r3, r4\n\t"                                             \
        "bne 1b\n\t"                                                 \
        "adds r0, #24\n\t"                                           \
        "mov r4, r8\n\t"                                             \
        "mov r5, r9\n\t"                                             \
        "mov r6, r10\n\t"                                            \
        "mov r7, r11\n\t"                                            \
        "lsls r2, r5, #16\n\t"                                       \
        "subs r4, r4, r2\n\t"                                        \
        "lsls r2, r7, #16\n\t"                                       \
        "subs r6, r6, r2\n\t"                                        \
        "adds r4, r4, r4\n\t"                                        \
        "adds r5, r5, r5\n\t"                                        \
        "adds r6, r6, r6\n\t"                                        \
        "adds r7, r7, r7\n\t"                                        \
        "stm r0!, {r4, r5, r6, r7}\n\t"                              \
        "pop {r4, r5, r6, r7}\n\t"                                   \
        "mov r8, r4\n\t"                                             \
        "mov r9, r5\n\t"                                             \
        "mov r10, r6\n\t"                                            \
        "mov r11, r7\n\t"                                            \
        "pop {r4, r5, r6, r7, pc}\n\t" ::                            \
            : "r0", "r1", "r2", "r3", "r12", "cc", "memory");        \
  }
#elif defined(__GNUC__) && defined(__OPTIMIZE__) && defined(__thumb2__)
#define TNY_ASSEMBLED
/* Armv7-M: t and s of both pixels in r8 to r11, TNY_HALF in r12, both pixels' lanes at r0 and r1, weights at r2, the first
 * stretch's end in r3; r6 and lr are a sum m of either pixel. */
#define TNY_FIRST           \
  "ldrsb r6, [r0], #1\n\t"  \
  "mla r6, r6, r4, r12\n\t" \
  "ldrsb lr, [r1], #1\n\t"  \
  "mla lr, lr, r4, r12\n\t"
#define TNY_MORE(w)           \
  "ldrsb r7, [r0], #1\n\t"    \
  "mla r6, r7, " w ", r6\n\t" \
  "ldrsb r7, [r1], #1\n\t"    \
  "mla lr, r7, " w ", lr\n\t"
#define TNY_SPLIT                 \
  "add r8, r8, r6\n\t"            \
  "add r9, r9, r6, asr #16\n\t"   \
  "add r10, r10, lr\n\t"          \
  "add r11, r11, lr, asr #16\n\t"
#define TNY_ONE "ldr r4, [r2], #4\n\t" TNY_FIRST TNY_SPLIT
#define TNY_TWO "ldrd r4, r5, [r2], #8\n\t" TNY_FIRST TNY_MORE("r5")
#define TNY_FOUR TNY_TWO "ldrd r4, r5, [r2], #8\n\t" TNY_MORE("r4") TNY_MORE("r5")
#define TNY_EIGHT TNY_FOUR "ldrd r4, r5, [r2], #8\n\t" TNY_MORE("r4") TNY_MORE("r5") "ldrd r4, r5, [r2], #8\n\t" \
  TNY_MORE("r4") TNY_MORE("r5")
#define TNY_PAIRS(taps, step)                                        \
  TNY_ASSEMBLY void tny_sums_##taps(tny_window_t *window TNY_UNUSED) \
  {                                                                  \
    __asm volatile(                                                  \
        "push {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"            \
        "ldr r2, [r0]\n\t"                                           \
        "ldrd r6, r7, [r0, #16]\n\t"                                 \
        "push {r0, r6}\n\t"                                          \
        "ldrd r8, r9, [r7]\n\t"                                      \
        "mov r10, r8\n\t"                                            \
        "mov r11, r9\n\t"                                            \
        "mov r12, #0x8000\n"                                         \
        "1:\n\t"                                                     \
        "ldrd r6, r7, [sp]\n\t"                                      \
        "ldrd r0, r1, [r7], #8\n\t"                                  \
        "str r7, [sp, #4]\n\t"                                       \
        "ldrd r3, r4, [r6, #8]\n\t"                                  \
        "add r0, r0, r4\n\t"                                         \
        "add r1, r1, r4\n\t"                                         \
        "add r3, r3, r0\n"                                           \
        "2:\n\t" step "cmp r0, r3\n\t"                               \
        "bne 2b\n\t"                                                 \
        "ldrd r6, r7, [sp]\n\t"                                      \
        "ldr r4, [r6, #40]\n\t"                                      \
        "add r2, r2, r4, lsl #2\n\t"                                 \
        "ldr r4, [r6, #4]\n\t"                                       \
        "cmp r7, r4\n\t"                                             \
        "bne 1b\n\t"                                                 \
        "add r6, r6, #24\n\t"                                        \
        "sub r8, r8, r9, lsl #16\n\t"                                \
        "sub r10, r10, r11, lsl #16\n\t"                             \
        "add r8, r8, r8\n\t"                                         \
        "add r9, r9, r9\n\t"                                         \
        "add r10, r10, r10\n\t"                                      \
        "add r11, r11, r11\n\t"                                      \
        "stm r6, {r8, r9, r10, r11}\n\t"                             \
        "add sp, sp, #8\n\t"                                         \
        "pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t" ::          \
            : "r0", "r1", "r2", "r3", "r12", "cc", "memory");        \
  }
#else
/* Lane i of two pixels: it begins, goes on with or ends a sum of `taps` products. */
#define TNY_LANE2(i, taps)                               \
  m = ((i) % (taps) == 0 ? TNY_HALF : m) + p0[i] * w[i]; \
  n = ((i) % (taps) == 0 ? TNY_HALF : n) + p1[i] * w[i]; \
  if (((i) + 1) % (taps) == 0) {                         \
    t0 += (uint32_t)m;                                   \
    s0 += m >> 16;                                       \
    t1 += (uint32_t)n;                                   \
    s1 += n >> 16;                                       \
  }
#define TNY_FOUR_LANES(i, taps)                                                               \
  TNY_LANE2(i, taps) TNY_LANE2((i) + 1, taps) TNY_LANE2((i) + 2, taps) TNY_LANE2((i) + 3, taps)
#define TNY_PAIRS(taps, step)                                                                     \
  TNY_NOINLINE void tny_sums_##taps(tny_window_t *window)                                         \
  {                                                                                               \
    uint32_t t0 = (uint32_t)window->bias[0], t1 = t0;                                             \
    int32_t s0 = window->bias[1], s1 = s0, m = TNY_HALF, n = TNY_HALF;                            \
    const tny_weight_t *w = window->weights;                                                      \
    const uint32_t lanes = window->lanes;                                                         \
    for (const tny_pair_t *run = window->run; run != window->last; run++, w += window->skip) {    \
      const tny_lane_t *p0 = run->first + window->at, *p1 = run->second + window->at;             \
      for (const tny_lane_t *const end = p0 + lanes; p0 != end; p0 += step, p1 += step, w += step) { \
        TNY_FOUR_LANES(0, taps)                                                                   \
        if (step == 8) {                                                                          \
          TNY_FOUR_LANES(4, taps)                                                                 \
        }                                                                                         \
      }                                                                                           \
    }                                                                                             \
    window->sum[0] = (int32_t)(2u * (t0 - ((uint32_t)s0 << 16)));                                 \
    window->sum[1] = 2 * s0;                                                                      \
    window->sum[2] = (int32_t)(2u * (t1 - ((uint32_t)s1 << 16)));                                 \
    window->sum[3] = 2 * s1;                                                                      \
  }
#endif

/* The doubled sums of a window whose products are summed `taps` at a time. */
#ifdef TNY_ASSEMBLED
#define TNY_SUMS_1 TNY_PAIRS(1, TNY_ONE TNY_ONE TNY_ONE TNY_ONE)
#define TNY_SUMS_2 TNY_PAIRS(2, TNY_TWO TNY_SPLIT TNY_TWO TNY_SPLIT)
#define TNY_SUMS_4 TNY_PAIRS(4, TNY_FOUR TNY_SPLIT)
#define TNY_SUMS_8 TNY_PAIRS(8, TNY_EIGHT TNY_SPLIT)
#else
#define TNY_SUMS_1 TNY_PAIRS(1, 4)
#define TNY_SUMS_2 TNY_PAIRS(2, 4)
#define TNY_SUMS_4 TNY_PAIRS(4, 4)
#define TNY_SUMS_8 TNY_PAIRS(8, 8)
#endif
#define TNY_SUMS(taps) TNY_SUMS_##taps
#define TNY_SUMS_OF(taps) tny_sums_##taps

#endif
