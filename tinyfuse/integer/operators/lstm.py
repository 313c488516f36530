"""UNIDIRECTIONAL_SEQUENCE_LSTM: int8 sequences with a 16-bit cell state, from the state that a reset leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import TYPE_RANGE, clamp, quantize_multiplier, rescaled, wrapped
from tinyfuse.integer.operators.base import need_shape, register, same_type, source_and_target
from tinyfuse.integer.operators.sigmoid import logistic_codes, tanh_codes
from tinyfuse.tflite.graph import Graph, Operator, Tensor

GATES = ("input", "forget", "cell", "output")
"""In the order of the operator's inputs."""
WEIGHTS, RECURRENT, BIASES, HIDDEN, CELL = 1, 5, 12, 18, 19
_ABSENT = (9, 10, 11, 16, 17, 20, 21, 22, 23)
"""Inputs of peepholes, projection and layer normalisation, which TFLite Micro does not know."""
_INPUTS = 24
_GATE_UNIT = 2.0**-12
_ONE = 2.0**-15  # what a code of a gate's output stands for
_LOW, _HIGH = TYPE_RANGE[np.dtype(np.int16)]
_LEAST_POWER, _MOST_POWER = -27, 2  # of two as its scale, for which no argument of the hyperbolic tangent overflows
_TANH_BITS = 12  # of the cell state's fraction at which its code is the argument


@dataclass(frozen=True, eq=False)
class Part:
    """Half of a gate: float64 ``matrix`` [depth, units] for codes without ``zero``, int64 ``bias``, and a rescaling."""

    matrix: np.ndarray
    zero: int
    bias: np.ndarray
    scale: tuple[int, int]

    @property
    def slope(self) -> np.ndarray:
        """What one code adds to the gate's argument, float32 [depth, units]."""
        return np.asarray(self.matrix * (self.scale[0] * 2.0 ** (self.scale[1] - 31)), np.float32)

    def codes(self, values: np.ndarray) -> np.ndarray:
        """Compute int64 [n, units] for codes [n, depth]."""
        sums = wrapped(((values.astype(np.float64) - self.zero) @ self.matrix).astype(np.int64) + self.bias)
        return np.asarray(np.clip(rescaled(sums, *self.scale), _LOW, _HIGH))


class Moment(NamedTuple):
    """What ``backward`` needs of one step: the arguments of the gates, their outputs, states and active clamps."""

    arguments: list[np.ndarray]
    gates: list[np.ndarray]
    before: np.ndarray
    after: np.ndarray
    tangent: np.ndarray
    inside: list[np.ndarray]


@register("UNIDIRECTIONAL_SEQUENCE_LSTM")
class Lstm:
    """One LSTM over [1, steps, depth]. Reference: ``micro/kernels/lstm_eval.h``, LstmStep.

    TFLite Micro keeps the state for the next inference; here each one begins from the state after a reset, as the
    network was trained.
    """

    def __init__(self, operator: Operator, graph: Graph) -> None:
        source, target = source_and_target(operator, graph, same_type("int8"))
        tensors = [graph.tensors[index] if index >= 0 else None for index in operator.inputs]
        _check(operator, tensors, target)
        hidden, cell = _given(operator, tensors, HIDDEN), _given(operator, tensors, CELL)
        self.steps, depth, self.units = source.shape[1], source.shape[-1], target.shape[-1]
        need_shape(operator, target, (1, self.steps, self.units))
        self.source, self.zero = source.shape[1:], hidden.zero
        self.inputs = [_part(operator, source, _given(operator, tensors, WEIGHTS + place), (self.units, depth),
                             _given(operator, tensors, BIASES + place)) for place in range(len(GATES))]
        self.recurrent = [_part(operator, hidden, _given(operator, tensors, RECURRENT + place),
                                (self.units, self.units), None) for place in range(len(GATES))]
        self.forget, self.update, self.hide = (quantize_multiplier(real) for real in (
            _ONE * cell.unit / cell.unit, _ONE * _ONE / cell.unit, _ONE * _ONE / hidden.unit))
        self.clip = _clip(operator, cell)
        self.shift = round(np.log2(cell.unit)) + _TANH_BITS
        self.real = cell.unit, hidden.unit

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        codes, n = inputs[0], len(inputs[0])
        hidden, cell = (np.full((n, self.units), value, np.int64) for value in (self.zero, 0))
        out, saved = np.empty((n, self.steps, self.units), np.int8), []
        for step in range(self.steps):
            hidden, cell, moment = self._step(codes[:, step], hidden, cell)
            out[:, step] = hidden
            saved.append(moment)
        return out, saved

    def _step(self, codes: np.ndarray, hidden: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray, Moment]:
        arguments = [np.clip(one.codes(codes) + other.codes(hidden), _LOW, _HIGH) for one, other in
                     zip(self.inputs, self.recurrent, strict=True)]
        gates = [tanh_codes(3 * x) if name == "cell" else logistic_codes(3 * x) for name, x in
                 zip(GATES, arguments, strict=True)]
        kept = np.clip(rescaled(gates[1] * cell, *self.forget), _LOW, _HIGH)
        added = np.clip(rescaled(gates[0] * gates[2], *self.update), _LOW, _HIGH)
        low, high = (_LOW, _HIGH) if self.clip is None else (-self.clip, self.clip)
        after = np.clip(np.clip(kept + added, _LOW, _HIGH), low, high)
        tangent = tanh_codes(self.argument(after))
        values = wrapped(rescaled(tangent * gates[3], *self.hide) + self.zero)
        found, inside = clamp(values, *TYPE_RANGE[np.dtype(np.int8)], np.dtype(np.int64))
        inner = (kept + added >= low) & (kept + added <= high)
        return found, after, Moment(arguments, gates, cell, after, tangent, [inner, inside])

    def argument(self, cell: np.ndarray) -> np.ndarray:
        """Bring codes of the cell state to the units of the hyperbolic tangent's table."""
        if self.shift >= 0:
            return np.asarray(cell * (3 << self.shift))
        return np.asarray((cell * 3 + (1 << -self.shift >> 1)) >> -self.shift)

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        """Go back through time in codes: every rounding has derivative 1, an active clamp 0."""
        found = np.zeros((len(gradient), *self.source), np.float32)
        to_hidden = to_cell = np.zeros((len(gradient), self.units), np.float32)
        cell_unit, hidden_unit = self.real
        for step in range(self.steps - 1, -1, -1):
            moment: Moment = saved[step]
            slopes = (gradient[:, step] + to_hidden) * moment.inside[1] * np.float32(_ONE / hidden_unit)
            real = moment.tangent * np.float32(_ONE)
            to_cell = to_cell + slopes * moment.gates[3] * (1 - real**2) * np.float32(cell_unit)
            to_cell = to_cell * moment.inside[0]
            share = to_cell * np.float32(_ONE / cell_unit)
            outer = [share * moment.gates[2] * np.float32(_ONE), to_cell * moment.before * np.float32(_ONE),
                     share * moment.gates[0] * np.float32(_ONE), slopes * moment.tangent * np.float32(_ONE)]
            inner = [one * _slope(name, gate) for one, name, gate in zip(outer, GATES, moment.gates, strict=True)]
            found[:, step] = sum(one @ part.slope.T for one, part in zip(inner, self.inputs, strict=True))
            to_hidden = sum(one @ part.slope.T for one, part in zip(inner, self.recurrent, strict=True))
            to_cell = to_cell * moment.gates[1] * np.float32(_ONE)
        return [found]


