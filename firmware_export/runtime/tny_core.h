/* Types, the choice of an implementation, and the arithmetic that every kernel shares.
 *
 * Everything here is static: a package is one translation unit, whose only global symbols carry the model's prefix.
 * TNY_IMPL selects the hot kernels: 0 portable C99, 1 DSP extension (Armv7E-M, Armv8-M), 2 MVE (Armv8.1-M).
 * No heap, no stdio, no floating point, no recursion.
 */
#ifndef TNY_CORE_H
#define TNY_CORE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The MVE kernels want GCC, which takes what inlining has made a constant as an immediate of a vector shift. */
#ifndef TNY_IMPL
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__) && defined(__ARM_FEATURE_MVE) && \
    (__ARM_FEATURE_MVE & 1)
#define TNY_IMPL 2
#elif defined(__GNUC__) && defined(__OPTIMIZE__) && defined(__ARM_FEATURE_DSP) && defined(__thumb2__) && \
    defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
#define TNY_IMPL 1
#else
#define TNY_IMPL 0
#endif
#endif

#if TNY_IMPL == 2
#include <arm_mve.h>
#endif

#if defined(__GNUC__)
#define TNY_INLINE static inline __attribute__((always_inline))
#define TNY_NOINLINE static __attribute__((noinline, unused))
#define TNY_FUNCTION static __attribute__((unused))
#define TNY_ASSEMBLY static __attribute__((naked, noinline, unused)) /* a whole function, which names its registers */
#define TNY_UNUSED __attribute__((unused))
#else
#define TNY_INLINE static inline
#define TNY_NOINLINE static
#define TNY_FUNCTION static
#endif

/* What the hot kernels read: plain int8 codes whose zero point is folded into the bias, or with the DSP extension
 * 2 (x - zero point) in 16 bits; twice, as the multiplication by a scale wants its operand doubled. The last is what
 * differs where a lane takes two bytes or one. */
#if TNY_IMPL == 1
typedef int16_t tny_lane_t;
#define TNY_PER_LANE(two, one) (two)
#else
typedef int8_t tny_lane_t;
#define TNY_PER_LANE(two, one) (one)
#endif

/* Called with every value of every tensor when a package is verified; nothing otherwise. */
#ifndef TNY_TRACE
#define TNY_UNTRACED
#define TNY_TRACE(tensor, index, value) ((void)(tensor), (void)(index), (void)(value))
#endif

/* Called at the start of every piece of work of a layer when a package is profiled; nothing otherwise. */
#ifndef TNY_ENTER
#define TNY_ENTER(layer) ((void)(layer))
#endif

/* Output side of one channel: y = clamp(round(sum * multiplier * 2^(shift - 31)) + zero_out). */
typedef struct {
  int32_t multiplier;
  int32_t shift; /* right shift after the product, 0..31; a left shift is negative */
} tny_scale_t;

/* add + round(x * multiplier / 2^32), halves up, for a sum within 32 bits. */
TNY_INLINE int32_t tny_high_add(int32_t add, int32_t x, int32_t multiplier)
{
#if TNY_IMPL >= 1
  int32_t high;
  __asm("smmlar %0, %1, %2, %3" : "=r"(high) : "r"(x), "r"(multiplier), "r"(add));
  return high;
#elif defined(__ARM_ARCH_6M__)
  /* No instruction makes 64 bits: halves of 16 bits, of a multiplier that is not negative. */
  const uint32_t low = (uint32_t)x & 0xFFFFu, below = (uint32_t)multiplier & 0xFFFFu;
  const int32_t high = x >> 16, above = multiplier >> 16;
  const int32_t one = high * (int32_t)below + (int32_t)(low * below >> 16);
  const int32_t other = (int32_t)low * above + (int32_t)((uint32_t)one & 0xFFFFu);
  return add + high * above + (one >> 16) + (((other >> 15) + 1) >> 1);
#else
  const int64_t product = (int64_t)x * multiplier;
  return add + (int32_t)(product >> 32) + (int32_t)((uint32_t)product >> 31);
#endif
}

/* round(x * multiplier / 2^31), halves up. The exporter proves for each model that 2 x fits 32 bits. */
TNY_INLINE int32_t tny_high(int32_t x, int32_t multiplier)
{
#if TNY_IMPL >= 1
  int32_t high; /* (2 x m + 2^31) >> 32 */
  __asm("smmulr %0, %1, %2" : "=r"(high) : "r"(x * 2), "r"(multiplier));
  return high;
#else
  return tny_high_add(0, x * 2, multiplier);
#endif
}

TNY_INLINE int32_t tny_saturate(int32_t x)
{
#if TNY_IMPL >= 1
  int32_t code;
  __asm("ssat %0, #8, %1" : "=r"(code) : "r"(x));
  return code;
#else
  x = x < -128 ? -128 : x;
  return x > 127 ? 127 : x;
#endif
}

/* round(x / 2^shift), halves away from zero, for shift > 0. */
TNY_INLINE int32_t tny_divide(int32_t x, int32_t shift)
{
  return (x + ((int32_t)1 << (shift - 1)) + (x >> 31)) >> shift;
}

/* TFLite Micro's two roundings; a negative shift multiplies first. No intermediate leaves 32 bits (proven on export). */
TNY_INLINE int32_t tny_requantize(int32_t x, tny_scale_t scale)
{
  if (scale.shift > 0) {
    return tny_divide(tny_high(x, scale.multiplier), scale.shift);
  }
  return tny_high(x * ((int32_t)1 << -scale.shift), scale.multiplier);
}

TNY_INLINE int32_t tny_clamp(int32_t x, int32_t low, int32_t high)
{
  x = x < low ? low : x;
  return x > high ? high : x;
}

#if TNY_IMPL == 2
TNY_INLINE int32x4_t tny_clamp4(int32x4_t x, int32_t low, int32_t high)
{
  return vminq_s32(vmaxq_s32(x, vdupq_n_s32(low)), vdupq_n_s32(high));
}

/* int8 in the lowest byte of each lane, whatever in the others. */
TNY_INLINE int32x4_t tny_saturate4(int32x4_t x)
{
  __asm("vqmovnb.s32 %q0, %q0\n\tvqmovnb.s16 %q0, %q0" : "+w"(x)); /* intrinsics would copy the vector twice */
  return x;
}

TNY_INLINE int32x4_t tny_extend4(int32x4_t bytes)
{
  return vmovlbq_s16(vmovlbq_s8(vreinterpretq_s8_s32(bytes)));
}
#endif

#endif
