/* A recording and where its window lies; what the front end of a sound is made of. */
#ifndef TNY_FRONTEND_RECORDING_H
#define TNY_FRONTEND_RECORDING_H

#include "tny_frontend_fft.h"

enum { TNY_POWER, TNY_MAGNITUDE, TNY_DECIBEL };           /* scale */
enum { TNY_AT_START, TNY_AT_CENTRE, TNY_AT_LOUDEST };     /* placement */

typedef struct {
  const tny_fft_t *fft;            /* NULL: the samples themselves */
  const tny_real_t *taper;
  const uint16_t *first, *count;   /* frequencies of each band; NULL: each is a band */
  const tny_real_t *weights, *dct; /* dct is NULL without */
  const tny_real_t *slope;         /* by place of a frame's values: from a value to the code above the lowest */
  const tny_step_t *offset;
  tny_step_t least, most;          /* of that code */
  tny_real_t level;                /* of the wanted RMS: its square, in fixed point its decibels */
  tny_real_t amin, top_db;         /* top_db 0: none */
  tny_real_t energy_share;
  uint32_t length, window_least;   /* samples; fewer than window_least are refused */
  uint16_t window, lead, hop, frames, around;
  uint16_t bands, values;          /* of a frame; its energy is among the values, not among the bands */
  uint16_t frame_step, value_step; /* in the input */
  uint16_t cells;                  /* of the input; those without a value hold zero_code */
  int32_t low, zero_code;
  uint8_t energy, levelled, scale, placement, wide;
  uint8_t sample_bits, code_bits;  /* in fixed point: of tapered samples, and behind the point of a step */
  int16_t exponent;                /* in fixed point: of the sums of bands */
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

/* Writes a code where it belongs. */
TNY_INLINE void tny_store(const tny_sound_t *sound, void *codes, size_t cell, int32_t code)
{
  if (sound->wide != 0u) {
    ((int16_t *)codes)[cell] = (int16_t)code;
  } else {
    ((int8_t *)codes)[cell] = (int8_t)code;
  }
}

/* Cells that carry no value. */
TNY_FUNCTION void tny_clear(const tny_sound_t *sound, void *codes)
{
  for (size_t cell = (size_t)sound->frames * sound->values; cell < sound->cells; cell++) {
    tny_store(sound, codes, cell, sound->zero_code);
  }
}

#endif