def _slope(name: str, gate: np.ndarray) -> np.ndarray:
    """The slope of a gate at its output, in codes of the output for each code of the argument."""
    real = gate.astype(np.float32) * np.float32(_ONE)
    return np.asarray((1 - real**2 if name == "cell" else real * (1 - real)) * np.float32(_GATE_UNIT / _ONE))


def _given(operator: Operator, tensors: Sequence[Tensor | None], place: int) -> Tensor:
    tensor = tensors[place]
    if tensor is None or tensor.data is None:
        raise ModelError(f"{operator.name}: its input {place} must be given and constant; convert the network again")
    return tensor


def _check(operator: Operator, tensors: Sequence[Tensor | None], target: Tensor) -> None:
    """Refuse variants that TFLite Micro does not compute, and states in other types."""
    more = [place for place in _ABSENT if place < len(tensors) and tensors[place] is not None]
    if len(tensors) != _INPUTS or more:
        raise ModelError(f"'{target.name}': {operator.name} with {len(tensors)} inputs, among them {more}; it takes "
                         f"{_INPUTS}, without peepholes, projection and layer normalisation")
    hidden, cell = _given(operator, tensors, HIDDEN), _given(operator, tensors, CELL)
    if hidden.dtype != np.int8 or cell.dtype != np.int16 or cell.zero or np.log2(cell.unit) % 1:
        raise ModelError(f"'{cell.name}': {operator.name} needs an int8 hidden state and an int16 cell state with zero "
                         "point 0 and a power of two as its scale")
    if not _LEAST_POWER <= np.log2(cell.unit) <= _MOST_POWER:
        raise ModelError(f"'{cell.name}': {operator.name} cannot use the scale {cell.unit:.6g} of its cell state")
    if hidden.data is None or hidden.data.size != target.shape[-1] or not hidden.has_grid_of(target) or (
            hidden.data != hidden.zero).any():
        raise ModelError(f"'{hidden.name}': {operator.name} needs a hidden state of {target.shape[-1]} codes with the "
                         "output's scale and zero point, kept in a variable")
    if cell.data is None or cell.data.size != target.shape[-1] or cell.data.any() or operator.options["time_major"]:
        raise ModelError(f"'{cell.name}': {operator.name} needs a cell state of {target.shape[-1]} codes, and the "
                         "batch as its first axis")
    if operator.options["fused_activation_function"] != "TANH":
        raise ModelError(f"'{target.name}': {operator.name} with the activation "
                         f"{operator.options['fused_activation_function']}; TFLite Micro computes TANH")


def _part(operator: Operator, source: Tensor, weights: Tensor, shape: tuple[int, int], bias: Tensor | None) -> Part:
    if (weights.dtype != np.int8 or weights.shape != shape or len(weights.scale) != 1 or weights.zero or
            weights.data is None):
        raise ModelError(f"'{weights.name}': {operator.name} needs int8 weights {list(shape)} with one scale and zero "
                         "point 0")
    matrix = weights.data.astype(np.float64).T
    addend = np.zeros(shape[0], np.int64)
    if bias is not None:
        if bias.dtype != np.int32 or bias.shape != shape[:1] or bias.data is None:
            raise ModelError(f"'{bias.name}': {operator.name} needs an int32 bias [{shape[0]}]")
        addend = bias.data.astype(np.int64)
    return Part(matrix, source.zero, addend, quantize_multiplier(source.unit * weights.unit / _GATE_UNIT))


def _clip(operator: Operator, cell: Tensor) -> int | None:
    """The bound of the cell state's codes, which may be 0; None for none."""
    given = float(np.float32(operator.options["cell_clip"]))
    return int(min(max(given / cell.unit, _LOW), _HIGH)) if given > 0 else None
