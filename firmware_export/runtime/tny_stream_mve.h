/* With MVE: pairs of pixels along a row, from windows to codes, without leaving assembly. */
#ifndef TNY_STREAM_MVE_H
#define TNY_STREAM_MVE_H

#include "tny_codes.h"
#include "tny_window.h"

#if TNY_IMPL == 2 && !defined(TNY_SMALL)
/* The assembly below knows the order of the members. */
typedef struct {
  const tny_weight_t *weights;
  const tny_pair_t *runs, *last; /* all stretches, and behind the last one */
  uint32_t lanes;                /* of each stretch */
  int32_t step;                  /* lanes to the next pair of pixels */
  int8_t *to, *on;
  int32_t stride; /* bytes to the next pair of outputs */
  int8_t *behind; /* the outputs of the first pixels */
  uint32_t put;
  int32_t bias[4], multiplier[4], shift[4], zero; /* shifts to the left */
  uint32_t more; /* where the constants of an addition lie */
} tny_stream_t;

/* A vector times a multiplier, a shift to the left, halves away from zero; `t` is another vector. */
#define TNY_TIMES(q, m, s, t)            \
  "vqrdmulh.s32 " q ", " q ", " m "\n\t" \
  "vshr.s32 " t ", " q ", #31\n\t"       \
  "vadd.i32 " q ", " q ", " t "\n\t"     \
  "vrshl.s32 " s "\n\t"
#define TNY_NARROW(q) "vqmovnb.s32 " q ", " q "\n\tvqmovnb.s16 " q ", " q "\n\t"
#define TNY_WIDEN(q) "vmovlb.s8 " q ", " q "\n\tvmovlb.s16 " q ", " q "\n\t"
/* The addition's operand of the smaller scale, whose zero point, left shift, multiplier and right shift are in r4 to r7. */
#define TNY_OPERAND(q, t) "vsub.i32 " q ", " q ", r4\n\tvshl.s32 " q ", r5\n\t" TNY_TIMES(q, "r6", q ", r7", t)
/* The other one is just shifted by 19 (r10) and added; then what its zero point makes, left shift, multiplier, right
 * shift and zero point of the sum. */
#define TNY_TOTAL(q, sum, exact)                                           \
  "vmla.s32 " sum ", " exact ", r10\n\t"                                   \
  "vadd.i32 " sum ", " sum ", r8\n\t"                                      \
  "vshl.s32 " sum ", r4\n\t"                                               \
  "vqrdmulh.s32 " q ", " sum ", r5\n\t"                                    \
  "vshr.s32 q7, " q ", #31\n\t"                                            \
  "vadd.i32 " q ", " q ", q7\n\t"                                          \
  "vrshl.s32 " q ", r6\n\t"                                                \
  "vadd.i32 " q ", " q ", r7\n\t" TNY_NARROW(q)
#define TNY_OTHERS        \
  "vldrb.s32 q2, [r0]\n\t" \
  "vldrb.s32 q3, [r1]\n\t"
/* Codes in q0 and q1 are added to those at r0 and r1: either these or those are the exact operand. */
#define TNY_STREAM_ADD_EXACT_ONES                                                  \
  TNY_WIDEN("q0") TNY_WIDEN("q1")                                                  \
  "ldr lr, [r9, #92]\n\t"                                                          \
  "ldm lr!, {r4, r5, r6, r7}\n\t" TNY_OTHERS                                       \
  TNY_OPERAND("q2", "q7") TNY_OPERAND("q3", "q7")                                  \
  "ldm lr, {r4, r5, r6, r7, r8, r10}\n\t"                                          \
  TNY_TOTAL("q0", "q2", "q0") TNY_TOTAL("q1", "q3", "q1")
#define TNY_STREAM_ADD_TO_EXACT_ONES                                               \
  TNY_WIDEN("q0") TNY_WIDEN("q1")                                                  \
  "ldr lr, [r9, #92]\n\t"                                                          \
  "ldm lr!, {r4, r5, r6, r7}\n\t"                                                  \
  TNY_OPERAND("q0", "q7") TNY_OPERAND("q1", "q7") TNY_OTHERS                       \
  "ldm lr, {r4, r5, r6, r7, r8, r10}\n\t"                                          \
  TNY_TOTAL("q0", "q0", "q2") TNY_TOTAL("q1", "q1", "q3")
