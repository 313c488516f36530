/* With MVE: pairs of pixels along a row, from windows to codes, without leaving assembly. */
#ifndef TNY_STREAM_MVE_H
#define TNY_STREAM_MVE_H

#include "tny_codes.h"
#include "tny_window.h"

#if TNY_IMPL == 2 && !defined(TNY_SMALL)
/* The assembly below knows the order of the members. */
typedef struct {
  const tny_weight_t *weights;
  const tny_pair_t *last; /* behind the last stretch */
  uint32_t lanes;         /* of each stretch */
  int32_t at;             /* lanes on from where each stretch starts */
  const tny_pair_t *runs;
  int32_t step; /* lanes to the next pair of pixels */
  int8_t *to, *on;
  int32_t stride; /* bytes to the next pair of outputs */
  int8_t *end;    /* of the first pixels' outputs */
  int32_t bias[4], multiplier[4], shift[4], zero; /* shifts to the left */
  const int32_t *add;
} tny_stream_t;

/* A vector times a multiplier, a shift to the left, halves away from zero; `t` is another vector. */
#define TNY_TIMES(q, m, s, t)            \
  "vqrdmulh.s32 " q ", " q ", " m "\n\t" \
  "vshr.s32 " t ", " q ", #31\n\t"       \
  "vadd.i32 " q ", " q ", " t "\n\t"     \
  "vrshl.s32 " s "\n\t"
#define TNY_NARROW(q) "vqmovnb.s32 " q ", " q "\n\tvqmovnb.s16 " q ", " q "\n\t"
#define TNY_WIDEN(q) "vmovlb.s8 " q ", " q "\n\tvmovlb.s16 " q ", " q "\n\t"
/* An operand of the addition, whose zero point, left shift, multiplier and right shift are in r4 to r7. */
#define TNY_OPERAND(q, t) "vsub.i32 " q ", " q ", r4\n\tvshl.s32 " q ", r5\n\t" TNY_TIMES(q, "r6", q ", r7", t)
/* The sum: left shift, multiplier, right shift and zero point. */
#define TNY_TOTAL(q, t)                                                                     \
  "vshl.s32 " q ", r4\n\t" TNY_TIMES(q, "r5", q ", r6", t) "vadd.i32 " q ", " q ", r7\n\t" TNY_NARROW(q)
/* Codes in q0 and q1 are added to those at r0 and r1. */
#define TNY_STREAM_ADD                                                              \
  TNY_WIDEN("q0") TNY_WIDEN("q1")                                                   \
  "ldr lr, [r9, #92]\n\t"                                                           \
  "ldm lr!, {r4, r5, r6, r7}\n\t"                                                   \
  TNY_OPERAND("q0", "q2") TNY_OPERAND("q1", "q2")                                   \
  "ldm lr!, {r4, r5, r6, r7}\n\t"                                                   \
  "vldrb.s32 q2, [r0]\n\t"                                                          \
  "vldrb.s32 q3, [r1]\n\t"                                                          \
  TNY_OPERAND("q2", "q7") TNY_OPERAND("q3", "q7")                                   \
  "vadd.i32 q0, q0, q2\n\t"                                                         \
  "vadd.i32 q1, q1, q3\n\t"                                                         \
  "ldm lr, {r4, r5, r6, r7}\n\t"                                                    \
  TNY_TOTAL("q0", "q2") TNY_TOTAL("q1", "q3")
