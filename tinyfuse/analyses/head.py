"""The linear head of a model and the features that it reads, by branch: of a float network or of a ``.tflite``.

logit k = sum over branches m of W_k^m phi^m + b_k, where a branch is a set of inputs that reaches the head on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.core.backend import compiled, tensorflow
from tinyfuse.data.samples import Batch
from tinyfuse.nn.objectives.view import View
from tinyfuse.tflite.graph import Graph

CHUNK = 40
Arrays = Mapping[str, np.ndarray]
_VIEWS = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")


@dataclass(frozen=True, eq=False)
class Head:
    """A dense layer without activation, float64: ``kernel`` [d, classes] by branch and ``bias`` [classes].

    ``branches``: by name the inputs of each. ``features_of(inputs)``: float64 [n, d] by branch for real inputs.
    ``slopes_of(inputs, k)``: the gradient of logit k by input, [n, ...], in units of the real inputs.
    """

    branches: Mapping[str, tuple[str, ...]]
    kernel: Arrays = field(repr=False)
    bias: np.ndarray = field(repr=False)
    features_of: Callable[[Batch], Arrays] = field(repr=False)
    slopes_of: Callable[[Batch, int], Arrays] = field(repr=False)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.bias)

    def features(self, inputs: Batch, tick: Callable[[], None] = lambda: None) -> dict[str, np.ndarray]:
        """Compute the features float64 [n, d] by branch of real ``inputs`` [n, ...]."""
        return _by_chunks(inputs, self.features_of, tick)

    def scores(self, features: Arrays) -> dict[str, np.ndarray]:
        """Compute what each branch adds to the logits, float64 [n, classes], without the bias."""
        return {name: features[name] @ kernel for name, kernel in self.kernel.items()}

    def slope_products(self, inputs: Batch, tick: Callable[[], None] = lambda: None) -> dict[str, np.ndarray]:
        """Compute by branch the inner products, float64 [n, classes, classes], of gradients of its scores.

        Entry (j, k) is <ds_j/dx, ds_k/dx>, x being all inputs of the branch: ||d(s_j - s_k)/dx||^2 follows.
        """
        return _by_chunks(inputs, self._products, tick)

    def _products(self, inputs: Batch) -> Arrays:
        slopes = [self.slopes_of(inputs, k) for k in range(self.classes)]
        rows = {branch: np.stack([np.concatenate([one[name].reshape(len(one[name]), -1) for name in names], axis=1)
                                  for one in slopes], axis=1).astype(np.float64)
                for branch, names in self.branches.items()}
        return {branch: found @ found.transpose(0, 2, 1) for branch, found in rows.items()}


def _by_chunks(inputs: Batch, compute: Callable[[Batch], Arrays], tick: Callable[[], None]) -> dict[str, np.ndarray]:
    total = len(next(iter(inputs.values())))
    parts = []
    for start in range(0, total, CHUNK):
        parts.append(compute({name: values[start:start + CHUNK] for name, values in inputs.items()}))
        tick()
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def chunks(n: int) -> int:
    """Tell how often ``tick`` is called for ``n`` samples."""
    return -(-n // CHUNK)


def head_of_network(model: Any) -> Head | None:
    """Find the head of a ``tf_keras`` ``model``; None if its last layer is not dense and linear."""
    view = View(model)
    if view.head is None:
        return None
    tf, kernel = tensorflow(), np.asarray(view.head.kernel, np.float64)
    names = list(model.input_shape)
    bias = np.asarray(view.head.bias, np.float64) if view.head.use_bias else np.zeros(kernel.shape[1])
    given = {name: tf.TensorSpec(shape, tf.float32) for name, shape in model.input_shape.items()}
    forward = compiled(lambda batch: view.forward(batch, training=False).features, input_signature=[given])

    def one_slope(batch: dict[str, Any], k: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(batch)
            logit = tf.gather(model(batch, training=False), k, axis=1)
        return tape.gradient(logit, batch, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    backward = compiled(one_slope, input_signature=[given, tf.TensorSpec((), tf.int32)])

    def features_of(inputs: Batch) -> Arrays:
        return {name: np.asarray(values, np.float64)
                for name, values in forward({name: inputs[name] for name in names}).items()}

    def slopes_of(inputs: Batch, k: int) -> Arrays:
        found = backward({name: inputs[name] for name in names}, tf.constant(k))
        return {name: np.asarray(values) for name, values in found.items()}

    return Head({name: view.inputs_of(name) for name in view.branches},
                {name: kernel[rows] for name, rows in view.rows.items()}, bias, features_of, slopes_of)


def head_of_twin(target: TwinTarget) -> Head | None:
    """Find the head of an integer model, in real numbers; None if its last operator is not a linear FULLY_CONNECTED."""
    graph = target.twin.graph
    last = next((one for one in graph.operators if target.logit_tensor in one.outputs), None)
    if last is None or last.name != "FULLY_CONNECTED" or last.options.get("fused_activation_function") != "NONE":
        return None
    weights, source = graph.tensors[last.inputs[1]], graph.tensors[last.inputs[0]]
    if weights.data is None or weights.data.shape[1] != int(np.prod(source.shape[1:])):
        return None
    kernel = ((weights.data.astype(np.float64).T - weights.zero_point) * weights.scale.astype(np.float64))
    rows = _branch_rows(graph, last.inputs[0])
    if "" in rows:  # a constant among the features
        return None
    bias = np.zeros(kernel.shape[1])
    if len(last.inputs) > 2 and last.inputs[2] >= 0:
        codes = graph.tensors[last.inputs[2]].data
        assert codes is not None
        bias = codes.astype(np.float64) * weights.scale.astype(np.float64) * source.unit

    def features_of(inputs: Batch) -> Arrays:
        codes = target.twin.run(target.model.codes_of(inputs), tensor=source.index).reshape(-1, len(kernel))
        real = (codes.astype(np.float64) - source.zero) * source.unit
        return {name: real[:, columns] for name, columns in rows.items()}

    def slopes_of(inputs: Batch, k: int) -> Arrays:
        return _twin_slopes(target, inputs, k)

    return Head({name: tuple(name.split("+")) for name in rows}, {name: kernel[columns]
                for name, columns in rows.items()}, bias, features_of, slopes_of)


def _twin_slopes(target: TwinTarget, inputs: Batch, k: int) -> Arrays:
    """Compute the gradient of the real logit ``k`` for real inputs, straight-through over every rounding."""
    graph, names = target.twin.graph, target.inputs

    def seed(values: np.ndarray, rows: slice) -> np.ndarray:
        slope = np.zeros((len(values), values[0].size), np.float32)
        slope[:, k] = graph.tensors[target.logit_tensor].unit
        return slope.reshape(values.shape)

    _, found = target.twin.gradient(target.model.codes_of(inputs), seed, names, tensor=target.logit_tensor)
    return {name: found[name] / np.float32(target.model.grids[name].scale) for name in names}


def _branch_rows(graph: Graph, source: int) -> dict[str, np.ndarray]:
    """Find by branch the places, int [d], of its values in the flattened tensor ``source`` that the head reads."""
    made_by = {operator.outputs[0]: operator for operator in graph.operators}
    reached: dict[int, frozenset[int]] = {index: frozenset({index}) for index in graph.inputs}
    for operator in graph.operators:
        reached[operator.outputs[0]] = frozenset().union(
            *(reached[index] for index in operator.inputs if index in reached))

    def parts(index: int) -> list[int]:
        operator = made_by.get(index)
        if operator is not None and operator.name in _VIEWS:
            return parts(operator.inputs[0])
        flat = max(graph.tensors[index].shape) == int(np.prod(graph.tensors[index].shape))
        if operator is not None and operator.name == "CONCATENATION" and flat:
            return [one for part in operator.inputs for one in parts(part)]
        return [index]

    found, place = dict[str, list[np.ndarray]](), 0
    for index in parts(source):
        size = int(np.prod(graph.tensors[index].shape))
        name = "+".join(graph.tensors[one].name for one in graph.inputs if one in reached.get(index, ()))
        found.setdefault(name, []).append(np.arange(place, place + size))
        place += size
    return {name: np.concatenate(places) for name, places in found.items()}
