"""What a recording masks: how loud a change may be at each time and frequency before a listener could hear it.

MPEG-1's psychoacoustic model 1 with tonal maskers alone, as in Lin and Abdulla, "Audio Watermark" (2015), chapter 2,
and Qin et al., "Imperceptible, Robust, and Targeted Adversarial Examples for Automatic Speech Recognition" (2019),
appendix A: levels in dB with the loudest place of a recording at 96 dB; peaks are maskers, one within half a Bark; each
masks its neighbours by a spreading function of two slopes; masked powers and the threshold in quiet (Terhardt 1979) add
up. Here a change may also be as loud as the rounding of 16-bit samples, which is in the recording itself.
"""

from __future__ import annotations

import numpy as np

from tinyfuse.frontend.device_sound import FULL_SCALE

FRAME_S = 0.032
HOPS = 4
"""Frames overlap: each begins a quarter of its length behind the one before."""
LOUDEST_DB = 96.0
NEAR_BARK = 0.5
ROUNDING_PEAK = 13.0
"""Power of the loudest of ten thousand places of white noise over the mean, so that rounding alone is no change."""


def frame_size(rate: int) -> int:
    """Return the samples of a frame: the power of two nearest to 32 ms, at least 64."""
    return max(64, int(2 ** round(np.log2(FRAME_S * rate))))


def taper(size: int) -> np.ndarray:
    """Return the periodic Hann window, float64 [size]."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)


def spectra(samples: np.ndarray, size: int) -> np.ndarray:
    """Compute complex [..., frames, size / 2 + 1] of samples [..., n]; frames begin before the first and end behind."""
    hop = size // HOPS
    count = samples.shape[-1]
    after = size + -count % hop
    padded = np.pad(samples.astype(np.float64), [(0, 0)] * (samples.ndim - 1) + [(size - hop, after)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, size, axis=-1)[..., ::hop, :]
    return np.asarray(np.fft.rfft(frames * taper(size), axis=-1))


def bark(hz: np.ndarray) -> np.ndarray:
    """Return the critical band rate (Zwicker and Terhardt 1980)."""
    return np.asarray(13 * np.arctan(0.00076 * hz) + 3.5 * np.arctan((hz / 7500) ** 2))


def quiet_db(hz: np.ndarray) -> np.ndarray:
    """Return the threshold in quiet in dB (Terhardt 1979)."""
    khz = np.maximum(hz, 20) / 1000
    return np.asarray(3.64 * khz**-0.8 - 6.5 * np.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4)


def masked(samples: np.ndarray, rate: int, loudest: float | None = None) -> np.ndarray:
    """Return what ``samples`` (full scale 1, [n]) mask, as amplitudes of :func:`spectra`, float64 [frames, bins].

    ``loudest``: the power that counts as 96 dB, by default the greatest of ``samples``.
    """
    size = frame_size(rate)
    power = np.abs(spectra(samples, size)) ** 2
    floor = ROUNDING_PEAK * np.square(taper(size)).sum() / 12 / FULL_SCALE**2
    top = float(power.max(initial=0.0)) if loudest is None else loudest
    if top <= 0:
        return np.full(power.shape, np.sqrt(floor))
    level = LOUDEST_DB + 10 * np.log10(np.maximum(power / top, 1e-30))
    hz = np.arange(power.shape[1]) * rate / size
    return np.asarray(np.sqrt(np.maximum(top * 10 ** ((_thresholds(level, hz) - LOUDEST_DB) / 10), floor)))


def _thresholds(level: np.ndarray, hz: np.ndarray) -> np.ndarray:
    """Return global masking thresholds in dB, [frames, bins], of levels in dB."""
    place, quiet = bark(hz), quiet_db(hz)
    frame, bins, masker = _maskers(level, place, quiet)
    apart = place[None, :] - place[bins, None]
    upward = -27 + 0.37 * np.maximum(masker - 40, 0)
    spread = np.where(apart <= 0, 27 * apart, upward[:, None] * apart)
    each = (masker - 6.025 - 0.275 * place[bins])[:, None] + spread
    total = np.tile(10 ** (quiet / 10), (len(level), 1))
    np.add.at(total, frame, 10 ** (each / 10))
    return np.asarray(10 * np.log10(total))


def _maskers(level: np.ndarray, place: np.ndarray, quiet: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return frame, bin and level in dB of each masker: peaks above quiet, the loudest within half a Bark."""
    power = np.pad(10 ** (level / 10), ((0, 0), (1, 1)))
    peak = (power[:, 1:-1] > power[:, :-2]) & (power[:, 1:-1] > power[:, 2:])
    together = 10 * np.log10(power[:, 1:-1] + power[:, :-2] + power[:, 2:] + 1e-30)
    found = np.where(peak & (together > quiet), together, -np.inf)
    # Bins within half a Bark are neighbours: from first to last of each.
    first = np.searchsorted(place, place - NEAR_BARK, side="right")
    last = np.searchsorted(place, place + NEAR_BARK, side="left")
    frame, bins = np.nonzero(np.isfinite(found))
    loudest = [found[row, first[one]:last[one]].max() for row, one in zip(frame, bins, strict=True)]
    kept = found[frame, bins] >= np.array(loudest)
    return frame[kept], bins[kept], found[frame[kept], bins[kept]]


def excess(change: np.ndarray, clean: np.ndarray, rate: int) -> np.ndarray:
    """Return the amplitude of ``change`` over what ``clean`` masks (both full scale 1, [n]), the most of each frame."""
    return np.asarray((np.abs(spectra(change, frame_size(rate))) / masked(clean, rate)).max(axis=1))


def quietened(change: np.ndarray, clean: np.ndarray, rate: int, size: float) -> np.ndarray:
    """Return int64 steps of 16 bits [n]: ``change`` (full scale 1), turned down where it exceeds ``size`` masks.

    Steps are rounded to the nearest. What exceeds after some rounds is turned down as a whole, in the end to 0.
    """
    frame, floor = frame_size(rate), masked(clean, rate)
    # The first frame holds one hop of the recording.
    centres = (np.arange(len(floor)) + 1) * (frame // HOPS) - frame / 2
    wanted = change.astype(np.float64)
    for attempt in range(24):
        steps = np.round(wanted * FULL_SCALE).astype(np.int64)
        over = (np.abs(spectra(steps / FULL_SCALE, frame)) / floor).max(axis=1) / size
        if over.max(initial=0.0) <= 1:
            return steps
        if attempt >= 16:
            wanted = wanted * 0.7 / over.max()
            continue
        gains = 0.97 / np.maximum(over, 0.97)
        widened = np.pad(gains, HOPS, mode="edge")
        gains = np.lib.stride_tricks.sliding_window_view(widened, 2 * HOPS + 1).min(axis=1)
        wanted = wanted * np.interp(np.arange(len(change)), centres, gains)
    return np.zeros(len(change), np.int64)
