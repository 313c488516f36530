"""Speech features: 39 frames of 12 MFCC and the log energy, standardised, scaled to [0, 1], laid out as 28x28.

The frame layout follows Khacef et al., "Written and spoken digits database for multimodal learning"
(doi:10.5281/zenodo.3515935): 50 ms window, 25 ms shift, 39 frames of about one second, 39 x 13 = 507 values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tinyfuse.core.errors import DataError

SAMPLE_RATE_HZ = 8000
CLIP_SAMPLES = 8000
WINDOW_SAMPLES = 400
HOP_SAMPLES = 200
FRAMES = 39
COEFFICIENTS = 13
MEL_BANDS = 40
TOP_DB = 80.0
LEVEL_RMS = 0.1
SIDE = 28
VALUES = FRAMES * COEFFICIENTS
LOW_QUANTILE, HIGH_QUANTILE = 0.001, 0.999
PARAMETERS = (f"mfcc-1 {SAMPLE_RATE_HZ} {CLIP_SAMPLES} {WINDOW_SAMPLES} {HOP_SAMPLES} {COEFFICIENTS} {MEL_BANDS} "
              f"{TOP_DB} {LEVEL_RMS}")


@dataclass(frozen=True)
class FeatureScaling:
    """How raw features became [0, 1]; fitted on the training part only and kept with the model.

    ``mean`` and ``std`` hold one value per coefficient (12 MFCC, log energy); ``low`` and ``high`` are the z-scores
    that map to 0 and to 1.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: float
    high: float

    def __post_init__(self) -> None:
        numbers = (*self.mean, *self.std, self.low, self.high)
        if {len(self.mean), len(self.std)} != {COEFFICIENTS} or not all(map(math.isfinite, numbers)):
            raise DataError(f"the scaling of the features needs {COEFFICIENTS} numbers of mean and of std, all finite")
        if min(self.std) <= 0 or self.low >= self.high:
            raise DataError(f"the scaling of the features needs positive std and low ({self.low}) below high "
                            f"({self.high})")

    @staticmethod
    def fit(features: np.ndarray) -> FeatureScaling:
        """Fit on raw training features [n, 39, 13]; z-scores beyond the 0.1 % and 99.9 % quantiles will be clipped.

        All numbers are rounded to 6 decimals, so that a different summation order gives the same scaling.
        """
        flat = features.reshape(-1, COEFFICIENTS).astype(np.float64)
        mean = np.round(flat.mean(axis=0), 6)
        std = np.maximum(np.round(flat.std(axis=0), 6), 1e-6)
        low, high = np.round(np.quantile((flat - mean) / std, [LOW_QUANTILE, HIGH_QUANTILE]), 6)
        high = max(high, low + 1e-6)
        return FeatureScaling(tuple(mean.tolist()), tuple(std.tolist()), float(low), float(high))

    @staticmethod
    def identity() -> FeatureScaling:
        """Leave features as they are: final values in [0, 1] already."""
        return FeatureScaling((0.0,) * COEFFICIENTS, (1.0,) * COEFFICIENTS, 0.0, 1.0)

    def apply(self, features: np.ndarray) -> np.ndarray:
        """Scale raw features [..., 39, 13] to float32 [..., 28, 28, 1] in [0, 1]; the 277 cells left over are 0."""
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        scaled = (np.asarray(features, np.float32) - mean) / std
        scaled = np.clip((scaled - np.float32(self.low)) / np.float32(self.high - self.low), 0.0, 1.0)
        cells = np.zeros((*scaled.shape[:-2], SIDE * SIDE), np.float32)
        cells[..., :VALUES] = scaled.reshape(*scaled.shape[:-2], VALUES)
        return cells.reshape(*scaled.shape[:-2], SIDE, SIDE, 1)


def rms(clip: np.ndarray) -> float:
    """Compute the root of the mean square of one clip (float [samples]); 0 if it is empty."""
    return float(np.sqrt(np.mean(np.square(clip, dtype=np.float64)))) if len(clip) else 0.0


def level(clip: np.ndarray) -> np.ndarray:
    """Bring one clip (float [samples]) to an RMS of 0.1; silence stays silence."""
    found = rms(clip)
    return (clip * (LEVEL_RMS / found) if found > 1e-8 else np.zeros_like(clip)).astype(np.float32)


def place(clip: np.ndarray, *, shift_samples: int = 0) -> np.ndarray:
    """Centre one clip (float [samples], 8 kHz) in a window of 1 s, then move it by ``shift_samples``.

    A longer clip is cut to the second that holds most energy before it is moved; float32 [8000].
    """
    if len(clip) > CLIP_SAMPLES:
        energy = np.concatenate([[0.0], np.cumsum(np.square(clip, dtype=np.float64))])
        start = int(np.argmax(energy[CLIP_SAMPLES:] - energy[:-CLIP_SAMPLES]))
        clip = clip[start : start + CLIP_SAMPLES]
    window = np.zeros(CLIP_SAMPLES, np.float32)
    start = (CLIP_SAMPLES - len(clip)) // 2 + shift_samples
    first, last = max(start, 0), min(start + len(clip), CLIP_SAMPLES)
    if last > first:
        window[first:last] = clip[first - start : last - start]
    return window


def mfcc(windows: np.ndarray) -> np.ndarray:
    """Compute raw features, float32 [b, 39, 13], of windows of one second, float32 [b, 8000] at 8 kHz.

    Coefficients 1..12 of the orthonormal DCT-II of 40 mel bands in dB, then the frame energy in dB. Both are floored
    80 dB below the loudest value of the same clip, so digital silence is finite and does not depend on the batch.
    """
    import librosa

    spectrum = librosa.stft(windows, n_fft=WINDOW_SAMPLES, hop_length=HOP_SAMPLES, center=False)
    # One product of fixed shape for each clip: librosa's own einsum over the batch rounds differently by batch size.
    power = np.matmul(librosa.filters.mel(sr=SAMPLE_RATE_HZ, n_fft=WINDOW_SAMPLES, n_mels=MEL_BANDS),
                      np.abs(spectrum) ** 2)
    coefficients = librosa.feature.mfcc(S=_floored_db(power), n_mfcc=COEFFICIENTS)[..., 1:, :]
    frames = librosa.util.frame(windows, frame_length=WINDOW_SAMPLES, hop_length=HOP_SAMPLES)
    energy = _floored_db(np.mean(np.square(frames), axis=-2, keepdims=True))
    stacked = np.concatenate([coefficients, energy], axis=-2)
    return np.ascontiguousarray(np.swapaxes(stacked, -1, -2), dtype=np.float32)


def _floored_db(power: np.ndarray) -> np.ndarray:
    decibels = 10.0 * np.log10(np.maximum(power, 1e-10))
    return np.asarray(np.maximum(decibels, decibels.max(axis=(-2, -1), keepdims=True) - TOP_DB))
