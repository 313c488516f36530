/* The inner step: sums over one window of two pixels for TNY_CHANNELS channels, so that each load serves several
 * products. A window is `runs` contiguous stretches of input lanes and decoded weights.
 *
 * In assembly these are whole functions without a frame: they take every register, whatever the compiler keeps for
 * itself.
 */
#ifndef TNY_WINDOW_H
#define TNY_WINDOW_H

#include "tny_types.h"

/* Where a stretch of the window of either pixel starts. */
typedef struct {
  const tny_lane_t *first, *second;
} tny_pair_t;

/* The assembly below knows the order of the members. */
struct tny_window {
  const tny_weight_t *weights;
  const tny_pair_t *last; /* behind the last stretch */
  uint32_t lanes;         /* of each stretch */
  int32_t at;             /* lanes on from where each stretch starts */
  const tny_pair_t *run;
  const int32_t *bias;
  int32_t sum[2 * TNY_CHANNELS]; /* channels of the first pixel, then those of the second */
  uint32_t skip; /* weights between decoded stretches, as those start on whole chunks */
};

#if TNY_IMPL == 2
/* 16 lanes: two vectors of lanes and four of weights meet in eight sums, which only even registers can hold. */
#define TNY_STEP                    \
  "vldrb.8 q0, [r3], #16\n\t"       \
  "vldrb.8 q2, [r1], #64\n\t"       \
  "vldrb.8 q1, [r5], #16\n\t"       \
  "vmladava.s8 r0, q2, q0\n\t"      \
  "vldrb.8 q3, [r1, #-48]\n\t"      \
  "vmladava.s8 r8, q2, q1\n\t"      \
  "vmladava.s8 r2, q3, q0\n\t"      \
  "vldrb.8 q2, [r1, #-32]\n\t"      \
  "vmladava.s8 r10, q3, q1\n\t"     \
  "vmladava.s8 r4, q2, q0\n\t"      \
  "vldrb.8 q3, [r1, #-16]\n\t"      \
  "vmladava.s8 r12, q2, q1\n\t"     \
  "vmladava.s8 r6, q3, q0\n\t"      \
  "vmladava.s8 lr, q3, q1\n\t"
/* 16 lanes in `x` of one pixel and in `y` of the next meet the weights of four channels at `a` to `d`. */
#define TNY_MEET(x, y, a, b, c, d)      \
  "vldrw.32 q2, [" a "]\n\t"            \
  "vldrw.32 q3, [" b "]\n\t"            \
  "vmladava.s8 r0, q2, " x "\n\t"      \
  "vmladava.s8 r8, q2, " y "\n\t"      \
  "vldrw.32 q2, [" c "]\n\t"            \
  "vmladava.s8 r2, q3, " x "\n\t"      \
  "vmladava.s8 r10, q3, " y "\n\t"     \
  "vldrw.32 q3, [" d "]\n\t"            \
  "vmladava.s8 r4, q2, " x "\n\t"      \
  "vmladava.s8 r12, q2, " y "\n\t"     \
  "vmladava.s8 r6, q3, " x "\n\t"      \
  "vmladava.s8 lr, q3, " y "\n\t"
/* 8 lanes, whose weights have 9 bits: both as 16 bits. */
#define TNY_WIDE_STEP               \
  "vldrb.s16 q0, [r3], #8\n\t"      \
  "vldrh.16 q2, [r1], #64\n\t"      \
  "vldrb.s16 q1, [r5], #8\n\t"      \
  "vmladava.s16 r0, q2, q0\n\t"     \
  "vldrh.16 q3, [r1, #-48]\n\t"     \
  "vmladava.s16 r8, q2, q1\n\t"     \
  "vmladava.s16 r2, q3, q0\n\t"     \
  "vldrh.16 q2, [r1, #-32]\n\t"     \
  "vmladava.s16 r10, q3, q1\n\t"    \
  "vmladava.s16 r4, q2, q0\n\t"     \
  "vldrh.16 q3, [r1, #-16]\n\t"     \
  "vmladava.s16 r12, q2, q1\n\t"    \
  "vmladava.s16 r6, q3, q0\n\t"     \
  "vmladava.s16 lr, q3, q1\n\t"
/* `steps` of `lanes` in all at a time, and `behind` a stretch. The weights of a stretch that ends within a vector are zeros
 * there. */
