"""What a training minimises, found by name; ``TEMPLATE.py`` shows how to add an objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.nn.objectives.reconstruction import Reconstruction


class Objective(Protocol):
    """A scalar to minimise, as a function of the network and one batch.

    Optional: ``score(outputs, samples) -> float`` says how good the outputs [n, ...] for samples are, the greater the
    better (default: the accuracy); ``rebuilds_input`` is True if the network returns its input, not classes.
    """

    def loss(self, model: Any, batch: Mapping[str, Any], labels: Any) -> Any:
        """Compute the loss of one training step, a float32 scalar tensor; it is traced into a compiled step.

        ``model``: the ``tf_keras`` network, called with ``training=True``, returns logits [n, classes]. ``batch``:
        tensors [n, ...] by input name; ``labels``: int64 [n].
        """


class Plain:
    """Mean softmax cross-entropy on the samples as they are, plus the weight decay of the layers."""

    def loss(self, model: Any, batch: Mapping[str, Any], labels: Any) -> Any:
        """Compute the loss of one step; see :class:`Objective`."""
        tf = tensorflow()
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(batch, training=True))
        return tf.reduce_mean(losses) + (tf.add_n(model.losses) if model.losses else 0.0)


class ClassWeighted:
    """The same, each sample times the weight of its class: ``weights`` float [classes]."""

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = np.asarray(weights, np.float32)

    def loss(self, model: Any, batch: Mapping[str, Any], labels: Any) -> Any:
        """Compute the loss of one step; see :class:`Objective`."""
        tf = tensorflow()
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(batch, training=True))
        weighted = tf.reduce_mean(losses * tf.gather(self.weights, labels))
        return weighted + (tf.add_n(model.losses) if model.losses else 0.0)


OBJECTIVES: dict[str, Objective] = {"plain": Plain(), "reconstruction": Reconstruction()}


def register(name: str, objective: Objective) -> None:
    """Make ``objective`` known as ``name`` to training settings, and so to matrices and the command line."""
    OBJECTIVES[name] = objective


def check_name(name: str) -> None:
    """Raise UsageError unless ``name`` is a registered objective."""
    if name not in OBJECTIVES:
        raise UsageError(f"unknown objective '{name}'{nearest(name, OBJECTIVES)}: choose one of "
                         f"{', '.join(OBJECTIVES)}")
