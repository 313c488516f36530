"""Autoencoders as targets: what they return for a sample is turned into the verdict "normal" or "anomaly".

With the anomaly score s, the mean square error between the real input and its reconstruction, and a threshold t, the
logits are (t - s) / t and (s - t) / t. Every attack on classes then means what it should: a normal sample is attacked
by raising its error above the threshold, an anomaly by hiding its error below it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.attacks.losses import loss_and_slope
from tinyfuse.attacks.target import Gradient
from tinyfuse.attacks.targets.keras_target import KerasTarget
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.core.errors import UsageError
from tinyfuse.data.dataset import Dataset
from tinyfuse.data.samples import Batch, Samples
from tinyfuse.integer.class_values import class_values, has_one_sigmoid
from tinyfuse.integer.model import Codes, IntegerModel, dequantize
from tinyfuse.integer.undouble import undoubled
from tinyfuse.nn.network import Network
from tinyfuse.nn.objectives.reconstruction import anomaly_scores
from tinyfuse.nn.predict import predict
from tinyfuse.threats.code_grid import Grids

NORMAL_PASSED = 0.95
CLASSES = 2
"""Normal (label 0) and anomaly (label 1)."""


def rebuilds_input(name: str, values: int, shapes: Sequence[Sequence[int]], dataset: Dataset) -> bool:
    """Tell whether model ``name``, which returns ``values`` for inputs of ``shapes``, is an autoencoder.

    UsageError: it returns neither classes nor its only input, or the data of an autoencoder has other classes than two.
    """
    if values == len(dataset.classes):
        return False
    if len(shapes) != 1 or math.prod(shapes[0]) != values:
        one = " (one value names two classes if a sigmoid makes it)" if values == 1 else ""
        raise UsageError(f"{name} returns {values} value{'s' * (values != 1)}{one}, but the data has the "
                         f"{len(dataset.classes)} classes {', '.join(dataset.classes[:4])}; give data with its classes")
    if len(dataset.classes) != CLASSES:
        raise UsageError(f"{name} returns its input again, so it tells normal samples (label 0) from anomalies (label "
                         f"1); the data has {len(dataset.classes)} classes, give data with two")
    return True


def threshold_samples(network: Network, dataset: Dataset) -> Samples | None:
    """Return the validation samples, which choose the threshold of an autoencoder; None for a classifier."""
    shapes = [shape[1:] for shape in network.model.input_shape.values()]
    rebuilds = rebuilds_input(network.name, network.model.output_shape[-1], shapes, dataset)
    return dataset.validation if rebuilds else None


def float_target(network: Network, dataset: Dataset, *, batch_size: int) -> KerasTarget:
    """Return ``network`` as a target; of an autoencoder the verdict, its threshold chosen on validation samples."""
    known = threshold_samples(network, dataset)
    if known is None:
        return KerasTarget(network.model, batch_size=batch_size)
    threshold = threshold_of(anomaly_scores(predict(network.model, known), known.inputs), known.label)
    return AnomalyNetwork(network.model, threshold, batch_size=batch_size)


def threshold_of(scores: np.ndarray, labels: np.ndarray) -> float:
    """Choose the threshold that passes 95 % of the normal samples (label 0) with these anomaly ``scores`` [n]."""
    normal = np.asarray(scores)[np.asarray(labels) == 0]
    if not len(normal):
        raise UsageError("no normal sample (label 0) to choose the threshold of the anomaly score on; give validation "
                         "data with some")
    return _checked(float(np.quantile(normal, NORMAL_PASSED)))


def verdict_logits(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Turn anomaly ``scores`` [n] into logits float64 [n, 2] of "normal" and "anomaly"."""
    margin = (np.asarray(scores, np.float64) - threshold) / threshold
    return np.stack([-margin, margin], axis=1)


def judged_network(model: Any, threshold: float) -> Any:
    """Wrap an autoencoder of one input (``tf_keras``) into a model of the same input that returns verdict logits."""
    import tf_keras

    from tinyfuse.core.backend import tensorflow

    tf, threshold = tensorflow(), _checked(threshold)
    (name, shape), = model.input_shape.items()
    values, found = math.prod(shape[1:]), model.output_shape[-1]
    if values != found:
        raise UsageError(f"'{model.name}' returns {found} values for an input of {values}; give a network that returns "
                         "its input again")

    class Verdict(tf_keras.layers.Layer):  # type: ignore[misc]
        def call(self, given: Any) -> Any:
            real, rebuilt = given
            error = tf.reduce_mean(tf.square(rebuilt - tf.reshape(real, tf.shape(rebuilt))), axis=1)
            margin = error / threshold - 1.0
            return tf.stack([-margin, margin], axis=1)

    given = tf_keras.Input(shape[1:], name=name)
    return tf_keras.Model({name: given}, Verdict(name="verdict")([given, model({name: given})]), name=model.name)


def twin_target(model: IntegerModel, dataset: Dataset) -> IntegerTarget:
    """Return the twin of ``model`` as a target; of an autoencoder the verdict, as :func:`float_target` does."""
    shapes = [port.shape[1:] for port in model.inputs]
    values = CLASSES if has_one_sigmoid(model.graph) else math.prod(model.output.shape)
    return twin_of(model, dataset.validation if rebuilds_input(model.name, values, shapes, dataset) else None)


