"""SVDF: a filter over features, one over their last values, and the state that the next inference begins with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import TYPE_RANGE, clamp, quantize_multiplier, rescaled, wrapped
from tinyfuse.integer.operators.base import need_one_scale, need_shape, register, source_and_target
from tinyfuse.tflite.graph import Graph, Operator, Tensor

FEATURES, TIMES, BIAS, STATE = 1, 2, 3, 4
_BIAS_TOLERANCE = 1e-5  # of its scale; TFLite Micro refuses what lies beyond
_INT8 = np.dtype(np.int8)


class Features:
    """What SVDF and its next state share: the newest value of every filter, behind the others of the state."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        tensors = [graph.tensors[index] if index >= 0 else None for index in operator.inputs]
        source, weights, times, state = (_given(operator, tensors, place) for place in (0, FEATURES, TIMES, STATE))
        if weights.data is None or times.data is None or {weights.dtype, source.dtype} != {_INT8} or (
                times.dtype != state.dtype or times.dtype not in TYPE_RANGE):
            raise ModelError(f"'{weights.name}': SVDF needs int8 input, constant int8 weights of features, constant "
                             "weights of times and a state of one type, int8 or int16")
        for tensor in (weights, times):
            need_one_scale(operator, tensor)
        if len(times.shape) != 2:
            raise ModelError(f"'{times.name}' has shape {list(times.shape)}, but SVDF needs weights of times [filters, "
                             "memory]")
        self.filters, self.memory = times.shape
        if weights.shape != (self.filters, source.shape[-1]) or state.shape != (1, times.data.size) or len(
                source.shape) != 2:
            raise ModelError(f"'{weights.name}': SVDF of {list(source.shape)} by {list(weights.shape)} and "
                             f"{list(times.shape)} with a state {list(state.shape)}; the shapes do not fit")
        self.matrix = weights.data.astype(np.float64).T
        self.scale = quantize_multiplier(float(np.float32(source.scale[0] * weights.scale[0]) / state.scale[0]))
        self.zero_in, self.zero, self.dtype = source.zero, state.zero, state.dtype
        self.low, self.high = TYPE_RANGE[state.dtype]
        self.slope = (self.matrix * (self.scale[0] * 2.0 ** (self.scale[1] - 31))).astype(np.float32)

    def shifted(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Compute the next state int64 [n, filters, memory], and where the clamp of the newest value did nothing."""
        codes, state = inputs
        sums = ((codes.astype(np.float64) - self.zero_in) @ self.matrix).astype(np.int64)
        # TFLite Micro adds the zero point behind the clamp, where the code may wrap around.
        newest, inside = clamp(rescaled(wrapped(sums), *self.scale), self.low, self.high, np.dtype(np.int64))
        newest = (newest + self.zero).astype(self.dtype)
        older = state.reshape(-1, self.filters, self.memory)[:, :, 1:]
        return np.concatenate([older, newest[:, :, np.newaxis]], axis=2).astype(np.int64), inside

    def back(self, slopes: np.ndarray, inside: np.ndarray) -> list[np.ndarray]:
        """Gradients for input and state of those ``slopes`` [n, filters, memory] of the next state."""
        state = np.zeros(slopes.shape, np.float32)
        state[:, :, 1:] = slopes[:, :, :-1]
        return [(slopes[:, :, -1] * inside) @ self.slope.T, state.reshape(len(state), -1)]


@register("SVDF")
class Svdf(Features):
    """One SVDF of a computed input and state. Reference: ``micro/kernels/svdf_common.cc``, EvalIntegerSvdfReference."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        super().__init__(operator, graph)
        _, target = source_and_target(operator, graph, {"int8": ("int8",)})
        times, state = (graph.tensors[operator.inputs[place]] for place in (TIMES, STATE))
        rank = int(operator.options["rank"])
        if rank < 1 or self.filters % rank or times.data is None:
            raise ModelError(f"'{target.name}': SVDF of rank {rank} with {self.filters} filters; the rank must divide "
                             "them")
        self.rank, units = rank, self.filters // rank
        need_shape(operator, target, (1, units))
        self.times = times.data.astype(np.int64)
        self.bias = _bias(graph.tensors[operator.inputs[BIAS]] if operator.inputs[BIAS] >= 0 else None, units, state,
                          times)
        real = float(np.float32(state.scale[0] * times.scale[0]) / target.scale[0])
        self.final, self.zero_out = quantize_multiplier(real), target.zero
        self.steep = (self.times * real).astype(np.float32)

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        state, inside = self.shifted(inputs)
        sums = ((state - self.zero) * self.times).sum(axis=2).reshape(len(state), -1, self.rank).sum(axis=2)
        values = wrapped(rescaled(wrapped(sums + self.bias), *self.final) + self.zero_out)
        out, outer = clamp(values, *TYPE_RANGE[_INT8], _INT8)
        return out, (inside, outer)

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        inside, outer = saved
        sums = np.repeat(gradient * outer, self.rank, axis=1)
        return self.back(sums[:, :, np.newaxis] * self.steep, inside)


@register("SVDF_STATE")
class SvdfState(Features):
    """The state that an SVDF leaves for the next inference."""

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        state, inside = self.shifted(inputs)
        return state.reshape(len(state), -1).astype(self.dtype), inside

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        return self.back(gradient.reshape(-1, self.filters, self.memory), saved)


def _given(operator: Operator, tensors: Sequence[Tensor | None], place: int) -> Tensor:
    tensor = tensors[place]
    if tensor is None:
        raise ModelError(f"SVDF: its input {place} is missing; convert the network again")
    return tensor


def _bias(bias: Tensor | None, units: int, state: Tensor, times: Tensor) -> np.ndarray:
    if bias is None or bias.data is None or bias.dtype != np.int32 or bias.shape != (units,) or len(bias.scale) != 1:
        raise ModelError(f"SVDF needs a constant int32 bias [{units}] with one scale")
    if abs(bias.unit - float(np.float32(state.scale[0] * times.scale[0]))) >= _BIAS_TOLERANCE:
        raise ModelError(f"'{bias.name}' has scale {bias.unit:.6g}, but SVDF needs that of the state times that of the "
                         f"weights of times, {state.unit * times.unit:.6g}")
    return bias.data.astype(np.int64)
