"""Training inputs changed at random along their named axes: moved, made louder or quieter, mixed with noise.

Works batch by batch for any data set; padding stays as it is, and values stay within the input's range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.core.strict import decode
from tinyfuse.data.samples import Batch, Input

SPACE_AXES = ("rows", "columns")
TIME_AXES = ("frames", "samples", "time")
CEPSTRAL_AXES = ("coefficients", "mfcc")


@dataclass(frozen=True)
class Changes:
    """How much one input may change; 0 is not at all, every draw is uniform but for the noise.

    ``shift``: up to so many rows and columns either way, ``time_shift``: frames or samples; edges are repeated.
    ``level``: up to this share of the input's range, added to all values of a sample (brighter, or louder in decibels).
    ``gain``: all values of a sample times 1 - gain to 1 + gain (a waveform's loudness). ``noise``: standard deviation
    of Gaussian noise on each value, as a share of the input's range.
    """

    shift: int = 0
    time_shift: int = 0
    level: float = 0.0
    gain: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        shares = (self.level, self.gain, self.noise)
        if min(self.shift, self.time_shift) < 0 or not all(0 <= share <= 1 for share in shares):
            raise UsageError(f"augmentation {self}: give whole numbers of at least 0 for shift and time_shift, and 0 "
                             "to 1 for level, gain and noise")


def read_changes(table: Mapping[str, Changes | Mapping[str, float]], inputs: Sequence[Input]) -> dict[str, Changes]:
    """Read :class:`Changes` by input name, plain tables or themselves, and check them against ``inputs`` (UsageError).

    They come in the order of ``inputs``, so that the order of ``table`` does not decide what is drawn.
    """
    known = {one.name: one for one in inputs}
    for name in table:
        if name not in known:
            raise UsageError(f"augmentation of '{name}'{nearest(name, known)}: the data has {', '.join(known)}")
    found = {name: _decoded(table[name], f"augmentation of '{name}'") for name in known if name in table}
    for name, changes in found.items():
        _check(known[name], changes)
    return found


def _decoded(settings: Changes | Mapping[str, float], where: str) -> Changes:
    return settings if isinstance(settings, Changes) else decode(Changes, settings, where, UsageError)


def parse_changes(texts: Sequence[str], inputs: Sequence[Input]) -> dict[str, Changes]:
    """Read texts such as ``mic:time_shift=4,noise=0.02``, one for each input; UsageError says what does not fit."""
    table: dict[str, dict[str, float]] = {}
    for text in texts:
        name, colon, settings = text.partition(":")
        pairs = [one.partition("=") for one in settings.split(",")]
        once = name not in table and len({key for key, _, _ in pairs}) == len(pairs)
        if not colon or not once or not all(equals for _, equals, _ in pairs):
            raise UsageError(f"augmentation '{text}': give each input and each change once, as "
                             "mic:time_shift=4,noise=0.02")
        table[name] = {key: _number(value, text) for key, _, value in pairs}
    return read_changes(table, inputs)


def change(batch: Batch, inputs: Sequence[Input], changes: Mapping[str, Changes], rng: np.random.Generator) -> Batch:
    """Change the inputs of a batch, float32 [n, *shape] by name, as ``changes`` say; the others stay as they are."""
    known = {one.name: one for one in inputs}
    changed = {name: _changed(batch[name], known[name], how, rng) for name, how in changes.items()}
    return {**batch, **changed}


def _changed(values: np.ndarray, one: Input, how: Changes, rng: np.random.Generator) -> np.ndarray:
    """Change one input; what is not asked for draws no random number."""
    flat = values.reshape(len(values), -1).astype(np.float32)
    for names, most in ((SPACE_AXES, how.shift), (TIME_AXES, how.time_shift)):
        for name in (name for name in names if most and name in one.axes):
            flat = shifted(flat, one, name, rng.integers(-most, most + 1, len(flat)))
    if how.gain:
        flat = flat * rng.uniform(1 - how.gain, 1 + how.gain, (len(flat), 1)).astype(np.float32)
    if how.level:
        flat = flat + rng.uniform(-how.level * one.span, how.level * one.span, (len(flat), 1)).astype(np.float32)
    if how.noise:
        flat = flat + rng.standard_normal(flat.shape, np.float32) * np.float32(how.noise * one.span)
    legal = np.clip(flat, np.float32(one.low), np.float32(one.high)).reshape(values.shape)
    return np.where(one.valid_mask() == 1, legal, values) if one.valid else legal


def shifted(flat: np.ndarray, one: Input, axis: str, shifts: np.ndarray) -> np.ndarray:
    """Move each sample of ``flat``, [n, values], by its own ``shifts``, [n], along ``axis``; edges are repeated."""
    moved = np.empty_like(flat)
    for shift in np.unique(shifts):
        rows = shifts == shift
        moved[rows] = flat[rows][:, _sources(one, axis, int(shift))]
    return moved


def _sources(one: Input, axis: str, shift: int) -> np.ndarray:
    """Tell for each flat place of a sample, int64 [values], from which one it comes; some padding may stay."""
    place, named = one.places_along(axis).reshape(-1), one.axes[axis]
    source = np.arange(place.size) + (np.clip(place - shift, 0, named.size - 1) - place) * named.stride
    return np.asarray(np.clip(source, 0, place.size - 1))


def _check(one: Input, how: Changes) -> None:
    """Refuse changes for which ``one`` lacks an axis, or that mean nothing along it."""
    for setting, most, names in (("shift", how.shift, SPACE_AXES), ("time_shift", how.time_shift, TIME_AXES)):
        axes = [one.axes[name].size for name in names if name in one.axes]
        if most and not axes:
            raise UsageError(f"augmentation of '{one.name}': {setting} needs an axis named {' or '.join(names)}; the "
                             f"input has {', '.join(one.axes) or 'none'} (in a dataset.toml `axes` names them)")
        if most and most >= min(axes):
            raise UsageError(f"augmentation of '{one.name}': {setting} {most} moves everything out of {min(axes)} "
                             "places; give less")
        for name in (name for name in names if most and name in one.axes):
            inside = one.valid_mask().reshape(-1) == 1
            if not all(inside[_sources(one, name, shift)[inside]].all() for shift in (-most, most)):
                raise UsageError(f"augmentation of '{one.name}': {setting} along '{name}' would bring padding into the "
                                 "sample, whose values do not fill the input; give time_shift or noise")
    cepstral = [name for name in CEPSTRAL_AXES if name in one.axes]
    if (how.level or how.gain) and cepstral:
        raise UsageError(f"augmentation of '{one.name}': level and gain mean nothing along the axis '{cepstral[0]}', "
                         "where loudness is in one coefficient alone; give noise or time_shift")


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"augmentation '{where}': '{text}' is no number; give mic:time_shift=4,noise=0.02") from None
    return int(value) if math.isfinite(value) and value == int(value) else value
