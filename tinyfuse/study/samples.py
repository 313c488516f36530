"""Clean and adversarial inputs on disk, so that every number can be judged again from what was fed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyfuse.core.errors import InputsError
from tinyfuse.core.files import load_arrays, save_arrays
from tinyfuse.integer.interpreters import IntegerModel


@dataclass(frozen=True)
class Samples:
    """Inputs by name (float32 [n, 28, 28, 1]) and their labels int64 [n]."""

    inputs: dict[str, np.ndarray]
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.label)


def real_codes(model: IntegerModel, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Codes of real ``inputs`` for ``model``; :class:`InputsError` if its inputs have other names or shapes."""
    codes = {}
    for port in model.inputs:
        if port.name not in inputs or inputs[port.name].shape[1:] != port.shape[1:]:
            given = " and ".join(f"'{name}' {list(value.shape[1:])}" for name, value in inputs.items())
            raise InputsError(f"{model.name} takes '{port.name}' {list(port.shape[1:])}, but the data has {given}; "
                             "take a model of these inputs, or rename its inputs when converting (compare also takes "
                             "--random N)")
        codes[port.name] = port.grid.quantise(inputs[port.name])
    return codes


def save_clean(path: str | Path, samples: Samples) -> None:
    """Write clean ``samples``."""
    save_arrays(path, {**samples.inputs, "label": samples.label})


def load_clean(path: str | Path) -> Samples:
    """Read clean samples."""
    arrays = load_arrays(path)
    return Samples({name: arrays[name] for name in arrays if name != "label"}, arrays["label"])
