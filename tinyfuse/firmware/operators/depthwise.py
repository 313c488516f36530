"""DEPTHWISE_CONV_2D: four channels at a time where the quick kernels hold it, else one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinyfuse.firmware.operators.base import Shape, hwc, in_and_out, register
from tinyfuse.firmware.operators.convolution import BYTE, PLAIN_SHIFTS
from tinyfuse.firmware.operators.dead_channels import reach
from tinyfuse.firmware.operators.plain_conv import ChannelConv, PlainConv, plain_conv
from tinyfuse.integer.operators.depthwise import Depthwise
from tinyfuse.tflite.graph import Graph, Operator

FOUR = 4
"""Channels that the quick kernels take at a time."""
_STRUCTURES = {"dsp": 4 * 84 + 4, "mve": 4 * 144 + 64 + 16 + 8 + 4}
"""Bytes of ``tny_four_t`` before its ring."""


class Turned:
    """A convolution whose columns are the rows of the tensors; its shapes and windows are turned already."""

    in_shape: Shape
    out_shape: Shape

    @property
    def steps(self) -> dict[str, int]:
        """Codes between neighbouring rows and columns."""
        (in_h, _, in_c), (out_h, _, out_c) = self.in_shape, self.out_shape
        return {"in_row": in_c, "in_column": in_h * in_c, "out_row": out_c, "out_column": out_h * out_c}


class QuickDepthwise(ChannelConv):
    """A depthwise 3x3 convolution of int8 tensors, with a stride of 1 or 2."""

    header = "tny_quick_depthwise.h"
    call = ("tny_quick_depthwise",)

    @property
    def scratch_bytes(self) -> int:
        """For what the largest of the kernels needs: four channels' taps, and the ring."""
        columns, stride = self.out_shape[1], self.stride[1]
        units = -(-columns // 2) * stride + 1
        at_once = FOUR if stride == 1 else 2 * FOUR
        return max(super().scratch_bytes, _STRUCTURES["dsp"] + 4 * 3 * FOUR * units,
                   _STRUCTURES["mve"] + 16 * (-(-columns // at_once) * at_once * stride + 2))


class DirectDepthwise(ChannelConv):
    """A depthwise convolution of int8 tensors to another shape, with any window."""

    header = "tny_depthwise_direct.h"
    call = ("tny_depthwise_direct",)

    @property
    def replaceable(self) -> tuple[int, ...]:
        """None: channels are read while others are written."""
        return ()

    @property
    def scratch_bytes(self) -> int:
        """For the taps of four channels and once more those of one."""
        return 2 * (FOUR + 1) * int(np.prod(self.weights.shape[1:]))


class TurnedChannelConv(Turned, ChannelConv):
    """By channels along the longer side."""


class TurnedDirectDepthwise(Turned, DirectDepthwise):
    """To another shape along the longer side."""


class TurnedQuickDepthwise(Turned, QuickDepthwise):
    """Four channels at a time along the longer side."""


@register("DEPTHWISE_CONV_2D")
def _depthwise(graph: Graph, operator: Operator, node: Depthwise) -> PlainConv:
    source, target = in_and_out(graph, operator)
    rows, columns, channels, multiplier = node.weights.shape
    weights = node.weights.astype(np.int64).reshape(rows, columns, channels * multiplier, 1).transpose(2, 0, 1, 3)
    _, _, stride_h, stride_w, dilation_h, dilation_w, top, left = (int(value) for value in node.window)
    layer = plain_conv(source, target, node, (weights, reach(graph, operator, weights)), (hwc(source), hwc(target)),
                       ((stride_h, stride_w), (dilation_h, dilation_w), (top, left)), share=multiplier)
    return by_channels(layer) if isinstance(layer, ChannelConv) else layer


def by_channels(layer: ChannelConv) -> ChannelConv:
    """Choose the kernel for ``layer``, turned if it is higher than wide: the kernels are quick at long rows."""
    high = (layer.out_shape[0], layer.in_shape[0]) > (layer.out_shape[1], layer.in_shape[1])
    found = _turned(layer) if high else layer
    if _is_quick(found):
        return (TurnedQuickDepthwise if high else QuickDepthwise)(**vars(found))
    by_fours = not layer.wide and layer.share == 1 and layer.out_shape[2] >= FOUR
    if by_fours and layer.in_shape != layer.out_shape:
        return (TurnedDirectDepthwise if high else DirectDepthwise)(**vars(found))
    return found


def _turned(layer: ChannelConv) -> ChannelConv:
    turned = TurnedChannelConv(**vars(layer))
    return replace(turned, in_shape=_swapped(layer.in_shape), out_shape=_swapped(layer.out_shape),
                   weights=layer.weights.transpose(0, 2, 1, 3), stride=layer.stride[::-1],
                   dilation=layer.dilation[::-1], padding=layer.padding[::-1])


def _swapped(shape: Shape) -> Shape:
    return shape[1], shape[0], shape[2]


def _is_quick(layer: ChannelConv) -> bool:
    """Whether the quick kernels hold ``layer``; MVE's address outputs with 16 bits."""
    steps = layer.steps
    far = max(7 * max(steps["in_column"], steps["out_column"]) + steps["out_row"], 7 * steps["out_column"])
    return (not layer.wide and layer.share == 1 and layer.out_shape[2] >= FOUR and layer.bits <= BYTE and
            layer.weights.shape[1:3] == (3, 3) and layer.dilation == (1, 1) and
            layer.stride in ((1, 1), (2, 2)) and far < 1 << 16 and
            all(scale.shift in PLAIN_SHIFTS for scale in layer.scales))