def twin_of(model: IntegerModel, known: Samples | None) -> IntegerTarget:
    """Return the twin of ``model``, of an autoencoder the verdict with a threshold chosen on the samples ``known``."""
    if known is None:
        return TwinTarget(model)
    found = AnomalyTwin(model, 1.0)
    codes = {name: values.astype(np.float32) for name, values in model.codes_of(known.inputs).items()}
    return AnomalyTwin(model, threshold_of(found.scores(codes), known.label))


def read_out(target: IntegerTarget, outputs: np.ndarray, codes: Codes) -> np.ndarray:
    """Turn output codes [n, ...] of any executor for the input ``codes`` into the logits of ``target``, float64."""
    if isinstance(target, AnomalyTwin):
        return target.verdict(outputs, codes)
    return class_values(outputs, target.model)


class AnomalyNetwork(KerasTarget):
    """Verdict logits and input gradients of a float autoencoder (``tf_keras``)."""

    def __init__(self, model: Any, threshold: float, *, batch_size: int = 100) -> None:
        super().__init__(judged_network(model, threshold), batch_size=batch_size)
        self.threshold = threshold


class AnomalyTwin:
    """Verdict logits and input gradients of the twin of an integer autoencoder; a batch holds whole codes as float32.

    The error is that between the real values of the input's codes and of the output's, which a device computes from
    both. Gradients are d loss / d code, straight-through, the input's own part in the error included.
    """

    executor = "twin"

    def __init__(self, model: IntegerModel, threshold: float) -> None:
        from tinyfuse.integer.twin import Twin

        if len(model.inputs) != 1 or math.prod(model.inputs[0].shape) != math.prod(model.output.shape):
            taken = ", ".join(f"{port.name} {list(port.shape)}" for port in model.inputs)
            raise UsageError(f"{model.name} takes {taken} and returns {list(model.output.shape)}; give a model that "
                             "returns its only input again")
        self.model, self.name = model, model.name
        self.port = model.inputs[0]
        self.inputs: tuple[str, ...] = (self.port.name,)
        self.grids: Grids | None = model.grids
        self.threshold = _checked(threshold)
        self.twin = Twin(undoubled(model.graph))

    def scores(self, batch: Batch) -> np.ndarray:
        """Compute the anomaly scores float64 [n]."""
        codes = self._codes(batch)
        return self._errors(self.twin.run(codes), codes)

    def logits(self, batch: Batch) -> np.ndarray:
        """Return verdict logits float64 [n, 2]."""
        return verdict_logits(self.scores(batch), self.threshold)

    def verdict(self, outputs: np.ndarray, codes: Codes) -> np.ndarray:
        """Return verdict logits float64 [n, 2] of output codes that an executor computed for ``codes``."""
        return verdict_logits(self._errors(outputs, codes), self.threshold)

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        """Return per-sample gradients float32 of ``loss`` to ``labels`` (int [n]) for the codes of ``wrt``."""
        codes, labels = self._codes(batch), np.asarray(labels)
        given = codes[self.port.name]
        logits, losses = np.empty((len(labels), 2)), np.empty(len(labels))
        direct = np.empty((len(labels), math.prod(self.port.shape)))

        def seed(values: np.ndarray, rows: slice) -> np.ndarray:
            difference = self._difference(values, given[rows])
            logits[rows] = verdict_logits(np.mean(np.square(difference), axis=1), self.threshold)
            losses[rows], slope = loss_and_slope(loss, logits[rows], labels[rows])
            by_score = (slope[:, 1] - slope[:, 0]) / self.threshold
            by_value = by_score[:, None] * 2.0 * difference / difference.shape[1]
            direct[rows] = -by_value * self.port.scale
            return np.asarray(by_value * self.model.output.scale).reshape(values.shape)

        _, found = self.twin.gradient(codes, seed, wrt)
        return Gradient(logits, losses, {name: (slopes + direct.reshape(slopes.shape)).astype(np.float32)
                                         for name, slopes in found.items()})

    def _errors(self, outputs: np.ndarray, codes: Codes) -> np.ndarray:
        return np.asarray(np.mean(np.square(self._difference(outputs, codes[self.port.name])), axis=1))

    def _difference(self, outputs: np.ndarray, given: np.ndarray) -> np.ndarray:
        """Subtract real inputs from their reconstruction, float64 [n, values]."""
        rebuilt = dequantize(outputs, self.model.output).reshape(len(outputs), -1)
        return np.asarray(rebuilt - dequantize(given, self.port).reshape(len(outputs), -1))

    def _codes(self, batch: Batch) -> dict[str, np.ndarray]:
        """Return int32 codes: whole numbers inside the grid, or an error, as nothing is rounded here."""
        name, grid = self.port.name, self.port.grid
        if name not in batch or batch[name].shape[1:] != self.port.shape[1:]:
            given = ", ".join(f"{key} {list(value.shape[1:])}" for key, value in batch.items())
            raise UsageError(f"{self.name} takes '{name}' of shape {list(self.port.shape[1:])}; given: {given}")
        codes = batch[name].astype(np.int32)
        if not np.array_equal(codes, batch[name]) or codes.min() < grid.low or codes.max() > grid.high:
            raise UsageError(f"'{name}' holds values that are no codes of {self.name}; bring real inputs to its grid "
                             "first")
        return {name: codes}


IntegerTarget = TwinTarget | AnomalyTwin
"""The twin of an integer model as attacks take it."""


def _checked(threshold: float) -> float:
    if not 0 < threshold < math.inf:
        raise UsageError(f"threshold {threshold} of the anomaly score; give a finite number above 0")
    return threshold
