/* The ring and the inner loops of depthwise 3x3 convolution with MVE.
 *
 * A column of the ring holds four channels, of each the codes of four rows, row r being the (r % 4)th: four columns of
 * one channel are a vector of 16 codes. With stride 1 a vector gives two by two outputs, with stride 2 one.
 */
#ifndef TNY_DEPTHWISE_MVE_H
#define TNY_DEPTHWISE_MVE_H

#include "tny_plain_conv.h"

#define TNY_COLUMN 16 /* bytes of the ring */

/* One channel: for windows that start with row 0 or 2 of the ring the taps of its outputs. The assembly below knows the
 * order of the members. */
typedef struct {
  int8_t taps[2][4][16];
  int32_t bias, multiplier, shift, unused; /* the bias less the zero point's part; the shift to the left */
} tny_patch_t;

/* What the assembly needs beside channels. */
typedef struct {
  uint32_t from[4];        /* where the words of the first vector lie, less one step */
  const tny_patch_t *patch;
  uint32_t taps;           /* bytes from the patch on */
  int8_t *out;
  int32_t channels, zero, step; /* bytes to the next outputs */
  uint32_t count, rest;    /* whole steps, and whether one more is partly valid */
  uint32_t whole, partly;  /* predicates of 16-bit lanes for those */
  const uint16_t *places;  /* of eight outputs */
  uint32_t unused;
} tny_patches_t;

/* Four channels; the ring lies behind. */
typedef struct {
  tny_patch_t channels[4];
  tny_patches_t task;
  uint16_t places[8];
  uint16_t valid[2][2]; /* predicates for one row and two, whole steps and the last one */
  int32_t columns;
  int8_t ring[TNY_COLUMN]; /* and more */
} tny_four_t;

#define TNY_FOUR_ROWS(conv) ((conv)->stride_h == 1 ? 2 : 1)

/* From the sums in q6 and q7 to eight codes; `sign` makes halves of negative sums round away from zero. */
#define TNY_PATCH_CODES(sign)        \
  "vadd.i32 q6, q6, r1\n\t"          \
  "vadd.i32 q7, q7, r1\n\t"          \
  "vqrdmulh.s32 q6, q6, r3\n\t"      \
  "vqrdmulh.s32 q7, q7, r3\n\t" sign \
  "vrshl.s32 q6, r5\n\t"             \
  "vrshl.s32 q7, r5\n\t"             \
  "vqmovnb.s32 q6, q6\n\t"           \
  "vqmovnt.s32 q6, q7\n\t"           \
  "vqadd.s16 q6, q6, r7\n\t"         \
  "vqmovnb.s16 q6, q6\n\t"           \
  "vldrh.u16 q7, [r11]\n\t"          \
  "vpst\n\t"                         \
  "vstrbt.16 q6, [r2, q7]\n\t"       \
  "add r2, r2, r9\n\t"
#define TNY_SIGN              \
  "vshr.s32 q5, q6, #31\n\t"  \
  "vadd.i32 q6, q6, q5\n\t"   \
  "vshr.s32 q5, q7, #31\n\t"  \
  "vadd.i32 q7, q7, q5\n\t"
