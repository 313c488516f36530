/* From samples to codes in whole numbers: decibels of bands, cepstral coefficients. What tny_frontend_bands_float.h calls
 * powers are decibels here, and a gain is added to them. */
#ifndef TNY_FRONTEND_BANDS_FIXED_H
#define TNY_FRONTEND_BANDS_FIXED_H

#include "tny_frontend_recording.h"

/* By how much decibels are raised to the level. */
TNY_FUNCTION int32_t tny_gain(const tny_sound_t *sound, uint64_t squares, uint32_t count)
{
  if (sound->levelled == 0u) {
    return 0;
  }
  return squares != 0u ? sound->level + tny_level(count, 0) - tny_level(squares, 0) : TNY_NOTHING / 2;
}

/* The samples of a frame times the taper, in the order of the FFT, so that the largest has sample_bits bits; returns the
 * exponent of their powers. */
TNY_FUNCTION int32_t tny_tapered(const tny_sound_t *sound, const tny_heard_t *heard, int32_t at, tny_complex_t *z)
{
  uint32_t most = 0;
  for (int32_t i = 0; i < sound->window; i++) {
    const int32_t sample = tny_sample(sound, heard, at + sound->lead + i);
    const uint32_t size = (uint32_t)(sample < 0 ? -sample : sample);
    most = size > most ? size : most;
  }
  const int32_t spare = tny_bits(most) - sound->sample_bits, shift = 30 + spare;
  for (size_t place = 0; place < sound->fft->size / 2u; place++) {
    int32_t pair[2];
    for (uint32_t one = 0; one < 2u; one++) {
      const uint32_t i = 2u * sound->fft->order[place] + one, tapered = i - sound->lead;
      const int64_t product = tapered < sound->window ? (int64_t)tny_sample(sound, heard, at + (int32_t)i) *
                                                            sound->taper[tapered] : 0;
      pair[one] = (int32_t)((product + ((int64_t)1 << (shift - 1))) >> shift);
    }
    z[place] = tny_c(pair[0], pair[1]);
  }
  return 2 * spare;
}

/* Decibels of the frame that begins at sample `at` of the window: bands, then the energy. `work` has fft->size + 2 numbers. */
TNY_FUNCTION void tny_frame_powers(const tny_sound_t *sound, const tny_heard_t *heard, int32_t at, int32_t *work,
                                   int32_t *powers)
{
  tny_complex_t *const z = (tny_complex_t *)(void *)work;
  const int32_t exponent = tny_tapered(sound, heard, at, z) + sound->exponent;
  tny_powers(sound->fft, z);
  const int32_t *weight = sound->weights;
  for (size_t band = 0; band < sound->bands; band++) {
    int64_t sum = sound->first == NULL ? tny_power(z, band) : 0;
    for (size_t k = 0; sound->first != NULL && k < sound->count[band]; k++) {
      sum += *weight++ * (tny_power(z, sound->first[band] + k) >> 16);
    }
    powers[band] = tny_level((uint64_t)sum, exponent);
  }
  if (sound->energy != 0u) {
    uint64_t squares = 0;
    for (int32_t i = 0; i < sound->fft->size; i++) {
      squares += tny_square(tny_sample(sound, heard, at + i));
    }
    powers[sound->bands] = tny_level(squares, 0) + sound->energy_share;
  }
}

TNY_INLINE int32_t tny_loudness(const tny_sound_t *sound, int32_t level)
{
  return level > sound->amin ? level : sound->amin;
}

/* The floors of bands and of the energy: so much below the loudest of `frames` frames. */
TNY_FUNCTION void tny_floors(const tny_sound_t *sound, const int32_t *powers, int32_t gain, int32_t *floors)
{
  const size_t size = (size_t)sound->bands + sound->energy;
  int32_t most[2] = {TNY_NOTHING, TNY_NOTHING};
  for (size_t frame = 0; frame < sound->frames; frame++, powers += size) {
    for (size_t i = 0; i < size; i++) {
      int32_t *const mine = i < sound->bands ? &most[0] : &most[1];
      *mine = powers[i] > *mine ? powers[i] : *mine;
    }
  }
  for (size_t part = 0; part < 2u; part++) {
    floors[part] = tny_loudness(sound, most[part] + gain) - sound->top_db;
  }
}

TNY_INLINE void tny_put_code(const tny_sound_t *sound, void *codes, size_t cell, size_t value, int32_t found)
{
  int64_t steps = (int64_t)found * sound->slope[value] + sound->offset[value];
  steps = steps < sound->least ? sound->least : steps;
  steps = steps > sound->most ? sound->most : steps;
  steps = (steps + ((int64_t)1 << (sound->code_bits - 1))) >> sound->code_bits;
  tny_store(sound, codes, cell, (int32_t)steps + sound->low);
}

/* The sum of decibels times weights with 30 bits behind the point. */
TNY_INLINE int32_t tny_coefficient(const int32_t *loud, const int32_t *weights, size_t bands)
{
  int64_t sum = 1 << 29;
#if TNY_IMPL == 2
  for (size_t band = 0; band < bands; band += 4u) {
    const mve_pred16_t here = vctp32q((uint32_t)(bands - band));
    sum = vmlaldavaq_p_s32(sum, vldrwq_z_s32(loud + band, here), vldrwq_z_s32(weights + band, here), here);
  }
#else
  for (size_t band = 0; band < bands; band++) {
    sum += (int64_t)loud[band] * weights[band];
  }
#endif
  return (int32_t)(sum >> 30);
}

/* The codes of a frame from its decibels; value v goes to cell + v * step. `loud` has a number for each of them. */
TNY_FUNCTION void tny_frame_codes(const tny_sound_t *sound, const int32_t *powers, int32_t gain, const int32_t *floors,
                                  int32_t *loud, void *codes, size_t cell, size_t step)
{
  const size_t bands = sound->bands, others = (size_t)sound->values - sound->energy;
  for (size_t i = 0; i < bands + sound->energy; i++) {
    const int32_t least = floors != NULL ? floors[i >= bands ? 1 : 0] : TNY_NOTHING;
    const int32_t level = tny_loudness(sound, powers[i] + gain);
    loud[i] = level > least ? level : least;
  }
  const int32_t *row = sound->dct;
  for (size_t value = 0; value < others; value++) {
    int32_t found = loud[value];
    if (row != NULL) {
      found = tny_coefficient(loud, row, bands);
      row += bands;
    }
    tny_put_code(sound, codes, cell + value * step, value, found);
  }
  if (sound->energy != 0u) {
    tny_put_code(sound, codes, cell + others * step, others, loud[bands]);
  }
}

TNY_FUNCTION void tny_wave_codes(const tny_sound_t *sound, const tny_heard_t *heard, int32_t gain, void *codes)
{
  (void)gain; /* there is no level */
  for (uint32_t i = 0; i < sound->length; i++) {
    tny_put_code(sound, codes, i, 0, 2 * tny_sample(sound, heard, (int32_t)i));
  }
}

#endif
