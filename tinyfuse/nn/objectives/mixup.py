"""Mixup: the network learns from weighted means of two samples and of their labels (Zhang et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.nn.objectives.objective import Targets, Work
from tinyfuse.nn.objectives.run import Run

MIXING = ("mixup", "density-mixup")


@dataclass(frozen=True)
class Mixup:
    """Settings: the share of the first sample is drawn from Beta(``alpha``, ``alpha``), once for each batch."""

    name: ClassVar[str] = "mixup"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.alpha < float("inf"):
            raise UsageError(f"mixup: alpha is {self.alpha}; give a number above 0")

    def attach(self, run: Run) -> Work:
        """Return the part at work; see :class:`tinyfuse.nn.objectives.objective.Part`."""
        check_mixed_once(run)
        return MixupWork(self)


class MixupWork(Work):
    """Mixes each batch with itself in another order: the same order and share for all inputs of a sample.

    Other shares by input would tear apart what belongs together.
    """

    def __init__(self, settings: Mixup) -> None:
        self.settings = settings

    def batch(self, batch: Mapping[str, Any], targets: Targets, seed: Any) -> tuple[Mapping[str, Any], Targets]:
        """Mix ``batch``."""
        tf = tensorflow()
        fold = tf.random.experimental.stateless_fold_in
        order = tf.argsort(tf.random.stateless_uniform([targets.labels.shape[0]], fold(seed, 0)))
        return mixed(batch, targets, order, beta(self.settings.alpha, fold(seed, 1)))


def check_mixed_once(run: Run) -> None:
    """Raise UsageError if two parts of ``run`` mix samples: the second would take mixed labels for plain ones.

    Before training, as TensorFlow puts many lines around an error of a compiled step.
    """
    if len([part for part in run.parts if part.name in MIXING]) > 1:
        raise UsageError(f"an objective can mix its samples once only: leave one of {' and '.join(MIXING)} out")


def mixed(batch: Mapping[str, Any], targets: Targets, order: Any, share: Any) -> tuple[dict[str, Any], Targets]:
    """Return share * batch + (1 - share) * batch[order], and targets with these weights; ``share``: scalar or [n]."""
    tf, labels = tensorflow(), targets.labels

    def one(values: Any) -> Any:
        weight = tf.reshape(share, [-1, *([1] * (len(values.shape) - 1))]) if len(share.shape) else share
        return weight * values + (1.0 - weight) * tf.gather(values, order)

    return ({name: one(values) for name, values in batch.items()},
            Targets(((share, labels), (1.0 - share, tf.gather(labels, order)))))


def beta(alpha: float, seed: Any) -> Any:
    """Draw a scalar of Beta(alpha, alpha)."""
    tf = tensorflow()
    pair = tf.random.stateless_gamma([2], seed, alpha)
    return pair[0] / tf.maximum(pair[0] + pair[1], 1e-30)
