"""Recordings: mixed down, resampled, brought to a level and placed in a window of fixed length, as librosa does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.frontend.base import FrontEnd, Range

RATES_HZ = (100, 384_000)
MAX_LENGTH = 1 << 24
SILENCE_RMS = 1e-8
LOUDEST = 256.0
"""Samples beyond it are no loud sound but numbers of another full scale than 1."""


def rms(clip: np.ndarray) -> float:
    """Compute the root of the mean square of one clip (float [samples]); 0 if it is empty."""
    return float(np.sqrt(np.mean(np.square(clip, dtype=np.float64)))) if len(clip) else 0.0


@dataclass(frozen=True, kw_only=True)
class Recording(FrontEnd):
    """A recording of one sensor over time at ``rate`` Hz, ``length`` samples of it.

    ``level_rms``: bring each recording to this RMS (silence stays silence). ``placement`` of a recording that is not
    ``length`` samples long: "start" keeps the first ones or adds zeros at the end, "centre" cuts or adds on both sides,
    "loudest" cuts to the part with most energy and adds on both sides.
    """

    rate: int
    length: int
    level_rms: float | None = None
    placement: Literal["start", "centre", "loudest"] = "start"

    def __post_init__(self) -> None:
        if not RATES_HZ[0] <= self.rate <= RATES_HZ[1]:
            raise DataError(f"{self.label}: rate {self.rate} Hz is out of range; allowed: {RATES_HZ[0]} to "
                            f"{RATES_HZ[1]} Hz")
        if not 1 <= self.length <= MAX_LENGTH:
            raise DataError(f"{self.label}: length {self.length} is out of range; allowed: 1 to {MAX_LENGTH} samples")
        if self.level_rms is not None and not 0 < self.level_rms <= 1:
            raise DataError(f"{self.label}: level_rms {self.level_rms} is out of range; allowed: above 0, up to 1")
        super().__post_init__()

    @property
    def cannot_stream(self) -> tuple[str, ...]:
        """Name the settings that need a whole recording before the first frame can be computed."""
        level = () if self.level_rms is None else ("level_rms",)
        return level if self.placement == "start" else (*level, "placement")

    def features(self, raw: np.ndarray, *, rate: int | None = None) -> np.ndarray:
        """Compute the values of one recording, float or integer PCM [samples] or [samples, channels]."""
        clip = self.heard(np.asarray(raw), self.rate if rate is None else rate)
        return np.asarray(self.values_of(self.place(self.level(clip))[None])[0])

    def heard(self, raw: np.ndarray, rate: int) -> np.ndarray:
        """Bring one recording at ``rate`` Hz to float32 [samples] at the front end's own: mean of channels, soxr."""
        if raw.ndim not in (1, 2) or raw.dtype.kind not in "iuf" or not raw.size:
            raise DataError(f"{self.label}: a recording is {raw.dtype} of shape {list(raw.shape)}; give numbers of "
                            "shape [samples] or [samples, channels]")
        if not RATES_HZ[0] <= rate <= RATES_HZ[1]:
            raise DataError(f"{self.label}: a recording has a rate of {rate} Hz; allowed: {RATES_HZ[0]} to "
                            f"{RATES_HZ[1]} Hz")
        clip = _as_float(raw)
        if not np.isfinite(clip).all():
            raise DataError(f"{self.label}: a recording has values that are not finite; give finite samples")
        if self.level_rms is None and np.abs(clip).max() > LOUDEST:
            raise DataError(f"{self.label}: a recording has samples of up to {np.abs(clip).max():.4g}, which a device "
                            "clips at its full scale of 1; give int16 samples, or floats within -1 to 1")
        clip = clip.mean(axis=1) if clip.ndim == 2 else clip
        if rate == self.rate:
            return clip
        import librosa

        return np.asarray(librosa.resample(clip, orig_sr=rate, target_sr=self.rate, res_type="soxr_hq"), np.float32)

    def level(self, clip: np.ndarray) -> np.ndarray:
        """Bring one clip (float [samples]) to ``level_rms``, float32; silence stays silence."""
        if self.level_rms is None:
            return np.asarray(clip, np.float32)
        found = rms(clip)
        return (clip * (self.level_rms / found) if found > SILENCE_RMS else np.zeros_like(clip)).astype(np.float32)

    def place(self, clip: np.ndarray, *, shift_samples: int = 0) -> np.ndarray:
        """Place one clip (float [samples]) in a window, float32 [length], moved by ``shift_samples`` afterwards."""
        clip = self._cut(clip)
        window = np.zeros(self.length, np.float32)
        start = (0 if self.placement == "start" else (self.length - len(clip)) // 2) + shift_samples
        first, last = max(start, 0), min(start + len(clip), self.length)
        if last > first:
            window[first:last] = clip[first - start : last - start]
        return window

    def _cut(self, clip: np.ndarray) -> np.ndarray:
        spare = len(clip) - self.length
        if spare <= 0 or self.placement == "start":
            return clip[: self.length]
        start = spare // 2
        if self.placement == "loudest":
            energy = np.concatenate([[0.0], np.cumsum(np.square(clip, dtype=np.float64))])
            start = int(np.argmax(energy[self.length :] - energy[: -self.length]))
        return clip[start : start + self.length]

    def values_of(self, windows: np.ndarray) -> np.ndarray:
        """Compute values, float32 [b, *values_shape], of windows, float32 [b, length]; they do not depend on b."""
        return np.asarray(windows, np.float32)[..., None]


@dataclass(frozen=True, kw_only=True)
class Waveform(Recording):
    """The samples themselves, [length, 1]."""

    kind: ClassVar[str] = "waveform"

    @property
    def values_shape(self) -> tuple[int, ...]:
        """Shape of the values: samples, 1."""
        return (self.length, 1)

    @property
    def axes(self) -> dict[str, tuple[int, int]]:
        """The one axis, time."""
        return {"samples": (1, self.length)}

    @property
    def natural_range(self) -> Range | None:
        """Full scale is 1; a recording brought to a level may exceed it."""
        return (-1.0, 1.0) if self.level_rms is None else None


def _as_float(raw: np.ndarray) -> np.ndarray:
    """Scale integer PCM so that full scale is 1, float32; 8-bit unsigned PCM is silent at 128."""
    if raw.dtype.kind == "f":
        return raw.astype(np.float32)
    full = 2.0 ** (8 * raw.dtype.itemsize - 1)
    middle = full if raw.dtype.kind == "u" else 0.0
    return ((raw.astype(np.float64) - middle) / full).astype(np.float32)
