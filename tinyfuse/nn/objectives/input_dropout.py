"""Input dropout: some samples show one input only, so that the network learns to hear each (Neverova et al. 2016).

Unlike a loss on each branch it needs no branches: it keeps networks that fuse early from giving up an input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.data.samples import Samples
from tinyfuse.nn.objectives.objective import Targets, Work
from tinyfuse.nn.objectives.run import Run, folded
from tinyfuse.nn.predict import accuracy_of

MOST_SAMPLES = 256


@dataclass(frozen=True)
class InputDropout:
    """Settings: a ``share`` of the samples keeps one drawn input; the others are at their mean of the training part."""

    name: ClassVar[str] = "input-dropout"
    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UsageError(f"input-dropout: share is {self.share}; give a number above 0, at most 1")

    def attach(self, run: Run) -> Work:
        """Return the part at work; see :class:`tinyfuse.nn.objectives.objective.Part`."""
        if len(run.inputs) < 2:
            raise UsageError("input-dropout needs a network of at least two inputs; leave it out")
        return InputDropoutWork(self, run)


class InputDropoutWork(Work):
    """Replaces inputs of each batch by their training mean, all but one of a sample or none."""

    def __init__(self, settings: InputDropout, run: Run) -> None:
        self.settings, self.model = settings, run.model
        self.names = tuple(one.name for one in run.inputs)
        self.means = run.dataset.train.means(self.names)

    def batch(self, batch: Mapping[str, Any], targets: Targets, seed: Any) -> tuple[Mapping[str, Any], Targets]:
        """Show one input only in some samples of ``batch``."""
        tf = tensorflow()
        count = targets.labels.shape[0]
        whole = tf.random.stateless_uniform([count], folded(seed, 0)) >= self.settings.share
        only = tf.random.stateless_uniform([count], folded(seed, 1), 0, len(self.names), "int32")

        def shown(place: int, values: Any) -> Any:
            kept = tf.reshape(whole | (only == place), [-1, *([1] * (len(values.shape) - 1))])
            return tf.where(kept, values, self.means[self.names[place]])

        return {**batch, **{name: shown(place, batch[name]) for place, name in enumerate(self.names)}}, targets

    def score(self, samples: Samples) -> float:
        """Compute the mean accuracy over each input alone, on at most 256 fixed samples."""
        chosen = samples.balanced(min(MOST_SAMPLES, len(samples)), seed=0)
        return float(np.mean([accuracy_of(self.model, self._alone(chosen, name)) for name in self.names]))

    def _alone(self, samples: Samples, name: str) -> Samples:
        means = {other: np.broadcast_to(mean, samples.inputs[other].shape) for other, mean in self.means.items()}
        return replace(samples, inputs={**samples.inputs, **means, name: samples.inputs[name]})
