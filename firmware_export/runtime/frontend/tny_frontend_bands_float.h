/* From samples to codes in float32: powers of bands, decibels, cepstral coefficients. */
#ifndef TNY_FRONTEND_BANDS_FLOAT_H
#define TNY_FRONTEND_BANDS_FLOAT_H

#include "tny_frontend_recording.h"

/* By how much powers are raised to the level: 1 without one, 0 for silence. */
TNY_FUNCTION float tny_gain(const tny_sound_t *sound, uint64_t squares, uint32_t count)
{
  if (sound->levelled == 0u) {
    return 1.0f;
  }
  return squares != 0u ? sound->level * (float)count / (float)squares : 0.0f;
}

/* Powers of the frame that begins at sample `at` of the window: bands, then the energy. `work` has fft->size + 2
 * floats. */
TNY_FUNCTION void tny_frame_powers(const tny_sound_t *sound, const tny_heard_t *heard, int32_t at, float *work,
                                   float *powers)
{
  const tny_fft_t *const fft = sound->fft;
  tny_complex_t *const z = (tny_complex_t *)(void *)work;
  const size_t half = fft->size / 2u;
  uint64_t squares = 0;
  for (size_t place = 0; place < half; place++) {
    float pair[2];
    for (uint32_t one = 0; one < 2u; one++) {
      const uint32_t i = 2u * fft->order[place] + one, tapered = i - sound->lead;
      const int16_t sample = tny_sample(sound, heard, at + (int32_t)i);
      squares += sound->energy != 0u ? tny_square(sample) : 0u;
      pair[one] = tapered < sound->window ? (float)sample * sound->taper[tapered] : 0.0f;
    }
    z[place] = tny_c(pair[0], pair[1]);
  }
  tny_powers(fft, z);
  const float *weight = sound->weights;
  for (size_t band = 0; band < sound->bands; band++) {
    if (sound->first == NULL) {
      powers[band] = tny_power(z, band) * 0x1p-32f;
      continue;
    }
    float sum = 0.0f;
    for (size_t k = sound->first[band], end = k + sound->count[band]; k < end; k++) {
      sum = sum + *weight++ * tny_power(z, k);
    }
    powers[band] = sum;
  }
  if (sound->energy != 0u) {
    powers[sound->bands] = (float)squares * sound->energy_share;
  }
}

TNY_INLINE float tny_loudness(const tny_sound_t *sound, float power)
{
  return tny_decibels(power > sound->amin ? power : sound->amin);
}

/* The floors of bands and of the energy: so much below the loudest of `frames` frames. */
TNY_FUNCTION void tny_floors(const tny_sound_t *sound, const float *powers, float gain, float *floors)
{
  const size_t size = (size_t)sound->bands + sound->energy;
  float most[2] = {0.0f, 0.0f};
  for (size_t frame = 0; frame < sound->frames; frame++, powers += size) {
    for (size_t i = 0; i < size; i++) {
      float *const mine = i < sound->bands ? &most[0] : &most[1];
      const float power = powers[i] * gain;
      *mine = power > *mine ? power : *mine;
    }
  }
  for (size_t part = 0; part < 2u; part++) {
    floors[part] = tny_loudness(sound, most[part]) - sound->top_db;
  }
}

TNY_INLINE void tny_put_code(const tny_sound_t *sound, void *codes, size_t cell, size_t value, float found)
{
  float steps = found * sound->slope[value] + sound->offset[value];
  steps = steps < sound->least ? sound->least : steps;
  steps = steps > sound->most ? sound->most : steps;
  tny_store(sound, codes, cell, (int32_t)(steps + 0.5f) + sound->low);
}

#if TNY_IMPL == 2 && (__ARM_FEATURE_MVE & 2)
/* Four lanes of tny_decibels: its operations in its order. None of them has a subnormal number, which MVE takes for 0. */
TNY_INLINE float32x4_t tny_decibels_4(float32x4_t power)
{
  const int32x4_t bits = vreinterpretq_s32_f32(power);
  const int32x4_t parts = vorrq_s32(vandq_s32(bits, vdupq_n_s32(0x7FFFFF)), vdupq_n_s32(0x3F800000));
  const mve_pred16_t above = vcmpgtq_n_s32(parts, 0x3FB504F3); /* the square root of 2 */
  int32x4_t exponent = vsubq_n_s32(vshrq_n_s32(bits, 23), 127);
  exponent = vaddq_m_n_s32(exponent, exponent, 1, above);
  float32x4_t mantissa = vreinterpretq_f32_s32(parts);
  mantissa = vmulq_m_n_f32(mantissa, mantissa, 0.5f, above);
  const float32x4_t under = vsubq_n_f32(mantissa, 1.0f), over = vaddq_n_f32(mantissa, 1.0f);
  float32x4_t s = under;
  s[0] = under[0] / over[0];
  s[1] = under[1] / over[1];
  s[2] = under[2] / over[2];
  s[3] = under[3] / over[3];
  const float32x4_t z = vmulq_f32(s, s);
  float32x4_t sum = vaddq_n_f32(vmulq_n_f32(z, 0x1.3da7c8p+0f), 0x1.bcb7b2p+0f);
  sum = vaddq_n_f32(vmulq_f32(z, sum), 0x1.729914p+1f);
  sum = vaddq_n_f32(vmulq_f32(z, sum), 0x1.15f2cep+3f);
  return vaddq_f32(vmulq_n_f32(vcvtq_f32_s32(exponent), 0x1.815182p+1f), vmulq_f32(s, sum));
}

