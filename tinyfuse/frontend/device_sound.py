"""A recording to the codes of a network's input as the C front end computes it: float32, in one order of operations.

From int16 samples: window, FFT, power, mel bands, times the gain of the level, decibels, floor, DCT, then one product
and one sum that hold normalisation, scaling and quantisation. librosa (:mod:`tinyfuse.frontend.spectrum`) is the
definition that this comes close to; that C gives these very codes is proven on emulated cores. Sums of squares are
whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.frontend.base import FrontEnd
from tinyfuse.frontend.decibels import LEAST_POWER, decibels
from tinyfuse.frontend.fft import FftPlan, plan_fft, power_spectra
from tinyfuse.frontend.normalisation import Normalisation
from tinyfuse.frontend.recording import Recording, Waveform
from tinyfuse.frontend.spectrum import Frames, LogMel, Mfcc, Spectrogram, mel_filters

FULL_SCALE = 1 << 15
POWER_SHARE = np.float32(2.0**-32)
"""4 times the power of int16 samples, brought to a full scale of 1."""
MAX_DEVICE_FFT, MAX_DEVICE_VALUES = 1 << 13, 1 << 16
"""Lengths and numbers of values are 16 bits in C."""


@dataclass(frozen=True)
class Grid:
    """Codes of an input: value = scale * (code - zero_point), codes from ``low`` to ``high``."""

    scale: float
    zero_point: int
    low: int
    high: int

    @property
    def zero_code(self) -> int:
        """The code of cells that carry no value."""
        return int(np.clip(self.zero_point, self.low, self.high))


@dataclass(frozen=True, eq=False)
class SoundTables:
    """The constants of one recording's front end, as C has them.

    ``slope``, ``offset`` float32, by place of a frame's values: the code above ``grid.low`` is slope * value + offset,
    kept within ``least`` and ``most``, halves rounded up. ``taper`` float32 [window]. ``filters``: (first frequency,
    float32 weights) of each band, empty without bands. ``dct`` float32 [coefficients, bands] or empty. ``level``: the
    square of the wanted RMS times 2^30, or 0.
    """

    front_end: Recording
    grid: Grid
    slope: np.ndarray = field(repr=False)
    offset: np.ndarray = field(repr=False)
    least: np.float32
    most: np.float32
    fft: FftPlan | None = field(default=None, repr=False)
    taper: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32), repr=False)
    filters: tuple[tuple[int, np.ndarray], ...] = field(default=(), repr=False)
    dct: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32), repr=False)

    @property
    def level(self) -> np.float32:
        """Square of the wanted RMS of int16 samples; 0: as they come."""
        wanted = self.front_end.level_rms
        return np.float32(0 if wanted is None else wanted**2 * FULL_SCALE**2)

    @property
    def energy(self) -> bool:
        """Whether the energy of a frame is its last value."""
        return isinstance(self.front_end, Mfcc) and self.front_end.append_energy

    @property
    def energy_share(self) -> np.float32:
        """What makes a mean square of full scale 1 of a frame's sum of squares."""
        size = self.front_end.fft_size if isinstance(self.front_end, Frames) else 1
        return np.float32(1 / (size * FULL_SCALE**2))

    @property
    def powers(self) -> int:
        """How many powers a frame is made of, its energy among them."""
        bands = len(self.filters) or (self.fft.size // 2 + 1 if self.fft else 0)
        return bands + int(self.energy)

    def codes_of(self, windows: np.ndarray, heard: Sequence[tuple[int, int]]) -> np.ndarray:
        """Compute codes, int32 [n, *shape], of int16 windows [n, length]; ``heard``: squares, length of each clip."""
        gains = np.array([gain_of(self, *one) for one in heard], np.float32)
        if isinstance(self.front_end, Waveform):
            values = windows.astype(np.float32) * np.float32(1 / FULL_SCALE) * np.sqrt(gains)[:, None]
            return laid_out(self, values[..., None])
        return laid_out(self, values_of(self, frame_powers(self, windows), gains))

    @property
    def covered(self) -> int:
        """Samples from the first frame's first to the last one's last."""
        one = self.front_end
        return (one.frames - 1) * one.hop + one.fft_size if isinstance(one, Frames) else one.length


def sound_tables(front_end: FrontEnd, fitted: Normalisation, grid: Grid) -> SoundTables:
    """Make the tables of ``front_end``; DataError with what the C side cannot do."""
    if not isinstance(front_end, Recording):
        raise DataError(f"{front_end.label}: is no recording")
    slope, offset, (least, most) = (part.astype(np.float32) for part in affine_of(front_end, fitted, grid))
    if isinstance(front_end, Waveform):
        return SoundTables(front_end, grid, slope, offset, least, most)
    if not isinstance(front_end, Frames):
        raise DataError(f"{front_end.label} has no C code; allowed: mfcc, log-mel, spectrogram, waveform, picture")
    check_sizes(front_end)
    mel = [_filter(row) for row in mel_filters(front_end)] if isinstance(front_end, LogMel) else []
    dct = dct_matrix(front_end) if isinstance(front_end, Mfcc) else np.zeros((0, 0), np.float32)
    return SoundTables(front_end, grid, slope, offset, least, most, plan_fft(front_end.fft_size), taper_of(front_end),
                       tuple(mel), dct)


def check_sizes(one: Frames) -> None:
    """Raise DataError for what no arithmetic of the C code does."""
    if one.fft_size > MAX_DEVICE_FFT or np.prod(one.shape) >= MAX_DEVICE_VALUES:
        raise DataError(f"{one.label}: an FFT of {one.fft_size} samples and {np.prod(one.shape)} values are more than "
                        f"the C code takes; give an fft of at most {MAX_DEVICE_FFT} and fewer than {MAX_DEVICE_VALUES}")
    if one.amin < LEAST_POWER:
        raise DataError(f"{one.label}: amin {one.amin} is below what float32 holds on every core; give at least "
                        f"{LEAST_POWER:.3g}")


def affine_of(one: FrontEnd, fitted: Normalisation, grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slope, offset and both ends of the step from values to codes above ``grid.low``, float64."""
    count = one.values_shape[-1]
    slope, offset = np.ones(count), np.zeros(count)
    if one.normalise != "none":
        slope, offset = 1 / np.array(fitted.std), -np.array(fitted.mean) / np.array(fitted.std)
    ends = np.array([fitted.low, fitted.high])
    if one.normalise == "unit":
        slope, offset = slope / (fitted.high - fitted.low), (offset - fitted.low) / (fitted.high - fitted.low)
        ends = np.array([0.0, 1.0])
    above = grid.zero_point - grid.low
    return slope / grid.scale, offset / grid.scale + above, np.clip(ends / grid.scale + above, 0, grid.high - grid.low)


def taper_of(one: Frames) -> np.ndarray:
    """Return the weights of a frame's samples, float32 [window]."""
    from scipy.signal import get_window

    return np.asarray(get_window(one.taper, one.window, fftbins=True), np.float32)


def _filter(row: np.ndarray) -> tuple[int, np.ndarray]:
    used = np.flatnonzero(row)
    return int(used[0]), np.asarray(row[used[0] : used[-1] + 1] * POWER_SHARE, np.float32)


def dct_matrix(one: Mfcc) -> np.ndarray:
    """Return the orthonormal DCT that makes coefficients of bands, float32 [coefficients, bands]."""
    from scipy.fft import dct

    matrix = dct(np.eye(one.bands), axis=0, type=2, norm="ortho")[int(one.drop_first) : one.coefficients]
    return np.asarray(matrix, np.float32)


def check_samples(tables: SoundTables, samples: np.ndarray) -> np.ndarray:
    """Return ``samples`` if they are what the microphone gives; DataError unless int16 [n], long enough."""
    one = tables.front_end
    least = one.window if isinstance(one, Frames) else 1
    if samples.dtype != np.int16 or samples.ndim != 1 or len(samples) < least:
        raise DataError(f"{one.label}: a recording is {samples.dtype} of shape {list(samples.shape)}; give int16 "
                        f"samples [n] at {one.rate} Hz, at least {least}")
    return samples


def gain_of(tables: SoundTables, squares: int, count: int) -> np.float32:
    """Compute by how much powers are raised to the level: 1 without one, 0 for silence."""
    if not tables.level:
        return np.float32(1)
    return tables.level * np.float32(count) / np.float32(squares) if squares else np.float32(0)


def squares_of(samples: np.ndarray) -> int:
    """Sum the squares of int16 samples, exactly."""
    return int(np.square(samples.astype(np.int64)).sum())


def window_start(one: Recording, samples: np.ndarray) -> int:
    """Find where the window begins in int16 ``samples``; negative: zeros come first. The loudest is found exactly."""
    spare = len(samples) - one.length
    if one.placement == "start":
        return 0
    if spare > 0 and one.placement == "loudest":
        sums = np.concatenate([[0], np.cumsum(np.square(samples.astype(np.int64)))])
        return int(np.argmax(sums[one.length :] - sums[: -one.length]))
    return spare // 2 if spare > 0 else -(-spare // 2)


def placed(tables: SoundTables, samples: np.ndarray) -> np.ndarray:
    """Place int16 samples in the front end's window, int16 [length]."""
    start, window = window_start(tables.front_end, samples), np.zeros(tables.front_end.length, np.int16)
    taken = samples[max(start, 0) : start + len(window)]
    window[max(-start, 0) : max(-start, 0) + len(taken)] = taken
    return window


def sound_codes(tables: SoundTables, recordings: Sequence[np.ndarray]) -> np.ndarray:
    """Compute input codes, int32 [n, *shape], of int16 ``recordings`` [samples] of any lengths."""
    clips = [check_samples(tables, one) for one in recordings]
    windows = np.stack([placed(tables, one) for one in clips])
    return tables.codes_of(windows, [(squares_of(one), len(one)) for one in clips])


def frames_of(tables: SoundTables, windows: np.ndarray) -> np.ndarray:
    """Cut int16 windows [n, length] into frames, int16 [n * frames, fft]."""
    one = tables.front_end
    assert isinstance(one, Frames)
    around = one.fft_size // 2 if one.center else 0
    heard = np.pad(windows, ((0, 0), (around, around)))
    starts = np.arange(one.frames) * one.hop
    return np.lib.stride_tricks.sliding_window_view(heard, one.fft_size, axis=1)[:, starts].reshape(-1, one.fft_size)


def frame_powers(tables: SoundTables, windows: np.ndarray) -> np.ndarray:
    """Compute the powers of int16 windows [n, length], float32 [n, frames, powers], before any gain."""
    one, plan, frames = tables.front_end, tables.fft, frames_of(tables, windows)
    assert isinstance(one, Frames) and plan is not None
    lead = (one.fft_size - one.window) // 2
    samples = np.zeros((one.fft_size, len(frames)), np.float32)
    samples[lead : lead + one.window] = frames.T[lead : lead + one.window].astype(np.float32) * tables.taper[:, None]
    spectra = power_spectra(plan, samples)
    rows = [_weighted(spectra, *band) for band in tables.filters] or list(spectra * POWER_SHARE)
    if tables.energy:
        rows.append(np.square(frames.astype(np.int64)).sum(axis=1).astype(np.float32) * tables.energy_share)
    return np.ascontiguousarray(np.stack(rows, axis=-1).reshape(len(windows), one.frames, tables.powers))


def _weighted(spectra: np.ndarray, first: int, weights: np.ndarray) -> np.ndarray:
    found = np.zeros(spectra.shape[1], np.float32)
    for place, weight in enumerate(weights):
        found = found + weight * spectra[first + place]
    return found


def values_of(tables: SoundTables, powers: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Compute values, float32 [n, frames, values], of powers [n, frames, powers] and gains [n]."""
    one = tables.front_end
    raised = powers * gains[:, None, None]
    if isinstance(one, Spectrogram) and one.scale != "decibel":
        return np.asarray(np.sqrt(raised)) if one.scale == "magnitude" else raised
    assert isinstance(one, Frames)
    loud = _decibels(one, raised)
    bands = loud.shape[-1] - int(tables.energy)
    if one.top_db is not None:
        for part in (slice(0, bands), slice(bands, None)):
            if raised[..., part].size:
                loudest = _decibels(one, raised[..., part].max(axis=(1, 2), keepdims=True))
                loud[..., part] = np.maximum(loud[..., part], loudest - np.float32(one.top_db))
    if not tables.dct.size:
        return loud
    made = np.zeros((*loud.shape[:2], len(tables.dct)), np.float32)
    for band in range(bands):
        made = made + loud[..., band, None] * tables.dct[:, band]
    return np.concatenate([made, loud[..., bands:]], axis=-1)


def _decibels(one: Frames, powers: np.ndarray) -> np.ndarray:
    return decibels(np.maximum(powers, np.float32(one.amin)))


def laid_out(tables: SoundTables, values: np.ndarray) -> np.ndarray:
    """Turn values, float32 [n, *values_shape], into codes, int32 [n, *shape]."""
    steps = np.minimum(np.maximum(values * tables.slope + tables.offset, tables.least), tables.most)
    return in_cells(tables, (steps + np.float32(0.5)).astype(np.int32) + tables.grid.low)


def in_cells(tables: SoundTables, codes: np.ndarray) -> np.ndarray:
    """Put codes, int32 [n, *values_shape], into the cells of the input, int32 [n, *shape]."""
    one = tables.front_end
    cells = np.full((len(codes), int(np.prod(one.shape))), tables.grid.zero_code, np.int32)
    arranged = one.arranged(codes).reshape(len(codes), -1)
    cells[:, : arranged.shape[1]] = arranged
    return cells.reshape(len(codes), *one.shape)