/* A stretch of a window, `steps` of `lanes` in all at a time. */
#define TNY_STREAM_RUN(steps, lanes) \
  "ldrd r3, r5, [r9], #8\n\t"        \
  "ldr r7, [sp, #8]\n\t"             \
  "add r3, r3, r11\n\t"              \
  "add r5, r5, r11\n"                \
  "2:\n\t" steps "subs r7, r7, " lanes "\n\t" \
  "bgt 2b\n\t"
/* Any number of them. */
#define TNY_STREAM_MORE              \
  "ldr r7, [sp, #4]\n\t"             \
  "cmp r9, r7\n\t"                   \
  "bne 1b\n\t"
#define TNY_STREAM_RUNS(steps, lanes) "1:\n\t" TNY_STREAM_RUN(steps, lanes) TNY_STREAM_MORE
/* Stretches of three taps of 16, 32 or 64 lanes, where the second pixel is one tap behind the first: each vector of lanes
 * serves both. */
#define TNY_STREAM_TAPS_16                                             \
  "ldr r3, [r9], #8\n\t"                                               \
  "add r3, r3, r11\n\t"                                                \
  "vldrw.32 q0, [r3, #0]\n\t"                                          \
  "vldrw.32 q1, [r3, #16]\n\t"                                         \
  TNY_MEET("q0", "q1", "r1, #0", "r1, #16", "r1, #32", "r1, #48")      \
  "vldrw.32 q0, [r3, #32]\n\t"                                         \
  TNY_MEET("q1", "q0", "r1, #64", "r1, #80", "r1, #96", "r1, #112")    \
  "vldrw.32 q1, [r3, #48]\n\t"                                         \
  TNY_MEET("q0", "q1", "r1, #128", "r1, #144", "r1, #160", "r1, #176") \
  "add r1, r1, #192\n\t"
#define TNY_STREAM_TAPS_32                                             \
  "1:\n\t"                                                             \
  "ldr r3, [r9], #8\n\t"                                               \
  "add r3, r3, r11\n\t"                                                \
  "vldrw.32 q0, [r3, #0]\n\t"                                          \
  "vldrw.32 q1, [r3, #32]\n\t"                                         \
  TNY_MEET("q0", "q1", "r1, #0", "r1, #16", "r1, #32", "r1, #48")      \
  "vldrw.32 q0, [r3, #64]\n\t"                                         \
  TNY_MEET("q1", "q0", "r1, #128", "r1, #144", "r1, #160", "r1, #176") \
  "vldrw.32 q1, [r3, #96]\n\t"                                         \
  TNY_MEET("q0", "q1", "r1, #256", "r1, #272", "r1, #288", "r1, #304") \
  "vldrw.32 q0, [r3, #16]\n\t"                                         \
  "vldrw.32 q1, [r3, #48]\n\t"                                         \
  TNY_MEET("q0", "q1", "r1, #64", "r1, #80", "r1, #96", "r1, #112")    \
  "vldrw.32 q0, [r3, #80]\n\t"                                         \
  TNY_MEET("q1", "q0", "r1, #192", "r1, #208", "r1, #224", "r1, #240") \
  "vldrw.32 q1, [r3, #112]\n\t"                                        \
  TNY_MEET("q0", "q1", "r1, #320", "r1, #336", "r1, #352", "r1, #368") \
  "add r1, r1, #384\n\t"                                               \
  TNY_STREAM_MORE
