"""CRMT's head: by branch orthonormal rows, and how much each class of each branch counts (Yang et al. 2024, eq 8).

logit k = sum over branches m of a_k^m W_k^m phi^m + b_k with W^m W^m' = I. It is a dense layer whose kernel has the
columns a_k^m W_k^m: folded into that layer it needs no operator of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.nn.objectives.view import View

FIRST_WEIGHT = 0.1  # of every class and branch, as in the paper's code
ORTHOGONAL = 1e-3  # cosine of two rows up to which a kernel counts as that of an orthogonal head
LEAST_RANK = 1e-4  # smallest singular value of directions, as a share of the largest


def orthonormal(directions: Any) -> Any:
    """Return the float32 rows [k, d], orthonormal, that span those of ``directions`` [k, d] one after the other.

    L^-1 V where V V' = L L' (Cholesky): the paper's code makes its rows unit vectors only, not orthogonal ones.
    """
    tf = tensorflow()
    wide = tf.cast(directions, tf.float64)
    lower = tf.linalg.cholesky(tf.matmul(wide, wide, transpose_b=True))
    return tf.cast(tf.linalg.triangular_solve(lower, wide), tf.float32)


def first_directions(kernel: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return directions [k, d] and weights [k] to begin with, from what a branch has of a head's ``kernel`` [d, k].

    An orthogonal head goes on as it is; of others only the directions are taken. A kernel of too low rank, such as
    zeros, gives random directions.
    """
    rows = np.asarray(kernel, np.float32).T
    sizes = np.linalg.norm(rows, axis=1)
    values = np.linalg.svd(rows, compute_uv=False)
    if not values[-1] > LEAST_RANK * values[0]:
        return np.random.default_rng([seed, *rows.shape]).standard_normal(rows.shape, np.float32), _first(len(rows))
    unit = rows / sizes[:, None]
    apart = np.abs(unit @ unit.T - np.eye(len(rows))).max() < ORTHOGONAL
    return rows, sizes if apart else _first(len(rows))


def _first(classes: int) -> np.ndarray:
    return np.full(classes, FIRST_WEIGHT, np.float32)


class OrthogonalHead:
    """Stands in for the last dense layer of the network that ``view`` looks at, over the features of ``rows``.

    ``rows``: by branch the rows of the layer's kernel. ``directions`` [k, d] and ``weights`` [k] by branch are trained
    in place of the kernel, which :meth:`publish` writes; the bias stays the layer's own. Under quantisation-aware
    training the folded kernel is rounded as the layer's own would be.
    """

    def __init__(self, view: View, rows: Mapping[str, np.ndarray], seed: int) -> None:
        last = view.model.output._keras_history.layer
        self.rows = rows
        self._kernel, self._bias = view.weights["kernel"], view.weights.get("bias")
        self._rounded = weight_rounding(last)
        kernel = np.asarray(self._kernel)
        for branch, places in rows.items():
            if len(places) < kernel.shape[1]:
                raise UsageError(f"crmt: branch '{branch}' of '{view.model.name}' has {len(places)} features for "
                                 f"{kernel.shape[1]} classes, of which as many rows cannot be orthogonal; give the "
                                 f"branch at least {kernel.shape[1]} features")
        tf = tensorflow()
        first = {branch: first_directions(kernel[places], seed) for branch, places in rows.items()}
        self.directions = {branch: tf.Variable(found, name=f"{branch}_directions".replace("+", "_"))
                           for branch, (found, _) in first.items()}
        self.weights = {branch: tf.Variable(found, name=f"{branch}_weights".replace("+", "_"))
                        for branch, (_, found) in first.items()}

    @property
    def variables(self) -> list[Any]:
        """What is trained in place of the layer's kernel."""
        return [*self.directions.values(), *self.weights.values()]

    @property
    def bias(self) -> np.ndarray:
        """The bias [k] of the layer, float64; zeros if it has none."""
        return np.zeros(self._kernel.shape[1]) if self._bias is None else np.asarray(self._bias, np.float64)

    def scores(self, features: Mapping[str, Any]) -> dict[str, Any]:
        """Compute W^m phi^m, [n, k] by branch, of ``features`` [n, d] by branch."""
        tf = tensorflow()
        return {branch: tf.matmul(features[branch], orthonormal(directions), transpose_b=True)
                for branch, directions in self.directions.items()}

    def logits(self, features: Mapping[str, Any]) -> Any:
        """Compute the logits [n, k] of ``features`` [n, d] by branch, as the published layer would."""
        tf = tensorflow()
        kernel = self._rounded(self.folded())
        parts = [tf.matmul(features[branch], tf.gather(kernel, places)) for branch, places in self.rows.items()]
        return tf.add_n(parts) + (0.0 if self._bias is None else self._bias)

    def folded(self) -> Any:
        """Compute the kernel [features, k] of a dense layer that is this head."""
        tf = tensorflow()
        columns = [self.weights[branch] * tf.transpose(orthonormal(directions))
                   for branch, directions in self.directions.items()]
        places = np.concatenate(list(self.rows.values()))
        return tf.gather(tf.concat(columns, 0), np.argsort(places))

    def publish(self) -> None:
        """Write the folded kernel into the layer."""
        self._kernel.assign(self.folded())


def weight_rounding(layer: Any) -> Any:
    """Return f(kernel) -> the kernel as ``layer`` computes with it: rounded under quantisation-aware training."""
    config = getattr(layer, "quantize_config", None)
    quantizers = config.get_weights_and_quantizers(layer.layer) if config else []
    if not quantizers:
        return lambda kernel: kernel
    (_, quantizer), = quantizers
    return lambda kernel: quantizer(kernel, training=True, weights={})
