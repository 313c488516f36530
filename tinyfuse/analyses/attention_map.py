"""Where a network looks: its map over places of an input, and how an attack moves it.

The map is the output of a softmax inside the network, over the places of the last map of one input (see
:mod:`tinyfuse.nn.zoo.localiser`). As an attack sees it, a map is a verdict of two classes: the logits are log of the
share of the map inside the true region, and of that outside; so every attack on classes attacks the map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinyfuse.attacks.losses import loss_and_slope
from tinyfuse.attacks.target import DifferentiableTarget, Gradient
from tinyfuse.attacks.targets.keras_target import KerasTarget
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.data.samples import Batch

TRUTH = "true_region"
"""Name in a batch of the true region of each sample, float32 [n, places]."""
INSIDE = 0
_FLOOR = 1e-6
_CODE = 1 / 256
Map = Callable[[Batch], np.ndarray]


def keras_map(model: Any) -> Any | None:
    """Find the tensor [n, places] of the map of a ``tf_keras`` model; None if it has none."""
    output = model.output._keras_history.layer
    found = [layer for layer in model.layers if _is_softmax(layer) and layer is not output
             and len(layer.output.shape) == 2]
    return found[-1].output if found else None


def _is_softmax(layer: Any) -> bool:
    activation = getattr(layer, "activation", None)
    return type(layer).__name__ == "Softmax" or (type(layer).__name__ == "Activation" and
                                                 getattr(activation, "__name__", "") == "softmax")


def twin_map(target: TwinTarget) -> int | None:
    """Find the tensor of the map of an integer model: a softmax whose output other operators read; None without one."""
    read = {index for operator in target.twin.graph.operators for index in operator.inputs}
    found = [operator.outputs[0] for operator in target.twin.graph.operators
             if operator.name == "SOFTMAX" and operator.outputs[0] in read]
    return found[-1] if found else None


def grid_of(places: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """Tell the rows and columns of a map of ``places`` over an input of ``shape`` [height, width, ...]."""
    height, width = shape[:2]
    rows = round(float(np.sqrt(places * height / width)))
    if rows < 1 or places % rows or places // rows > width or rows > height:
        raise UsageError(f"a map of {places} places does not fit an input of {height}x{width}")
    return rows, places // rows


def truth_on_grid(region: np.ndarray, places: int) -> np.ndarray:
    """Tell how much of each place of a map, float64 [n, places], lies in true regions bool [n, height, width, ...]."""
    height, width = region.shape[1:3]
    rows, columns = grid_of(places, region.shape[1:])
    cell = (np.arange(height) * rows // height)[:, None] * columns + np.arange(width) * columns // width
    inside = (cell.ravel()[:, None] == np.arange(places)).astype(np.float64)
    flat = region.reshape(len(region), height * width, -1).mean(axis=2)
    return np.asarray(flat @ inside / inside.sum(axis=0))


def map_of_keras(model: Any, tensor: Any, batch_size: int) -> tuple[Map, DifferentiableTarget]:
    """Return f(batch) -> map float [n, places], and the map of a ``tf_keras`` model as a target of two classes."""
    import tf_keras

    tf = tensorflow()

    class LogShares(tf_keras.layers.Layer):  # type: ignore[misc]
        def call(self, given: Any) -> Any:
            share, region = given
            sums = [tf.reduce_sum(share * part, axis=1) for part in (region, 1.0 - region)]
            return tf.math.log(tf.stack(sums, axis=1) + _FLOOR)

    inputs = dict(zip(model.input_names, model.inputs, strict=True))
    truth = tf_keras.Input((int(tensor.shape[1]),), name=TRUTH)
    judged = tf_keras.Model({**inputs, TRUTH: truth}, LogShares()([tensor, truth]), name=model.name)
    shown = tf_keras.Model(inputs, tensor)

    def look(batch: Batch) -> np.ndarray:
        return np.asarray(shown.predict({name: batch[name] for name in inputs}, batch_size=batch_size, verbose=0))

    return look, KerasTarget(judged, batch_size=batch_size)


class TwinMap:
    """The map of an integer model as a target of two classes; a batch holds codes and the true region."""

    executor = "twin"

    def __init__(self, target: TwinTarget, tensor: int) -> None:
        self.name, self.grids = target.name, target.grids
        self.inputs = (*target.inputs, TRUTH)
        self._names, self._twin, self._tensor = target.inputs, target.twin, tensor

    def look(self, batch: Batch) -> np.ndarray:
        """Compute the map float64 [n, places], whole multiples of 1/256."""
        return self._shares(self._twin.run(self._codes(batch), tensor=self._tensor))

    def logits(self, batch: Batch) -> np.ndarray:
        logits, _ = log_shares(self.look(batch), batch[TRUTH])
        return logits

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        losses, labels = np.empty(len(labels)), np.asarray(labels)

        def seed(values: np.ndarray, rows: slice) -> np.ndarray:
            logits, slopes = log_shares(self._shares(values), batch[TRUTH][rows])
            losses[rows], slope = loss_and_slope(loss, logits, labels[rows])
            pull = (slope[:, :, None] * slopes).sum(axis=1) * _CODE
            return np.asarray(pull, np.float32).reshape(values.shape)

        values, found = self._twin.gradient(self._codes(batch), seed, wrt, tensor=self._tensor)
        return Gradient(log_shares(self._shares(values), batch[TRUTH])[0], losses, found)

    def _shares(self, values: np.ndarray) -> np.ndarray:
        return np.asarray((values.reshape(len(values), -1).astype(np.float64) + 128) * _CODE)

    def _codes(self, batch: Batch) -> dict[str, np.ndarray]:
        return {name: batch[name].astype(np.int32) for name in self._names}


def log_shares(share: np.ndarray, region: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute log of what lies inside and outside of ``region``, [n, 2], and its slopes [n, 2, places].

    Half a code is added to each, as a share of 0 codes has no logarithm.
    """
    parts = np.stack([region, 1.0 - region], axis=1)
    sums = np.einsum("nkp,np->nk", parts, share) + _CODE / 2
    return np.log(sums), parts / sums[:, :, None]


def pointing(share: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Tell, bool [n], whether the largest place of a map [n, places] lies by more than half in the ``truth``."""
    return np.asarray(truth[np.arange(len(share)), share.argmax(axis=1)] > 0.5)


def mass_inside(share: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Compute the share of each map [n, places] that lies in the ``truth`` float [n, places]."""
    return np.asarray((share * truth).sum(axis=1) / np.maximum(share.sum(axis=1), np.finfo(float).tiny))


def with_truth(batch: Mapping[str, np.ndarray], truth: np.ndarray) -> dict[str, np.ndarray]:
    """Add the true regions float [n, places] to a batch."""
    return {**batch, TRUTH: truth.astype(np.float32)}