/* `steps` of `lanes` in all at a time, and what `put` does with codes. On the stack are the structure, last and lanes. */
#define TNY_STREAM(name, steps, lanes, put)                                                                   \
  TNY_ASSEMBLY void name(tny_stream_t *stream TNY_UNUSED)                                                     \
  {                                                                                                           \
    __asm volatile(                                                                                           \
        "push {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"                                                     \
        "vpush {d8, d9, d10, d11, d12, d13, d14, d15}\n\t"                                                    \
        "ldrd r1, r2, [r0, #4]\n\t"                                                                           \
        "push {r0, r1, r2}\n\t"                                                                               \
        "adds r1, r0, #56\n\t"                                                                                \
        "vldrw.32 q4, [r1]\n\t"                                                                               \
        "vldrw.32 q5, [r1, #16]\n\t"                                                                          \
        "ldr r1, [r0, #88]\n\t"                                                                               \
        "vdup.32 q6, r1\n\t"                                                                                  \
        "ldr r11, [r0, #12]\n"                                                                                \
        "3:\n\t"                                                                                              \
        "ldr r9, [sp]\n\t"                                                                                    \
        "add r3, r9, #40\n\t"                                                                                 \
        "ldm r3, {r0, r2, r4, r6}\n\t"                                                                        \
        "ldm r3, {r8, r10, r12, lr}\n\t"                                                                      \
        "ldr r1, [r9]\n\t"                                                                                    \
        "ldr r9, [r9, #16]\n"                                                                                 \
        "1:\n\t"                                                                                              \
        "ldrd r3, r5, [r9], #8\n\t"                                                                           \
        "ldr r7, [sp, #8]\n\t"                                                                                \
        "add r3, r3, r11\n\t"                                                                                 \
        "add r5, r5, r11\n"                                                                                   \
        "2:\n\t" steps "subs r7, r7, " lanes "\n\t"                                                           \
        "bgt 2b\n\t"                                                                                          \
        "ldr r7, [sp, #4]\n\t"                                                                                \
        "cmp r9, r7\n\t"                                                                                      \
        "bne 1b\n\t"                                                                                          \
        "vmov q0[2], q0[0], r0, r4\n\t"                                                                       \
        "vmov q0[3], q0[1], r2, r6\n\t"                                                                       \
        "vmov q1[2], q1[0], r8, r12\n\t"                                                                      \
        "vmov q1[3], q1[1], r10, lr\n\t"                                                                      \
        TNY_TIMES("q0", "q4", "q0, q0, q5", "q2") TNY_TIMES("q1", "q4", "q1, q1, q5", "q3")                   \
        "vadd.i32 q0, q0, q6\n\t"                                                                             \
        "vadd.i32 q1, q1, q6\n\t"                                                                             \
        TNY_NARROW("q0") TNY_NARROW("q1")                                                                     \
        "ldr r9, [sp]\n\t"                                                                                    \
        "ldrd r0, r1, [r9, #24]\n\t"                                                                          \
        "ldrd r2, r3, [r9, #32]\n\t" put                                                                      \
        "ldr r4, [r9, #20]\n\t"                                                                               \
        "vstrb.32 q0, [r0]\n\t"                                                                               \
        "vstrb.32 q1, [r1]\n\t"                                                                               \
        "add r0, r0, r2\n\t"                                                                                  \
        "add r1, r1, r2\n\t"                                                                                  \
        "strd r0, r1, [r9, #24]\n\t"                                                                          \
        "add r11, r11, r4\n\t"                                                                                \
        "cmp r0, r3\n\t"                                                                                      \
        "bne 3b\n\t"                                                                                          \
        "add sp, sp, #12\n\t"                                                                                 \
        "vpop {d8, d9, d10, d11, d12, d13, d14, d15}\n\t"                                                     \
        "pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t" ::                                                   \
            : "r0", "r1", "r2", "r3", "r12", "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "cc", "memory"); \
  }

TNY_STREAM(tny_stream_codes, TNY_STEP, "#16", )
TNY_STREAM(tny_stream_codes_threes, TNY_STEP TNY_STEP TNY_STEP, "#48", )
TNY_STREAM(tny_stream_add_threes, TNY_STEP TNY_STEP TNY_STEP, "#48", TNY_STREAM_ADD)
#ifdef TNY_NINE_BIT
TNY_STREAM(tny_stream_wide, TNY_WIDE_STEP TNY_WIDE_STEP, "#16", )
TNY_STREAM(tny_stream_wide_add, TNY_WIDE_STEP TNY_WIDE_STEP, "#16", TNY_STREAM_ADD)
#endif

typedef void (*tny_streams_t)(tny_stream_t *stream);

TNY_INLINE tny_streams_t tny_streams_of(const tny_conv_t *conv, int ring, int adds)
{
  (void)ring;
#ifdef TNY_NINE_BIT
  if (conv->nine_bit) {
    return adds ? tny_stream_wide_add : tny_stream_wide;
  }
#endif
  if (adds) {
    return tny_stream_add_threes;
  }
  return conv->run_length % 48u == 0u ? tny_stream_codes_threes : tny_stream_codes;
}

/* The constants of an addition in the order of TNY_STREAM_ADD. */
typedef struct {
  int32_t of[12];
} tny_stream_add_t;

/* Whether an addition can be streamed behind the windows of `conv`, for which `constants` are set. What the convolution
 * alone computes is not to be seen then. */
TNY_INLINE int tny_stream_adds(const tny_add_t *add, const tny_conv_t *conv, tny_stream_add_t *constants)
{
#ifdef TNY_UNTRACED
  if (!add->narrow && (conv->nine_bit || conv->run_length % 48u == 0u)) {
    const tny_factor_t *const one = &add->conv, *const other = &add->other, *const out = &add->out;
    const tny_stream_add_t found = {{one->zero, one->left, one->multiplier, -one->shift, other->zero, other->left,
                                     other->multiplier, -other->shift, out->left, out->multiplier, -out->shift,
                                     out->zero}};
    *constants = found;
    return 1;
  }
#else
  (void)add;
  (void)conv;
  (void)constants;
#endif
  return 0;
}
#endif

#endif
