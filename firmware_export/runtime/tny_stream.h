/* With the DSP extension: pairs of pixels along a row, from windows to codes, without leaving assembly. */
#ifndef TNY_STREAM_H
#define TNY_STREAM_H

#include "tny_window.h"

#if TNY_IMPL == 1 && !defined(TNY_SMALL)
/* The assembly below knows the order of the members. */
typedef struct {
  const tny_lane_t *weights;
  const tny_pair_t *last; /* behind the last stretch */
  uint32_t lanes;         /* of each stretch */
  int32_t at;             /* lanes on from where each stretch starts */
  const tny_pair_t *run;  /* that is next: of the assembly */
  uint32_t skip;          /* lanes of decoded weights between stretches */
  const tny_pair_t *runs;
  int32_t step; /* lanes to the next pair of pixels */
  int32_t bias[2], multiplier[2], offset[2], shift[2];
  int8_t *to, *on;
  int32_t stride; /* bytes to the next pair of outputs */
  uint32_t count;
  uint32_t more; /* for a ring the zero point of its lanes, twice; for an addition where its constants lie */
} tny_stream_t;

/* Two channels of two pixels as codes, or as lanes of a ring; in r0 and r1 is where they go. */
#define TNY_STREAM_CODES    \
  "strb r4, [r0]\n\t"       \
  "strb r5, [r0, #1]\n\t"   \
  "strb r6, [r1]\n\t"       \
  "strb r7, [r1, #1]\n\t"
#define TNY_STREAM_LANES              \
  "ldr r8, [sp, #80]\n\t"             \
  "pkhbt r4, r4, r5, lsl #16\n\t"     \
  "pkhbt r6, r6, r7, lsl #16\n\t"     \
  "ssub16 r4, r4, r8\n\t"             \
  "ssub16 r6, r6, r8\n\t"             \
  "sadd16 r4, r4, r4\n\t"             \
  "sadd16 r6, r6, r6\n\t"             \
  "str r4, [r0]\n\t"                  \
  "str r6, [r1]\n\t"
/* Codes, added to those that are there. Of each operand its factor 2^left, what that makes of its zero point, multiplier,
 * half and shift, then of the sum left, multiplier, half with the zero point, and shift come from memory. */
#define TNY_STREAM_ONE(v)          \
  "mla " v ", " v ", r8, r9\n\t"   \
  "smmlar r2, " v ", r10, r11\n\t" \
  "add r2, r2, " v ", asr #31\n\t" \
  "asr " v ", r2, r12\n\t"
#define TNY_STREAM_OTHER(v, at) \
  "ldrsb r2, " at "\n\t"        \
  "mla r2, r2, r8, r9\n\t"      \
  "smmlar r3, r2, r10, r11\n\t" \
  "add r3, r3, r2, asr #31\n\t" \
  "asr r3, r3, r12\n\t"         \
  "add " v ", " v ", r3\n\t"
#define TNY_STREAM_SUM(v)          \
  "lsl " v ", " v ", r8\n\t"       \
  "smmlar r2, " v ", r9, r10\n\t"  \
  "add r2, r2, " v ", asr #31\n\t" \
  "asr " v ", r2, r11\n\t"         \
  "ssat " v ", #8, " v "\n\t"
#define TNY_STREAM_ADD                                                                                           \
  "ldr lr, [sp, #80]\n\t"                                                                                        \
  "ldm lr!, {r8, r9, r10, r11, r12}\n\t"                                                                         \
  TNY_STREAM_ONE("r4") TNY_STREAM_ONE("r5") TNY_STREAM_ONE("r6") TNY_STREAM_ONE("r7")                            \
  "ldm lr!, {r8, r9, r10, r11, r12}\n\t"                                                                         \
  TNY_STREAM_OTHER("r4", "[r0]") TNY_STREAM_OTHER("r5", "[r0, #1]")                                              \
  TNY_STREAM_OTHER("r6", "[r1]") TNY_STREAM_OTHER("r7", "[r1, #1]")                                              \
  "ldm lr, {r8, r9, r10, r11}\n\t"                                                                               \
  TNY_STREAM_SUM("r4") TNY_STREAM_SUM("r5") TNY_STREAM_SUM("r6") TNY_STREAM_SUM("r7")                            \
  TNY_STREAM_CODES                                                                                               \
  "ldrd r2, r3, [sp, #72]\n\t"
