/* Packed weights: n-bit two's complement fields, least significant bit first, in little-endian 32-bit words.
 *
 * 32 fields take exactly n words, so a block decodes without branches; a row ends on a whole word. The order of the
 * fields is that of use: for a pair of output channels (a, b) two of a, two of b, two of a, ...
 */
#ifndef TNY_UNPACK_H
#define TNY_UNPACK_H

#include "tny_core.h"

/* Field i of a block of n-bit fields; i and n are constants wherever this is inlined. */
TNY_INLINE int32_t tny_field(const uint32_t *words, uint32_t i, uint32_t n)
{
  const uint32_t word = i * n / 32u, offset = i * n % 32u;
  uint32_t bits;
  if (offset + n <= 32u) {
    bits = words[word] << (32u - n - offset);
  } else {
    bits = (words[word] >> offset | words[word + 1u] << (32u - offset)) << (32u - n);
  }
  return (int32_t)bits >> (32u - n);
}

/* Two lanes in one store. */
TNY_INLINE void tny_store2(tny_lane_t *out, int32_t a, int32_t b)
{
#if TNY_IMPL == 2
  const uint16_t both = (uint16_t)(((uint32_t)a & 0xFFu) | ((uint32_t)b & 0xFFu) << 8);
  memcpy(out, &both, 2);
#elif TNY_IMPL == 1
  uint32_t both;
  __asm("pkhbt %0, %1, %2, lsl #16" : "=r"(both) : "r"(a), "r"(b));
  memcpy(out, &both, 4);
#else
  out[0] = (tny_lane_t)a;
  out[1] = (tny_lane_t)b;
#endif
}

#define TNY_F2(i, n) tny_store2(out + (i), tny_field(held, i, n), tny_field(held, (i) + 1u, n));
#define TNY_F8(i, n) TNY_F2(i, n) TNY_F2((i) + 2u, n) TNY_F2((i) + 4u, n) TNY_F2((i) + 6u, n)
#define TNY_F32(n) TNY_F8(0u, n) TNY_F8(8u, n) TNY_F8(16u, n) TNY_F8(24u, n)

/* `count` fields of n bits to `out`; blocks of 32, then the rest one by one. The words of a block are held apart, as
 * the compiler must expect each store to change what lies in memory. */
#define TNY_UNPACK(n)                                                                      \
  TNY_NOINLINE void tny_unpack_##n(const uint32_t *words, tny_lane_t *out, uint32_t count) \
  {                                                                                        \
    for (; count >= 32u; count -= 32u, words += (n), out += 32) {                          \
      uint32_t held[n];                                                                    \
      memcpy(held, words, sizeof held);                                                    \
      TNY_F32(n##u)                                                                        \
    }                                                                                      \
    for (uint32_t i = 0; i < count; i++) {                                                 \
      out[i] = (tny_lane_t)tny_field(words, i, n##u);                                      \
    }                                                                                      \
  }

#endif
