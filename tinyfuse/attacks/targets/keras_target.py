"""A float tf_keras model as a target."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tinyfuse.attacks.guards import refuse_probabilities
from tinyfuse.attacks.losses import check_loss
from tinyfuse.attacks.target import Batch, Gradient
from tinyfuse.attacks.targets.keras_focus import KerasCut, KerasFocus, cut
from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.threats.code_grid import InputGrid

LOSS_DTYPES = ("float32", "float64")


class KerasTarget:
    """Logits and input gradients of a functional tf_keras model whose inputs are taken from a batch by name.

    Samples run in batches of exactly ``batch_size`` (the last one padded): float32 gradients depend on the
    shape of the batch, so a fixed shape makes the result of a sample independent of how many others there
    are. Take a multiple of 8: with 50, for one, they depend on the place in the batch, too. The compiled
    functions are built once and never retraced. ``loss_dtype``: "float32" is what CleverHans computes;
    "float64" keeps the gradient of samples whose probability rounds to 1 in float32.

    Raises:
        UsageError: a model with several outputs, a bad batch size or loss dtype.
        TinyfuseError: on the first batch, if the model returns probabilities.
    """

    executor = "keras"

    def __init__(self, model: Any, *, batch_size: int = 100, loss_dtype: str = "float32") -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size is {batch_size}; give at least 1")
        if loss_dtype not in LOSS_DTYPES:
            raise UsageError(f"unknown loss dtype '{loss_dtype}'{nearest(loss_dtype, LOSS_DTYPES)}; "
                             f"use one of {', '.join(LOSS_DTYPES)}")
        if len(model.outputs) != 1:
            raise UsageError(f"model '{model.name}' has {len(model.outputs)} outputs; "
                             "give one that returns logits")
        self.name: str = model.name
        self.inputs: tuple[str, ...] = tuple(model.input_names)
        self.grids: Mapping[str, InputGrid] | None = None
        self.batch_size, self.loss_dtype = batch_size, loss_dtype
        self._model = model
        self._shapes = {name: tuple(tensor.shape[1:])
                        for name, tensor in zip(self.inputs, model.inputs, strict=True)}
        self._cuts: dict[tuple[str, ...], tuple[KerasCut, KerasTarget] | None] = {}
        self._forward = self._compile_forward()
        self._backward: dict[tuple[tuple[str, ...], str], Callable[..., Any]] = {}

    def logits(self, batch: Batch) -> np.ndarray:
        """Return float32 logits [n, k] in inference mode."""
        parts = [self._forward(self._rows(batch, rows)).numpy()[:count] for rows, count in self._parts(batch)]
        return self._checked(np.concatenate(parts))

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        """Return per-sample float32 gradients of ``loss`` to ``labels`` for ``wrt``.

        Only these inputs are differentiated; one that the model ignores has gradient 0.
        """
        check_loss(loss)
        backward, labels = self._backward_for(wrt, loss), np.asarray(labels, np.int64)
        if np.max(labels, initial=0) >= (classes := self._model.output_shape[-1]):
            raise UsageError(f"a label is {np.max(labels)}, but '{self.name}' has {classes} classes")
        parts = [[values.numpy()[:count] for values in backward(self._rows(batch, rows), labels[rows])]
                 for rows, count in self._parts(batch)]
        logits, losses, *gradients = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Gradient(self._checked(logits), losses, dict(zip(wrt, gradients, strict=True)))

    def focus(self, batch: Batch, modalities: tuple[str, ...]) -> KerasFocus | None:
        """The same target while only ``modalities`` of ``batch`` change; None if no part of it could run ahead."""
        varying = tuple(name for name in self.inputs if name in modalities)
        if varying not in self._cuts:
            found = cut(self._model, varying)
            self._cuts[varying] = None if found is None else (
                found, KerasTarget(found.moving, batch_size=self.batch_size, loss_dtype=self.loss_dtype))
        ready = self._cuts[varying]
        if ready is None:
            return None
        found, moving = ready
        parts = [[values[:count] for values in self._border(found, rows, batch)] for rows, count in self._parts(batch)]
        features = {name: np.concatenate(column) for name, column in
                    zip(found.border, zip(*parts, strict=True), strict=True)}
        return KerasFocus(moving, varying, features)

    def _border(self, found: KerasCut, rows: np.ndarray, batch: Batch) -> list[np.ndarray]:
        values = found.run([self._rows(batch, rows)[name] for name in found.fixed.input_names])
        return [value.numpy() for value in values]

    def _checked(self, logits: np.ndarray) -> np.ndarray:
        refuse_probabilities(logits, self.name)
        return logits

    def _rows(self, batch: Batch, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {name: np.asarray(batch[name][rows], np.float32) for name in self.inputs}

    def _parts(self, batch: Batch) -> Iterator[tuple[np.ndarray, int]]:
        """Yield (``batch_size`` rows to run, the last one repeated as padding; how many of them count)."""
        for name, shape in self._shapes.items():
            if name not in batch:
                raise UsageError(f"'{self.name}' needs input '{name}'; the batch holds "
                                 f"{', '.join(batch) or 'nothing'}")
            if batch[name].shape[1:] != shape or not len(batch[name]):
                raise UsageError(f"input '{name}' has shape {batch[name].shape}; '{self.name}' takes "
                                 f"[n, {', '.join(map(str, shape))}] with n > 0")
        total = len(batch[self.inputs[0]])
        for start in range(0, total, self.batch_size):
            rows = np.arange(start, start + self.batch_size)
            yield np.minimum(rows, total - 1), min(self.batch_size, total - start)

    def _specs(self) -> dict[str, Any]:
        tf = tensorflow()

        return {name: tf.TensorSpec((self.batch_size, *shape), tf.float32, name=name)
                for name, shape in self._shapes.items()}

    def _compile_forward(self) -> Callable[..., Any]:
        tf = tensorflow()

        def forward(inputs: dict[str, Any]) -> Any:
            return self._model(inputs, training=False)

        compiled: Callable[..., Any] = tf.function(forward, input_signature=[self._specs()])
        return compiled

    def _backward_for(self, wrt: tuple[str, ...], loss: str) -> Callable[..., Any]:
        for name in wrt:
            if name not in self.inputs:
                raise UsageError(f"'{self.name}' has no input '{name}'{nearest(name, self.inputs)}; "
                                 f"it has {', '.join(self.inputs)}")
        if (wrt, loss) not in self._backward:
            self._backward[wrt, loss] = self._compile_backward(wrt, _TF_LOSSES[loss])
        return self._backward[wrt, loss]

    def _compile_backward(self, wrt: tuple[str, ...], loss_of: Callable[[Any, Any], Any]) -> Callable[..., Any]:
        tf = tensorflow()

        def backward(inputs: dict[str, Any], labels: Any) -> list[Any]:
            watched = [inputs[name] for name in wrt]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(watched)
                logits = self._model(inputs, training=False)
                loss = loss_of(labels, tf.cast(logits, self.loss_dtype))
            ignored = tf.UnconnectedGradients.ZERO
            gradients = tape.gradient(loss, watched, unconnected_gradients=ignored)
            return [logits, loss, *gradients]

        labels = tf.TensorSpec((self.batch_size,), tf.int64, name="labels")
        compiled: Callable[..., Any] = tf.function(backward, input_signature=[self._specs(), labels])
        return compiled


def _cross_entropy(labels: Any, logits: Any) -> Any:
    return tensorflow().nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def _margin(labels: Any, logits: Any) -> Any:
    tf = tensorflow()
    own = tf.one_hot(labels, logits.shape[-1], on_value=True, off_value=False)
    lowest = tf.constant(logits.dtype.min, logits.dtype)
    return tf.reduce_max(tf.where(own, lowest, logits), axis=1) - tf.gather(logits, labels, batch_dims=1)


_TF_LOSSES: dict[str, Callable[[Any, Any], Any]] = {"cross-entropy": _cross_entropy, "margin": _margin}
