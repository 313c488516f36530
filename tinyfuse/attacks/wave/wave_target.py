"""A network with a microphone before it: its input is the wave, the gradient goes back through the front end."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyfuse.attacks.target import DifferentiableTarget, Gradient
from tinyfuse.attacks.wave.differentiable import DifferentiableSound
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data.samples import Batch
from tinyfuse.threats.code_grid import Grids

HEARD, ABOUT = ".heard", ".about"
"""Ends of two inputs beside the wave's: float32 [n, length], 1 where the recording is; and [n, 3], by what the wave is
multiplied to be of full scale 1, the sum of squares beyond the window, and the recording's samples."""


class WaveTarget:
    """``target`` behind the front end of its input ``name``; waves are float32 [n, length], other inputs as they were.

    Integers get the codes of all inputs; their gradients are straight-through. ``shifts``: the gradient is the mean
    over the wave moved by so many samples (expectation over transformation, Athalye et al. 2018); logits are of the
    wave where it is.
    """

    def __init__(self, target: DifferentiableTarget, name: str, sound: DifferentiableSound,
                 shifts: tuple[int, ...] = (0,)) -> None:
        if name not in target.inputs:
            raise UsageError(f"'{name}'{nearest(name, target.inputs)} is no input of '{target.name}'; its inputs: "
                             f"{', '.join(target.inputs)}")
        if not shifts:
            raise UsageError("no shifts; give 0 for the wave where it is")
        self.target, self.wave, self.sound, self.shifts = target, name, sound, shifts
        self.name, self.executor = target.name, target.executor
        self.inputs = (*target.inputs, name + HEARD, name + ABOUT)
        self.grids: Grids | None = None

    def logits(self, batch: Batch) -> np.ndarray:
        return np.asarray(self.target.logits(self._behind(batch, self._windows(batch, 0))))

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        """Return gradients for the wave and for other inputs; those are of the wave where it is."""
        found = [self._gradient(batch, labels, wrt, loss, shift) for shift in self.shifts]
        if self.wave not in wrt or len(found) == 1:
            return found[0]
        mean = np.asarray(np.mean([one.wrt[self.wave] for one in found], axis=0, dtype=np.float32))
        here = found[self.shifts.index(0)] if 0 in self.shifts else found[0]
        return Gradient(here.logits, here.loss, {**here.wrt, self.wave: mean})

    def _gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...], loss: str, shift: int) -> Gradient:
        windows = self._windows(batch, shift)
        found = self.target.gradient(self._behind(batch, windows), labels, wrt, loss)
        grids = self.target.grids or {}
        slopes: dict[str, Any] = {
            name: np.asarray(values / np.float32(grids[name].scale) if name in grids else values, np.float32)
            for name, values in found.wrt.items()}
        if self.wave in slopes:
            about = batch[self.wave + ABOUT]
            pulled = self.sound.pull_back(windows, about[:, 1], about[:, 2], slopes[self.wave])
            slopes[self.wave] = np.roll(pulled, -shift, axis=1) * batch[self.wave + HEARD] * about[:, :1]
        return Gradient(found.logits, found.loss, slopes)

    def _windows(self, batch: Batch, shift: int) -> np.ndarray:
        wave = batch[self.wave] * batch[self.wave + HEARD] * batch[self.wave + ABOUT][:, :1]
        return np.roll(wave, shift, axis=1).astype(np.float32)

    def _behind(self, batch: Batch, windows: np.ndarray) -> dict[str, np.ndarray]:
        about, grids = batch[self.wave + ABOUT], self.target.grids or {}
        made = {name: batch[name] for name in self.target.inputs if name != self.wave}
        made[self.wave] = self.sound.inputs(windows, about[:, 1], about[:, 2])
        return {name: grids[name].quantise(values).astype(np.float32) if name in grids else values
                for name, values in made.items()}
