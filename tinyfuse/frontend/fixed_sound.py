"""A recording to the codes of an input without floating point, as C computes it on cores that have none.

The steps of :mod:`tinyfuse.frontend.device_sound` in whole numbers. Samples of a frame are brought to one size (block
floating point), so that sums of the FFT fit 32 bits; powers keep all their bits; each band becomes decibels at once, to
which the gain of the level is added. Numbers below 1 have 30 bits behind the point, decibels 16.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.frontend.base import FrontEnd
from tinyfuse.frontend.device_sound import (
    FULL_SCALE,
    Grid,
    SoundTables,
    affine_of,
    check_sizes,
    dct_matrix,
    frames_of,
    in_cells,
    sound_tables,
    taper_of,
)
from tinyfuse.frontend.fft import FIXED, POINT, plan_fft, power_spectra
from tinyfuse.frontend.normalisation import Normalisation
from tinyfuse.frontend.recording import Waveform
from tinyfuse.frontend.spectrum import Frames, LogMel, Mfcc, Spectrogram, mel_filters

DB_BITS = 16
NOTHING = -(1 << 29)
"""Decibels of a power of 0."""
DROPPED_BITS, WEIGHT_BITS = 16, 18
"""Of powers before they are weighted; of the sum of a band's weights."""
SUM_BITS = 28
"""Of the sum of all complex numbers of an FFT: four of it and a rounding fit 31."""
STEEPEST = 16
"""A value crosses its codes within no less than this part of a decibel, a sample within one of its 16-bit steps:
roundings would fill a narrower range."""
TERM_BITS = 26
TERMS = tuple(round(20 / np.log(10.0) / odd * 2**TERM_BITS) for odd in (1, 3, 5, 7))
PER_OCTAVE = round(10 * np.log10(2.0) * 2**TERM_BITS)
ROOT2 = round(np.sqrt(2.0) * 2**POINT)


@dataclass(frozen=True, eq=False)
class FixedTables(SoundTables):
    """The constants in whole numbers: ``slope`` int64 (32 bits), ``offset``, ``least`` and ``most`` int64.

    code above the lowest = (slope * value + offset + half) >> ``code_bits``, of values with DB_BITS behind the point.
    ``sample_bits``: of the largest tapered sample. ``exponent``: of the sums of bands.
    """

    code_bits: int = 0
    sample_bits: int = 0
    exponent: int = 0

    @property
    def level_db(self) -> int:
        """Decibels of the square of the wanted RMS of int16 samples."""
        wanted = self.front_end.level_rms
        return 0 if wanted is None else decibels_of(wanted**2 * FULL_SCALE**2)

    @property
    def energy_db(self) -> int:
        """What makes decibels of a mean square of those of a frame's sum of squares."""
        size = self.front_end.fft_size if isinstance(self.front_end, Frames) else 1
        return decibels_of(1 / (size * FULL_SCALE**2))

    def codes_of(self, windows: np.ndarray, heard: Sequence[tuple[int, int]]) -> np.ndarray:
        """Compute codes, int32 [n, *shape], of int16 windows [n, length]; ``heard``: squares, length of each clip."""
        if isinstance(self.front_end, Waveform):
            return self._laid_out(2 * windows.astype(np.int64)[..., None])
        gains = np.array([self._gain(*one) for one in heard], np.int64)
        return self._laid_out(values_of(self, frame_levels(self, windows), gains))

    def _gain(self, squares: int, count: int) -> int:
        if self.front_end.level_rms is None:
            return 0
        both = levels(np.array([count, max(squares, 1)]), np.zeros(2, np.int64))
        return self.level_db + int(both[0]) - int(both[1]) if squares else NOTHING // 2

    def _laid_out(self, values: np.ndarray) -> np.ndarray:
        steps = np.clip(values * self.slope + self.offset, self.least, self.most)
        codes = (steps + (1 << (self.code_bits - 1))) >> self.code_bits
        return in_cells(self, codes.astype(np.int32) + self.grid.low)


def decibels_of(power: float) -> int:
    """Write 10 log10 of ``power`` with DB_BITS behind the point."""
    return round(10 * math.log10(power) * 2.0**DB_BITS)


