"""FULLY_CONNECTED: exact sums through a float matrix product whose partial sums cannot round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators.base import register
from tinyfuse.integer.operators.weighted import Weighted
from tinyfuse.tflite.graph import Graph, Operator

_BIAS_SCALE_TOLERANCE = 0.02  # of the output scale; TFLite Micro refuses what lies beyond


@numba.njit(nogil=True, cache=True, fastmath={"contract"})
def _multiply_rows(rows, matrix, out):  # type: ignore[no-untyped-def]
    """Write float32 ``rows`` [m, c] @ ``matrix`` [c, k] to ``out``, each row added up in the order of c.

    So no row depends on the others: BLAS adds up in another order where a block of rows is not full.
    """
    for i in range(rows.shape[0]):
        out[i, :] = 0
        for c in range(rows.shape[1]):
            for k in range(matrix.shape[1]):
                out[i, k] += rows[i, c] * matrix[c, k]


@register("FULLY_CONNECTED")
class FullyConnected(Weighted):
    """One FULLY_CONNECTED: weights [outputs, depth] on rows of ``depth`` codes, however these lie in the input.

    Reference: ``micro/kernels/fully_connected_common.cc``, ``kernel_util.cc``.
    """

    def __init__(self, operator: Operator, graph: Graph) -> None:
        super().__init__(operator, graph, axes=2, channel_axis=0)
        self._check(operator, graph)
        self.depth = self.content.shape[1]
        matrix = self.content.astype(np.int64).T - graph.tensors[operator.inputs[1]].zero
        self.matrix: np.ndarray = matrix.astype(self.exact_type(matrix))
        self.slope = np.ascontiguousarray((matrix * self.codes_per_sum).T.astype(np.float32))

    def _check(self, operator: Operator, graph: Graph) -> None:
        """Refuse shapes that do not fit, and a bias in another scale than that of the sums."""
        source, weights, *biases = (graph.tensors[index] for index in operator.inputs if index >= 0)
        target, (outputs, depth) = graph.tensors[operator.outputs[0]], self.content.shape
        rows, left = divmod(int(np.prod(source.shape)), depth)
        if left or len(target.shape) < 2 or np.prod(target.shape) != rows * outputs:
            raise ModelError(f"'{weights.name}': {operator.name} of {list(source.shape)} by weights "
                             f"{list(weights.shape)} does not give {list(target.shape)}")
        product = source.unit * weights.unit
        for bias in biases:
            given = bias.unit if len(bias.scale) else 0.0
            if len(weights.scale) == 1 and not abs(product - given) / target.unit <= _BIAS_SCALE_TOLERANCE:  # NaN too
                raise ModelError(f"'{bias.name}' has scale {given:.6g}, but {operator.name} needs input scale times "
                                 f"weight scale, {product:.6g}")

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        codes = inputs[0].reshape(-1, self.depth)
        return self.codes((codes.astype(self.matrix.dtype) - self.matrix.dtype.type(self.zero_in)) @ self.matrix)

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        rows = (gradient.reshape(saved.shape) * saved).reshape(-1, len(self.slope))
        found = np.empty((len(rows), self.depth), np.float32)
        _multiply_rows(rows, self.slope, found)
        return [found.reshape(len(gradient), *self.input_shape)]