/* Eight outputs of each of some channels, and so on along a row. */
#define TNY_PATCHES(name, sums, sign)                                                                        \
  TNY_ASSEMBLY void name(tny_patches_t *task TNY_UNUSED)                                                     \
  {                                                                                                          \
    __asm volatile(                                                                                          \
        "push {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"                                                    \
        "vpush {d8, d9, d10, d11, d12, d13, d14, d15}\n\t"                                                   \
        "ldr r12, [r0, #16]\n\t"      /* patch */                                                            \
        "ldrd r7, r9, [r0, #32]\n\t"  /* zero, step */                                                       \
        "ldr r11, [r0, #56]\n"        /* places */                                                           \
        "1:\n\t"                                                                                             \
        "ldrd r4, r2, [r0, #20]\n\t"  /* taps, out */                                                        \
        "add r4, r12, r4\n\t"                                                                                \
        "vldrw.u32 q0, [r4]\n\t"                                                                             \
        "vldrw.u32 q1, [r4, #16]\n\t"                                                                        \
        "vldrw.u32 q2, [r4, #32]\n\t"                                                                        \
        "vldrw.u32 q3, [r4, #48]\n\t"                                                                        \
        "vldrw.u32 q4, [r0]\n\t"                                                                             \
        "movs r4, #4\n\t"                                                                                    \
        "vadd.i32 q5, q4, r4\n\t"                                                                            \
        "vstrw.32 q5, [r0]\n\t"                                                                              \
        "adds r4, r2, #1\n\t"                                                                                \
        "str r4, [r0, #24]\n\t"                                                                              \
        "ldrd r1, r3, [r12, #128]\n\t" /* bias, multiplier */                                                \
        "ldr r5, [r12, #136]\n\t"      /* shift */                                                           \
        "add r12, r12, #144\n\t"                                                                             \
        "ldrd r4, r6, [r0, #40]\n\t"  /* count, rest */                                                      \
        "str r6, [sp, #-8]!\n\t"                                                                             \
        "ldr r6, [r0, #48]\n\t"       /* whole */                                                            \
        "vmsr p0, r6\n\t"                                                                                    \
        "cmp r4, #0\n\t"                                                                                     \
        "beq 3f\n\t"                                                                                         \
        "dls lr, r4\n"                                                                                       \
        "2:\n\t" sums TNY_PATCH_CODES(sign)                                                                  \
        "le lr, 2b\n"                                                                                        \
        "3:\n\t"                                                                                             \
        "ldr r4, [sp]\n\t"                                                                                   \
        "cmp r4, #0\n\t"                                                                                     \
        "beq 4f\n\t"                                                                                         \
        "movs r6, #0\n\t"                                                                                    \
        "str r6, [sp]\n\t"                                                                                   \
        "ldr r6, [r0, #52]\n\t"       /* partly */                                                           \
        "vmsr p0, r6\n\t"                                                                                    \
        "dls lr, r4\n\t"                                                                                     \
        "b 2b\n"                                                                                             \
        "4:\n\t"                                                                                             \
        "add sp, sp, #8\n\t"                                                                                 \
        "ldr r4, [r0, #28]\n\t"       /* channels */                                                         \
        "subs r4, r4, #1\n\t"                                                                                \
        "str r4, [r0, #28]\n\t"                                                                              \
        "bne 1b\n\t"                                                                                         \
        "vpop {d8, d9, d10, d11, d12, d13, d14, d15}\n\t"                                                    \
        "pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t" ::                                                  \
            : "r0", "r1", "r2", "r3", "r12", "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "cc", "memory"); \
  }

/* Two by two outputs of one vector: lanes 0 and 2 are the upper ones, lanes 1 and 3 the lower ones. */
#define TNY_PATCH_OF(to)             \
  "vldrw.u32 q5, [q4, #32]!\n\t"     \
  "vmladav.s8 r4, q0, q5\n\t"        \
  "vmladav.s8 r6, q1, q5\n\t"        \
  "vmladav.s8 r8, q2, q5\n\t"        \
  "vmladav.s8 r10, q3, q5\n\t"       \
  "vmov " to "[2], " to "[0], r4, r6\n\t" \
  "vmov " to "[3], " to "[1], r8, r10\n\t"
/* Four outputs of as many vectors, which start two columns apart, in the order of the lanes. */
#define TNY_PATCH_EACH(to)           \
  "vldrw.u32 q5, [q4, #32]!\n\t"     \
  "vldrw.u32 q3, [q4, #32]!\n\t"     \
  "vmladav.s8 r4, q0, q5\n\t"        \
  "vmladav.s8 r6, q0, q3\n\t"        \
  "vldrw.u32 q5, [q4, #32]!\n\t"     \
  "vldrw.u32 q3, [q4, #32]!\n\t"     \
  "vmladav.s8 r8, q0, q5\n\t"        \
  "vmladav.s8 r10, q0, q3\n\t"       \
  "vmov " to "[2], " to "[0], r4, r8\n\t" \
  "vmov " to "[3], " to "[1], r6, r10\n\t"

TNY_PATCHES(tny_patches, TNY_PATCH_OF("q6") TNY_PATCH_OF("q7"), TNY_SIGN)
TNY_PATCHES(tny_patches_low, TNY_PATCH_OF("q6") TNY_PATCH_OF("q7"), )
TNY_PATCHES(tny_patches_by_two, TNY_PATCH_EACH("q6") TNY_PATCH_EACH("q7"), TNY_SIGN)
TNY_PATCHES(tny_patches_by_two_low, TNY_PATCH_EACH("q6") TNY_PATCH_EACH("q7"), )

/* Where output `i` of a step is: its column and row. Codes of q6 and q7 take turns. */
TNY_INLINE int32_t tny_place_column(const tny_plain_conv_t *conv, int32_t i)
{
  return conv->stride_h == 1 ? 2 * (i % 2) + i / 4 : 4 * (i % 2) + i / 2;
}

TNY_INLINE int32_t tny_place_row(const tny_plain_conv_t *conv, int32_t i)
{
  return conv->stride_h == 1 ? i / 2 % 2 : 0;
}

/* The predicate for outputs of the first `columns` columns and `rows` rows. */
static inline uint32_t tny_valid(const tny_plain_conv_t *conv, int32_t columns, int32_t rows)
{
  uint32_t valid = 0;
  for (int32_t i = 0; i < 8; i++) {
    if (tny_place_column(conv, i) < columns && tny_place_row(conv, i) < rows) {
      valid |= 3u << (2 * i);
    }
  }
  return valid;
}

/* Which of nine taps meets each code of a vector, 9: none; windows of row 0 and of row 2 of the ring, and of the outputs
 * that stride 1 has to the right, below, and below to the right. */
static const uint8_t tny_taps_at[2][4][16] = {
    {{0, 3, 6, 9, 1, 4, 7, 9, 2, 5, 8, 9, 9, 9, 9, 9}, {9, 9, 9, 9, 0, 3, 6, 9, 1, 4, 7, 9, 2, 5, 8, 9},
     {9, 0, 3, 6, 9, 1, 4, 7, 9, 2, 5, 8, 9, 9, 9, 9}, {9, 9, 9, 9, 9, 0, 3, 6, 9, 1, 4, 7, 9, 2, 5, 8}},
    {{6, 9, 0, 3, 7, 9, 1, 4, 8, 9, 2, 5, 9, 9, 9, 9}, {9, 9, 9, 9, 6, 9, 0, 3, 7, 9, 1, 4, 8, 9, 2, 5},
     {3, 6, 9, 0, 4, 7, 9, 1, 5, 8, 9, 2, 9, 9, 9, 9}, {9, 9, 9, 9, 3, 6, 9, 0, 4, 7, 9, 1, 5, 8, 9, 2}}};

static inline void tny_patch_begin(const tny_plain_conv_t *conv, tny_patch_t *patch, int32_t c)
{
  int8_t taps[16];
  tny_nine_taps(conv, c, taps);
  taps[9] = 0;
  for (uint32_t i = 0; i < 8u; i++) {
    const uint8x16_t at = vldrbq_u8(tny_taps_at[i / 4u][i % 4u]);
    vstrbq_s8(patch->taps[i / 4u][i % 4u], vldrbq_gather_offset_s8(taps, at));
  }
  const mve_pred16_t nine = vctp8q(9);
  patch->bias = conv->bias[c] - conv->zero_in * vaddvq_p_s8(vldrbq_z_s8(taps, nine), nine);
  patch->multiplier = conv->scale[c].multiplier;
  patch->shift = -conv->scale[c].shift;
}

/* What is the same for all channels. */
static inline void tny_four_prepare(const tny_plain_conv_t *conv, tny_four_t *four)
{
  const int32_t at_once = conv->stride_h == 1 ? 4 : 8;
  tny_patches_t *const task = &four->task;
  for (int32_t i = 0; i < 8; i++) {
    four->places[i] = (uint16_t)(tny_place_column(conv, i) * conv->out_column + tny_place_row(conv, i) * conv->out_row);
  }
  for (int32_t rows = 1; rows <= 2; rows++) {
    four->valid[rows - 1][0] = (uint16_t)tny_valid(conv, at_once, rows);
    four->valid[rows - 1][1] = (uint16_t)tny_valid(conv, conv->out_w % at_once, rows);
  }
  task->zero = conv->zero_out;
  task->step = at_once * conv->out_column;
  task->count = (uint32_t)(conv->out_w / at_once);
  task->rest = conv->out_w % at_once != 0;
  task->places = four->places;
  four->columns = ((int32_t)(task->count + task->rest)) * at_once * conv->stride_w + 2;
  memset(four->ring, conv->zero_in, (size_t)(TNY_COLUMN * four->columns));
}

static inline void tny_four_begin(const tny_plain_conv_t *conv, tny_four_t *four, int32_t c)
{
  if (c == 0) { /* later channels find the margins of the ring as they are */
    tny_four_prepare(conv, four);
  }
  for (int32_t k = 0; k < 4; k++) {
    tny_patch_begin(conv, four->channels + k, c + k);
  }
}

/* One channel of a row, wherever it lies. */
TNY_INLINE void tny_fill_one(const int8_t *in, int32_t step, int8_t *to, int32_t count)
{
  const uint16x8_t from = vmulq_n_u16(vidupq_n_u16(0, 1), (uint16_t)step), places = vidupq_n_u16(0, 8);
  for (; count > 0; count -= 8, in += 8 * step, to += 8 * TNY_COLUMN) {
    const mve_pred16_t valid = vctp16q((uint32_t)count);
    const uint16x8_t codes = vldrbq_gather_offset_z_u16((const uint8_t *)in, from, valid);
    vstrbq_scatter_offset_p_u16((uint8_t *)to, vshlq_n_u16(places, 1), codes, valid);
  }
}

/* Padded row `row`, four channels from `in` on (NULL: padding). */
TNY_NOINLINE void tny_four_fill(const tny_plain_conv_t *conv, tny_four_t *four, const int8_t *in, int32_t row)
{
  const int32_t step = conv->in_column, room = four->columns - conv->pad_left;
  int32_t count = conv->in_w < room ? conv->in_w : room;
  int8_t *to = four->ring + TNY_COLUMN * conv->pad_left + row % 4;
  const uint8x16_t places = vshlq_n_u8(vidupq_n_u8(0, 1), 2); /* column, channel */
  if (in == NULL) {
    for (; count > 0; count -= 4, to += 4 * TNY_COLUMN) {
      vstrbq_scatter_offset_p_u8((uint8_t *)to, places, vdupq_n_u8((uint8_t)conv->zero_in), vctp8q(4u * (uint32_t)count));
    }
  } else if (conv->out_c % 4 == 0) {
    const uint32x4_t from = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)step);
    for (; count >= 4; count -= 4, in += 4 * step, to += 4 * TNY_COLUMN) {
      const uint32x4_t codes = vldrwq_gather_offset_u32((const uint32_t *)(const void *)in, from);
      vstrbq_scatter_offset_u8((uint8_t *)to, places, vreinterpretq_u8_u32(codes));
    }
    if (count > 0) {
      const mve_pred16_t valid = vctp8q(4u * (uint32_t)count);
      const uint32x4_t codes = vldrwq_gather_offset_z_u32((const uint32_t *)(const void *)in, from, valid);
      vstrbq_scatter_offset_p_u8((uint8_t *)to, places, vreinterpretq_u8_u32(codes), valid);
    }
  } else {
    for (int32_t k = 0; k < 4; k++) {
      tny_fill_one(in + k, step, to + 4 * k, count);
    }
  }
}

/* The output rows whose first window starts with padded row `top`, of the channels from `first` on. */
TNY_NOINLINE void tny_four_rows(const tny_plain_conv_t *conv, tny_four_t *four, int8_t *out, int32_t top, int32_t rows,
                                int32_t first)
{
  const int32_t step = 2 * TNY_COLUMN, by_two = conv->stride_h == 2;
  tny_patches_t *const task = &four->task;
  for (uint32_t i = 0; i < 4u; i++) {
    task->from[i] = (uint32_t)(uintptr_t)four->ring + TNY_COLUMN * i + 4u * (uint32_t)first - (uint32_t)step;
  }
  task->patch = four->channels + first;
  task->taps = top % 4 != 0 ? sizeof four->channels[0].taps[0] : 0u;
  task->out = out + first;
  task->channels = 4 - first;
  task->whole = four->valid[rows - 1][0];
  task->partly = four->valid[rows - 1][1];
  if (conv->zero_out == -128) { /* what is negative becomes -128, however it is rounded */
    (by_two ? tny_patches_by_two_low : tny_patches_low)(task);
  } else {
    (by_two ? tny_patches_by_two : tny_patches)(task);
  }
}

#endif
