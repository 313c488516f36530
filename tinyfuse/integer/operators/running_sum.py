"""ADD_N and CUMSUM: sums of several tensors, or of the values so far along an axis, on one scale with more bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import TYPE_RANGE, clamp, quantize_multiplier, rescaled, wrapped
from tinyfuse.integer.operators.base import constant, register, same_type, unary_tensors
from tinyfuse.tflite.graph import Graph, Operator, Tensor

LEFT_SHIFT = 20
_INT8 = np.dtype(np.int8)


class Sums:
    """What both share: codes of one grid, their sums as int32, and the output's rescaling."""

    def __init__(self, operator: Operator, source: Tensor, target: Tensor) -> None:
        twice = 2.0 * source.unit
        real = twice / ((1 << LEFT_SHIFT) * target.unit)
        if real >= 1:
            raise ModelError(f"'{target.name}' has scale {target.unit:.3g}, too small for {operator.name} of scale "
                             f"{source.unit:.3g}: TFLite Micro needs more than {twice / (1 << LEFT_SHIFT):.3g}")
        self.scale, self.final = quantize_multiplier(source.unit / twice), quantize_multiplier(real)
        self.zero_in, self.zero_out = source.zero, target.zero
        self.slope = np.float32(source.unit / target.unit)

    @property
    def start(self) -> int:
        """What a sum begins with: TFLite Micro takes the offset of the input where it means 0."""
        return int(self.shifted(np.zeros((), np.int64)))

    def shifted(self, codes: np.ndarray) -> np.ndarray:
        """Bring codes to the common scale."""
        return np.asarray(rescaled((codes.astype(np.int64) - self.zero_in) << LEFT_SHIFT, *self.scale))

    def codes(self, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turn sums into output codes, and where the clamp did nothing."""
        values = wrapped(rescaled(wrapped(sums), *self.final) + self.zero_out)
        return clamp(values, *TYPE_RANGE[_INT8], _INT8)


@register("ADD_N")
class AddN(Sums):
    """One ADD_N of int8 tensors. Reference: ``reference/add_n.h``."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        source, target = unary_tensors(operator, graph, same_type("int8"))
        sources = [graph.tensors[index] for index in operator.inputs]
        if len(sources) < 2 or any(one.dtype != _INT8 or one.shape != source.shape or not one.has_grid_of(source) or
                                   len(one.scale) != 1 for one in sources):
            raise ModelError(f"'{target.name}': ADD_N needs two or more int8 tensors of one shape, scale and zero "
                             "point")
        super().__init__(operator, source, target)
        constants = [self.shifted(one.data) for one in sources if one.data is not None]
        self.fixed = np.sum(constants, axis=0, dtype=np.int64) + self.start
        self.count = len(sources) - len(constants)

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        return self.codes(np.sum([self.shifted(codes) for codes in inputs], axis=0) + self.fixed)

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        return [(gradient * saved * self.slope).astype(np.float32)] * self.count


@register("CUMSUM")
class CumSum(Sums):
    """One CUMSUM of int8 codes. Reference: ``reference/cumsum.h``."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        source, target = unary_tensors(operator, graph, same_type("int8"))
        super().__init__(operator, source, target)
        given, rank = constant(operator, graph, 1), len(source.shape)
        self.axis = int(given.ravel()[0]) if given.size == 1 else 0
        self.axis += rank if self.axis < 0 else 0
        if not 1 <= self.axis < rank:
            raise ModelError(f"'{target.name}': CUMSUM of {list(source.shape)} along {given.tolist()}; one axis from 1 "
                             f"to {rank - 1} is allowed, for axis 0 is the batch")
        self.exclusive, self.reverse = bool(operator.options["exclusive"]), bool(operator.options["reverse"])

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        values = self.shifted(inputs[0])
        return self.codes(self.totals(values, self.reverse) + self.start)

    def totals(self, values: np.ndarray, reverse: bool) -> np.ndarray:
        """Sums of the values up to each place, or from it on, with its own unless exclusive."""
        turned = np.flip(values, self.axis) if reverse else values
        found = np.cumsum(turned, axis=self.axis)
        found = found - turned if self.exclusive else found
        return np.flip(found, self.axis) if reverse else found

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        slopes = (gradient * saved * self.slope).astype(np.float32)
        return [np.ascontiguousarray(self.totals(slopes, not self.reverse), np.float32)]
