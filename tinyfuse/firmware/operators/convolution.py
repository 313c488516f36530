"""CONV_2D, and FULLY_CONNECTED on one or more pixels: the int8 ones run on the hot kernels of ``tny_conv.h``.

What these cannot hold is left to the kernels straight from the definition: groups, sums beyond 32 bits, huge sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.c_text import array
from tinyfuse.firmware.operators.base import Pair, Shape, Weighted, hwc, in_and_out, is_wide, register
from tinyfuse.firmware.operators.dead_channels import Reach, largest, reach, settled
from tinyfuse.firmware.operators.plain_conv import plain_conv
from tinyfuse.firmware.pack import CHUNK, WIDEST, chunked, packed
from tinyfuse.firmware.scale import Scale, fits, sized
from tinyfuse.integer.operators.convolution import Convolution
from tinyfuse.integer.operators.fully_connected import FullyConnected
from tinyfuse.tflite.graph import Graph, Operator, Tensor

QUAD = 4
"""The kernels take as many lanes of a stretch at once, at least."""
TALLEST = 5
"""Rows of a window that the kernels read where they lie; that of runtime/tny_types.h."""
PLAIN_SHIFTS = range(1, 21)
"""Shifts for which zero point and half a code can be added before the shift without leaving 32 bits."""
BYTE = 8
"""Bits of a weight that needs no decoding."""
_SIGNED = np.uint32(0x80808080)
"""Turns packed 8-bit weights into two's complement."""
TOGETHER = 8, 4, 2, 1
"""Products that portable C sums in 16 bits."""
HALF = 1 << 15
"""Added to each of these sums."""
MOST_TOGETHER = 255
"""Magnitudes of their weights: at most 2^15 - 1 with codes down to -128."""
LANE_CHANNELS = 4
"""Channels that the kernels take at once, at most."""


