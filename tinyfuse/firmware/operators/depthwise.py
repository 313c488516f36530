"""DEPTHWISE_CONV_2D of int8 and int16 tensors."""

from __future__ import annotations

import numpy as np

from tinyfuse.firmware.operators.base import Layer, ends, hwc, register
from tinyfuse.firmware.operators.plain_conv import direct
from tinyfuse.integer.operators.depthwise import Depthwise
from tinyfuse.tflite.graph import Graph, Operator


@register("DEPTHWISE_CONV_2D")
def _depthwise(graph: Graph, operator: Operator, node: Depthwise) -> Layer:
    source, target = ends(graph, operator)
    rows, columns, channels, multiplier = node.weights.shape
    weights = node.weights.astype(np.int64).reshape(rows, columns, channels * multiplier, 1).transpose(2, 0, 1, 3)
    _, _, stride_h, stride_w, dilation_h, dilation_w, top, left = (int(value) for value in node.window)
    return direct(source, target, node, weights, (hwc(source), hwc(target)),
                  ((stride_h, stride_w), (dilation_h, dilation_w), (top, left)), share=multiplier)
