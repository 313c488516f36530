/* From int16 samples to the codes of an input: spectrogram, mel bands, cepstral coefficients, or the samples themselves.
 * Powers of bands are decibels in fixed point. */
#ifndef TNY_FRONTEND_SOUND_H
#define TNY_FRONTEND_SOUND_H

#include "tny_frontend_recording.h"

/* A whole recording; `work` has fft->size + 2 numbers, the powers of one frame (top_db: of all) and of one more. */
TNY_FUNCTION int tny_sound(const tny_sound_t *sound, const int16_t *samples, uint32_t count, tny_real_t *work, void *codes)
{
  if (count < sound->window_least || count > 0x7FFFFFFFu) {
    return 0;
  }
  const tny_heard_t heard = tny_placed(sound, samples, count);
  const tny_real_t gain = tny_gain(sound, sound->levelled != 0u ? tny_squares(samples, count) : 0u, count);
  tny_clear(sound, codes);
  if (sound->fft == NULL) {
    tny_wave_codes(sound, &heard, gain, codes);
    return 1;
  }
  const size_t size = (size_t)sound->bands + sound->energy;
  const int all = sound->top_db > 0;
  tny_real_t *const loud = work + sound->fft->size + 2, *const powers = loud + size;
  tny_real_t floors[2];
  for (size_t frame = 0; frame < sound->frames; frame++) {
    tny_real_t *const mine = all != 0 ? powers + frame * size : powers;
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
