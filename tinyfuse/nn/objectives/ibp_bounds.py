"""Interval bounds of a network: boxes of its inputs become bounds of every tensor, and of the margins of its classes.

The last layer, where it is dense and linear, is never bounded by itself: its rows are subtracted first, and the margin
of a class is bounded by the difference of two rows, which is tighter than the difference of two bounds (Gowal et al.
2018, section 3, "elision of the last layer").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.nn.objectives.ibp_layers import Box, bound, check, inner_of, is_rounded, kernel_of
from tinyfuse.nn.objectives.training_threat import TrainingThreat
from tinyfuse.nn.origin import parents

INPUT_CODES = 255  # steps of the grid of an input, between its lowest and its highest code


class Bounds:
    """Bounds every tensor of ``model`` (``tf_keras``, functional) for the part ``what``, within ``threat`` (linf).

    UsageError: a layer without bounds. The inputs of a network with rounded weights are rounded as the device rounds
    them, to the 256 codes over an input's range and 0.
    """

    def __init__(self, model: Any, threat: TrainingThreat, what: str) -> None:
        self.model, self.threat = model, threat
        self.layers = [layer for layer in model.layers if layer.name not in model.input_shape]
        for layer in self.layers:
            check(layer, what)
        if any(not isinstance(layer.input, (list, tuple)) and len(parents(layer)) != 1 for layer in self.layers):
            raise UsageError(f"{what}: '{model.name}' has layers that read constants, which have no interval bounds")
        self.last = model.output._keras_history.layer
        inner = inner_of(self.last)
        self.elided = type(inner).__name__ == "Dense" and inner.activation.__name__ == "linear" and len(
            model.output.shape) == 2
        self.rounded = any(is_rounded(layer) for layer in self.layers)
        self.with_norms = any(type(layer).__name__ == "BatchNormalization" for layer in self.layers)

    def around(self, center: Mapping[str, Any], share: Any, point: Mapping[str, Any] | None = None) -> dict[str, Box]:
        """Make the boxes of all inputs: ``share`` (a scalar) of each budget around ``center``, within the range.

        ``point``: the batch whose statistics batch norms use, in training.
        """
        tf, boxes = tensorflow(), {}
        for name, values in center.items():
            radius = share * self.threat.budget.get(name, 0.0) * self.threat.mask.get(name, 1.0)
            clip = (lambda ends, one=name: tf.clip_by_value(ends, self.threat.low[one], self.threat.high[one])
                    ) if name in self.threat.budget else tf.identity
            box = Box(clip(values - radius), clip(values + radius))
            box = self._on_grid(name, box) if self.rounded else box
            boxes[name] = Box(box.low, box.high, point[name] if point and self.with_norms else None)
        return boxes

    def _on_grid(self, name: str, box: Box) -> Box:
        low, high = min(self.threat.low.get(name, 0.0), 0.0), max(self.threat.high.get(name, 1.0), 0.0)
        step = (high - low) / INPUT_CODES
        return box.apply_rising(lambda values: tensorflow().round(values / step) * step)

    def boxes(self, inputs: Mapping[str, Box]) -> dict[str, Box]:
        """Bound every tensor by the name of its layer, but for the last layer where its margins are bounded instead."""
        found = dict(inputs)
        for layer in self.layers:
            if not (self.elided and layer is self.last):
                found[layer.name] = bound(layer, [found[parent.name] for parent in parents(layer)])
        return found

    def margins(self, boxes: Mapping[str, Box], labels: Any) -> Any:
        """Compute lower bounds [n, classes] of the logit of ``labels`` minus that of each class; 0 for itself."""
        tf = tensorflow()
        if not self.elided:
            box = boxes[self.last.name]
            own = tf.gather(box.low, labels, axis=1, batch_dims=1)[:, None]
            return tf.where(_is(labels, box.low), 0.0, own - box.high)
        box, kernel, inner = boxes[parents(self.last)[0].name], kernel_of(self.last), inner_of(self.last)
        logits = tf.matmul(box.center, kernel) + (inner.bias if inner.use_bias else 0.0)
        rows = tf.gather(tf.transpose(kernel), labels)[:, :, None]  # [n, features, 1], of the sample's own class
        width = tf.reduce_sum(box.radius[:, :, None] * tf.abs(rows - kernel[None]), 1)
        return tf.gather(logits, labels, axis=1, batch_dims=1)[:, None] - logits - width

    def certified(self, batch: Mapping[str, Any], labels: Any) -> Any:
        """Tell for which samples no point of the whole budget's box changes the class, bool [n]; in inference mode."""
        margins = self.margins(self.boxes(self.around(batch, 1.0)), labels)
        return tensorflow().reduce_all((margins > 0) | _is(labels, margins), 1)

    def readers(self, kinds: Sequence[str]) -> list[tuple[str, str]]:
        """List the layers of these ``kinds`` with the layer that each reads, both by name."""
        return [(layer.name, parents(layer)[0].name) for layer in self.layers
                if type(inner_of(layer)).__name__ in kinds]


def _is(labels: Any, like: Any) -> Any:
    """Tell for each class [n, classes] whether it is the label."""
    return tensorflow().one_hot(labels, like.shape[1], on_value=True, off_value=False)
