"""DEPTHWISE_CONV_2D: every input channel meets its own filters, summed in the integers of TFLite Micro."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators.base import register
from tinyfuse.integer.operators.weighted import Weighted
from tinyfuse.integer.operators.window import window
from tinyfuse.tflite.graph import Graph, Operator


@register("DEPTHWISE_CONV_2D")
class Depthwise(Weighted):
    """One DEPTHWISE_CONV_2D. Reference: ``reference/integer_ops/depthwise_conv.h``."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        super().__init__(operator, graph, axes=4, channel_axis=3)
        source, weights, *_ = (graph.tensors[index] for index in operator.inputs)
        multiplier = int(operator.options["depth_multiplier"])
        self.window = window(operator, source, graph.tensors[operator.outputs[0]], self.content.shape[1:3])
        if weights.shape[0] != 1 or weights.shape[3] != source.shape[3] * multiplier:
            raise ModelError(f"'{weights.name}' has shape {list(weights.shape)}; {source.shape[3]} channels with "
                             f"multiplier {multiplier} to {self.output_shape[2]} need [1, h, w, "
                             f"{source.shape[3] * multiplier}]")
        self.sums: type = np.int64 if self.dtype == np.int16 else np.int32
        kernel = self.content.reshape(*weights.shape[1:3], source.shape[3], -1)
        self.weights = np.ascontiguousarray(kernel, self.sums)
        self.slope = (kernel * self.codes_per_sum.reshape(source.shape[3], -1)).astype(np.float32)

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        centred = np.repeat(inputs[0].astype(self.sums) - self.sums(self.zero_in), self.weights.shape[3], axis=3)
        sums: np.ndarray = np.zeros((len(centred), *self.output_shape), self.sums)  # 32-bit ones wrap as C's do
        for tap, read, served in self.window.taps(self.input_shape, self.output_shape):
            sums[served] += centred[read] * self.weights[tap].reshape(-1)
        return self.codes(sums)

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        masked, found = gradient * saved, np.zeros((len(gradient), *self.input_shape), np.float32)
        for tap, read, served in reversed([*self.window.taps(self.input_shape, self.output_shape)]):
            shares = (masked[served] * self.slope[tap].reshape(-1)).reshape(*found[read].shape, -1)
            for filter_ in range(shares.shape[-1]):
                found[read] += shares[..., filter_]
        return [found]