/* Decibels of the `size` powers of a frame, no fewer than the floors; amin is far from subnormal numbers. */
TNY_FUNCTION void tny_loud_lanes(const tny_sound_t *sound, const float *powers, float gain, const float *floors, size_t size,
                                 float *loud)
{
  const float32x4_t amin = vdupq_n_f32(sound->amin);
  for (size_t i = 0; i < size; i += 4u) {
    const mve_pred16_t here = vctp32q((uint32_t)(size - i));
    const float32x4_t power = vmulq_n_f32(vldrwq_z_f32(powers + i, here), gain);
    vstrwq_p_f32(loud + i, tny_decibels_4(vpselq_f32(power, amin, vcmpgtq_f32(power, amin))), here);
  }
  for (size_t i = 0; floors != NULL && i < sound->bands; i += 4u) {
    const mve_pred16_t here = vctp32q((uint32_t)(sound->bands - i));
    const float32x4_t found = vldrwq_z_f32(loud + i, here), least = vdupq_n_f32(floors[0]);
    vstrwq_p_f32(loud + i, vpselq_f32(found, least, vcmpgtq_f32(found, least)), here);
  }
  if (floors != NULL && sound->energy != 0u) {
    loud[size - 1u] = loud[size - 1u] > floors[1] ? loud[size - 1u] : floors[1];
  }
}

/* Four cepstral coefficients at a time, each summed over the bands in their order. */
TNY_FUNCTION void tny_cepstrum(const tny_sound_t *sound, const float *loud, size_t others, void *codes, size_t cell,
                               size_t step)
{
  const uint32x4_t rows = vmulq_n_u32(vidupq_n_u32(0u, 1), sound->bands);
  for (size_t value = 0; value < others; value += 4u) {
    const mve_pred16_t here = vctp32q((uint32_t)(others - value));
    const float *column = sound->dct + value * sound->bands;
    float32x4_t found = vdupq_n_f32(0.0f);
    for (size_t band = 0; band < sound->bands; band++) {
      found = vaddq_f32(found, vmulq_n_f32(vldrwq_gather_shifted_offset_z_f32(column + band, rows, here), loud[band]));
    }
    for (size_t one = 0; one < 4u && value + one < others; one++) {
      tny_put_code(sound, codes, cell + (value + one) * step, value + one, found[one]);
    }
  }
}
#define TNY_FLOAT_LANES
#endif

/* The codes of a frame from its powers; value v goes to cell + v * step. `loud` has a float for each power. */
TNY_FUNCTION void tny_frame_codes(const tny_sound_t *sound, const float *powers, float gain, const float *floors,
                                  float *loud, void *codes, size_t cell, size_t step)
{
  const size_t bands = sound->bands, size = bands + sound->energy;
  size_t done = 0;
#ifdef TNY_FLOAT_LANES
  if (sound->scale == TNY_DECIBEL && sound->amin >= 0x1p-64f) {
    tny_loud_lanes(sound, powers, gain, floors, size, loud);
    done = size;
  }
#endif
  for (size_t i = done; i < size; i++) {
    const float power = powers[i] * gain;
    if (sound->scale != TNY_DECIBEL) {
      loud[i] = sound->scale == TNY_MAGNITUDE ? tny_root(power) : power;
      continue;
    }
    loud[i] = tny_loudness(sound, power);
    if (floors != NULL) {
      const float least = floors[i >= bands ? 1 : 0];
      loud[i] = loud[i] > least ? loud[i] : least;
    }
  }
  const float *row = sound->dct;
  const size_t others = (size_t)sound->values - sound->energy;
  size_t first = 0;
#ifdef TNY_FLOAT_LANES
  if (row != NULL) {
    tny_cepstrum(sound, loud, others, codes, cell, step);
    first = others;
  }
#endif
  for (size_t value = first; value < others; value++) {
    float found = loud[value];
    if (row != NULL) {
      found = 0.0f;
      for (size_t band = 0; band < bands; band++) {
        found = found + loud[band] * *row++;
      }
    }
    tny_put_code(sound, codes, cell + value * step, value, found);
  }
  if (sound->energy != 0u) {
    tny_put_code(sound, codes, cell + others * step, others, loud[bands]);
  }
}

TNY_FUNCTION void tny_wave_codes(const tny_sound_t *sound, const tny_heard_t *heard, float gain, void *codes)
{
  const float root = tny_root(gain);
  for (uint32_t i = 0; i < sound->length; i++) {
    const float value = (float)tny_sample(sound, heard, (int32_t)i) * 0x1p-15f * root;
    tny_put_code(sound, codes, i, 0, value);
  }
}

#endif
