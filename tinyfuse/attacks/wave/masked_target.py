"""A change in units of what a recording masks: spectra of modulus 1 and less become the loudest inaudible wave."""

from __future__ import annotations

import numpy as np

from tinyfuse.attacks.target import Gradient
from tinyfuse.attacks.wave.masking import HOPS, frame_size, masked, taper
from tinyfuse.attacks.wave.wave_target import ABOUT, CLEAN, HEARD, WaveTarget
from tinyfuse.data.samples import Batch
from tinyfuse.threats.code_grid import Grids

MASK = ".mask"
"""End of the input that holds amplitudes float32 [n, frames, bins]."""


class MaskedTarget:
    """``target``, given changes float32 [n, frames, bins, 2] (real and imaginary part) in units of the mask.

    Frames are added up with Hann windows. A steady tone of modulus 1 reaches half of the mask, as its neighbours on
    both sides add up to the other half; the mask is the least of its neighbours. What exceeds it is turned down later.
    """

    def __init__(self, target: WaveTarget, rate: int) -> None:
        self._target, self._rate = target, rate
        self.wave, self.name, self.executor = target.wave, target.name, target.executor
        self.inputs = (*target.inputs, target.wave + MASK)
        self.grids: Grids | None = None

    def logits(self, batch: Batch) -> np.ndarray:
        return self._target.logits(self._with_wave(batch))

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        found = self._target.gradient(self._with_wave(batch), labels, wrt, loss)
        slope = found.wrt[self.wave] / batch[self.wave + ABOUT][:, :1]
        return Gradient(found.logits, found.loss, {**found.wrt,
                                                   self.wave: slope_of(slope, batch[self.wave + MASK], self._rate)})

    def _with_wave(self, batch: Batch) -> dict[str, np.ndarray]:
        name = self.wave
        change = change_of(batch[name], batch[name + MASK], batch[name + HEARD], self._rate)
        wave = batch[name + CLEAN] + change / batch[name + ABOUT][:, :1]
        return {**batch, name: wave.astype(np.float32)}


def change_of(points: np.ndarray, mask: np.ndarray, heard: np.ndarray, rate: int) -> np.ndarray:
    """Return the waves, full scale 1, float64 [n, length], of ``points`` [n, frames, bins, 2] in units of ``mask``.

    ``heard`` [n, length]: 1 where the recording is.
    """
    size = frame_size(rate)
    hop, wanted = size // HOPS, (points[..., 0].astype(np.float64) + 1j * points[..., 1]) * mask
    frames = np.fft.irfft(wanted, size, axis=-1) * taper(size) * 2 / HOPS
    made = np.zeros((len(frames), (frames.shape[1] + HOPS - 1) * hop))
    for quarter in range(HOPS):
        piece = frames[..., quarter * hop:(quarter + 1) * hop].reshape(len(frames), -1)
        made[:, quarter * hop:quarter * hop + piece.shape[1]] += piece
    return np.asarray(made[:, size - hop:size - hop + heard.shape[1]] * heard)


def slope_of(slope: np.ndarray, mask: np.ndarray, rate: int) -> np.ndarray:
    """Turn a gradient for the waves of :func:`change_of`, 0 where nothing is heard, into one for its points."""
    size = frame_size(rate)
    hop = size // HOPS
    padded = np.pad(slope.astype(np.float64), ((0, 0), (size - hop, mask.shape[1] * hop)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size, axis=1)[:, ::hop][:, :mask.shape[1]]
    twice = np.full(size // 2 + 1, 2 / size)
    twice[[0, -1]] = 1 / size
    found = np.fft.rfft(frames * taper(size) * 2 / HOPS, axis=-1) * mask * twice
    return np.stack([found.real, found.imag], axis=-1).astype(np.float32)


def masks_of(waves: np.ndarray, rate: int, loudest: np.ndarray) -> np.ndarray:
    """Return masks float32 [n, frames, bins] of windows [n, length], each the least of its neighbours."""
    found = np.stack([masked(wave, rate, top) for wave, top in zip(waves, loudest, strict=True)])
    for axis, reach in ((1, HOPS - 1), (2, 1)):
        widths = [(reach, reach) if place == axis else (0, 0) for place in range(3)]
        padded = np.pad(found, widths, mode="edge")
        found = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=axis).min(axis=-1)
    return found.astype(np.float32)
