"""A network as branches that end in features, and a linear head on top of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.nn.objectives.objective import Forward
from tinyfuse.nn.origin import origins, parents
from tinyfuse.nn.zoo.transformer import STREAM


class View:
    """Looks at ``model`` (``tf_keras``, inputs by name, logits out) by data flow.

    ``head``: its last layer if that is dense and linear, else None (under quantisation-aware training the layer inside
    the wrapper). ``rows``: by branch the rows, int [d], of the head's kernel [features, classes] that belong to it. A
    branch is a set of inputs that reaches the head on its own; its name joins theirs by "+".
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._last = model.output._keras_history.layer
        self.head = _dense(self._last)
        self.rows: Mapping[str, np.ndarray] = {} if self.head is None else _rows(model, self._last.input)

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of the branches; none where there is no linear head."""
        return tuple(self.rows)

    @property
    def weights(self) -> Mapping[str, Any]:
        """The tf.Variables "kernel" and, if it has one, "bias" of the last layer, by these names.

        Not ``head.kernel``, which under quantisation-aware training is a rounded tensor of another graph.
        """
        return {one.name.split(":")[0].rsplit("/", 1)[-1]: one for one in self._last.weights}

    def inputs_of(self, branch: str) -> tuple[str, ...]:
        """Names of the inputs of ``branch``."""
        return tuple(branch.split("+"))

    def pieces(self) -> list[tuple[str, str]]:
        """List the layers whose outputs, side by side, are what the head reads, in order: (name, branch)."""
        reached = origins(self.model)
        names = [tensor._keras_history.layer.name for tensor in _joined(self._last.input)] if self.rows else []
        return [(name, "+".join(reached[name])) for name in names]

    def need_branches(self, what: str, least: int = 2) -> None:
        """Raise UsageError unless at least ``least`` branches meet in a linear head, and each input in one alone."""
        names = [name for branch in self.branches for name in self.inputs_of(branch)]
        if len(self.branches) >= least and len(set(names)) == len(names):
            return
        found = ("its last layer is not dense and linear" if self.head is None else
                 f"the only input is {names[0]}" if len(names) == 1 else
                 f"its last layer reads features of {', '.join(self.branches).replace('+', ' and ')} together"
                 if len(self.branches) < least else f"its branches {', '.join(self.branches)} share inputs")
        raise UsageError(f"{what} needs a network whose last layer is dense and reads features of each input apart, "
                         f"as late fusion does; of '{self.model.name}' {found}")

    @cached_property
    def streams(self) -> Mapping[str, np.ndarray]:
        """Rows, int [d], of the head's kernel by branch, or by input where the builder of the network names them.

        A transformer over all inputs has a class token for each: features that are one input's by construction, though
        all inputs reach them.
        """
        named = {STREAM.format(name): name for name in self.model.input_shape}
        pieces, place, found = self.pieces(), 0, dict[str, np.ndarray]()
        if not pieces or any(name not in named for name, _ in pieces):
            return self.rows
        for name, _ in pieces:
            width = int(self.model.get_layer(name).output.shape[-1])
            found[named[name]] = np.arange(place, place + width)
            place += width
        return found

    def of_streams(self, features: Mapping[str, Any]) -> Mapping[str, Any]:
        """Turn features [n, d] by branch into those by stream."""
        if self.streams is self.rows:
            return features
        tf, order = tensorflow(), np.argsort(np.concatenate([*self.rows.values()]))
        joined = tf.gather(tf.concat([features[branch] for branch in self.rows], 1), order, axis=1)
        return {stream: tf.gather(joined, rows, axis=1) for stream, rows in self.streams.items()}

    def need_streams(self, what: str) -> None:
        """Raise UsageError unless the head reads features of each input apart, by data flow or by construction."""
        if self.streams is self.rows:
            self.need_branches(what)

    def layers(self, branch: str) -> list[str]:
        """Names of the layers that inputs of ``branch`` reach and no others."""
        own = set(self.inputs_of(branch))
        return [name for name, found in origins(self.model).items() if found and set(found) <= own]

    @cached_property
    def _with_features(self) -> Any:
        import tf_keras

        return tf_keras.Model(self.model.input, [self.model.output, self._last.input])

    def forward(self, batch: Mapping[str, Any], *, training: bool, features: bool = True) -> Forward:
        """Run one pass over ``batch``; without ``features`` it is the plain call of the model."""
        if not (features and self.rows):
            return Forward(self.model(batch, training=training))
        logits, joined = self._with_features(batch, training=training)
        return Forward(logits, self.split(joined))

    def split(self, joined: Any) -> dict[str, Any]:
        """Split what the head reads, [n, features], by branch."""
        return {branch: tensorflow().gather(joined, rows, axis=1) for branch, rows in self.rows.items()}

    def means(self, features: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Average features [n, d] by branch over all of the given batches: float64 [d] by branch."""
        return {branch: np.concatenate([np.asarray(one[branch], np.float64) for one in features]).mean(0)
                for branch in self.branches}


def _dense(layer: Any) -> Any | None:
    inner = getattr(layer, "layer", layer)
    linear = getattr(getattr(inner, "activation", None), "__name__", "linear") == "linear"
    flat = not isinstance(layer.input, (list, tuple)) and len(layer.input.shape) == 2
    return inner if type(inner).__name__ == "Dense" and linear and flat else None


def _rows(model: Any, joined: Any) -> dict[str, np.ndarray]:
    """Find by branch the columns of the tensor ``joined`` [n, features] that carry its features."""
    reached, place = origins(model), 0
    found: dict[str, list[np.ndarray]] = {}
    for tensor in _joined(joined):
        branch = "+".join(reached[tensor._keras_history.layer.name])
        width = int(tensor.shape[-1])
        found.setdefault(branch, []).append(np.arange(place, place + width))
        place += width
    return {branch: np.concatenate(rows) for branch, rows in found.items()}


def _joined(tensor: Any) -> list[Any]:
    """List the tensors [n, d] whose columns, in order, make up ``tensor``: through concatenations and dropout."""
    layer = tensor._keras_history.layer
    kind = type(layer).__name__
    if kind == "Concatenate" and layer.axis in (-1, 1):
        parts = layer.input if isinstance(layer.input, (list, tuple)) else [layer.input]  # of one it is no list
        return [one for part in parts for one in _joined(part)]
    if "Dropout" in kind and parents(layer):
        return _joined(layer.input)
    return [tensor]
