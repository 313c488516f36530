/* Arithmetic of the front ends in float32: IEEE operations in one order, so that every core and Python give the same bits.
 * No product may be fused with a sum, and nothing may be reordered. */
#ifndef TNY_FRONTEND_FLOAT_H
#define TNY_FRONTEND_FLOAT_H

#include "tny_core.h"

#ifdef __FAST_MATH__
#error "the front ends are exact only without -ffast-math: compile this file without it"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#if TNY_IMPL == 2
#pragma GCC optimize("no-tree-vectorize") /* MVE takes the smallest numbers for 0 */
#endif
#endif

#define TNY_REAL
typedef float tny_real_t;
typedef float tny_power_t;
typedef float tny_step_t; /* codes above the lowest */
typedef struct {
  float r, i;
} tny_complex_t;

#define TNY_COS3 (-0.5f)
#define TNY_SIN3 0x1.bb67aep-1f
#define TNY_COS5_1 0x1.3c6ef4p-2f
#define TNY_COS5_2 (-0x1.9e377ap-1f)
#define TNY_SIN5_1 0x1.e6f0e2p-1f
#define TNY_SIN5_2 0x1.2cf23p-1f

TNY_INLINE float tny_times(float a, float b)
{
  return a * b;
}

TNY_INLINE float tny_product(float a)
{
  return a * a;
}

TNY_INLINE void tny_put_power(tny_complex_t *z, size_t k, float power)
{
  z[k].r = power;
}

TNY_INLINE float tny_power(const tny_complex_t *z, size_t k)
{
  return z[k].r;
}

/* 10 log10 of a positive normal number. */
TNY_FUNCTION float tny_decibels(float power)
{
  uint32_t bits;
  memcpy(&bits, &power, sizeof bits);
  int32_t exponent = (int32_t)(bits >> 23) - 127;
  bits = (bits & 0x7FFFFFu) | 0x3F800000u;
  float mantissa;
  memcpy(&mantissa, &bits, sizeof mantissa);
  if (bits > 0x3FB504F3u) { /* the square root of 2 */
    mantissa = mantissa * 0.5f;
    exponent++;
  }
  const float s = (mantissa - 1.0f) / (mantissa + 1.0f), z = s * s;
  float sum = 0x1.bcb7b2p+0f + z * 0x1.3da7c8p+0f;
  sum = 0x1.729914p+1f + z * sum;
  sum = 0x1.15f2cep+3f + z * sum;
  return (float)exponent * 0x1.815182p+1f + s * sum;
}

/* The nearest float32 of the square root, for zero and positive normal numbers. */
TNY_FUNCTION float tny_root(float x)
{
#if defined(__arm__) && defined(__ARM_FP) && (__ARM_FP & 4)
  __asm("vsqrt.f32 %0, %1" : "=t"(x) : "t"(x));
  return x;
#else
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if (bits == 0u) {
    return x;
  }
  int32_t exponent = (int32_t)(bits >> 23) - 127;
  uint64_t rest = (uint64_t)((bits & 0x7FFFFFu) | 0x800000u) << (25 + (exponent & 1)), root = 0;
  for (uint64_t bit = (uint64_t)1 << 48; bit != 0u; bit >>= 2) {
    if (rest >= root + bit) {
      rest -= root + bit;
      root = (root >> 1) + bit;
    } else {
      root >>= 1;
    }
  }
  /* 25 bits: the last one rounds; a tie cannot be, for no square root of 24 bits has exactly 25. */
  exponent = (exponent - (exponent & 1)) / 2;
  bits = ((uint32_t)(exponent + 127) << 23) + (((uint32_t)root + 1u) >> 1) - 0x800000u;
  memcpy(&x, &bits, sizeof x);
  return x;
#endif
}

#endif
