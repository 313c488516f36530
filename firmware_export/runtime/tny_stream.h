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
  const tny_pair_t *run;  /* that is next */
  uint32_t skip;          /* lanes of decoded weights between stretches */
  const tny_pair_t *runs;
  int32_t step; /* lanes to the next pair of pixels */
  int32_t bias[2], multiplier[2], offset[2], shift[2];
  int8_t *to, *on;
  int32_t stride; /* bytes to the next pair of outputs */
  uint32_t count;
  uint32_t zeros; /* of a ring: the zero point of its lanes, twice */
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

typedef void (*tny_streams_t)(tny_stream_t *stream);

TNY_INLINE tny_streams_t tny_streams_of(uint32_t lanes, int ring)
{
  if (ring) {
    return lanes % 16u == 0u ? tny_stream_lanes_fours : tny_stream_lanes;
  }
  return lanes % 16u == 0u ? tny_stream_codes_fours : tny_stream_codes;
}
#endif

#endif