#define TNY_STREAM_TAPS_64                                             \
  "1:\n\t"                                                             \
  "ldr r3, [r9], #8\n\t"                                               \
  "add r3, r3, r11\n\t"                                                \
  "add r5, r1, #512\n\t"                                               \
  "vldrw.32 q0, [r3, #0]\n\t"                                          \
  "vldrw.32 q1, [r3, #64]\n\t"                                         \
  TNY_MEET("q0", "q1", "r1, #0", "r1, #16", "r1, #32", "r1, #48")      \
  "vldrw.32 q0, [r3, #128]\n\t"                                        \
  TNY_MEET("q1", "q0", "r1, #256", "r1, #272", "r1, #288", "r1, #304") \
  "vldrw.32 q1, [r3, #192]\n\t"                                        \
  TNY_MEET("q0", "q1", "r5, #0", "r5, #16", "r5, #32", "r5, #48")      \
  "vldrw.32 q0, [r3, #16]\n\t"                                         \
  "vldrw.32 q1, [r3, #80]\n\t"                                         \
  TNY_MEET("q0", "q1", "r1, #64", "r1, #80", "r1, #96", "r1, #112")    \
  "vldrw.32 q0, [r3, #144]\n\t"                                        \
  TNY_MEET("q1", "q0", "r1, #320", "r1, #336", "r1, #352", "r1, #368") \
  "vldrw.32 q1, [r3, #208]\n\t"                                        \
  TNY_MEET("q0", "q1", "r5, #64", "r5, #80", "r5, #96", "r5, #112")    \
  "vldrw.32 q0, [r3, #32]\n\t"                                         \
  "vldrw.32 q1, [r3, #96]\n\t"                                         \
  TNY_MEET("q0", "q1", "r1, #128", "r1, #144", "r1, #160", "r1, #176") \
  "vldrw.32 q0, [r3, #160]\n\t"                                        \
  TNY_MEET("q1", "q0", "r1, #384", "r1, #400", "r1, #416", "r1, #432") \
  "vldrw.32 q1, [r3, #224]\n\t"                                        \
  TNY_MEET("q0", "q1", "r5, #128", "r5, #144", "r5, #160", "r5, #176") \
  "vldrw.32 q0, [r3, #48]\n\t"                                         \
  "vldrw.32 q1, [r3, #112]\n\t"                                        \
  TNY_MEET("q0", "q1", "r1, #192", "r1, #208", "r1, #224", "r1, #240") \
  "vldrw.32 q0, [r3, #176]\n\t"                                        \
  TNY_MEET("q1", "q0", "r1, #448", "r1, #464", "r1, #480", "r1, #496") \
  "vldrw.32 q1, [r3, #240]\n\t"                                        \
  TNY_MEET("q0", "q1", "r5, #192", "r5, #208", "r5, #224", "r5, #240") \
  "add r1, r1, #768\n\t"                                               \
  TNY_STREAM_MORE
/* Codes are stored, and the next pair of pixels begins. */
#define TNY_STREAM_NEXT               \
  "ldr r4, [r9, #16]\n\t"             \
  "vstrb.32 q0, [r0]\n\t"             \
  "vstrb.32 q1, [r1]\n\t"             \
  "add r0, r0, r2\n\t"                \
  "add r1, r1, r2\n\t"                \
  "strd r0, r1, [r9, #20]\n\t"        \
  "add r11, r11, r4\n\t"              \
  "cmp r0, r3\n\t"                    \
  "bne 3b\n\t"                        \
  "add sp, sp, #16\n\t"               \
  "vpop {d8, d9, d10, d11, d12, d13, d14, d15}\n\t" \
  "pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n"
/* From products to codes in q0 and q1. */
#define TNY_STREAM_AWAY        \
  "vshr.s32 q2, q0, #31\n\t"   \
  "vshr.s32 q3, q1, #31\n\t"   \
  "vadd.i32 q0, q0, q2\n\t"    \
  "vadd.i32 q1, q1, q3\n\t"
#define TNY_STREAM_SHIFT       \
  "vrshl.s32 q0, q0, q5\n\t"   \
  "vrshl.s32 q1, q1, q5\n\t"   \
  "vadd.i32 q0, q0, q6\n\t"    \
  "vadd.i32 q1, q1, q6\n\t" TNY_NARROW("q0") TNY_NARROW("q1") \
  "ldr r9, [sp]\n\t"           \
  "ldrd r0, r1, [r9, #20]\n\t" \
  "ldrd r2, r3, [r9, #28]\n\t"
#define TNY_STREAM_PUT                                                               \
  "4:\n\t" TNY_STREAM_AWAY TNY_STREAM_SHIFT TNY_STREAM_NEXT                          \
  "8:\n\t" TNY_STREAM_SHIFT TNY_STREAM_NEXT
#define TNY_STREAM_PUT_ADD                                                           \
  "6:\n\t" TNY_STREAM_AWAY TNY_STREAM_SHIFT TNY_STREAM_ADD_EXACT_ONES TNY_STREAM_NEXT    \
  "7:\n\t" TNY_STREAM_AWAY TNY_STREAM_SHIFT TNY_STREAM_ADD_TO_EXACT_ONES TNY_STREAM_NEXT
/* Distances from label 9 to what `put` asks for. */
#define TNY_STREAM_TABLE(exact, to_exact) \
  ".balign 4\n"                           \
  "9:\n\t"                                \
  ".word 4b - 9b, 4b - 9b, " exact " - 9b, " to_exact " - 9b, 8b - 9b, 8b - 9b\n\t"
