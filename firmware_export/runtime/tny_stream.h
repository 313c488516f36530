/* With the DSP extension: pairs of pixels along a row, from windows to codes, without leaving assembly. */
#ifndef TNY_STREAM_H
#define TNY_STREAM_H

#include "tny_codes.h"
#include "tny_window.h"

#if TNY_IMPL == 1 && !defined(TNY_SMALL)

/* The assembly below knows the order of the members. */
typedef struct {
  const tny_weight_t *weights, *end; /* of the first stretch */
  int32_t at;                        /* bytes on from where each stretch starts */
  int32_t bytes;                     /* of the weights of each stretch */
  int32_t step;                      /* bytes to the next pair of pixels */
  uint32_t put;
  union {
    tny_pair_t run[3]; /* of windows of one or three stretches */
    struct {
      const tny_pair_t *runs, *next, *last; /* all, the next one (of the assembly), and behind the last */
      uint32_t skip;                        /* bytes of decoded weights between stretches */
    } many;
  } of;
  int32_t bias[2], multiplier[2], offset[2], shift[2];
  int8_t *to, *on;
  int32_t stride; /* bytes to the next pair of outputs */
  int8_t *behind; /* the outputs of the first pixels */
  uint32_t more;  /* for lanes the zero point, twice; for sums where the constants of the addition lie */
  uint32_t unused;
} tny_stream_t;

/* The window of stretch `run`, which lies in the structure: `steps` at a time. */
#define TNY_STREAM_RUN(run, steps)  \
  "ldrd r1, r2, [sp, #" run "]\n\t" \
  "ldrd r3, r4, [sp, #8]\n\t"       \
  "add r1, r1, r3\n\t"              \
  "add r2, r2, r3\n\t"              \
  "add r3, r0, r4\n"                \
  "2:\n\t" steps                    \
  "cmp r0, r3\n\t"                  \
  "bne 2b\n\t"
/* One stretch, whose next start is kept. */
#define TNY_STREAM_ONE_RUN(steps)  \
  "ldrd r1, r2, [sp, #24]\n\t"     \
  "ldr r3, [sp, #16]\n\t"          \
  "add r4, r1, r3\n\t"             \
  "add r5, r2, r3\n\t"             \
  "strd r4, r5, [sp, #24]\n\t"     \
  "ldr r3, [sp, #4]\n"             \
  "2:\n\t" steps                   \
  "cmp r0, r3\n\t"                 \
  "bne 2b\n\t"
/* Any number of stretches. */
#define TNY_STREAM_RUNS(steps)     \
  "ldr r4, [sp, #24]\n"            \
  "1:\n\t"                         \
  "ldrd r1, r2, [r4], #8\n\t"      \
  "str r4, [sp, #28]\n\t"          \
  "ldrd r3, r4, [sp, #8]\n\t"      \
  "add r1, r1, r3\n\t"             \
  "add r2, r2, r3\n\t"             \
  "add r3, r0, r4\n"               \
  "2:\n\t" steps                   \
  "cmp r0, r3\n\t"                 \
  "bne 2b\n\t"                     \
  "ldrd r4, r5, [sp, #28]\n\t"     \
  "ldr r3, [sp, #36]\n\t"          \
  "add r0, r0, r3\n\t"             \
  "cmp r4, r5\n\t"                 \
  "bne 1b\n\t"

/* Two channels of two pixels as codes, or as lanes of a ring; in r0 and r1 is where they go. */
#define TNY_STREAM_CODES    \
  "strb r4, [r0]\n\t"       \
  "strb r5, [r0, #1]\n\t"   \
  "strb r6, [r1]\n\t"       \
  "strb r7, [r1, #1]\n\t"
#define TNY_STREAM_LANES              \
  "ldr r8, [sp, #96]\n\t"             \
  "pkhbt r4, r4, r5, lsl #16\n\t"     \
  "pkhbt r6, r6, r7, lsl #16\n\t"     \
  "ssub16 r4, r4, r8\n\t"             \
  "ssub16 r6, r6, r8\n\t"             \
  "sadd16 r4, r4, r4\n\t"             \
  "sadd16 r6, r6, r6\n\t"             \
  "str r4, [r0]\n\t"                  \
  "str r6, [r1]\n\t"
