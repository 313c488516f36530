"""Spectra frame by frame, with librosa's arithmetic: spectrogram, log-mel bands, mel-frequency cepstral coefficients.

The chain is window -> short-time Fourier transform -> power -> mel bands -> decibels -> discrete cosine transform; each
kind stops at its step. Frames are float32 products of fixed shape, so that values do not depend on the batch.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.frontend.recording import Recording

MAX_FFT = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Frames(Recording):
    """What all spectra share: windows of ``window`` samples, ``hop`` apart, transformed by an FFT of ``fft`` samples.

    ``fft``: 0 is the window's length; a longer one adds zeros on both sides. ``center``: frame i is centred on sample
    i * hop, zeros around the recording; otherwise it begins there. Powers below ``amin`` count as ``amin``; decibels
    more than ``top_db`` below the loudest of the same recording are raised to that (None: they are not).
    """

    window: int
    hop: int
    fft: int = 0
    taper: Literal["hann", "hamming", "boxcar"] = "hann"
    center: bool = False
    amin: float = 1e-10
    top_db: float | None = None
    layout: Literal["frames-first", "bands-first"] = "frames-first"
    normalise: Literal["none", "standard", "unit"] = "unit"

    def __post_init__(self) -> None:
        if not 2 <= self.window <= min(self.fft_size, self.length) or self.fft_size > min(MAX_FFT, self.length):
            raise DataError(f"{self.label}: a window of {self.window} and an FFT of {self.fft_size} samples; give "
                            f"2 <= window <= fft <= length ({self.length}) and fft up to {MAX_FFT}")
        if not 1 <= self.hop <= self.window:
            raise DataError(f"{self.label}: a hop of {self.hop} samples; give 1 to the window's {self.window}, samples "
                            "between windows would never be heard")
        if not 0 < self.amin < 1 or (self.top_db is not None and not 0 < self.top_db <= 200):
            raise DataError(f"{self.label}: amin {self.amin} and top_db {self.top_db}; give amin above 0 and below 1, "
                            "top_db above 0 and up to 200")
        super().__post_init__()

    @property
    def fft_size(self) -> int:
        """Samples of the FFT."""
        return self.fft or self.window

    @property
    def bins(self) -> int:
        """How many frequencies the FFT tells apart."""
        return self.fft_size // 2 + 1

    @property
    def frames(self) -> int:
        """How many frames one recording has."""
        padding = 2 * (self.fft_size // 2) if self.center else 0
        return 1 + (self.length + padding - self.fft_size) // self.hop

    @property
    def band_count(self) -> int:
        """How many values a frame has."""
        return self.bins

    @property
    def band_axis(self) -> str:
        """What the values of a frame are."""
        return "bins"

    @property
    def values_shape(self) -> tuple[int, ...]:
        """Shape of the values: frames, values of a frame."""
        return (self.frames, self.band_count)

    @property
    def _own_shape(self) -> tuple[int, ...]:
        rows = self.values_shape if self.layout == "frames-first" else self.values_shape[::-1]
        return (*rows, 1)

    @property
    def axes(self) -> dict[str, tuple[int, int]]:
        """Time and frequency, whichever comes first."""
        frames, bands = self.values_shape
        first = self.layout == "frames-first"
        return {"frames": (bands if first else 1, frames), self.band_axis: (1 if first else frames, bands)}

    @property
    def cannot_stream(self) -> tuple[str, ...]:
        """Name the settings that need a whole recording before the first frame can be computed."""
        return super().cannot_stream if self.top_db is None else (*super().cannot_stream, "top_db")

    def arranged(self, values: np.ndarray) -> np.ndarray:
        """See :meth:`FrontEnd.arranged`: ``layout`` decides."""
        return values if self.layout == "frames-first" else np.swapaxes(values, -1, -2)

    def values_of(self, windows: np.ndarray) -> np.ndarray:
        """Compute values, float32 [b, frames, values of a frame], of windows, float32 [b, length]."""
        return np.ascontiguousarray(np.swapaxes(self._bands_of(windows), -1, -2), dtype=np.float32)

    def _bands_of(self, windows: np.ndarray) -> np.ndarray:
        """Compute the values, float32 [b, values of a frame, frames], of windows, float32 [b, length]."""
        return self._magnitude(windows)

    def _magnitude(self, windows: np.ndarray) -> np.ndarray:
        """Compute the magnitudes of the short-time Fourier transform, float32 [b, bins, frames]."""
        import librosa

        spectrum = librosa.stft(windows, n_fft=self.fft_size, hop_length=self.hop, win_length=self.window,
                                window=self.taper, center=self.center)
        return np.asarray(np.abs(spectrum))

    def _decibels(self, power: np.ndarray) -> np.ndarray:
        decibels = 10.0 * np.log10(np.maximum(power, self.amin))
        if self.top_db is None:
            return np.asarray(decibels)
        return np.asarray(np.maximum(decibels, decibels.max(axis=(-2, -1), keepdims=True) - self.top_db))


@dataclass(frozen=True, kw_only=True)
class Spectrogram(Frames):
    """All frequencies of each frame, [frames, bins]: ``scale`` decibels of the power, the power, or the magnitude."""

    kind: ClassVar[str] = "spectrogram"
    scale: Literal["decibel", "power", "magnitude"] = "decibel"

    def _bands_of(self, windows: np.ndarray) -> np.ndarray:
        magnitude = self._magnitude(windows)
        if self.scale == "magnitude":
            return magnitude
        return magnitude**2 if self.scale == "power" else self._decibels(magnitude**2)


@dataclass(frozen=True, kw_only=True)
class LogMel(Frames):
    """Decibels of the power in ``bands`` mel bands of each frame, [frames, bands].

    Bands cover ``low_hz`` to ``high_hz`` (0: half the rate) on Slaney's mel scale or, with ``htk``, HTK's.
    """

    kind: ClassVar[str] = "log-mel"
    bands: int = 40
    low_hz: float = 0.0
    high_hz: float = 0.0
    htk: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.bands <= self.bins:
            raise DataError(f"{self.label}: {self.bands} bands; give 1 to {self.bins}, as many as an FFT of "
                            f"{self.fft_size} samples tells apart")
        if not 0 <= self.low_hz < (self.high_hz or self.rate / 2) <= self.rate / 2:
            raise DataError(f"{self.label}: bands from {self.low_hz} to {self.high_hz or self.rate / 2} Hz; give "
                            f"low_hz below high_hz, within 0 to {self.rate / 2} Hz, half the rate")
        super().__post_init__()

    @property
    def band_count(self) -> int:
        """How many values a frame has."""
        return self.bands

    @property
    def band_axis(self) -> str:
        """What the values of a frame are."""
        return "bands"

    def _bands_of(self, windows: np.ndarray) -> np.ndarray:
        # One product of fixed shape for each clip: librosa's einsum over the batch rounds differently by batch size.
        return self._decibels(np.matmul(mel_filters(self), self._magnitude(windows) ** 2))


@dataclass(frozen=True, kw_only=True)
class Mfcc(LogMel):
    """The first ``coefficients`` of the orthonormal DCT-II of each frame's decibels, [frames, coefficients].

    ``drop_first``: without coefficient 0, their mean, one value fewer. ``append_energy``: the decibels of the frame's
    mean square before the taper come last, one value more.
    """

    kind: ClassVar[str] = "mfcc"
    coefficients: int = 13
    drop_first: bool = False
    append_energy: bool = False

    def __post_init__(self) -> None:
        if not 1 + self.drop_first <= self.coefficients <= self.bands:
            raise DataError(f"{self.label}: {self.coefficients} coefficients; give {1 + self.drop_first} to the "
                            f"{self.bands} of the bands")
        super().__post_init__()

    @property
    def band_count(self) -> int:
        """How many values a frame has."""
        return self.coefficients - self.drop_first + self.append_energy

    @property
    def band_axis(self) -> str:
        """What the values of a frame are."""
        return "coefficients"

    def _bands_of(self, windows: np.ndarray) -> np.ndarray:
        import librosa

        found = librosa.feature.mfcc(S=super()._bands_of(windows), n_mfcc=self.coefficients)
        found = found[..., int(self.drop_first) :, :]
        return np.concatenate([found, self._energy(windows)], axis=-2) if self.append_energy else np.asarray(found)

    def _energy(self, windows: np.ndarray) -> np.ndarray:
        """Compute the decibels of each frame's mean square, float32 [b, 1, frames]."""
        import librosa

        around = self.fft_size // 2 if self.center else 0
        heard = np.pad(windows, ((0, 0), (around, around))) if around else windows
        frames = librosa.util.frame(heard, frame_length=self.fft_size, hop_length=self.hop)
        return self._decibels(np.mean(np.square(frames), axis=-2, keepdims=True))


@functools.lru_cache(maxsize=8)
def mel_filters(front_end: LogMel) -> np.ndarray:
    """Make librosa's mel filters, float32 [bands, bins]; DataError if a band holds no frequency of the FFT."""
    import librosa

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # librosa's warning of empty bands: they are an error here
        filters = librosa.filters.mel(sr=front_end.rate, n_fft=front_end.fft_size, n_mels=front_end.bands,
                                      fmin=front_end.low_hz, fmax=front_end.high_hz or None, htk=front_end.htk)
    empty = int((filters.max(axis=1) == 0).sum())
    if empty:
        raise DataError(f"{front_end.label}: {empty} of {front_end.bands} bands hold no frequency of an FFT of "
                        f"{front_end.fft_size} samples; give fewer bands or a longer fft")
    return np.asarray(filters)
