"""Training checkpoints as plain ``.npz``: no pickle, written whole or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.core.errors import DataError, ModelError
from tinyfuse.core.files import load_arrays, save_arrays


@dataclass(frozen=True)
class Progress:
    """How far training came, and the best weights so far. Equal scores keep the later epoch."""

    epochs_done: int = 0
    best_epoch: int = 0
    best_score: float = -1.0
    best_weights: Sequence[np.ndarray] = field(default_factory=list)
    seconds: float = 0.0

    def after(self, epoch: int, score: float, weights: Sequence[np.ndarray], began: float) -> Progress:
        """Progress once ``epoch`` (from 1), which began at monotonic time ``began``, scored ``score``."""
        seconds = self.seconds + time.monotonic() - began
        if score >= self.best_score:
            return Progress(epoch, epoch, score, weights, seconds)
        return Progress(epoch, self.best_epoch, self.best_score, self.best_weights, seconds)


def save_progress(path: str | Path, identity: Mapping[str, str], variables: Sequence[Any],
                  progress: Progress) -> None:
    """Write model and optimizer ``variables`` with ``progress``; ``identity`` says of which run they are."""
    facts = {"identity": dict(identity), "epochs_done": progress.epochs_done, "best_epoch": progress.best_epoch,
             "best_score": progress.best_score, "seconds": progress.seconds}
    save_arrays(path, {"facts": np.frombuffer(json.dumps(facts).encode(), np.uint8),
                       **{f"variable_{i}": np.asarray(v) for i, v in enumerate(variables)},
                       **{f"best_{i}": w for i, w in enumerate(progress.best_weights)}})


def load_progress(path: str | Path, identity: Mapping[str, str], variables: Sequence[Any]) -> Progress:
    """Set ``variables`` from the checkpoint at ``path`` and return its progress; fresh if there is none.

    A checkpoint of another run (other data, network, epochs, seed ...) is not used.
    Raises :class:`ModelError` if the file is damaged.
    """
    if not Path(path).exists():
        return Progress()
    try:
        arrays = load_arrays(path)
        facts = json.loads(bytes(arrays["facts"]))
        if facts["identity"] != dict(identity):
            return Progress()
        values = [arrays[f"variable_{i}"] for i in range(len(variables))]
        best = [arrays[f"best_{i}"] for i in range(sum(name.startswith("best_") for name in arrays))]
    except (ValueError, KeyError, DataError) as error:
        raise ModelError(f"{path}: damaged training checkpoint ({error}); delete it to train anew") from error
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return Progress(facts["epochs_done"], facts["best_epoch"], facts["best_score"], best, facts["seconds"])