/* Codes, added to those that are there. The operand of the larger scale is just shifted by 19. Of the other its factor
 * 2^left, what that makes of its zero point, multiplier, half and shift, then of the sum factor, multiplier, half with
 * the zero point, shift, and what the exact operand's zero point makes come from memory. */
#define TNY_STREAM_OTHER(v, at)       \
  "ldrsb r2, " at "\n\t"              \
  "mla r2, r2, r8, r9\n\t"            \
  "smmlar r3, r2, r10, r11\n\t"       \
  "add r3, r3, r2, asr #31\n\t"       \
  "asr r3, r3, r12\n\t"               \
  "add " v ", r3, " v ", lsl #19\n\t"
#define TNY_STREAM_ONE(v, at)         \
  "mla " v ", " v ", r8, r9\n\t"      \
  "smmlar r2, " v ", r10, r11\n\t"    \
  "add r2, r2, " v ", asr #31\n\t"    \
  "ldrsb r3, " at "\n\t"              \
  "asr r2, r2, r12\n\t"               \
  "add " v ", r2, r3, lsl #19\n\t"
#define TNY_STREAM_SUM(v)             \
  "mla " v ", " v ", r8, r12\n\t"     \
  "smmlar r2, " v ", r9, r10\n\t"     \
  "add r2, r2, " v ", asr #31\n\t"    \
  "asr " v ", r2, r11\n\t"            \
  "ssat " v ", #8, " v "\n\t"
#define TNY_STREAM_ADD(operand)                                                                                  \
  "ldr lr, [sp, #96]\n\t"                                                                                        \
  "ldm lr!, {r8, r9, r10, r11, r12}\n\t"                                                                         \
  operand("r4", "[r0]") operand("r5", "[r0, #1]") operand("r6", "[r1]") operand("r7", "[r1, #1]")                \
  "ldm lr, {r8, r9, r10, r11, r12}\n\t"                                                                          \
  TNY_STREAM_SUM("r4") TNY_STREAM_SUM("r5") TNY_STREAM_SUM("r6") TNY_STREAM_SUM("r7")                            \
  TNY_STREAM_CODES                                                                                               \
  "ldrd r2, r3, [sp, #88]\n\t"
/* The next pair of pixels; `kept`: what a window of several stretches starts from. */
#define TNY_STREAM_NEXT(kept)      \
  "add r0, r0, r2\n\t"             \
  "add r1, r1, r2\n\t"             \
  "strd r0, r1, [sp, #80]\n\t"     \
  "cmp r0, r3\n\t" kept            \
  "bne 3b\n\t"                     \
  "add sp, sp, #104\n\t"           \
  "pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t"
#define TNY_STREAM_KEPT            \
  "ldr r4, [sp, #8]\n\t"           \
  "ldr r5, [sp, #16]\n\t"          \
  "add r4, r4, r5\n\t"             \
  "str r4, [sp, #8]\n\t"
/* From products to codes in r4 to r7. */
#define TNY_STREAM_AWAY               \
  "add r4, r4, r10, asr #31\n\t"      \
  "add r5, r5, r11, asr #31\n\t"      \
  "add r6, r6, r12, asr #31\n\t"      \
  "add r7, r7, lr, asr #31\n\t"
#define TNY_STREAM_SHIFT              \
  "asr r4, r4, r2\n\t"                \
  "asr r5, r5, r3\n\t"                \
  "asr r6, r6, r2\n\t"                \
  "asr r7, r7, r3\n\t"                \
  "ssat r4, #8, r4\n\t"               \
  "ssat r5, #8, r5\n\t"               \
  "ssat r6, #8, r6\n\t"               \
  "ssat r7, #8, r7\n\t"               \
  "ldrd r0, r1, [sp, #80]\n\t" /* to, on */ \
  "ldrd r2, r3, [sp, #88]\n\t" /* stride, behind */
/* The place of what `put` asks for, from a table of distances at label 9. */
#define TNY_STREAM_CHOOSE             \
  "ldr r0, [sp, #20]\n\t"             \
  "adr.w r1, 9f\n\t"                  \
  "ldr r2, [r1, r0, lsl #2]\n\t"      \
  "add r1, r1, r2\n\t"                \
  "orr r1, r1, #1\n\t"                \
  "str r1, [sp, #20]\n"
