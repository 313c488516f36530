/* A recording that never ends: one hop at a time into a ring of frames, the codes of the last ones whenever wanted. */
#ifndef TNY_FRONTEND_STREAM_H
#define TNY_FRONTEND_STREAM_H

#include "tny_frontend_sound.h"

/* What the front end keeps between hops; the memory is that of the package's own structure. */
typedef struct {
  int16_t *history;  /* the last fft->size samples */
  uint64_t *squares; /* of each hop that the frames cover, where there is a level; else NULL */
  void *frames;      /* ring: codes of each frame, or its powers where they need the gain or the floor of all */
  uint16_t *next;    /* frame of the ring that is written next */
  uint32_t *hops;    /* heard so far, up to what fills all */
  uint16_t blocks;   /* hops that the frames cover */
} tny_stream_t;

TNY_INLINE int tny_keeps_powers(const tny_sound_t *sound)
{
  return sound->levelled != 0u || sound->top_db > 0;
}

/* Takes one hop; returns 1 once all frames are there. `work` has fft->size + 2 numbers and the powers of two frames. */
TNY_FUNCTION int tny_hear(const tny_sound_t *sound, const tny_stream_t *stream, const int16_t *hop, tny_real_t *work)
{
  const uint32_t size = sound->fft->size, step = sound->hop, powers = (uint32_t)sound->bands + sound->energy;
  memmove(stream->history, stream->history + step, (size - step) * sizeof *hop);
  memcpy(stream->history + (size - step), hop, step * sizeof *hop);
  if (stream->squares != NULL) {
    memmove(stream->squares, stream->squares + 1, (stream->blocks - 1u) * sizeof *stream->squares);
    stream->squares[stream->blocks - 1u] = tny_squares(hop, step);
  }
  const uint32_t least = (size + step - 1u) / step;
  *stream->hops += *stream->hops < least + sound->frames ? 1u : 0u;
  if (*stream->hops < least) {
    return 0;
  }
  const tny_heard_t heard = {stream->history, 0, size};
  tny_real_t *const loud = work + size + 2, *const mine = loud + powers;
  const uint32_t frame = *stream->next;
  if (tny_keeps_powers(sound)) {
    tny_frame_powers(sound, &heard, 0, work, (tny_real_t *)stream->frames + frame * powers);
  } else {
    tny_frame_powers(sound, &heard, 0, work, mine);
    tny_frame_codes(sound, mine, tny_gain(sound, 0, 0), NULL, loud, stream->frames, frame * sound->values, 1);
  }
  *stream->next = (uint16_t)((frame + 1u) % sound->frames);
  return *stream->hops + 1u >= least + sound->frames;
}

TNY_FUNCTION void tny_copy_frames(const tny_sound_t *sound, const tny_stream_t *stream, void *codes)
{
  for (uint32_t frame = 0; frame < sound->frames; frame++) {
    const uint32_t place = (*stream->next + frame) % sound->frames * sound->values;
    for (uint32_t value = 0; value < sound->values; value++) {
      const uint32_t cell = frame * sound->frame_step + value * sound->value_step;
      tny_store(sound, codes, cell, sound->wide != 0u ? ((const int16_t *)stream->frames)[place + value]
                                                      : ((const int8_t *)stream->frames)[place + value]);
    }
  }
}

/* The codes of the last frames. */
TNY_FUNCTION void tny_stream_codes(const tny_sound_t *sound, const tny_stream_t *stream, tny_real_t *work, void *codes)
{
  tny_clear(sound, codes);
  if (!tny_keeps_powers(sound)) {
    tny_copy_frames(sound, stream, codes);
    return;
  }
  uint64_t squares = 0;
  for (uint32_t i = 0; stream->squares != NULL && i < stream->blocks; i++) {
    squares += stream->squares[i];
  }
  const tny_real_t gain = tny_gain(sound, squares, (uint32_t)stream->blocks * sound->hop);
  const tny_real_t *const all = (const tny_real_t *)stream->frames;
  const size_t powers = (size_t)sound->bands + sound->energy;
  tny_real_t floors[2];
  if (sound->top_db > 0) {
    tny_floors(sound, all, gain, floors);
  }
  for (uint32_t frame = 0; frame < sound->frames; frame++) {
    tny_frame_codes(sound, all + (*stream->next + frame) % sound->frames * powers, gain,
                    sound->top_db > 0 ? floors : NULL, work, codes, frame * sound->frame_step, sound->value_step);
  }
}

#endif
