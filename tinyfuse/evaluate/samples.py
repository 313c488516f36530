"""Clean and adversarial inputs on disk, so that every number can be judged again from what was fed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyfuse.files import load_arrays, save_arrays


@dataclass(frozen=True)
class Samples:
    """Inputs by name (float32 [n, 28, 28, 1]) and their labels int64 [n]."""

    inputs: dict[str, np.ndarray]
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.label)


def save_clean(path: str | Path, samples: Samples) -> None:
    """Write clean ``samples``."""
    save_arrays(path, {**samples.inputs, "label": samples.label})


def load_clean(path: str | Path) -> Samples:
    """Read clean samples."""
    arrays = load_arrays(path)
    return Samples({name: arrays[name] for name in arrays if name != "label"}, arrays["label"])
