/* From int16 samples to the codes of an input: spectrogram, mel bands, cepstral coefficients, or the samples themselves. */
#ifndef TNY_FRONTEND_SOUND_H
#define TNY_FRONTEND_SOUND_H

#include "tny_frontend_fft.h"

enum { TNY_POWER, TNY_MAGNITUDE, TNY_DECIBEL };           /* scale */
enum { TNY_AT_START, TNY_AT_CENTRE, TNY_AT_LOUDEST };     /* placement */

typedef struct {
  const tny_fft_t *fft;            /* NULL: the samples themselves */
  const float *taper;
  const uint16_t *first, *count;   /* frequencies of each band; NULL: each is a band */
  const float *weights, *dct;      /* dct is NULL without */
  const float *slope, *offset;     /* by place of a frame's values: from a value to the code above the lowest */
  float least, most;               /* of that code */
  float level;                     /* square of the wanted RMS of samples; 0: as they come */
  float amin, top_db;              /* top_db 0: none */
  float energy_share;
  uint32_t length, window_least;   /* samples; fewer than window_least are refused */
  uint16_t window, lead, hop, frames, around;
  uint16_t bands, values;          /* of a frame; its energy is among the values, not among the bands */
  uint16_t frame_step, value_step; /* in the input */
  uint16_t cells;                  /* of the input; those without a value hold zero_code */
  int32_t low, zero_code;
  uint8_t energy, scale, placement, wide;
} tny_sound_t;

/* A recording where the window of the front end begins at sample `start`, which may be negative. */
typedef struct {
  const int16_t *samples;
  int32_t start;
  uint32_t count; /* samples from there that are taken from it: what lies before sample 0 or behind the count is 0 */
} tny_heard_t;

TNY_INLINE uint32_t tny_square(int16_t sample)
{
  return (uint32_t)((int32_t)sample * sample);
}

TNY_FUNCTION uint64_t tny_squares(const int16_t *samples, uint32_t count)
{
  uint64_t sum = 0;
  for (uint32_t i = 0; i < count; i++) {
    sum += tny_square(samples[i]);
  }
  return sum;
}

/* By how much powers are raised to the level: 1 without one, 0 for silence. */
TNY_FUNCTION float tny_gain(const tny_sound_t *sound, uint64_t squares, uint32_t count)
{
  if (!(sound->level > 0.0f)) {
    return 1.0f;
  }
  return squares != 0u ? sound->level * (float)count / (float)squares : 0.0f;
}

/* Where the window begins in a recording of `count` samples. */
TNY_FUNCTION tny_heard_t tny_placed(const tny_sound_t *sound, const int16_t *samples, uint32_t count)
{
  tny_heard_t heard = {samples, 0, count};
  if (sound->placement == TNY_AT_START) {
    return heard;
  }
  if (count <= sound->length) {
    heard.start = -(int32_t)((sound->length - count) / 2u);
    return heard;
  }
  heard.start = (int32_t)((count - sound->length) / 2u);
  if (sound->placement == TNY_AT_LOUDEST) {
    uint64_t now = tny_squares(samples, sound->length), best = now;
    heard.start = 0;
    for (uint32_t first = 1; first + sound->length <= count; first++) {
      now += tny_square(samples[first + sound->length - 1u]);
      now -= tny_square(samples[first - 1u]);
      if (now > best) {
        best = now;
        heard.start = (int32_t)first;
      }
    }
  }
  return heard;
}

/* Sample `at` of the window; nothing lies beyond its length. */
TNY_INLINE int16_t tny_sample(const tny_sound_t *sound, const tny_heard_t *heard, int32_t at)
{
  const uint32_t place = (uint32_t)(heard->start + at);
  return at >= 0 && (uint32_t)at < sound->length && place < heard->count ? heard->samples[place] : (int16_t)0;
}

/* Powers of the frame that begins at sample `at` of the window: bands, then the energy. `work` has fft->size floats. */
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
      powers[band] = tny_power(fft, z, band) * 0x1p-32f;
      continue;
    }
    float sum = 0.0f;
    for (size_t k = sound->first[band], end = k + sound->count[band]; k < end; k++) {
      sum = sum + *weight++ * tny_power(fft, z, k);
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
  const int32_t code = (int32_t)(steps + 0.5f) + sound->low;
  if (sound->wide != 0u) {
    ((int16_t *)codes)[cell] = (int16_t)code;
  } else {
    ((int8_t *)codes)[cell] = (int8_t)code;
  }
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

/* Cells that carry no value. */
TNY_FUNCTION void tny_clear(const tny_sound_t *sound, void *codes)
{
  for (size_t cell = (size_t)sound->frames * sound->values; cell < sound->cells; cell++) {
    if (sound->wide != 0u) {
      ((int16_t *)codes)[cell] = (int16_t)sound->zero_code;
    } else {
      ((int8_t *)codes)[cell] = (int8_t)sound->zero_code;
    }
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

/* A whole recording; `work` has the floats of the FFT, of the powers of one frame (top_db: of all) and of one more. */
TNY_FUNCTION int tny_sound(const tny_sound_t *sound, const int16_t *samples, uint32_t count, float *work, void *codes)
{
  if (count < sound->window_least || count > 0x7FFFFFFFu) {
    return 0;
  }
  const tny_heard_t heard = tny_placed(sound, samples, count);
  const float gain = tny_gain(sound, sound->level > 0.0f ? tny_squares(samples, count) : 0u, count);
  tny_clear(sound, codes);
  if (sound->fft == NULL) {
    tny_wave_codes(sound, &heard, gain, codes);
    return 1;
  }
  const size_t size = (size_t)sound->bands + sound->energy;
  const int all = sound->top_db > 0.0f;
  float *const loud = work + sound->fft->size, *const powers = loud + size;
  float floors[2];
  for (size_t frame = 0; frame < sound->frames; frame++) {
    float *const mine = all != 0 ? powers + frame * size : powers;
    tny_frame_powers(sound, &heard, (int32_t)(frame * sound->hop) - sound->around, work, mine);
    if (all == 0) {
      tny_frame_codes(sound, mine, gain, NULL, loud, codes, frame * sound->frame_step, sound->value_step);
    }
  }
  if (all != 0) {
    tny_floors(sound, powers, gain, floors);
    for (size_t frame = 0; frame < sound->frames; frame++) {
      tny_frame_codes(sound, powers + frame * size, gain, floors, loud, codes, frame * sound->frame_step,
                      sound->value_step);
    }
  }
  return 1;
}

#endif
