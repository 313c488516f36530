"""EQUAL and its five relatives, LOGICAL_AND, LOGICAL_OR and LOGICAL_NOT, and SELECT_V2, which chooses by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import quantize_multiplier, rescaled
from tinyfuse.integer.operators.base import need_batch_axis, need_one_scale, register
from tinyfuse.integer.operators.binary import Operand
from tinyfuse.tflite.graph import Graph, Operator, Tensor
from tinyfuse.tflite.reading import MAX_RANK

LEFT_SHIFT = 8
"""Bits of headroom with which codes become comparable."""
_MOST_AXES = {"SELECT_V2": 5}
_COMPARISONS: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "EQUAL": np.equal, "NOT_EQUAL": np.not_equal, "GREATER": np.greater, "GREATER_EQUAL": np.greater_equal,
    "LESS": np.less, "LESS_EQUAL": np.less_equal}
_LOGIC: Mapping[str, Callable[..., np.ndarray]] = {
    "LOGICAL_AND": np.logical_and, "LOGICAL_OR": np.logical_or, "LOGICAL_NOT": np.logical_not}


class Broadcast:
    """Operands of ``types`` that broadcast to the output."""

    def __init__(self, operator: Operator, graph: Graph, types: Sequence[str]) -> None:
        sources, target = [graph.tensors[index] for index in operator.inputs], graph.tensors[operator.outputs[0]]
        for tensor in (*sources, target):
            if tensor.data is None:
                need_batch_axis(operator, tensor)
        given = [str(tensor.dtype) for tensor in (*sources, target)]
        if given != list(types) or all(source.data is not None for source in sources):
            raise ModelError(f"'{target.name}': {operator.name} of {', '.join(given[:-1])} to {given[-1]} is not "
                             f"supported; types of {', '.join(types[:-1])} to {types[-1]} are, not all constant")
        try:
            shape = np.broadcast_shapes(*(source.shape for source in sources))
        except ValueError:
            shape = ()
        most = _MOST_AXES.get(operator.name, MAX_RANK)
        if shape != target.shape or len(shape) > most:
            raise ModelError(f"'{target.name}' has shape {list(target.shape)}, but {operator.name} of "
                             f"{' and '.join(str(list(source.shape)) for source in sources)} cannot give it; shapes "
                             f"broadcast over at most {most} axes")
        self.operands, self.shape = [Operand(source, target.shape) for source in sources], target.shape[1:]

    def rows(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Bring the codes of all operands to [n, size], or [1, size] for constants."""
        given = iter(inputs)
        return [operand.rows_of(next(given)) if operand.constant is None else operand.constant
                for operand in self.operands]

    def out(self, inputs: Sequence[np.ndarray], values: np.ndarray) -> np.ndarray:
        """Bring ``values`` to the output's shape [n, ...]."""
        return np.broadcast_to(values, (len(inputs[0]), values.shape[1])).reshape(-1, *self.shape).copy()

    def nothing(self, gradient: np.ndarray) -> list[np.ndarray]:
        """No gradient for any computed operand: a truth value does not change a little."""
        zeros = np.zeros((len(gradient), int(np.prod(self.shape))), np.float32)
        return [operand.gradient_of(zeros) for operand in self.operands if operand.constant is None]


@register(*_COMPARISONS)
class Comparison(Broadcast):
    """Codes without their zero points, on one scale. Reference: ``reference/comparisons.h``, ComparisonWithScaling."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        sources = [graph.tensors[index] for index in operator.inputs]
        super().__init__(operator, graph, ("int8", "int8", "bool"))
        self.compare, self.zeros = _COMPARISONS[operator.name], [_checked(operator, one).zero for one in sources]
        self.scales = [quantize_multiplier(source.unit) for source in sources]

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        values = [rescaled((codes.astype(np.int64) - zero) << LEFT_SHIFT, *scale) for codes, zero, scale in
                  zip(self.rows(inputs), self.zeros, self.scales, strict=True)]
        return self.out(inputs, self.compare(*values)), None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        return self.nothing(gradient)


def _checked(operator: Operator, tensor: Tensor) -> Tensor:
    need_one_scale(operator, tensor)
    if tensor.unit >= 1:
        raise ModelError(f"'{tensor.name}' has scale {tensor.unit:.6g}; {operator.name} needs scales below 1")
    return tensor


@register(*_LOGIC)
class Logic(Broadcast):
    """Truth values combined. Reference: ``micro/kernels/logical_common.cc``."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        super().__init__(operator, graph, ("bool",) * (len(operator.inputs) + 1))
        self.combine = _LOGIC[operator.name]

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        return self.out(inputs, self.combine(*self.rows(inputs))), None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        return self.nothing(gradient)


@register("SELECT_V2")
class Select(Broadcast):
    """Codes of one operand or the other, of which no scale is read. Reference: ``reference/select.h``."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        kind = str(graph.tensors[operator.outputs[0]].dtype)
        super().__init__(operator, graph, ("bool", kind if kind in ("int8", "int16") else "int8") + (
            (kind if kind in ("int8", "int16") else "int8"),) * 2)

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        chosen, first, second = self.rows(inputs)
        return self.out(inputs, np.where(chosen, first, second)), chosen

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        rows = gradient.reshape(len(gradient), -1)
        found = (np.zeros(rows.shape, np.float32), rows * saved, rows * ~saved)
        return [operand.gradient_of(np.ascontiguousarray(one, np.float32)) for operand, one in
                zip(self.operands, found, strict=True) if operand.constant is None]
