"""A float tf_keras model as a target; what an attack does not change runs once, ahead of the rest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyfuse.attacks.guards import refuse_probabilities
from tinyfuse.attacks.losses import check_loss
from tinyfuse.attacks.target import CompletedFocus, Gradient
from tinyfuse.core.backend import compiled, tensorflow
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data.samples import Batch
from tinyfuse.threats.code_grid import Grids

if TYPE_CHECKING:
    from tinyfuse.nn.network import Network


class KerasTarget:
    """Logits and input gradients of a functional tf_keras model whose inputs are taken from a batch by name.

    ``inputs``: those that the network looks at, by default all that ``model`` has; it gets zeros for the others.

    Samples run in batches of exactly ``batch_size`` (the last one padded): float32 gradients depend on the
    shape of the batch, so a fixed shape makes the result of a sample independent of how many others there
    are. Take a multiple of 8: with 50, for one, they depend on the place in the batch, too. The compiled
    functions are built once and never retraced. The loss is computed in float32, as CleverHans does. A model with
    several outputs is a UsageError, one that returns probabilities a TinyfuseError on the first batch.
    """

    executor = "keras"

    def __init__(self, model: Any, inputs: Sequence[str] | None = None, *, batch_size: int = 100) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size is {batch_size}; give at least 1")
        if len(model.outputs) != 1:
            raise UsageError(f"model '{model.name}' has {len(model.outputs)} outputs; give one that returns logits")
        self.name: str = model.name
        self.inputs: tuple[str, ...] = tuple(model.input_names if inputs is None else inputs)
        self.grids: Grids | None = None
        self.batch_size = batch_size
        self._model = model
        self._shapes = {name: tuple(tensor.shape[1:])
                        for name, tensor in zip(model.input_names, model.inputs, strict=True)}
        self._check_names(self.inputs, tuple(self._shapes))
        self._cuts: dict[tuple[str, ...], tuple[KerasCut, KerasTarget] | None] = {}
        self._forward = self._compiled(lambda inputs: [model(inputs, training=False)])
        self._backward: dict[tuple[tuple[str, ...], str], Callable[..., Any]] = {}

    @classmethod
    def of(cls, network: Network, *, batch_size: int = 100) -> KerasTarget:
        """Return ``network`` as a target that looks at what the network looks at."""
        return cls(network.model, network.input_names, batch_size=batch_size)

    def logits(self, batch: Batch) -> np.ndarray:
        [logits] = self._outputs(lambda given, rows: self._forward(given), batch)
        refuse_probabilities(logits, self.name)
        return logits

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        """Return per-sample float32 gradients of ``loss`` to ``labels`` for ``wrt``.

        Only these inputs are differentiated; one that the model ignores has gradient 0.
        """
        check_loss(loss)
        backward, labels = self._backward_for(wrt, loss), np.asarray(labels, np.int64)
        if np.max(labels, initial=0) >= (classes := self._model.output_shape[-1]):
            raise UsageError(f"a label is {np.max(labels)}, but '{self.name}' has {classes} classes")
        logits, losses, *gradients = self._outputs(lambda given, rows: backward(given, labels[rows]), batch)
        refuse_probabilities(logits, self.name)
        return Gradient(logits, losses, dict(zip(wrt, gradients, strict=True)))

    def focus(self, batch: Batch, varying: tuple[str, ...]) -> CompletedFocus | None:
        """Return the same target while only ``varying`` of ``batch`` change; None if no part of it could run ahead."""
        varying = tuple(name for name in self.inputs if name in varying)
        if varying not in self._cuts:
            found = cut(self._model, varying)
            self._cuts[varying] = None if found is None else (
                found, KerasTarget(found.moving, batch_size=self.batch_size))
        ready = self._cuts[varying]
        if ready is None:
            return None
        found, moving = ready
        names = found.fixed.input_names
        features = self._outputs(lambda given, rows: found.run([given[name] for name in names]), batch)
        return CompletedFocus(moving, dict(zip(found.border, features, strict=True)), varying)

    def _check_names(self, names: tuple[str, ...], allowed: tuple[str, ...]) -> None:
        for name in names:
            if name not in allowed:
                raise UsageError(f"'{self.name}' has no input '{name}'{nearest(name, allowed)}; "
                                 f"it has {', '.join(allowed)}")

    def _outputs(self, compute: Callable[[dict[str, np.ndarray], np.ndarray], list[Any]],
                 batch: Batch) -> list[np.ndarray]:
        """Return what ``compute`` makes of ``batch``, part by part, without the padding."""
        parts = [[value.numpy()[:count] for value in compute(self._rows(batch, rows), rows)]
                 for rows, count in self._parts(batch)]
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def _rows(self, batch: Batch, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {name: np.asarray(batch[name][rows], np.float32) if name in self.inputs
                else np.zeros((len(rows), *shape), np.float32) for name, shape in self._shapes.items()}

    def _parts(self, batch: Batch) -> Iterator[tuple[np.ndarray, int]]:
        """Yield (``batch_size`` rows to run, the last one repeated as padding; how many of them count)."""
        for name in self.inputs:
            shape = self._shapes[name]
            if name not in batch:
                raise UsageError(f"'{self.name}' needs input '{name}'; the batch holds {', '.join(batch) or 'nothing'}")
            if batch[name].shape[1:] != shape or not len(batch[name]):
                raise UsageError(f"input '{name}' has shape {batch[name].shape}; '{self.name}' takes "
                                 f"[n, {', '.join(map(str, shape))}] with n > 0")
        total = len(batch[self.inputs[0]])
        for start in range(0, total, self.batch_size):
            rows = np.arange(start, start + self.batch_size)
            yield np.minimum(rows, total - 1), min(self.batch_size, total - start)

    def _compiled(self, function: Callable[..., Any], *more: Any) -> Callable[..., Any]:
        tf = tensorflow()
        inputs = {name: tf.TensorSpec((self.batch_size, *shape), tf.float32, name=name)
                  for name, shape in self._shapes.items()}
        made: Callable[..., Any] = compiled(function, input_signature=[inputs, *more])
        return made

    def _backward_for(self, wrt: tuple[str, ...], loss: str) -> Callable[..., Any]:
        """Return f(inputs, labels) -> [logits, loss, gradient for each of ``wrt``], compiled once."""
        self._check_names(wrt, self.inputs)
        tf = tensorflow()

        def backward(inputs: dict[str, Any], labels: Any) -> list[Any]:
            watched = [inputs[name] for name in wrt]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(watched)
                logits = self._model(inputs, training=False)
                values = _TF_LOSSES[loss](labels, tf.cast(logits, tf.float32))
            gradients = tape.gradient(values, watched, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            return [logits, values, *gradients]

        if (wrt, loss) not in self._backward:
            labels = tf.TensorSpec((self.batch_size,), tf.int64, name="labels")
            self._backward[wrt, loss] = self._compiled(backward, labels)
        return self._backward[wrt, loss]


def _cross_entropy(labels: Any, logits: Any) -> Any:
    return tensorflow().nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def _margin(labels: Any, logits: Any) -> Any:
    tf = tensorflow()
    own = tf.one_hot(labels, logits.shape[-1], on_value=True, off_value=False)
    lowest = tf.constant(logits.dtype.min, logits.dtype)
    return tf.reduce_max(tf.where(own, lowest, logits), axis=1) - tf.gather(logits, labels, batch_dims=1)


_TF_LOSSES: dict[str, Callable[[Any, Any], Any]] = {"cross-entropy": _cross_entropy, "margin": _margin}


class KerasCut:
    """``model`` cut in two: ``fixed`` computes the border tensors, ``moving`` the logits from them and ``varying``.

    ``moving`` takes the varying inputs by name, and the border tensors under its own other input names.
    """

    def __init__(self, model: Any, varying: tuple[str, ...], border: list[Any]) -> None:
        tensorflow()
        from tf_keras import Model

        inputs = dict(zip(model.input_names, model.inputs, strict=True))
        _skip_input_names(model, len(border))
        needed = [inputs[name] for name in model.input_names if name not in varying]
        self.fixed = Model(needed, border)
        self.moving = Model([*(inputs[name] for name in varying), *border], model.outputs[0], name=model.name)
        self.border = tuple(self.moving.input_names[len(varying):])
        fixed = self.fixed
        self.run = compiled(lambda given: _list(fixed(given, training=False)))


def cut(model: Any, varying: tuple[str, ...]) -> KerasCut | None:
    """Cut a functional ``model`` for attacks on the inputs ``varying``; None where nothing could be computed ahead."""
    if set(varying) >= set(model.input_names) or not hasattr(model, "_nodes_by_depth"):
        return None
    varies = {id(tensor): name in varying for name, tensor in zip(model.input_names, model.inputs, strict=True)}
    depths = sorted(model._nodes_by_depth, reverse=True)
    nodes = [node for depth in depths for node in model._nodes_by_depth[depth] if not node.is_input]
    for node in nodes:
        changes = any(varies[id(tensor)] for tensor in node.keras_inputs)
        for tensor in _list(node.outputs):
            varies[id(tensor)] = changes
    used = {id(tensor) for node in nodes for tensor in node.keras_inputs}
    border = {id(tensor): tensor for node in nodes if any(varies[id(tensor)] for tensor in _list(node.outputs))
              for tensor in node.keras_inputs if not varies[id(tensor)]}
    inputs = {id(tensor) for tensor in model.inputs}
    unused = any(id(tensor) not in used for name, tensor in zip(model.input_names, model.inputs, strict=True)
                 if name in varying)
    if unused or border.keys() <= inputs or not varies[id(model.outputs[0])]:
        return None
    return KerasCut(model, varying, list(border.values()))


def _skip_input_names(model: Any, count: int) -> None:
    """Move Keras' own counter past the ``input_1`` ... of ``model`` before ``count`` new inputs; loading does not."""
    from tf_keras.backend import get_uid

    used = {int(found[1]) for layer in model.layers if (found := re.fullmatch(r"input_(\d+)", layer.name))}
    latest = get_uid("input")
    while any(latest + ahead in used for ahead in range(1, count + 1)):
        latest = get_uid("input")


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
