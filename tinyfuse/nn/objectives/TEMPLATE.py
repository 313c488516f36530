"""Template of a training objective: copy this file, change ``loss`` and register it under its name.

As it stands it is label smoothing: the target is 1 - s + s / k at the label and s / k at each other of k classes
(Szegedy et al. 2016, section 7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinyfuse.core.backend import tensorflow
from tinyfuse.nn.objectives import register


@dataclass(frozen=True)
class LabelSmoothing:
    """Cross-entropy to targets that leave the share ``smoothing`` of each sample to all classes alike."""

    smoothing: float = 0.1

    def loss(self, model: Any, batch: Mapping[str, Any], labels: Any) -> Any:
        """Compute the loss of one step; see :class:`tinyfuse.nn.objectives.Objective`."""
        tf = tensorflow()
        logits = model(batch, training=True)
        classes = logits.shape[1]
        target = (1 - self.smoothing) * tf.one_hot(labels, classes) + self.smoothing / classes
        losses = tf.nn.softmax_cross_entropy_with_logits(target, logits)
        return tf.reduce_mean(losses) + (tf.add_n(model.losses) if model.losses else 0.0)


register("label_smoothing", LabelSmoothing())