@dataclass(frozen=True, eq=False)
class Conv(Weighted):
    """An int8 convolution on the hot kernels."""

    @property
    def source(self) -> int:
        """The one tensor that is read."""
        return self.sources[0]

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
        """Count the lanes of ``rows`` rows."""
        return rows * self.row_lanes + self.shared_lanes

    @property
    def _columns(self) -> int:
        used = (self.out_shape[1] - 1) * self.stride[1] + self.weights.shape[2]
        return int(max(used, self.padding[1] + self.in_shape[1]))

    @property
    def general(self) -> bool:
        """Whether the short way from sums to codes is not for this layer: a shift out of range, or a narrow clamp."""
        return any(scale.shift not in PLAIN_SHIFTS for scale in self.scales) or (self.low, self.high) != (-128, 127)

    @property
    def nine_bit(self) -> bool:
        """Whether a weight does not fit int8 lanes."""
        return self.bits == WIDEST

    @property
    def together(self) -> int:
        """Count the neighbouring products whose sum always fits 16 bits, for any int8 codes; see tny_pairs.h."""
        lanes = chunked(self.weights.reshape(len(self.weights), self.runs, -1))
        return next(count for count in TOGETHER if self.run_length % count == 0 and
                    np.abs(lanes).reshape(-1, count).sum(axis=1).max(initial=0) <= MOST_TOGETHER)

    @property
    def dense(self) -> bool:
        """Whether each weight is used once and is a whole byte, so that none is decoded."""
        return self.out_shape[:2] == (1, 1) and self.runs == 1 and self.bits == BYTE

    @property
    def chunks(self) -> int:
        """Vectors of lanes that the weights of one channel fill."""
        return self.runs * -(-self.run_length // CHUNK)

    def words(self) -> np.ndarray:
        """Pack the weights as uint32 [pairs of channels, words]."""
        return packed(chunked(self.weights.reshape(len(self.weights), self.runs, -1)), self.bits)

    def tables(self, number: int) -> str:
        """Write weights, biases and scales, for whole fours."""
        spare = [Scale(0, 1)] * (-len(self.scales) % LANE_CHANNELS)
        scales = [*self.scales, *spare]
        sums = self.weights.reshape(len(self.weights), -1).sum(axis=1)
        folded, doubled = (np.pad(bias, (0, len(spare))) for bias in (self.bias - self.zero_in * sums, 2 * self.bias))
        rounded = folded.copy()
        rounded[::2] -= 0 if self.dense else HALF * (self.runs * self.run_length // self.together)
        packed_words = self.words().reshape(-1) ^ (_SIGNED if self.dense else np.uint32(0))
        words = [f"TNY_WORD(0x{word:08x}u)" for word in packed_words]
        return (f"{self.title}{array('uint32_t', f'weights{number}', words)}"
                f"#if TNY_IMPL == 1\n{_bias(doubled, number)}\n#elif TNY_IMPL == 2\n"
                f"{_bias(folded, number)}\n#else\n{_bias(rounded, number)}\n#endif\n"
                f"{array('int32_t', f'multiplier{number}', [scale.multiplier for scale in scales])}"
                f"{array('int8_t', f'shift{number}', [scale.shift for scale in scales])}")


def _bias(bias: np.ndarray, number: int) -> str:
    """Lower halves, and upper ones if there are any."""
    bias = bias.astype(np.int32)
    lower = bias.astype(np.int16)
    upper = bias.astype(np.int64) - lower >> 16
    text = array("int16_t", f"bias{number}", lower)
    if not upper.any():
        return f"{text}#define TNY_BIAS_HIGH{number} NULL"
    return f"{text}{array('int16_t', f'bias_high{number}', upper)}#define TNY_BIAS_HIGH{number} bias_high{number}"


@register("CONV_2D")
def _convolution(graph: Graph, operator: Operator, node: Convolution) -> Weighted:
    source, target = in_and_out(graph, operator)
    options = operator.options
    stride = int(options["stride_h"]), int(options["stride_w"])
    dilation = int(options["dilation_h_factor"]), int(options["dilation_w_factor"])
    weights = _content(graph, operator)
    return _layer(source, target, node, (weights, reach(graph, operator, weights)), (hwc(source), hwc(target)),
                  (stride, dilation, (node.top, node.left)))


@register("FULLY_CONNECTED")
def _fully_connected(graph: Graph, operator: Operator, node: FullyConnected) -> Weighted:
    """Each row is a pixel. A zero point of the weights makes them wider by one bit at most."""
    source, target = in_and_out(graph, operator)
    tensor = graph.tensors[operator.inputs[1]]
    outputs, depth = tensor.shape
    weights = (_content(graph, operator) - int(tensor.zero_point[0])).reshape(outputs, 1, 1, depth)
    rows = int(np.prod(source.shape)) // depth
    # The kernel takes two pixels of a row at a time, and all of a row in memory.
    width = 1 if rows % 2 else 2
    shapes = (rows // width, width, depth), (rows // width, width, outputs)
    return _layer(source, target, node, (weights, reach(graph, operator, weights)), shapes, ((1, 1), (1, 1), (0, 0)))


def _layer(source: Tensor, target: Tensor, node: Convolution | FullyConnected,
           weighed: tuple[np.ndarray, Reach], shapes: tuple[Shape, Shape],
           sliding: tuple[Pair, Pair, Pair]) -> Weighted:
    """Build the convolution on the kernels for its type.

    ``weighed``: weights and what they meet; ``sliding``: stride, dilation, padding before.
    """
    weights, given = weighed
    groups = shapes[0][2] // weights.shape[3]
    if not is_wide(source) and groups == 1:
        live, bias, scales = settled(node, weights, given)
        hot = Conv(target.name, (source.index,), target.index, *shapes, live, bias, scales, *sliding, node.zero_in,
                   node.zero_out, node.low, node.high)
        if _is_exact(hot, given):
            return hot
    return plain_conv(source, target, node, weighed, shapes, sliding, len(weights) // groups)


def _content(graph: Graph, operator: Operator) -> np.ndarray:
    weights = graph.tensors[operator.inputs[1]].data
    assert weights is not None
    return weights.astype(np.int64)


def _is_exact(conv: Conv, given: Reach) -> bool:
    """Whether the hot kernels hold ``conv``: its sizes, and every step in 32 bits; C has undefined behaviour beyond."""
    weights = conv.weights.reshape(len(conv.weights), -1)
    codes = given[0] + conv.zero_in, given[1] + conv.zero_in
    centred = largest(conv.weights, given) + np.abs(conv.bias)
    folded = largest(conv.weights, codes) + np.abs(conv.bias - conv.zero_in * weights.sum(axis=1))
    try:
        conv.check_sizes(conv.run_length, conv.row_lanes)
        sized(conv.name, "products of a window", [conv.runs * conv.run_length], 15)
        for bound, scale in zip(np.maximum(centred, folded), conv.scales, strict=True):
            fits(conv.name, int(bound), scale)
    except ModelError:
        return False
    return True