/* `steps` at a time, `behind` a stretch, and what `put` does with codes. The structure lies on the stack. */
#define TNY_STREAM(name, steps, behind, put)                                                                     \
  TNY_ASSEMBLY void name(tny_stream_t *stream TNY_UNUSED)                                                        \
  {                                                                                                              \
    __asm volatile(                                                                                              \
        "push {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"                                                        \
        "adds r0, r0, #84\n\t"                                                                                   \
        "ldmdb r0!, {r1, r2, r3, r4, r5, r6, r7}\n\t"                                                            \
        "push {r1, r2, r3, r4, r5, r6, r7}\n\t"                                                                  \
        "ldmdb r0!, {r1, r2, r3, r4, r5, r6, r7}\n\t"                                                            \
        "push {r1, r2, r3, r4, r5, r6, r7}\n\t"                                                                  \
        "ldmdb r0!, {r1, r2, r3, r4, r5, r6, r7}\n\t"                                                            \
        "push {r1, r2, r3, r4, r5, r6, r7}\n"                                                                     \
        "3:\n\t"                                                                                                 \
        "ldr r0, [sp]\n\t"                                                                                       \
        "ldrd r10, r11, [sp, #32]\n\t" /* bias */                                                                \
        "mov r12, r10\n\t"                                                                                       \
        "mov lr, r11\n\t"                                                                                        \
        "ldr r4, [sp, #24]\n" /* runs */                                                                         \
        "1:\n\t"                                                                                                 \
        TNY_STRETCHES(steps, behind)                                                                             \
        "ldrd r0, r1, [sp, #40]\n\t" /* multiplier */                                                            \
        "ldrd r2, r3, [sp, #48]\n\t" /* offset */                                                                \
        "smmlar r4, r10, r0, r2\n\t"                                                                             \
        "smmlar r5, r11, r1, r3\n\t"                                                                             \
        "smmlar r6, r12, r0, r2\n\t"                                                                             \
        "smmlar r7, lr, r1, r3\n\t"                                                                              \
        "ldrd r2, r3, [sp, #56]\n\t" /* shift */                                                                 \
        "add r4, r4, r10, asr #31\n\t"                                                                           \
        "add r5, r5, r11, asr #31\n\t"                                                                           \
        "add r6, r6, r12, asr #31\n\t"                                                                           \
        "add r7, r7, lr, asr #31\n\t"                                                                            \
        "asr r4, r4, r2\n\t"                                                                                     \
        "asr r5, r5, r3\n\t"                                                                                     \
        "asr r6, r6, r2\n\t"                                                                                     \
        "asr r7, r7, r3\n\t"                                                                                     \
        "ssat r4, #8, r4\n\t"                                                                                    \
        "ssat r5, #8, r5\n\t"                                                                                    \
        "ssat r6, #8, r6\n\t"                                                                                    \
        "ssat r7, #8, r7\n\t"                                                                                    \
        "ldrd r0, r1, [sp, #64]\n\t" /* to, on */                                                                \
        "ldrd r2, r3, [sp, #72]\n\t" /* stride, count */ put                                                     \
        "add r0, r0, r2\n\t"                                                                                     \
        "add r1, r1, r2\n\t"                                                                                     \
        "strd r0, r1, [sp, #64]\n\t"                                                                             \
        "ldr r4, [sp, #12]\n\t" /* at, step */                                                                   \
        "ldr r5, [sp, #28]\n\t"                                                                                  \
        "add r4, r4, r5\n\t"                                                                                     \
        "str r4, [sp, #12]\n\t"                                                                                  \
        "subs r3, r3, #1\n\t"                                                                                    \
        "str r3, [sp, #76]\n\t"                                                                                  \
        "bne 3b\n\t"                                                                                             \
        "add sp, sp, #84\n\t"                                                                                    \
        "pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t" ::                                                      \
            : "r0", "r1", "r2", "r3", "r12", "cc", "memory");                                                    \
  }

TNY_STREAM(tny_stream_codes, TNY_STEP, TNY_SKIP, TNY_STREAM_CODES)
TNY_STREAM(tny_stream_codes_fours, TNY_STEP TNY_STEP TNY_STEP TNY_STEP, , TNY_STREAM_CODES)
TNY_STREAM(tny_stream_lanes, TNY_STEP, TNY_SKIP, TNY_STREAM_LANES)
TNY_STREAM(tny_stream_lanes_fours, TNY_STEP TNY_STEP TNY_STEP TNY_STEP, , TNY_STREAM_LANES)
TNY_STREAM(tny_stream_add_fours, TNY_STEP TNY_STEP TNY_STEP TNY_STEP, , TNY_STREAM_ADD)

typedef void (*tny_streams_t)(tny_stream_t *stream);

/* The constants of an addition in the order of TNY_STREAM_ADD. */
typedef struct {
  int32_t of[14];
} tny_stream_add_t;

TNY_INLINE void tny_stream_operand(const tny_factor_t *factor, int32_t *of)
{
  of[0] = (int32_t)1 << factor->left;
  of[1] = -factor->zero * of[0];
  of[2] = factor->multiplier;
  of[3] = factor->half;
  of[4] = factor->shift;
}

/* Whether an addition can be streamed behind the windows of `conv`, for which `constants` are set. What the convolution
 * alone computes is not to be seen then. */
TNY_INLINE int tny_stream_adds(const tny_add_t *add, const tny_conv_t *conv, tny_stream_add_t *constants)
{
#ifdef TNY_UNTRACED
  const tny_factor_t *const out = &add->out;
  if (!add->narrow && out->shift <= 20u && conv->run_length % 16u == 0u) {
    tny_stream_operand(&add->conv, constants->of);
    tny_stream_operand(&add->other, constants->of + 5);
    constants->of[10] = out->left;
    constants->of[11] = out->multiplier;
    constants->of[12] = out->half + out->zero * ((int32_t)1 << out->shift);
    constants->of[13] = out->shift;
    return 1;
  }
#else
  (void)add;
  (void)conv;
  (void)constants;
#endif
  return 0;
}

TNY_INLINE tny_streams_t tny_streams_of(const tny_conv_t *conv, int ring, int adds)
{
  const uint32_t lanes = conv->run_length;
  if (adds) {
    return tny_stream_add_fours;
  }
  if (ring) {
    return lanes % 16u == 0u ? tny_stream_lanes_fours : tny_stream_lanes;
  }
  return lanes % 16u == 0u ? tny_stream_codes_fours : tny_stream_codes;
}
#endif

#endif
