"""TRANSPOSE_CONV: each input pixel adds its weights to a window of the output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators.base import constant, register
from tinyfuse.integer.operators.weighted import Weighted
from tinyfuse.integer.operators.window import window
from tinyfuse.tflite.graph import Graph, Operator


@register("TRANSPOSE_CONV")
class TransposeConv(Weighted):
    """One TRANSPOSE_CONV. Reference: ``reference/integer_ops/transpose_conv.h``.

    The window slides over the output, as that of the convolution whose gradient this is.
    """

    def __init__(self, operator: Operator, graph: Graph) -> None:
        constant(operator, graph, 0)  # the output's shape, which its tensor has
        weights, source, target = (graph.tensors[index] for index in (*operator.inputs[1:3], operator.outputs[0]))
        options = {"fused_activation_function": "NONE", **operator.options}
        super().__init__(replace(operator, inputs=(operator.inputs[2], operator.inputs[1], *operator.inputs[3:]),
                                 options=options), graph, axes=4, channel_axis=0)
        self.window = window(operator, target, source, self.content.shape[1:3])
        if weights.shape[3] != source.shape[3]:
            raise ModelError(f"'{weights.name}' has shape {list(weights.shape)}; {source.shape[3]} input channels need "
                             f"as many at its end")
        kernel = self.content.transpose(1, 2, 3, 0).astype(np.int64)  # [kh, kw, in, out]
        self.kernel: np.ndarray = kernel.astype(self.exact_type(kernel))
        self.slope = (kernel * self.codes_per_sum).transpose(0, 1, 3, 2).astype(np.float32)

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        centred = inputs[0].astype(self.kernel.dtype) - self.kernel.dtype.type(self.zero_in)
        sums = np.zeros((len(centred), *self.output_shape), self.kernel.dtype)
        for tap, reached, given in self.window.taps(self.output_shape, self.input_shape):
            sums[reached] += centred[given] @ self.kernel[tap]
        return self.codes(sums)

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        masked, found = gradient * saved, np.zeros((len(gradient), *self.input_shape), np.float32)
        for tap, reached, given in self.window.taps(self.output_shape, self.input_shape):
            found[given] += masked[reached] @ self.slope[tap]
        return [found]