#define TNY_STREAM_CODES TNY_STREAM_PUT TNY_STREAM_TABLE("4b", "4b")
#define TNY_STREAM_ALL TNY_STREAM_PUT TNY_STREAM_PUT_ADD TNY_STREAM_TABLE("6b", "7b")
/* The sums of a `window`, their products with the scales, and what is `put`. On the stack are the structure, last, lanes
 * and the place of what is put. */
#define TNY_STREAM(name, window, put)                                                                         \
  TNY_ASSEMBLY void name(tny_stream_t *stream TNY_UNUSED)                                                     \
  {                                                                                                           \
    __asm volatile(                                                                                           \
        "push {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"                                                     \
        "vpush {d8, d9, d10, d11, d12, d13, d14, d15}\n\t"                                                    \
        "ldr r1, [r0, #36]\n\t" /* put */                                                                     \
        "adr.w r3, 9f\n\t"                                                                                    \
        "ldr r1, [r3, r1, lsl #2]\n\t"                                                                        \
        "add r3, r3, r1\n\t"                                                                                  \
        "orr r3, r3, #1\n\t"                                                                                  \
        "ldrd r1, r2, [r0, #8]\n\t"                                                                           \
        "push {r0, r1, r2, r3}\n\t"                                                                           \
        "adds r0, r0, #56\n\t"                                                                                \
        "vldrw.32 q4, [r0]\n\t"                                                                               \
        "vldrw.32 q5, [r0, #16]\n\t"                                                                          \
        "ldr r1, [r0, #32]\n\t"                                                                               \
        "vdup.32 q6, r1\n\t"                                                                                  \
        "mov r11, #0\n"                                                                                       \
        "3:\n\t"                                                                                              \
        "ldr r9, [sp]\n\t"                                                                                    \
        "add r3, r9, #40\n\t"                                                                                 \
        "ldm r3, {r0, r2, r4, r6}\n\t"                                                                        \
        "ldm r3, {r8, r10, r12, lr}\n\t"                                                                      \
        "ldrd r1, r9, [r9]\n" window                                                                          \
        "vmov q0[2], q0[0], r0, r4\n\t"                                                                       \
        "vmov q0[3], q0[1], r2, r6\n\t"                                                                       \
        "vmov q1[2], q1[0], r8, r12\n\t"                                                                      \
        "vmov q1[3], q1[1], r10, lr\n\t"                                                                      \
        "vqrdmulh.s32 q0, q0, q4\n\t"                                                                         \
        "vqrdmulh.s32 q1, q1, q4\n\t"                                                                         \
        "ldr pc, [sp, #12]\n" put ::                                                                          \
            : "r0", "r1", "r2", "r3", "r12", "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "cc", "memory"); \
  }

#define TNY_STEPS_3 TNY_STEP TNY_STEP TNY_STEP
#define TNY_STEPS_4 TNY_STEPS_3 TNY_STEP
TNY_STREAM(tny_stream_one, TNY_STREAM_RUN(TNY_STEP, "#16"), TNY_STREAM_CODES)
TNY_STREAM(tny_stream_one_fours, TNY_STREAM_RUN(TNY_STEPS_4, "#64"), TNY_STREAM_CODES)
TNY_STREAM(tny_stream_runs, TNY_STREAM_RUNS(TNY_STEP, "#16"), TNY_STREAM_ALL)
TNY_STREAM(tny_stream_threes, TNY_STREAM_RUNS(TNY_STEPS_3, "#48"), TNY_STREAM_ALL)
TNY_STREAM(tny_stream_taps_16, TNY_STREAM_TAPS_16 TNY_STREAM_TAPS_16 TNY_STREAM_TAPS_16, TNY_STREAM_ALL)
TNY_STREAM(tny_stream_taps_32, TNY_STREAM_TAPS_32, TNY_STREAM_ALL)
TNY_STREAM(tny_stream_taps_64, TNY_STREAM_TAPS_64, TNY_STREAM_ALL)
#ifdef TNY_NINE_BIT
#define TNY_WIDE_STEPS_2 TNY_WIDE_STEP TNY_WIDE_STEP
#define TNY_WIDE_STEPS_6 TNY_WIDE_STEPS_2 TNY_WIDE_STEPS_2 TNY_WIDE_STEPS_2
TNY_STREAM(tny_stream_wide, TNY_STREAM_RUNS(TNY_WIDE_STEPS_2, "#16"), TNY_STREAM_ALL)
TNY_STREAM(tny_stream_wide_threes, TNY_STREAM_RUN(TNY_WIDE_STEPS_6, "#48") TNY_STREAM_RUN(TNY_WIDE_STEPS_6, "#48")
           TNY_STREAM_RUN(TNY_WIDE_STEPS_6, "#48"), TNY_STREAM_ALL)
#endif

typedef void (*tny_streams_t)(tny_stream_t *stream);

/* The function for windows of `conv`; `row`: whether both pixels of a pair always lie in one row. */
TNY_INLINE tny_streams_t tny_streams_of(const tny_conv_t *conv, uint32_t put, int row)
{
  const uint32_t lanes = conv->run_length;
  const int threes = conv->runs == 3u && lanes % 48u == 0u;
#ifdef TNY_NINE_BIT
  if (conv->nine_bit) {
    return threes ? tny_stream_wide_threes : tny_stream_wide;
  }
#endif
  if (threes && row && 3u * conv->pixel_step == lanes && (lanes == 48u || lanes == 96u || lanes == 192u)) {
    return lanes == 48u ? tny_stream_taps_16 : lanes == 96u ? tny_stream_taps_32 : tny_stream_taps_64;
  }
  if (conv->runs == 1u && put != TNY_ADD_EXACT && put != TNY_ADD_TO_EXACT) {
    return lanes % 64u == 0u ? tny_stream_one_fours : tny_stream_one;
  }
  return threes ? tny_stream_threes : tny_stream_runs;
}

/* What is the same for all channels; `put` is what becomes of codes, and `more` what that needs. */
TNY_INLINE void tny_stream_layer(const tny_conv_t *conv, uint32_t put, uint32_t more, const tny_weight_t *weights,
                                 tny_stream_t *stream)
{
  stream->weights = weights;
  stream->lanes = conv->run_length;
  stream->step = 2 * conv->pixel_step;
  stream->stride = 2 * conv->out_c;
  stream->put = put;
  stream->zero = conv->zero_out;
  stream->more = more;
}

/* Scales and biases of the channels from c on. */
TNY_INLINE void tny_stream_channels(const tny_conv_t *conv, int32_t c, tny_stream_t *stream)
{
  int32x4_t bias = vldrhq_s32(conv->bias + c);
  if (conv->bias_high != NULL) {
    bias = vaddq_s32(bias, vshlq_n_s32(vldrhq_s32(conv->bias_high + c), 16));
  }
  vst1q_s32(stream->bias, bias);
  vst1q_s32(stream->multiplier, vld1q_s32(conv->multiplier + c));
  vst1q_s32(stream->shift, vnegq_s32(vldrbq_s32(conv->shift + c)));
}

/* Where the windows of the first pair of pixels start. */
TNY_INLINE void tny_stream_runs_of(const tny_conv_t *conv, const tny_pair_t *runs, tny_stream_t *stream)
{
  stream->runs = runs;
  stream->last = runs + conv->runs;
}

/* The constants of an addition in the order of TNY_OPERAND and TNY_TOTAL. */
typedef struct {
  int32_t of[10];
} tny_stream_add_t;

/* Set `constants` of an addition behind windows; return which operand is exact, or 0 if it cannot be streamed: what the
 * convolution alone computes is not to be seen then. */
TNY_INLINE uint32_t tny_stream_adds(const tny_add_t *add, tny_stream_add_t *constants)
{
#ifdef TNY_UNTRACED
  const tny_factor_t *const out = &add->out;
  const int own = tny_is_exact(&add->conv);
  const tny_factor_t *const exact = own ? &add->conv : &add->other, *const factor = own ? &add->other : &add->conv;
  if (!add->narrow && tny_is_exact(exact)) {
    const tny_stream_add_t found = {{factor->zero, factor->left, factor->multiplier, -factor->shift, out->left,
                                     out->multiplier, -out->shift, out->zero, -exact->zero * ((int32_t)1 << 19),
                                     (int32_t)1 << 19}};
    *constants = found;
    return own ? TNY_ADD_EXACT : TNY_ADD_TO_EXACT;
  }
#else
  (void)add;
  (void)constants;
#endif
  return 0;
}
#endif

#endif
