"""Who judges recordings: the device's chain, C's front end and the integers, or librosa and the float network."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tinyfuse.attacks.target import Target
from tinyfuse.attacks.wave.air import STILL, Condition
from tinyfuse.attacks.wave.scene import Scene, as_int16
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.frontend.device_sound import FULL_SCALE, Grid, sound_codes
from tinyfuse.frontend.fixed_sound import ARITHMETICS
from tinyfuse.frontend.normalisation import Normalisation, apply
from tinyfuse.frontend.recording import Recording
from tinyfuse.integer.class_values import class_values
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import IntegerModel


class Chain(Protocol):
    """From recordings to logits, as they are deployed."""

    def inputs(self, scene: Scene, clips: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Compute what the model takes for ``clips``, int16, beside the other inputs of ``scene``."""

    def logits(self, scene: Scene, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Compute logits [n, k]."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a chain says of n recordings in c ways through the air.

    ``outputs`` [c, n, k]; ``answer`` int [n]: the most frequent class; ``broken`` bool [n]: wrong in more than half of
    the ways; ``wrong`` float: the share of wrong answers over all of them.
    """

    outputs: np.ndarray
    answer: np.ndarray
    broken: np.ndarray
    wrong: float


def judge(chain: Chain, scene: Scene, clips: Sequence[np.ndarray], label: np.ndarray,
          conditions: Sequence[Condition] = (STILL,)) -> Verdict:
    """Ask ``chain`` for the classes of ``clips``, made of those of ``scene``, in each of ``conditions``."""
    outputs = np.stack([chain.logits(scene, carried(scene, clips, one)) for one in conditions])
    answers = outputs.argmax(axis=2)
    wrong = (answers != label).mean(axis=0)
    most = np.array([np.bincount(column).argmax() for column in answers.T])
    return Verdict(outputs, most, wrong > 0.5, float(wrong.mean()))


def carried(scene: Scene, clips: Sequence[np.ndarray], condition: Condition) -> list[np.ndarray]:
    """Return int16 recordings of ``clips`` as they arrive."""
    if condition is STILL:
        return list(clips)
    full = [[clip[None].astype(np.float64) / FULL_SCALE for clip in some] for some in (clips, scene.clips)]
    return [as_int16(condition.carried(*pair)[0]) for pair in zip(*full, strict=True)]


class DeviceChain:
    """The front end as C computes it, bit for bit, and the integers of ``model`` in the twin.

    ``arithmetic``: that of the exported front end, "float" or "fixed".
    """

    def __init__(self, model: IntegerModel, name: str, front_end: Recording, fitted: Normalisation,
                 arithmetic: str = "float") -> None:
        names = [one.name for one in model.inputs]
        if name not in names:
            raise UsageError(f"'{name}'{nearest(name, names)} is no input of {model.name}; its inputs: "
                             f"{', '.join(names)}")
        port = model.inputs[names.index(name)]
        grid = Grid(port.scale, port.zero_point, port.grid.low, port.grid.high)
        if arithmetic not in ARITHMETICS:
            raise UsageError(f"front end '{arithmetic}'{nearest(arithmetic, ARITHMETICS)}; give one of "
                             f"{', '.join(ARITHMETICS)}, as the package is exported")
        self.model, self._port, self._tables = model, port, ARITHMETICS[arithmetic](front_end, fitted, grid)
        self._executor = open_executor(model, "twin")

    def elsewhere(self, executor: str) -> DeviceChain:
        """Return the same chain with the integers in another ``executor``."""
        made = copy.copy(self)
        made._executor = open_executor(self.model, executor)
        return made

    def inputs(self, scene: Scene, clips: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Compute the codes of all inputs [n, ...]; ``scene.others`` are real values."""
        codes = {one.name: one.grid.quantise(scene.others[one.name]).astype(one.dtype) for one in self.model.inputs
                 if one.name != scene.name}
        own = sound_codes(self._tables, clips).reshape(len(clips), *self._port.shape[1:])
        return {**codes, scene.name: own.astype(self._port.dtype)}

    def logits(self, scene: Scene, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Compute what the output codes say of each class, float64 [n, k]; other codes are other values."""
        return class_values(self._executor.run(self.inputs(scene, clips)), self.model)


class FloatChain:
    """The front end as librosa computes it, and the float ``target``."""

    def __init__(self, target: Target, front_end: Recording, fitted: Normalisation) -> None:
        self._target, self._front_end, self._fitted = target, front_end, fitted

    def inputs(self, scene: Scene, clips: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Compute the inputs, float32 [n, ...] by name."""
        values = np.stack([self._front_end.features(clip) for clip in clips])
        return {**scene.others, scene.name: apply(self._front_end, self._fitted, values)}

    def logits(self, scene: Scene, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Compute logits [n, k]."""
        return self._target.logits(self.inputs(scene, clips))
