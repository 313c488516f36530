/* Packed weights: n-bit fields, each a weight plus 2^(n - 1), in little-endian 32-bit words.
 *
 * Each byte of a vector of 16 bytes has a stream of its own, least significant bit first: the fields of both channels of
 * a pair in the first chunk of 16 lanes, in the second, and so on; four chunks take n whole vectors. Thus one shift and
 * one mask find the same field of 4 or 16 lanes. Of 9 bits the upper 8 come first as bytes, then all the lowest bits.
 * Byte 1 of a word is lane 2 and byte 2 lane 1, as bytes 0 and 2 widen to a pair of 16-bit lanes; see TNY_WORD.
 */
#ifndef TNY_UNPACK_H
#define TNY_UNPACK_H

#include "tny_types.h"

/* Between the weights of two chunks: MVE has four channels side by side (of 9 bits twice, 8 of each and 8 of each), the DSP extension
 * two; portable C has two in each. */
#if TNY_IMPL == 2
#define TNY_CHUNK_WEIGHTS 64
#elif TNY_IMPL == 1
#define TNY_CHUNK_WEIGHTS 32
#else
#define TNY_CHUNK_WEIGHTS 16
#endif

#define TNY_WEIGHT_BYTES(n) (TNY_IMPL == 2 && (n) == 9u ? 2u : 1u) /* of MVE; others do not count in bytes */

/* A word as it stands in a table: MVE wants its lanes in their order. */
#if TNY_IMPL == 2
#define TNY_WORD(x) (((x) & 0xFF0000FFu) | ((x) >> 8 & 0xFF00u) | ((x) << 8 & 0xFF0000u))
#else
#define TNY_WORD(x) (x)
#endif

#if TNY_IMPL == 2
/* Field k of 16 streams of n-bit fields; k and n are constants wherever this is inlined. An immediate shift by nothing
 * is not allowed: where one would stand in a branch not taken, there is a shift by one. */
TNY_INLINE uint8x16_t tny_fields16(const uint8_t *vectors, uint32_t k, uint32_t n)
{
  const uint32_t shift = k * n % 8u, above = 8u - n;
  const uint8_t *const at = vectors + k * n / 8u * 16u;
  uint8x16_t found = vldrbq_u8(at);
  if (shift + n > 8u) {
    found = vsliq_n_u8(vshrq_n_u8(found, shift > 0u ? (int)shift : 1), vldrbq_u8(at + 16), (int)((8u - shift) & 7u));
    found = above > 0u ? vshlq_n_u8(found, (int)(above & 7u)) : found;
  } else if (above > shift) {
    found = vshlq_n_u8(found, (int)((above - shift) & 7u));
  }
  return above > 0u ? vshrq_n_u8(found, above > 0u ? (int)above : 1) : found;
}

/* 16 weights of field k, of fewer than 9 bits. */
TNY_INLINE void tny_weights16(const uint8_t *vectors, uint32_t k, uint32_t n, int8_t *out)
{
  vstrbq_s8(out, vreinterpretq_s8_u8(vsubq_n_u8(tny_fields16(vectors, k, n), (uint8_t)(1u << (n - 1u)))));
}

/* 8 weights of 9 bits: their upper 8 are the bytes at `upper`, the lowest is bit k of the bytes at `ones`. */
TNY_INLINE void tny_wide8(const uint8_t *upper, const uint8_t *ones, uint32_t k, int8_t *out)
{
  const uint16x8_t lowest = vshlq_r_u16(vldrbq_u16(ones), -(int32_t)k), twice = vshlq_n_u16(vldrbq_u16(upper), 1);
  const uint16x8_t field = vorrq_u16(twice, vandq_u16(lowest, vdupq_n_u16(1u)));
  vst1q_s16((int16_t *)(void *)out, vreinterpretq_s16_u16(vsubq_n_u16(field, 256u)));
}