def fixed_tables(front_end: FrontEnd, fitted: Normalisation, grid: Grid) -> FixedTables:
    """Make the tables of ``front_end`` in whole numbers; DataError with what the C side cannot do."""
    if isinstance(front_end, Spectrogram) and front_end.scale != "decibel":
        raise DataError(f"{front_end.label}: a scale of {front_end.scale} needs floating point; give scale 'decibel', "
                        "or export with --frontend float")
    if isinstance(front_end, Waveform):
        if front_end.level_rms is not None:
            raise DataError(f"{front_end.label}: level_rms needs floating point; leave it out, or export with "
                            "--frontend float")
        return FixedTables(front_end, grid, **_steps(front_end, fitted, grid))
    if not isinstance(front_end, Frames):
        raise DataError(f"{front_end.label} has no C code; allowed: mfcc, log-mel, spectrogram, waveform, picture")
    check_sizes(front_end)
    filters, exponent = _filters(front_end)
    dct = FIXED.hold(dct_matrix(front_end)) if isinstance(front_end, Mfcc) else np.zeros((0, 0), np.int64)
    sample_bits = SUM_BITS - int(front_end.fft_size // 2 - 1).bit_length()
    return FixedTables(front_end, grid, **_steps(front_end, fitted, grid), fft=plan_fft(front_end.fft_size, FIXED),
                       taper=FIXED.hold(taper_of(front_end)), filters=filters, dct=dct, sample_bits=sample_bits,
                       exponent=exponent)


FLOATING = "float"
ARITHMETICS: dict[str, Callable[[FrontEnd, Normalisation, Grid], SoundTables]] = {
    FLOATING: sound_tables, "fixed": fixed_tables}
"""What computes sounds on a device: float32 in one order of operations; whole numbers, for cores without it."""


def _steps(one: FrontEnd, fitted: Normalisation, grid: Grid) -> dict[str, Any]:
    """Slope, offset, both ends and code_bits: as many bits as fit 32 of a slope and 60 of an offset.

    A place that hardly varied in training has a huge slope, which would leave the others few bits: it is less steep
    about its mean.
    """
    slope, offset, ends = affine_of(one, fitted, grid)
    less = np.minimum(slope, (STEEPEST if isinstance(one, Frames) else FULL_SCALE) * (grid.high - grid.low + 1))
    slope, offset = less, offset + (slope - less) * np.array(fitted.mean)
    largest = max(np.abs(offset).max(), ends[1], 1.0)
    bits = min(POINT - 1 - int(np.ceil(np.log2(np.abs(slope).max()))), 60 - DB_BITS - int(np.ceil(np.log2(largest))))
    held = np.round(np.concatenate([offset, ends]) * 2.0 ** (bits + DB_BITS)).astype(np.int64)
    return {"slope": np.round(slope * 2.0**bits).astype(np.int64), "offset": held[:-2], "least": np.int64(held[-2]),
            "most": np.int64(held[-1]), "code_bits": bits + DB_BITS}


def _filters(one: Frames) -> tuple[tuple[tuple[int, np.ndarray], ...], int]:
    """Weights of bands, whose largest sum has WEIGHT_BITS, and the exponent of what they make of powers."""
    if not isinstance(one, LogMel):
        return (), -2 - 2 * 15
    rows = mel_filters(one).astype(np.float64)
    bits = WEIGHT_BITS - int(np.ceil(np.log2(rows.sum(axis=1).max())))
    used = [np.flatnonzero(row) for row in rows]
    found = tuple((int(places[0]), np.round(row[places[0] : places[-1] + 1] * 2.0**bits).astype(np.int64))
                  for places, row in zip(used, rows, strict=True))
    return found, DROPPED_BITS - bits - 2 - 2 * 15


def levels(powers: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """Compute 10 log10 of powers * 2^exponents (int64, not negative), int64 with DB_BITS behind the point."""
    last = _bits(powers) - 1
    mantissa = np.where(last > POINT, powers >> np.maximum(last - POINT, 0), powers << np.maximum(POINT - last, 0))
    above = (mantissa > ROOT2).astype(np.int64)
    whole = np.int64(1) << (POINT + above)
    over = (mantissa - whole) << POINT
    s = np.sign(over) * (np.abs(over) // np.maximum(mantissa + whole, 1))  # towards 0, as in C
    z = (s * s) >> POINT
    found = TERMS[2] + ((z * TERMS[3]) >> POINT)
    found = TERMS[1] + ((z * found) >> POINT)
    found = TERMS[0] + ((z * found) >> POINT)
    found = (exponents + last + above) * PER_OCTAVE + ((s * found) >> POINT)
    cut = TERM_BITS - DB_BITS
    return np.asarray(np.where(powers == 0, NOTHING, (found + (1 << (cut - 1))) >> cut))


def _bits(values: np.ndarray) -> np.ndarray:
    """Count the bits of int64 numbers that are not negative."""
    found, rest = (values != 0).astype(np.int64), values.astype(np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        more = (rest >> step) != 0
        found, rest = found + step * more, np.where(more, rest >> step, rest)
    return np.asarray(found)


def frame_levels(tables: FixedTables, windows: np.ndarray) -> np.ndarray:
    """Compute the decibels of int16 windows [n, length], int64 [n, frames, powers], before any gain."""
    one, plan, frames = tables.front_end, tables.fft, frames_of(tables, windows)
    assert isinstance(one, Frames) and plan is not None
    lead = (one.fft_size - one.window) // 2
    heard = frames.T[lead : lead + one.window].astype(np.int64)
    spare = _bits(np.abs(heard).max(axis=0)) - tables.sample_bits
    shift = POINT + spare
    samples = np.zeros((one.fft_size, len(frames)), np.int64)
    samples[lead : lead + one.window] = (heard * tables.taper[:, None] + (np.int64(1) << (shift - 1))) >> shift
    spectra = power_spectra(plan, samples)
    sums = [weights @ (spectra[first : first + len(weights)] >> DROPPED_BITS) for first, weights in tables.filters]
    rows = [levels(row, 2 * spare + tables.exponent) for row in sums or list(spectra)]
    if tables.energy:
        squares = np.square(frames.astype(np.int64)).sum(axis=1)
        rows.append(levels(squares, np.zeros(len(frames), np.int64)) + tables.energy_db)
    return np.stack(rows, axis=-1).reshape(len(windows), one.frames, tables.powers)


def values_of(tables: FixedTables, found: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Compute values, int64 [n, frames, values], of decibels [n, frames, powers] and gains [n]."""
    one = tables.front_end
    assert isinstance(one, Frames)
    loud = np.maximum(found + gains[:, None, None], decibels_of(one.amin))
    bands = loud.shape[-1] - int(tables.energy)
    if one.top_db is not None:
        for part in (slice(0, bands), slice(bands, None)):
            if loud[..., part].size:
                floor = loud[..., part].max(axis=(1, 2), keepdims=True) - round(one.top_db * 2**DB_BITS)
                loud[..., part] = np.maximum(loud[..., part], floor)
    if not tables.dct.size:
        return np.asarray(loud)
    made = (loud[..., :bands] @ tables.dct.T + (1 << (POINT - 1))) >> POINT
    return np.asarray(np.concatenate([made, loud[..., bands:]], axis=-1))