#define TNY_WINDOW(name, steps, lanes, behind)                                                                        \
  TNY_ASSEMBLY void name(tny_window_t *window TNY_UNUSED)                                                             \
  {                                                                                                                   \
    __asm volatile(                                                                                                   \
        "push {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"                                                             \
        "ldm r0!, {r1, r3, r5, r7, r9, r11}\n\t" /* weights, last, lanes, at, run, bias; leaves sum */                \
        "push {r0, r3, r5}\n\t"                                                                                       \
        "ldm r11, {r0, r2, r4, r6}\n\t"                                                                               \
        "ldm r11, {r8, r10, r12, lr}\n\t"                                                                             \
        "mov r11, r7\n"                                                                                               \
        "1:\n\t"                                                                                                      \
        "ldrd r3, r5, [r9], #8\n\t"                                                                                   \
        "ldr r7, [sp, #8]\n\t"                                                                                        \
        "add r3, r3, r11\n\t"                                                                                         \
        "add r5, r5, r11\n"                                                                                           \
        "2:\n\t" steps "subs r7, r7, " lanes "\n\t"                                                                   \
        "bgt 2b\n\t" behind                                                                                           \
        "ldr r7, [sp, #4]\n\t"                                                                                        \
        "cmp r9, r7\n\t"                                                                                              \
        "bne 1b\n\t"                                                                                                  \
        "pop {r1, r3, r5}\n\t"                                                                                        \
        "stm r1!, {r0, r2, r4, r6}\n\t"                                                                               \
        "stm r1, {r8, r10, r12, lr}\n\t"                                                                              \
        "pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t" ::                                                           \
            : "r0", "r1", "r2", "r3", "r12", "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "cc", "memory");         \
  }

TNY_WINDOW(tny_window, TNY_STEP, "#16", )
#ifdef TNY_NINE_BIT
TNY_WINDOW(tny_window_wide, TNY_WIDE_STEP TNY_WIDE_STEP, "#16", )
#define TNY_WINDOW_WIDE(conv, other) ((conv)->nine_bit ? tny_window_wide : (other))
#else
#define TNY_WINDOW_WIDE(conv, other) (other)
#endif
#define TNY_WINDOW_OF(conv) ((void)(conv), TNY_WINDOW_WIDE(conv, tny_window))
#elif TNY_IMPL == 1
/* Four lanes of two pixels and of both channels. */
#define TNY_STEP                 \
  "ldm r0!, {r4, r5, r6, r7}\n\t" \
  "ldrd r8, r9, [r1], #8\n\t"    \
  "smlad r10, r4, r8, r10\n\t"   \
  "smlad r11, r5, r8, r11\n\t"   \
  "smlad r10, r6, r9, r10\n\t"   \
  "smlad r11, r7, r9, r11\n\t"   \
  "ldrd r8, r9, [r2], #8\n\t"    \
  "smlad r12, r4, r8, r12\n\t"   \
  "smlad lr, r5, r8, lr\n\t"     \
  "smlad r12, r6, r9, r12\n\t"   \
  "smlad lr, r7, r9, lr\n\t"
/* The loop over stretches, which begins at label 1: `steps` at a time, and `behind` a stretch. r4 is the next stretch, r0
 * the weights, and r10, r11, r12 and lr are the sums; the stack holds last, lanes, at, run and skip from its second word
 * on. */
#define TNY_STRETCHES(steps, behind) \
  "ldrd r6, r5, [sp, #8]\n\t"        \
  "ldrd r1, r2, [r4], #8\n\t"        \
  "str r4, [sp, #16]\n\t"            \
  "add r1, r1, r5, lsl #1\n\t"       \
  "add r2, r2, r5, lsl #1\n\t"       \
  "add r3, r0, r6, lsl #2\n"         \
  "2:\n\t" steps                     \
  "cmp r0, r3\n\t"                   \
  "bne 2b\n\t" behind                \
  "ldr r4, [sp, #16]\n\t"            \
  "ldr r5, [sp, #4]\n\t"             \
  "cmp r4, r5\n\t"                   \
  "bne 1b\n\t"
#define TNY_SKIP           \
  "ldr r4, [sp, #20]\n\t"  \
  "add r0, r0, r4, lsl #1\n\t"
/* All registers are taken: what changes once per stretch only lives on the stack, from its top sum, last, lanes, at, run,
 * skip. */
#define TNY_WINDOW(name, steps, behind)                                                                               \
  TNY_ASSEMBLY void name(tny_window_t *window TNY_UNUSED)                                                             \
  {                                                                                                                   \
    __asm volatile(                                                                                                   \
        "push {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"                                                             \
        "ldm r0!, {r1, r2, r3, r4, r5, r6}\n\t" /* weights, last, lanes, at, run, bias; leaves sum */                 \
        "ldr r7, [r0, #16]\n\t"                 /* skip */                                                            \
        "push {r0, r2, r3, r4, r5, r7}\n\t"                                                                           \
        "ldrd r10, r11, [r6]\n\t"                                                                                     \
        "mov r12, r10\n\t"                                                                                            \
        "mov lr, r11\n\t"                                                                                             \
        "mov r0, r1\n"                                                                                                \
        "1:\n\t"                                                                                                      \
        "ldr r4, [sp, #16]\n\t"                                                                                       \
        TNY_STRETCHES(steps, behind)                                                                                  \
        "ldr r4, [sp]\n\t"                                                                                            \
        "stm r4, {r10, r11, r12, lr}\n\t"                                                                             \
        "add sp, sp, #24\n\t"                                                                                         \
        "pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t" ::                                                           \
            : "r0", "r1", "r2", "r3", "r12", "cc", "memory");                                                         \
  }

TNY_WINDOW(tny_window, TNY_STEP, TNY_SKIP)
#ifndef TNY_SMALL
TNY_WINDOW(tny_window_fours, TNY_STEP TNY_STEP TNY_STEP TNY_STEP, )
#define TNY_WINDOW_OF(conv) ((conv)->run_length % 16u == 0u ? tny_window_fours : tny_window)
#else
#define TNY_WINDOW_OF(conv) ((void)(conv), tny_window)
#endif
#else
#include "tny_pairs.h"
#define TNY_WINDOW_OF(conv) ((conv)->sums)
#endif

#if TNY_IMPL != 0
#define TNY_SUMS_OF(taps) NULL
#define TNY_SUMS(taps)
#endif

#endif