/* Chunk i of a block whose lowest bits (of 9) are at `ones`. */
TNY_INLINE void tny_unpack_chunk(const uint32_t *words, const uint32_t *ones, tny_weight_t *out, uint32_t i, uint32_t n)
{
  const uint8_t *const from = (const uint8_t *)words, *const lowest = (const uint8_t *)ones;
  if (n == 9u) {
    for (uint32_t k = 2u * i; k < 2u * i + 2u; k++, out += 16) {
      tny_wide8(from + 16u * k, lowest, k, out + 2 * TNY_CHUNK_WEIGHTS * i);
      tny_wide8(from + 16u * k + 8u, lowest + 8, k, out + 2 * TNY_CHUNK_WEIGHTS * i + 64);
    }
    return;
  }
  tny_weights16(from, 2u * i, n, out + TNY_CHUNK_WEIGHTS * i);
  tny_weights16(from, 2u * i + 1u, n, out + TNY_CHUNK_WEIGHTS * i + 16u);
}
#else
/* A mask of bytes, in a register with the DSP extension: only then one instruction shifts and masks. */
TNY_INLINE uint32_t tny_mask4(uint32_t byte)
{
  uint32_t mask = byte * 0x01010101u;
#if TNY_IMPL == 1
  __asm("" : "+r"(mask));
#endif
  return mask;
}

/* Field k of four streams of n-bit fields, one in each byte; k and n are constants wherever this is inlined. */
TNY_INLINE uint32_t tny_fields4(const uint32_t *words, uint32_t k, uint32_t n)
{
  const uint32_t at = 4u * (k * n / 8u), shift = k * n % 8u, mask = (1u << n) - 1u;
  if (n == 8u) {
    return words[at];
  }
  const uint32_t low = words[at] >> shift & tny_mask4(mask & 0xFFu >> shift);
  if (shift + n <= 8u) {
    return low;
  }
  return low | (words[at + 4u] << (8u - shift) & tny_mask4(mask & 0xFFu << (8u - shift)));
}

#if TNY_IMPL == 1
/* Two weights from bytes 0 and 2 of `field`, or with `upper` 1 and 3; `one` likewise holds the lowest of 9 bits. */
TNY_INLINE uint32_t tny_both(uint32_t field, uint32_t one, int upper, uint32_t n)
{
  uint32_t both = (0x10000u - (1u << (n - 1u))) * 0x10001u;
#define TNY_EXTEND_ADD(x)                                              \
  if (upper) {                                                         \
    __asm("uxtab16 %0, %1, %2, ror #8" : "=r"(both) : "r"(both), "r"(x)); \
  } else {                                                             \
    __asm("uxtab16 %0, %1, %2" : "=r"(both) : "r"(both), "r"(x));      \
  }
  TNY_EXTEND_ADD(field)
  if (n == 9u) {
    TNY_EXTEND_ADD(field)
    TNY_EXTEND_ADD(one)
  }
#undef TNY_EXTEND_ADD
  return both;
}

/* Four words of chunk `number`, two at once, which no compiler is sure to do. */
#define TNY_STORE_4(number, first, second)                                                                          \
  if (i == (number)) {                                                                                              \
    __asm volatile("strd %1, %2, " first "\n\tstrd %3, %4, " second                                                 \
                   :                                                                                                \
                   : "r"(out), "r"(words4[0]), "r"(words4[1]), "r"(words4[2]), "r"(words4[3])                       \
                   : "memory");                                                                                     \
  }
#else
/* The weights of one lane of both channels, from byte `at` of `a` and `b`; `one_a`, `one_b` hold the lowest of 9 bits. */
TNY_INLINE int32_t tny_both(uint32_t a, uint32_t b, uint32_t one_a, uint32_t one_b, uint32_t at, uint32_t n)
{
  uint32_t low = a >> 8u * at & 0xFFu, high = b >> 8u * at & 0xFFu;
  if (n == 9u) {
    low = 2u * low + (one_a >> 8u * at & 0xFFu);
    high = 2u * high + (one_b >> 8u * at & 0xFFu);
  }
  return (int32_t)(low + (high << 16) - (0x10001u << (n - 1u)));
}
#endif

