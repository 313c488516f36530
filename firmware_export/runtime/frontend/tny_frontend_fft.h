/* Mixed-radix FFT of real samples, in place; its tables come from the exporter, its order from Python. Numbers are those of
 * the arithmetic that was included before: tny_frontend_float.h or tny_frontend_fixed.h. */
#ifndef TNY_FRONTEND_FFT_H
#define TNY_FRONTEND_FFT_H

#ifndef TNY_REAL
#error "include tny_frontend_float.h or tny_frontend_fixed.h first"
#endif

typedef struct {
  uint16_t radix, span;
  const tny_real_t *twiddles; /* (cos, -sin) of numbers 1 to radix - 1, for each of the span; unused for a span of 1 */
} tny_stage_t;

typedef struct {
  uint16_t size, stages;   /* real samples; passes */
  const uint16_t *order;   /* which pair of samples comes to each place */
  const tny_stage_t *stage;
  const tny_real_t *split; /* (cos, sin) */
} tny_fft_t;

TNY_INLINE tny_complex_t tny_c(tny_real_t r, tny_real_t i)
{
  const tny_complex_t x = {r, i};
  return x;
}

TNY_INLINE tny_complex_t tny_plus(tny_complex_t a, tny_complex_t b)
{
  return tny_c(a.r + b.r, a.i + b.i);
}

TNY_INLINE tny_complex_t tny_minus(tny_complex_t a, tny_complex_t b)
{
  return tny_c(a.r - b.r, a.i - b.i);
}

TNY_INLINE tny_complex_t tny_by(tny_complex_t a, tny_real_t by)
{
  return tny_c(tny_times(a.r, by), tny_times(a.i, by));
}

/* a - i b, a + i b */
TNY_INLINE tny_complex_t tny_turned(tny_complex_t a, tny_complex_t b)
{
  return tny_c(a.r + b.i, a.i - b.r);
}

TNY_INLINE tny_complex_t tny_turned_back(tny_complex_t a, tny_complex_t b)
{
  return tny_c(a.r - b.i, a.i + b.r);
}

TNY_INLINE tny_complex_t tny_twiddled(tny_complex_t a, const tny_real_t *w)
{
  return tny_c(tny_times(a.r, w[0]) - tny_times(a.i, w[1]), tny_times(a.r, w[1]) + tny_times(a.i, w[0]));
}

TNY_INLINE void tny_butterfly2(tny_complex_t *a, size_t step)
{
  const tny_complex_t a0 = a[0], a1 = a[step];
  a[0] = tny_plus(a0, a1);
  a[step] = tny_minus(a0, a1);
}

TNY_INLINE void tny_butterfly3(tny_complex_t *a, size_t step)
{
  const tny_complex_t a0 = a[0], both = tny_plus(a[step], a[2 * step]);
  const tny_complex_t apart = tny_by(tny_minus(a[step], a[2 * step]), TNY_SIN3);
  const tny_complex_t middle = tny_plus(a0, tny_by(both, TNY_COS3));
  a[0] = tny_plus(a0, both);
  a[step] = tny_turned(middle, apart);
  a[2 * step] = tny_turned_back(middle, apart);
}

TNY_INLINE void tny_butterfly4(tny_complex_t *a, size_t step)
{
  const tny_complex_t even = tny_plus(a[0], a[2 * step]), odd = tny_plus(a[step], a[3 * step]);
  const tny_complex_t apart = tny_minus(a[0], a[2 * step]), turned = tny_minus(a[step], a[3 * step]);
  a[0] = tny_plus(even, odd);
  a[step] = tny_turned(apart, turned);
  a[2 * step] = tny_minus(even, odd);
  a[3 * step] = tny_turned_back(apart, turned);
}

