"""What the firmware computes, layer by layer: geometry, integer constants and packed weights, read off the twin.

The twin's operators are the proven arithmetic, so the constants are theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinyfuse.errors import ModelError
from tinyfuse.firmware.pack import CHUNK, WIDEST, bits_of, chunked, packed
from tinyfuse.integer.arithmetic import quantize_multiplier
from tinyfuse.integer.graph import Graph, Operator, Tensor
from tinyfuse.integer.operators.convolution import Convolution
from tinyfuse.integer.operators.fully_connected import FullyConnected
from tinyfuse.integer.twin import Twin

ADD_SHIFT = 20
QUAD = 4
"""The kernels take as many lanes of a stretch at once, at least."""
TALLEST = 5
"""Rows of a window that the kernels read where they lie; that of runtime/tny_types.h."""
PLAIN_SHIFTS = range(1, 21)
"""Shifts for which zero point and half a code can be added before the shift without leaving 32 bits."""
_INT32 = 1 << 31
Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Scale:
    """A real factor as multiplier * 2^(-shift - 31)."""

    multiplier: int
    shift: int


@dataclass(frozen=True, eq=False)
class Conv:
    """CONV_2D, or FULLY_CONNECTED on one pixel. Shapes are (h, w, c); ``weights`` int [out_c, kh, kw, in_c]."""

    name: str
    source: int
    target: int
    in_shape: Shape
    out_shape: Shape
    weights: np.ndarray = field(repr=False)
    bias: np.ndarray = field(repr=False)
    scales: tuple[Scale, ...] = field(repr=False)
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]
    zero_in: int
    zero_out: int
    low: int
    high: int

    @property
    def bits(self) -> int:
        """Width of a packed weight."""
        return bits_of(self.weights)

    @property
    def gathered(self) -> bool:
        """Whether windows are copied together, because stretches of theirs are no whole quads of lanes, or many."""
        return self.in_shape[2] % QUAD != 0 or self.dilation != (1, 1) or self.weights.shape[1] > TALLEST

    @property
    def runs(self) -> int:
        """Contiguous stretches of one window."""
        return 1 if self.gathered else int(self.weights.shape[1])

    @property
    def run_length(self) -> int:
        """Lanes of one stretch."""
        taps = int(np.prod(self.weights.shape[1:]))
        return taps + -taps % QUAD if self.gathered else taps // self.runs

    @property
    def macs(self) -> int:
        """Multiply-accumulates, as the `.tflite` has them without doubled channels."""
        return int(np.prod(self.out_shape)) * int(np.prod(self.weights.shape[1:]))

    @property
    def shared_lanes(self) -> int:
        """Lanes of a ring row's right margin that are the left margin of the next row."""
        right = self._columns - self.padding[1] - self.in_shape[1]
        return 0 if self.gathered else min(right, self.padding[1]) * self.in_shape[2]

    @property
    def row_lanes(self) -> int:
        """Lanes from one row to the next of the ring that this layer reads."""
        if self.gathered:
            return self.out_shape[1] * self.run_length
        return self._columns * self.in_shape[2] - self.shared_lanes

    def ring_lanes(self, rows: int) -> int:
        """Lanes of ``rows`` rows."""
        return rows * self.row_lanes + self.shared_lanes

    @property
    def _columns(self) -> int:
        wide = (self.out_shape[1] - 1) * self.stride[1] + self.weights.shape[2]
        return int(max(wide, self.padding[1] + self.in_shape[1]))

    @property
    def odd(self) -> bool:
        """Whether the short way from sums to codes is not for this layer: a shift out of range, or a narrow clamp."""
        return any(scale.shift not in PLAIN_SHIFTS for scale in self.scales) or (self.low, self.high) != (-128, 127)

    @property
    def wide(self) -> bool:
        """Whether a weight does not fit int8 lanes."""
        return self.bits == WIDEST

    @property
    def chunks(self) -> int:
        """Vectors of lanes that the weights of one channel fill."""
        return self.runs * -(-self.run_length // CHUNK)

    def words(self) -> np.ndarray:
        """Packed weights uint32 [pairs of channels, words]."""
        return packed(chunked(self.weights.reshape(len(self.weights), self.runs, -1)), self.bits)


@dataclass(frozen=True, eq=False)
class Add:
    """ADD of two tensors of one shape.

    ``lefts``: by what operands are shifted before they are multiplied with their scales; ``scales``: of both operands
    and of the sum, all with shifts to the right.
    """

    name: str
    sources: tuple[int, int]
    target: int
    shape: Shape
    zeros: tuple[int, int, int]
    lefts: tuple[int, int]
    scales: tuple[Scale, Scale, Scale]
    low: int
    high: int

    def turned(self, first: int) -> Add:
        """The same sum with tensor ``first`` as its first operand."""
        if self.sources[0] == first:
            return self
        (a, b), (zero_a, zero_b, zero), (scale_a, scale_b, scale) = self.sources, self.zeros, self.scales
        return replace(self, sources=(b, a), zeros=(zero_b, zero_a, zero), lefts=self.lefts[::-1],
                       scales=(scale_b, scale_a, scale))


@dataclass(frozen=True, eq=False)
class Pool:
    """AVERAGE_POOL_2D."""

    name: str
    source: int
    target: int
    in_shape: Shape
    out_shape: Shape
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class Join:
    """CONCATENATION: ``parts`` as (tensor, codes of one row); RESHAPE is a join of one part."""

    name: str
    parts: tuple[tuple[int, int], ...]
    target: int
    rows: int


Layer = Conv | Add | Pool | Join


def layers_of(twin: Twin) -> list[Layer]:
    """The layers of ``twin`` in their order.

    Raises:
        ModelError: an operator or type that the firmware lacks, or sums that could leave 32 bits on the device.
    """
    return [_layer(twin, number) for number in range(len(twin.steps))]


def _layer(twin: Twin, number: int) -> Layer:
    operator, node = twin.graph.operators[number], twin.steps[number].node
    for index in (*twin.steps[number].inputs, operator.outputs[0]):
        tensor = twin.graph.tensors[index]
        if tensor.dtype != np.int8:
            raise ModelError(f"'{tensor.name}' is {tensor.dtype}; the firmware computes int8 tensors: convert the "
                             "model with 8-bit activations")
    if operator.name not in _BUILDERS:
        raise ModelError(f"operator {operator.name} has no firmware kernel; supported: "
                         f"{', '.join(sorted(_BUILDERS))}")
    return _BUILDERS[operator.name](twin.graph, operator, node)


def hwc(tensor: Tensor) -> Shape:
    """The shape without the batch axis, filled up to three axes from the left."""
    shape = (1, 1, *tensor.shape[1:])[-3:]
    if len(tensor.shape) > 4:
        raise ModelError(f"'{tensor.name}' has {len(tensor.shape)} axes; the firmware has at most 4")
    return shape[0], shape[1], shape[2]


def _convolution(graph: Graph, operator: Operator, node: Convolution) -> Conv:
    source, weights, target = (graph.tensors[index] for index in (*operator.inputs[:2], operator.outputs[0]))
    assert weights.data is not None
    options = operator.options
    return _proven(Conv(
        _name(target), source.index, target.index, hwc(source), hwc(target), weights.data.astype(np.int64), node.bias,
        _scales(node.multiplier, node.shift), (int(options["stride_h"]), int(options["stride_w"])),
        (int(options["dilation_h_factor"]), int(options["dilation_w_factor"])), (node.top, node.left), node.zero_in,
        node.zero_out, node.low, node.high))


def _fully_connected(graph: Graph, operator: Operator, node: FullyConnected) -> Conv:
    source, weights, target = (graph.tensors[index] for index in (*operator.inputs[:2], operator.outputs[0]))
    assert weights.data is not None
    outputs, depth = weights.shape
    if weights.zero_point.any() or int(np.prod(source.shape)) != depth:
        raise ModelError(f"'{target.name}': FULLY_CONNECTED of several rows, or with a zero point of its weights, has "
                         "no firmware kernel")
    content = weights.data.astype(np.int64).reshape(outputs, 1, 1, depth)
    return _proven(Conv(_name(target), source.index, target.index, (1, 1, depth), (1, 1, outputs), content, node.bias,
                        _scales(node.multiplier, node.shift), (1, 1), (1, 1), (0, 0), node.zero_in, node.zero_out,
                        node.low, node.high))


def _proven(conv: Conv) -> Conv:
    """``conv``, if no step of it can leave 32 bits; C has undefined behaviour beyond."""
    reach = np.abs(conv.weights).reshape(len(conv.weights), -1).sum(axis=1) * max(127 - conv.zero_in,
                                                                                conv.zero_in + 128)
    folded = np.abs(conv.bias - conv.zero_in * conv.weights.reshape(len(conv.weights), -1).sum(axis=1))
    largest = np.maximum(reach + np.abs(conv.bias), reach * 0 + folded + np.abs(conv.weights).reshape(
        len(conv.weights), -1).sum(axis=1) * 128)
    for bound, scale in zip(largest, conv.scales, strict=True):
        _fits(conv.name, int(bound), scale)
    return conv


def _fits(name: str, bound: int, scale: Scale) -> None:
    """Raise unless ``tny_requantize`` of values up to ``bound`` stays within 32 bits."""
    left, right = max(-scale.shift, 0), max(scale.shift, 0)
    product = (bound << left) * scale.multiplier / 2.0**31
    if bound << left >= _INT32 // 2 or product + (1 << right >> 1) + 1 >= _INT32 or right > 31:
        raise ModelError(f"'{name}': sums up to {bound} can leave 32 bits when rescaled; the firmware refuses such "
                         "scales")


def _add(graph: Graph, operator: Operator, node: Any) -> Add:
    del node
    from tinyfuse.integer.arithmetic import activation_range

    left, right, target = (graph.tensors[index] for index in (*operator.inputs, operator.outputs[0]))
    if left.data is not None or right.data is not None or not left.shape == right.shape == target.shape:
        raise ModelError(f"'{target.name}': ADD of a constant or with broadcasting has no firmware kernel")
    first, second, out = (float(tensor.scale[0]) for tensor in (left, right, target))
    common = 2.0 * max(first, second)
    scales = tuple(_scale(*quantize_multiplier(value)) for value in (
        first / common, second / common, common / ((1 << ADD_SHIFT) * out)))
    name = _name(target)
    # 1/2 is the only factor of an operand with shift 0: one more to the left and one to the right change nothing.
    halves = [1 - min(scale.shift, 1) for scale in scales[:2]]
    scales = tuple(Scale(scale.multiplier, scale.shift + half)
                   for scale, half in zip(scales, [*halves, 0], strict=True))
    for scale, half in zip(scales, [*halves, 0], strict=True):
        _fits(name, 255 << ADD_SHIFT + half, scale)
    if scales[2].shift < 1:
        raise ModelError(f"'{name}': the scale of its output is 2^18 times smaller than those of its inputs")
    low, high = activation_range(str(operator.options["fused_activation_function"]), out, int(target.zero_point[0]),
                                 target.dtype)
    zeros = tuple(int(tensor.zero_point[0]) for tensor in (left, right, target))
    return Add(name, (left.index, right.index), target.index, hwc(target), (zeros[0], zeros[1], zeros[2]),
               (ADD_SHIFT + halves[0], ADD_SHIFT + halves[1]), (scales[0], scales[1], scales[2]), low, high)


def _pool(graph: Graph, operator: Operator, node: Any) -> Pool:
    source, target = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    height, width, stride_h, stride_w, _, _, top, left = (int(value) for value in node.window)
    return Pool(_name(target), source.index, target.index, hwc(source), hwc(target), (height, width),
                (stride_h, stride_w), (top, left), int(node.low), int(node.high))


def _concatenation(graph: Graph, operator: Operator, node: Any) -> Join:
    target = graph.tensors[operator.outputs[0]]
    sources = [graph.tensors[index] for index in operator.inputs]
    if any(source.data is not None for source in sources):
        raise ModelError(f"'{target.name}': CONCATENATION with a constant has no firmware kernel")
    axis = int(node.axis)
    return Join(_name(target), tuple((source.index, int(np.prod(source.shape[axis:]))) for source in sources),
                target.index, int(np.prod(target.shape[1:axis], dtype=int)))


def _reshape(graph: Graph, operator: Operator, node: Any) -> Join:
    del node
    source, target = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    return Join(_name(target), ((source.index, int(np.prod(source.shape))),), target.index, 1)


def _scale(multiplier: int, shift: int) -> Scale:
    return Scale(int(multiplier), -int(shift))


def _scales(multipliers: np.ndarray, shifts: np.ndarray) -> tuple[Scale, ...]:
    return tuple(_scale(multiplier, shift) for multiplier, shift in zip(multipliers, shifts, strict=True))


def _name(tensor: Tensor) -> str:
    return tensor.name


_BUILDERS: dict[str, Callable[..., Layer]] = {
    "CONV_2D": _convolution, "FULLY_CONNECTED": _fully_connected, "ADD": _add, "AVERAGE_POOL_2D": _pool,
    "CONCATENATION": _concatenation, "RESHAPE": _reshape}
