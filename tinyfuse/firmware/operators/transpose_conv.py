"""TRANSPOSE_CONV of int8 and int16 tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyfuse.firmware.operators.base import hwc, is_wide, register
from tinyfuse.firmware.operators.plain_conv import PlainConv, scales_for
from tinyfuse.integer.operators.transpose_conv import TransposeConv as Node
from tinyfuse.tflite.graph import Graph, Operator


@dataclass(frozen=True, eq=False)
class TransposeConv(PlainConv):
    """A convolution that is read backwards: stride and padding are those of the output."""

    header = "tny_transpose_conv.h"
    call = "tny_transpose_conv", "wide"

    @property
    def macs(self) -> int:
        """Multiply-accumulates: each input pixel meets all weights."""
        return int(np.prod(self.in_shape[:2])) * self.weights.size

    @property
    def scratch_bytes(self) -> int:
        """For the decoded weights of one output channel."""
        return 2 * int(np.prod(self.weights.shape[1:]))


@register("TRANSPOSE_CONV")
def _transpose_conv(graph: Graph, operator: Operator, node: Node) -> TransposeConv:
    source, target = graph.tensors[operator.inputs[2]], graph.tensors[operator.outputs[0]]
    _, _, stride_h, stride_w, _, _, top, left = (int(value) for value in node.window)
    layer = TransposeConv(target.name, (source.index,), target.index, hwc(source), hwc(target),
                          node.content.astype(np.int64), node.bias, scales_for(node), (stride_h, stride_w), (1, 1),
                          (top, left), node.zero_in, node.zero_out, node.low, node.high, len(node.content),
                          node.wide_sums, is_wide(source))
    layer.check_sizes()
    return layer