#define TNY_STREAM_TABLE(lanes, exact, to_exact, relu_lanes) \
  ".balign 4\n"                                              \
  "9:\n\t"                                                   \
  ".word 4b - 9b, " lanes " - 9b, " exact " - 9b, " to_exact " - 9b, 8b - 9b, " relu_lanes " - 9b\n\t"
#define TNY_STREAM_TO_CODES(next)                                                     \
  "4:\n\t" TNY_STREAM_AWAY TNY_STREAM_SHIFT TNY_STREAM_CODES TNY_STREAM_NEXT(next)    \
  "8:\n\t" TNY_STREAM_SHIFT TNY_STREAM_CODES TNY_STREAM_NEXT(next)
#define TNY_STREAM_TO_ALL                                                                                           \
  TNY_STREAM_TO_CODES(TNY_STREAM_KEPT)                                                                              \
  "5:\n\t" TNY_STREAM_AWAY TNY_STREAM_SHIFT TNY_STREAM_LANES TNY_STREAM_NEXT(TNY_STREAM_KEPT)                       \
  "1:\n\t" TNY_STREAM_SHIFT TNY_STREAM_LANES TNY_STREAM_NEXT(TNY_STREAM_KEPT)                                       \
  "6:\n\t" TNY_STREAM_AWAY TNY_STREAM_SHIFT TNY_STREAM_ADD(TNY_STREAM_OTHER) TNY_STREAM_NEXT(TNY_STREAM_KEPT)       \
  "7:\n\t" TNY_STREAM_AWAY TNY_STREAM_SHIFT TNY_STREAM_ADD(TNY_STREAM_ONE) TNY_STREAM_NEXT(TNY_STREAM_KEPT)         \
  TNY_STREAM_TABLE("5b", "6b", "7b", "1b")
/* The sums of a `window`, their products with the scales, and what is `put`. The structure lies on the stack. */
#define TNY_STREAM(name, window, put)                                                                            \
  TNY_ASSEMBLY void name(tny_stream_t *stream TNY_UNUSED)                                                        \
  {                                                                                                              \
    __asm volatile(                                                                                              \
        "push {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"                                                        \
        "adds r0, r0, #104\n\t"                                                                                  \
        "ldmdb r0!, {r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}\n\t"                                 \
        "push {r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}\n\t"                                       \
        "ldmdb r0!, {r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}\n\t"                                 \
        "push {r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}\n\t" TNY_STREAM_CHOOSE                     \
        "3:\n\t"                                                                                                 \
        "ldr r0, [sp]\n\t"                                                                                       \
        "ldrd r10, r11, [sp, #48]\n\t" /* bias */                                                                \
        "ldrd r12, lr, [sp, #48]\n\t" window                                                                     \
        "ldrd r0, r1, [sp, #56]\n\t" /* multiplier */                                                            \
        "ldrd r2, r3, [sp, #64]\n\t" /* offset */                                                                \
        "smmlar r4, r10, r0, r2\n\t"                                                                             \
        "smmlar r5, r11, r1, r3\n\t"                                                                             \
        "smmlar r6, r12, r0, r2\n\t"                                                                             \
        "smmlar r7, lr, r1, r3\n\t"                                                                              \
        "ldrd r2, r3, [sp, #72]\n\t" /* shift */                                                                 \
        "ldr pc, [sp, #20]\n" put ::                                                                             \
            : "r0", "r1", "r2", "r3", "r12", "cc", "memory");                                                    \
  }