/* Chunk i of a block whose lowest bits (of 9) are at `ones`: two weights of one channel, two of the other, and so on; in
 * portable C lane by lane. */
TNY_INLINE void tny_unpack_chunk(const uint32_t *words, const uint32_t *ones, tny_weight_t *out, uint32_t i, uint32_t n)
{
  const uint32_t whole = n < 9u ? n : 8u;
  const uint32_t a = tny_fields4(words, 2u * i, whole), b = tny_fields4(words, 2u * i + 1u, whole);
  const uint32_t one_a = n < 9u ? 0u : tny_fields4(ones, 2u * i, 1u);
  const uint32_t one_b = n < 9u ? 0u : tny_fields4(ones, 2u * i + 1u, 1u);
#if TNY_IMPL == 1
  const uint32_t words4[4] = {tny_both(a, one_a, 0, n), tny_both(b, one_b, 0, n), tny_both(a, one_a, 1, n),
                              tny_both(b, one_b, 1, n)};
  TNY_STORE_4(0u, "[%0]", "[%0, #8]")
  TNY_STORE_4(1u, "[%0, #64]", "[%0, #72]")
  TNY_STORE_4(2u, "[%0, #128]", "[%0, #136]")
  TNY_STORE_4(3u, "[%0, #192]", "[%0, #200]")
#else
  out += TNY_CHUNK_WEIGHTS * i;
  out[0] = tny_both(a, b, one_a, one_b, 0u, n);
  out[1] = tny_both(a, b, one_a, one_b, 2u, n);
  out[2] = tny_both(a, b, one_a, one_b, 1u, n);
  out[3] = tny_both(a, b, one_a, one_b, 3u, n);
#endif
}
#endif

/* At most four chunks of two channels. */
TNY_INLINE void tny_unpack_block(const uint32_t *restrict words, tny_weight_t *restrict out, uint32_t chunks, uint32_t n)
{
#if TNY_IMPL == 2
  const uint32_t columns = 1u;
#else
  const uint32_t columns = 4u;
#endif
  for (uint32_t column = 0; column < columns; column++) {
    const uint32_t *const from = words + column, *const ones = from + 8u * chunks;
    tny_weight_t *const to = out + TNY_CHUNK_WEIGHTS / 4 * column;
    tny_unpack_chunk(from, ones, to, 0u, n);
    if (chunks > 1u) {
      tny_unpack_chunk(from, ones, to, 1u, n);
    }
    if (chunks > 2u) {
      tny_unpack_chunk(from, ones, to, 2u, n);
    }
    if (chunks > 3u) {
      tny_unpack_chunk(from, ones, to, 3u, n);
    }
  }
}

/* `chunks` chunks of two channels; n is a constant wherever this is inlined. */
TNY_INLINE void tny_unpack(const uint32_t *restrict words, tny_weight_t *restrict out, uint32_t chunks, uint32_t n)
{
#ifndef TNY_SMALL
  for (; chunks >= 4u; words += 4u * n, out += 4u * TNY_WEIGHT_BYTES(n) * TNY_CHUNK_WEIGHTS, chunks -= 4u) {
    tny_unpack_block(words, out, 4u, n); /* which asks nothing */
  }
#endif
  for (; chunks > 0u; words += 4u * n, out += 4u * TNY_WEIGHT_BYTES(n) * TNY_CHUNK_WEIGHTS) {
    const uint32_t some = chunks < 4u ? chunks : 4u;
    tny_unpack_block(words, out, some, n);
    chunks -= some;
  }
}

/* The function for one width. */
#define TNY_UNPACK(n)                                                                       \
  TNY_NOINLINE void tny_unpack_##n(const uint32_t *restrict words, tny_weight_t *restrict out, uint32_t chunks) \
  {                                                                                         \
    tny_unpack(words, out, chunks, n##u);                                                   \
  }

#endif
