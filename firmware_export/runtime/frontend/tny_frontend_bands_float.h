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
  for (size_t i = 0; i < sound->frames * size; i++) {
    const size_t part = i % size >= sound->bands ? 1u : 0u;
    const float power = powers[i] * gain;
    most[part] = power > most[part] ? power : most[part];
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

/* The codes of a frame from its powers; value v goes to cell + v * step. `loud` has a float for each power. */
TNY_FUNCTION void tny_frame_codes(const tny_sound_t *sound, const float *powers, float gain, const float *floors,
                                  float *loud, void *codes, size_t cell, size_t step)
{
  const size_t bands = sound->bands, size = bands + sound->energy;
  for (size_t i = 0; i < size; i++) {
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
  for (size_t value = 0; value < others; value++) {
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