#define TNY_STEPS_4 TNY_STEP TNY_STEP TNY_STEP TNY_STEP
#define TNY_STEPS_12 TNY_STEPS_4 TNY_STEPS_4 TNY_STEPS_4
#define TNY_STREAM_ALL_CODES TNY_STREAM_TO_CODES() TNY_STREAM_TABLE("4b", "4b", "4b", "8b")
TNY_STREAM(tny_stream_one, TNY_STREAM_ONE_RUN(TNY_STEP), TNY_STREAM_ALL_CODES)
TNY_STREAM(tny_stream_one_fours, TNY_STREAM_ONE_RUN(TNY_STEPS_4), TNY_STREAM_ALL_CODES)
TNY_STREAM(tny_stream_runs, TNY_STREAM_RUNS(TNY_STEP), TNY_STREAM_TO_ALL)
TNY_STREAM(tny_stream_three_twelves, TNY_STREAM_RUN("24", TNY_STEPS_12) TNY_STREAM_RUN("32", TNY_STEPS_12)
           TNY_STREAM_RUN("40", TNY_STEPS_12), TNY_STREAM_TO_ALL)

typedef void (*tny_streams_t)(tny_stream_t *stream);

/* The constants of an addition in the order of TNY_STREAM_ADD. */
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
  if (!add->narrow && out->shift <= 20u && tny_is_exact(exact)) {
    const tny_stream_add_t found = {{(int32_t)1 << factor->left, -factor->zero * ((int32_t)1 << factor->left),
                                     factor->multiplier, factor->half, factor->shift, (int32_t)1 << out->left,
                                     out->multiplier, out->half + out->zero * ((int32_t)1 << out->shift), out->shift,
                                     (int32_t)((uint32_t)-exact->zero << (19u + out->left))}};
    *constants = found;
    return own ? TNY_ADD_EXACT : TNY_ADD_TO_EXACT;
  }
#else
  (void)add;
  (void)constants;
#endif
  return 0;
}

/* Whether the stretches of `conv` stand in the structure itself. */
TNY_INLINE int tny_stream_holds(const tny_conv_t *conv, uint32_t put)
{
  return conv->runs == 1u ? put == TNY_TO_CODES || put == TNY_TO_RELU_CODES :
                            conv->runs == 3u && conv->run_length % 48u == 0u;
}

/* The function for windows of `conv`; `row`: whether both pixels of a pair always lie in one row. */
TNY_INLINE tny_streams_t tny_streams_of(const tny_conv_t *conv, uint32_t put, int row)
{
  (void)row;
  if (!tny_stream_holds(conv, put)) {
    return tny_stream_runs;
  }
  if (conv->runs == 3u) {
    return tny_stream_three_twelves;
  }
  return conv->run_length % 16u == 0u ? tny_stream_one_fours : tny_stream_one;
}

/* What is the same for all channels; `put` is what becomes of codes, and `more` what that needs. */
TNY_INLINE void tny_stream_layer(const tny_conv_t *conv, uint32_t put, uint32_t more, const tny_weight_t *weights,
                                 tny_stream_t *stream)
{
  const uint32_t lanes = conv->run_length;
  stream->weights = weights;
  stream->at = 0;
  stream->end = weights + 2u * lanes;
  stream->bytes = (int32_t)(4u * lanes);
  stream->step = 4 * conv->pixel_step;
  stream->put = put;
  stream->more = more;
  stream->stride = 2 * conv->out_c * (put == TNY_TO_LANES || put == TNY_TO_RELU_LANES ? 2 : 1);
}

/* Scales and biases of the channels from c on. */
TNY_INLINE void tny_stream_channels(const tny_conv_t *conv, int32_t c, tny_stream_t *stream)
{
  tny_begin(conv, c, stream->bias);
  for (int32_t i = 0; i < 2; i++) {
    const int32_t shift = conv->shift[c + i];
    stream->multiplier[i] = conv->multiplier[c + i];
    stream->shift[i] = shift;
    stream->offset[i] = (2 * conv->zero_out + 1) * ((int32_t)1 << (shift - 1));
  }
}

/* Where the windows of the first pair of pixels start. */
TNY_INLINE void tny_stream_runs_of(const tny_conv_t *conv, const tny_pair_t *runs, tny_stream_t *stream)
{
  if (tny_stream_holds(conv, stream->put)) {
    memcpy(stream->of.run, runs, sizeof stream->of.run);
  } else {
    stream->of.many.runs = runs;
    stream->of.many.last = runs + conv->runs;
    stream->of.many.skip = 4u * (-(uint32_t)conv->run_length & 15u);
  }
}
#endif

#endif
