"""Convolutions straight from their definition: all on int16 tensors, and the depthwise ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.c_text import array, comment, numbers, words
from tinyfuse.firmware.fields import in_words
from tinyfuse.firmware.operators.base import At, Kernel, Shape, is_wide
from tinyfuse.firmware.pack import bits_of
from tinyfuse.firmware.scale import Scale, fits, scales_of, sized
from tinyfuse.integer.operators.kernels import requantize64
from tinyfuse.tflite.graph import Tensor

SUM_BITS = 47
"""TFLite Micro's 64-bit rescaling is defined for sums below 2^47 in absolute value."""
_MULTIPLIER_BITS = 15
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Direct(Kernel):
    """A grouped convolution. Shapes are (h, w, c); ``weights`` int [out_c, kh, kw, depth].

    Output channel c reads the ``depth`` input channels from c // ``share`` * depth on: with as many outputs as
    ``share`` it is an ordinary convolution, with one input channel a depthwise one. ``long``: 64-bit sums with one
    rounding, ``scales`` being multipliers of 15 bits and the whole shifts.
    """

    in_shape: Shape
    out_shape: Shape
    weights: np.ndarray = field(repr=False)
    share: int
    bias: np.ndarray = field(repr=False)
    long: bool
    scales: tuple[Scale, ...] = field(repr=False)
    stride: Pair
    dilation: Pair
    padding: Pair
    zero_in: int
    zero_out: int
    low: int
    high: int
    wide: int

    @property
    def largest(self) -> int:
        """Bound of the sums without bias."""
        centred = 1 << 15 if self.wide else 255
        return centred * int(np.abs(self.weights).reshape(len(self.weights), -1).sum(axis=1).max())

    @property
    def by_channel(self) -> bool:
        """Whether the kernel for single input channels can do it, which has 32 bits for sums without bias."""
        return self.weights.shape[3] == 1 and self.largest < 1 << 31

    @property
    def header(self) -> str:
        """See :class:`Kernel`."""
        return "tny_depthwise.h" if self.by_channel else "tny_wide.h"

    @property
    def over(self) -> tuple[int, ...]:
        """Channels that have a place of their own and are held by rows while they are read."""
        return self.sources if self.by_channel and self.share == 1 and self.in_shape == self.out_shape else ()

    @property
    def scratch_bytes(self) -> int:
        """For the decoded weights of one output channel and the sums of one row; one kernel also holds input rows."""
        taps = 2 * int(np.prod(self.weights.shape[1:]))
        if not self.by_channel:
            return taps + 8 * self.out_shape[1]
        rows, columns = ((int(kernel) - 1) * dilation + 1 for kernel, dilation in
                         zip(self.weights.shape[1:3], self.dilation, strict=True))
        width = self.out_shape[1]
        return taps + 2 * rows * ((width - 1) * self.stride[1] + columns) + 4 * width

    @property
    def bits(self) -> int:
        """Width of a packed weight."""
        return bits_of(self.weights)

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return int(np.prod(self.out_shape)) * int(np.prod(self.weights.shape[1:]))

    def words(self) -> np.ndarray:
        """Packed weights uint32 [out_c, words]."""
        return in_words(self.weights.reshape(len(self.weights), -1), self.bits)

    def tables(self, number: int) -> str:
        """See :class:`Kernel`."""
        return (f"/* {comment(self.name)}: {self.bits}-bit weights, {self.macs} multiply-accumulates */\n" +
                array("uint32_t", f"weights{number}", words(self.words().reshape(-1))) +
                array("int64_t" if self.long else "int32_t", f"bias{number}", self.bias) +
                array("tny_scale_t", f"scale{number}", self.scales))

    def descriptor(self, number: int) -> str:
        """See :class:`Kernel`."""
        bias = f"NULL, bias{number}" if self.long else f"bias{number}, NULL"
        return f"""static const tny_direct_t direct{number} = {{
  weights{number}, {bias}, scale{number}, {self.words().shape[1]}, {self.bits},
  {numbers([*self.in_shape, *self.out_shape, self.weights.shape[3], self.share])},
  {numbers([*self.weights.shape[1:3], *self.stride, *self.dilation, *self.padding])},
  {numbers([self.zero_in, self.zero_out, self.low, self.high, number, self.target])}
}};
"""

    def calls(self, number: int, at: At, scratch: str) -> tuple[str, ...]:
        """See :class:`Kernel`."""
        given = f"&direct{number}, {at(self.sources[0])}, {at(self.target)}, {scratch}"
        return (f"tny_depthwise({given}, {self.wide});" if self.by_channel else f"tny_wide({given});",)


def direct(source: Tensor, target: Tensor, node: Any, weights: np.ndarray, shapes: tuple[Shape, Shape],
           sliding: tuple[Pair, Pair, Pair], share: int = 0) -> Direct:
    """The convolution of the twin's ``node``; ``sliding``: stride, dilation, padding before; ``share`` 0: all.

    Raises:
        ModelError: a size beyond the descriptor, or sums that TFLite Micro's arithmetic is not defined for.
    """
    long = node.requantize is requantize64
    scales = scales_of(node.multiplier, node.shift)
    layer = Direct(target.name, (source.index,), target.index, *shapes, weights, share or len(weights), node.bias, long,
                   tuple(map(_shortened, scales)) if long else scales, *sliding, int(node.zero_in), node.zero_out,
                   node.low, node.high, is_wide(source))
    return _proven(layer)


def _shortened(scale: Scale) -> Scale:
    """The 15-bit multiplier of TFLite Micro's 64-bit rescaling and its shift."""
    largest = (1 << _MULTIPLIER_BITS) - 1
    short = min((scale.multiplier + (1 << 15)) >> 16, largest)
    return Scale(short, _MULTIPLIER_BITS + scale.shift)


def _proven(layer: Direct) -> Direct:
    """``layer``, if no step of it can leave the types of C."""
    sized(layer.name, "sizes", (*layer.in_shape, *layer.out_shape, layer.words().shape[1]), 16)
    sized(layer.name, "kernel, stride, dilation or padding", (*layer.weights.shape[1:3], *layer.stride,
                                                              *layer.dilation, *layer.padding), 8)
    bound = layer.largest + max(abs(int(value)) for value in layer.bias)
    if layer.long and (bound >= 1 << SUM_BITS or min(scale.shift for scale in layer.scales) < 1):
        raise ModelError(f"'{layer.name}': sums up to {bound}, or the scales, are beyond what TFLite Micro's 64-bit "
                         "rescaling is defined for")
    for scale in () if layer.wide else layer.scales:
        fits(layer.name, bound, scale)
    return layer
