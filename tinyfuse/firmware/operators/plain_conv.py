"""Convolutions straight from their definition: all on int16 tensors, grouped ones, and by single channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.c_text import array
from tinyfuse.firmware.operators.base import Kernel, Pair, Shape, Weighted, is_wide
from tinyfuse.firmware.operators.dead_channels import Reach, largest, settled
from tinyfuse.firmware.pack import field_bits, in_words
from tinyfuse.firmware.scale import Scale, fits, scales_of, sized
from tinyfuse.tflite.graph import Tensor

_MULTIPLIER_BITS = 15
TALLEST_WIDE = 16
"""Rows of a window in stretches; that of runtime/tny_wide_pairs.h."""


@dataclass(frozen=True, eq=False)
class PlainConv(Kernel, Weighted):
    """A grouped convolution.

    Output channel c reads the ``depth`` input channels from c // ``share`` * depth on: with as many outputs as
    ``share`` it is an ordinary convolution, with one input channel a depthwise one. ``long``: 64-bit sums with one
    rounding, ``scales`` being multipliers of 15 bits and the whole shifts.
    """

    share: int
    long: bool
    wide: int
    header = "tny_wide.h"
    kind = "plain_conv"
    call: ClassVar[tuple[str, ...]] = ("tny_wide",)

    def check_sizes(self, *lanes: int) -> None:
        """Raise ModelError if the window does not fit the descriptor."""
        sized(self.name, "kernel, stride, dilation or padding", (*self.weights.shape[1:3], *self.stride, *self.dilation,
                                                                 *self.padding), 16)

    @property
    def largest(self) -> int:
        """Bound of the sums without bias."""
        centred = 1 << 15 if self.wide else 255
        return centred * int(np.abs(self.weights).reshape(len(self.weights), -1).sum(axis=1).max())

    @property
    def runs(self) -> int:
        """Tell whether 32 bits hold sums of int16 codes, whose windows are stretches of whole eights; 2: with bias."""
        depth, tallest = self.weights.shape[3], int(np.abs(self.bias).max(initial=0))
        fit = (self.wide and depth == self.in_shape[2] and depth % 8 == 0 and self.dilation[1] == 1 and
               self.weights.shape[1] <= TALLEST_WIDE and self.bits <= 8 and self.largest < 1 << 31)
        return int(fit) * (2 if self.largest + tallest < 1 << 31 and self._shifts_within(62) else 1)

    def _shifts_within(self, most: int) -> bool:
        return all(0 < scale.shift <= most for scale in self.scales)

    @property
    def scratch_bytes(self) -> int:
        """For the decoded weights of an output channel and the sums of one row; of runs, of up to four channels."""
        taps, width = int(np.prod(self.weights.shape[1:])), self.out_shape[1]
        return 4 * taps + 16 * width if self.runs else 2 * taps + 8 * width

    @property
    def bits(self) -> int:
        """Width of a packed weight."""
        return field_bits(self.weights)

    def words(self) -> np.ndarray:
        return in_words(self.weights.reshape(len(self.weights), -1), self.bits)

    def tables(self, number: int) -> str:
        return (self.title + array("uint32_t", f"weights{number}",
                                   [f"0x{word:08x}u" for word in self.words().reshape(-1)]) +
                array("int64_t" if self.long else "int32_t", f"bias{number}", self.bias) +
                array("tny_scale_t", f"scale{number}", self.scales))

    @property
    def steps(self) -> dict[str, int]:
        """Codes between neighbouring rows and columns."""
        (_, in_w, in_c), (_, out_w, out_c) = self.in_shape, self.out_shape
        return {"in_row": in_w * in_c, "in_column": in_c, "out_row": out_w * out_c, "out_column": out_c}

    def members(self, number: int) -> Mapping[str, object]:
        biases = ("NULL", f"bias{number}") if self.long else (f"bias{number}", "NULL")
        return {"weights": f"weights{number}", "bias": biases[0], "long_bias": biases[1], "scale": f"scale{number}",
                "channel_words": self.words().shape[1], "bits": self.bits, **self.sizes,
                "depth": self.weights.shape[3], "share": self.share, **self.steps, **self.sliding,
                "runs": self.runs, "zero_in": self.zero_in, "zero_out": self.zero_out, "low": self.low,
                "high": self.high}


@dataclass(frozen=True, eq=False)
class ChannelConv(PlainConv):
    """A convolution with one input channel for each output channel, whose sums without bias fit 32 bits."""

    header = "tny_depthwise.h"
    call: ClassVar[tuple[str, ...]] = ("tny_depthwise", "wide")

    @property
    def replaceable(self) -> tuple[int, ...]:
        """Channels that have a place of their own and are held by rows while they are read."""
        return self.sources if self.share == 1 and self.in_shape == self.out_shape else ()

    @property
    def scratch_bytes(self) -> int:
        """For the decoded weights of one channel, the input rows of one window, and the sums of one row."""
        rows, columns = ((int(kernel) - 1) * dilation + 1 for kernel, dilation in
                         zip(self.weights.shape[1:3], self.dilation, strict=True))
        width = self.out_shape[1]
        lanes = rows * ((width - 1) * self.stride[1] + columns)
        return 2 * (int(np.prod(self.weights.shape[1:])) + lanes) + 4 * width


@dataclass(frozen=True, eq=False)
class ExactConv(PlainConv):
    """A convolution of int8 tensors whose sums may wrap around in 32 bits, as TFLite Micro's do.

    ``leaves``: the channel with the largest sums beyond 32 bits, and their bound; None if there is none.
    """

    leaves: tuple[int, int] | None = None
    header = "tny_exact_conv.h"
    call = ("tny_exact_conv",)

    @property
    def scratch_bytes(self) -> int:
        """For the decoded weights of one output channel."""
        return 2 * int(np.prod(self.weights.shape[1:]))


def plain_conv(source: Tensor, target: Tensor, node: Any, weighed: tuple[np.ndarray, Reach],
               shapes: tuple[Shape, Shape], sliding: tuple[Pair, Pair, Pair], share: int = 0) -> PlainConv:
    """Build the convolution of the twin's ``node``; ``sliding``: stride, dilation, padding before; ``share`` 0: all.

    ``weighed``: weights and what they meet.
    The quickest kernel is taken that is exact: one by channels, if 32 bits hold every step of it, else one by windows.
    """
    wide, (weights, given) = is_wide(source), weighed
    weights, bias, scales = (weights, node.bias, scales_for(node)) if wide else settled(node, weights, given)
    layer = PlainConv(target.name, (source.index,), target.index, *shapes, weights, bias, scales, *sliding,
                      int(node.zero_in), node.zero_out, node.low, node.high, share or len(weights), node.wide_sums,
                      wide)
    layer.check_sizes()
    if weights.shape[3] == 1 and _fits_by_channel(layer, given):
        return ChannelConv(**vars(layer))
    return layer if layer.wide else ExactConv(**vars(layer), leaves=_leaving(layer, given))


def scales_for(node: Any) -> tuple[Scale, ...]:
    """Take over the scales of a node of the twin, shortened where its sums have 64 bits."""
    scales = scales_of(node.multiplier, node.shift)
    return tuple(map(shortened, scales)) if node.wide_sums else scales


def shortened(scale: Scale) -> Scale:
    """Round to the 15-bit multiplier of TFLite Micro's 64-bit rescaling; the shift is the whole one."""
    largest = (1 << _MULTIPLIER_BITS) - 1
    short = min((scale.multiplier + (1 << 15)) >> 16, largest)
    return Scale(short, _MULTIPLIER_BITS + scale.shift)


def _leaving(layer: PlainConv, given: Reach) -> tuple[int, int] | None:
    """The channel whose sums, shifted to the left as for rescaling, leave 32 bits by most, and their bound."""
    left = np.array([max(-scale.shift, 0) for scale in layer.scales])
    bounds = largest(layer.weights, given) + np.abs(layer.bias)
    channel = int((bounds << left).argmax())
    return (channel, int(bounds[channel])) if int(bounds[channel]) << int(left[channel]) >= 1 << 31 else None


def _fits_by_channel(layer: PlainConv, given: Reach) -> bool:
    """Whether 32 bits hold the sums and, of int8 tensors, every step on the quick way to codes."""
    if layer.largest >= 1 << 31:
        return False
    bounds = largest(layer.weights, given) + np.abs(layer.bias)
    try:
        for bound, scale in () if layer.wide else zip(bounds, layer.scales, strict=True):
            fits(layer.name, int(bound), scale)
    except ModelError:
        return False
    return True