TNY_INLINE void tny_butterfly5(tny_complex_t *a, size_t step)
{
  const tny_real_t cos1 = TNY_COS5_1, cos2 = TNY_COS5_2, sin1 = TNY_SIN5_1, sin2 = TNY_SIN5_2;
  const tny_complex_t a0 = a[0], outer = tny_plus(a[step], a[4 * step]), inner = tny_plus(a[2 * step], a[3 * step]);
  const tny_complex_t outer_apart = tny_minus(a[step], a[4 * step]);
  const tny_complex_t inner_apart = tny_minus(a[2 * step], a[3 * step]);
  const tny_complex_t near_ = tny_plus(tny_plus(a0, tny_by(outer, cos1)), tny_by(inner, cos2));
  const tny_complex_t far_ = tny_plus(tny_plus(a0, tny_by(outer, cos2)), tny_by(inner, cos1));
  const tny_complex_t steep = tny_plus(tny_by(outer_apart, sin1), tny_by(inner_apart, sin2));
  const tny_complex_t flat = tny_minus(tny_by(outer_apart, sin2), tny_by(inner_apart, sin1));
  a[0] = tny_plus(a0, tny_plus(outer, inner));
  a[step] = tny_turned(near_, steep);
  a[2 * step] = tny_turned(far_, flat);
  a[3 * step] = tny_turned_back(far_, flat);
  a[4 * step] = tny_turned_back(near_, steep);
}

TNY_INLINE void tny_butterfly(tny_complex_t *a, size_t step, uint32_t radix)
{
  switch (radix) {
  case 2:
    tny_butterfly2(a, step);
    break;
  case 3:
    tny_butterfly3(a, step);
    break;
  case 4:
    tny_butterfly4(a, step);
    break;
  default:
    tny_butterfly5(a, step);
    break;
  }
}

/* One pass over `size` complex numbers for a radix that the compiler knows. */
TNY_INLINE void tny_pass(tny_complex_t *z, size_t size, const tny_stage_t *stage, uint32_t radix)
{
  const size_t span = stage->span;
  for (size_t group = 0; group < size; group += radix * span) {
    const tny_real_t *w = stage->twiddles;
    for (size_t j = 0; j < span; j++) {
      tny_complex_t *const a = z + group + j;
      for (uint32_t k = 1; span > 1u && k < radix; k++, w += 2) {
        a[k * span] = tny_twiddled(a[k * span], w);
      }
      tny_butterfly(a, span, radix);
    }
  }
}

/* Four times the power of each frequency, from samples that lie in `z` in the order of the plan; see tny_power. There is
 * room for fft->size / 2 + 1 numbers. */
TNY_FUNCTION void tny_powers(const tny_fft_t *fft, tny_complex_t *z)
{
  const size_t half = fft->size / 2u;
  for (size_t number = 0; number < fft->stages; number++) {
    const tny_stage_t *const stage = fft->stage + number;
    switch (stage->radix) {
    case 2:
      tny_pass(z, half, stage, 2);
      break;
    case 3:
      tny_pass(z, half, stage, 3);
      break;
    case 4:
      tny_pass(z, half, stage, 4);
      break;
    default:
      tny_pass(z, half, stage, 5);
      break;
    }
  }
  const tny_real_t sum = z[0].r + z[0].i, difference = z[0].r - z[0].i;
  tny_put_power(z, 0, (tny_power_t)4 * tny_product(sum));
  tny_put_power(z, half, (tny_power_t)4 * tny_product(difference));
  for (size_t k = 1; k <= half / 2u; k++) {
    const tny_complex_t a = z[k], b = z[half - k];
    const tny_real_t cos_ = fft->split[2 * k], sin_ = fft->split[2 * k + 1];
    const tny_complex_t even = tny_c(a.r + b.r, a.i - b.i), odd = tny_c(a.i + b.i, b.r - a.r);
    const tny_complex_t turned = tny_c(tny_times(odd.r, cos_) + tny_times(odd.i, sin_),
                                       tny_times(odd.i, cos_) - tny_times(odd.r, sin_));
    const tny_complex_t low = tny_plus(even, turned), high = tny_minus(even, turned);
    tny_put_power(z, half - k, tny_product(high.r) + tny_product(high.i));
    tny_put_power(z, k, tny_product(low.r) + tny_product(low.i));
  }
}

#endif
