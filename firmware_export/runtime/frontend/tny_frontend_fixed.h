/* Arithmetic of the front ends without floating point: whole numbers, whose roundings Python has too. A number between -1 and
 * 1 has 30 bits behind the point, decibels have 16. */
#ifndef TNY_FRONTEND_FIXED_H
#define TNY_FRONTEND_FIXED_H

#include "tny_core.h"

#define TNY_REAL
typedef int32_t tny_real_t;
typedef int64_t tny_power_t;
typedef int64_t tny_step_t; /* codes above the lowest, with code_bits behind the point */
typedef struct {
  int32_t r, i;
} tny_complex_t;

#define TNY_COS3 (-536870912)
#define TNY_SIN3 929887697
#define TNY_COS5_1 331804471
#define TNY_COS5_2 (-868675383)
#define TNY_SIN5_1 1021189159
#define TNY_SIN5_2 631129609
#define TNY_NOTHING (-0x20000000) /* decibels of a power of 0 */

/* To the nearest, halves up. */
TNY_INLINE int32_t tny_times(int32_t a, int32_t b)
{
  return (int32_t)(((int64_t)a * b + (1 << 29)) >> 30);
}

TNY_INLINE int64_t tny_product(int32_t a)
{
  return (int64_t)a * a;
}

/* A power takes the place of a complex number. */
TNY_INLINE void tny_put_power(tny_complex_t *z, size_t k, int64_t power)
{
  memcpy(z + k, &power, sizeof power);
}

TNY_INLINE int64_t tny_power(const tny_complex_t *z, size_t k)
{
  int64_t power;
  memcpy(&power, z + k, sizeof power);
  return power;
}

/* How many bits `x` has. */
TNY_INLINE int32_t tny_bits(uint64_t x)
{
  int32_t found = x != 0u ? 1 : 0;
  for (int32_t step = 32; step > 0; step /= 2) {
    if ((x >> step) != 0u) {
      x >>= step;
      found += step;
    }
  }
  return found;
}

/* 10 log10 of power * 2^exponent: of 1 + its mantissa by the series of tny_decibels, terms with 26 bits behind the point. */
TNY_FUNCTION int32_t tny_level(uint64_t power, int32_t exponent)
{
  if (power == 0u) {
    return TNY_NOTHING;
  }
  const int32_t last = tny_bits(power) - 1;
  const int64_t mantissa = (int64_t)(last > 30 ? power >> (last - 30) : power << (30 - last));
  const int32_t above = mantissa > 1518500250 ? 1 : 0; /* the square root of 2 */
  const int64_t whole = (int64_t)1 << (30 + above);
  const int64_t s = (mantissa - whole) * ((int64_t)1 << 30) / (mantissa + whole), z = (s * s) >> 30;
  int64_t sum = 116580037 + ((z * 83271455) >> 30);
  sum = 194300062 + ((z * sum) >> 30);
  sum = 582900186 + ((z * sum) >> 30);
  sum = (int64_t)(exponent + last + above) * 202017810 + ((s * sum) >> 30);
  return (int32_t)((sum + 512) >> 10);
}

#endif
