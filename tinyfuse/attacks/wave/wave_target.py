"""A network with a microphone before it: its input is the wave, the gradient goes back through air and front end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.attacks.target import DifferentiableTarget, Gradient
from tinyfuse.attacks.wave.air import STILL, Condition
from tinyfuse.attacks.wave.differentiable import DifferentiableSound
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data.samples import Batch
from tinyfuse.threats.code_grid import Grids

HEARD, ABOUT, CLEAN = ".heard", ".about", ".clean"
"""Ends of three inputs beside the wave's: float32 [n, length], 1 where the recording is; [n, 3], by what the wave is
multiplied to be of full scale 1, the sum of squares beyond the window, and the recording's samples; and the clean wave
[n, length]."""


class WaveTarget:
    """``target`` behind the front end of its input ``name``; waves are float32 [n, length], other inputs as they were.

    Integers get the codes of all inputs; their gradients are straight-through. ``conditions``: gradients, losses and
    logits are means over these ways through the air (expectation over transformation, Athalye et al. 2018).
    """

    def __init__(self, target: DifferentiableTarget, name: str, sound: DifferentiableSound,
                 conditions: Sequence[Condition] = (STILL,)) -> None:
        if name not in target.inputs:
            raise UsageError(f"'{name}'{nearest(name, target.inputs)} is no input of '{target.name}'; its inputs: "
                             f"{', '.join(target.inputs)}")
        if not conditions:
            raise UsageError("no conditions; give STILL for the wave as it is")
        self.target, self.wave, self.sound, self.conditions = target, name, sound, tuple(conditions)
        self.name, self.executor = target.name, target.executor
        self.inputs = (*target.inputs, name + HEARD, name + ABOUT, name + CLEAN)
        self.grids: Grids | None = None

    def logits(self, batch: Batch) -> np.ndarray:
        """Return logits [n, k], their mean over the conditions."""
        return np.asarray(np.mean([self.target.logits(self._behind(batch, self._windows(batch, one)))
                                   for one in self.conditions], axis=0))

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        """Return gradients for the wave and for other inputs."""
        found = [self._gradient(batch, labels, wrt, loss, one) for one in self.conditions]
        if len(found) == 1:
            return found[0]
        slopes = {name: np.asarray(np.mean([one.wrt[name] for one in found], axis=0, dtype=np.float32)) for name in wrt}
        return Gradient(np.mean([one.logits for one in found], axis=0), np.mean([one.loss for one in found], axis=0),
                        slopes)

    def _gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...], loss: str,
                  condition: Condition) -> Gradient:
        windows = self._windows(batch, condition)
        found = self.target.gradient(self._behind(batch, windows), labels, wrt, loss)
        grids = self.target.grids or {}
        slopes: dict[str, Any] = {
            name: np.asarray(values / np.float32(grids[name].scale) if name in grids else values, np.float32)
            for name, values in found.wrt.items()}
        if self.wave in slopes:
            about = batch[self.wave + ABOUT]
            pulled = self.sound.pull_back(windows, about[:, 1], about[:, 2], slopes[self.wave])
            slopes[self.wave] = condition.pulled_back(pulled) * batch[self.wave + HEARD] * about[:, :1]
        return Gradient(found.logits, found.loss, slopes)

    def _windows(self, batch: Batch, condition: Condition) -> np.ndarray:
        about = batch[self.wave + ABOUT][:, :1]
        wave, clean = batch[self.wave] * batch[self.wave + HEARD] * about, batch[self.wave + CLEAN] * about
        return condition.carried(wave, clean).astype(np.float32)

    def _behind(self, batch: Batch, windows: np.ndarray) -> dict[str, np.ndarray]:
        about, grids = batch[self.wave + ABOUT], self.target.grids or {}
        made = {name: batch[name] for name in self.target.inputs if name != self.wave}
        made[self.wave] = self.sound.inputs(windows, about[:, 1], about[:, 2])
        return {name: grids[name].quantise(values).astype(np.float32) if name in grids else values
                for name, values in made.items()}
