"""CONV_2D: exact sums through a float convolution whose partial sums cannot round, then requantisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import TYPE_RANGE
from tinyfuse.integer.operators.base import register
from tinyfuse.integer.operators.weighted import Weighted
from tinyfuse.integer.operators.window import window
from tinyfuse.tflite.graph import Graph, Operator

_PROOF = 1 << 21  # products that the proof of exact sums tries
_ALIGNMENT = 64  # TensorFlow takes numpy memory without a copy only at this alignment


@register("CONV_2D")
class Convolution(Weighted):
    """One CONV_2D. The kernel is [kh, kw, in, out], dilated by zeros where the operator is."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        super().__init__(operator, graph, axes=4, channel_axis=0)
        source, weights = graph.tensors[operator.inputs[0]], graph.tensors[operator.inputs[1]]
        sliding = window(operator, source, graph.tensors[operator.outputs[0]], self.content.shape[1:3])
        groups, left = divmod(source.shape[3], max(1, weights.shape[3]))
        if left or not groups or weights.shape[0] % groups:
            raise ModelError(f"'{weights.name}': {operator.name} of {list(source.shape)} by weights "
                             f"{list(weights.shape)}; their depth must be the input channels, or these divided by a "
                             "number of groups")
        kernel = _dilated(_ungrouped(self.content, groups), (sliding.dilation_h, sliding.dilation_w))
        self.top, self.left = sliding.top, sliding.left
        # Where one position is left there is no stride. TensorFlow's Conv2D computes garbage for unequal strides on an
        # axis shorter than its stride, so it never sees such a one.
        self.stride = tuple(1 if size == 1 else step for size, step in
                            zip(self.output_shape[:2], (sliding.stride_h, sliding.stride_w), strict=True))
        self.padded = *((size - 1) * step + taps for size, step, taps in
                        zip(self.output_shape[:2], self.stride, kernel.shape[:2], strict=True)), source.shape[3]
        self.sums = self.exact_type(kernel)
        self.filter = tensorflow().constant(kernel.astype(self.sums))
        self._prove(weights.name, kernel)
        self._prepare_backward(kernel)

    def _prove(self, name: str, kernel: np.ndarray) -> None:
        """The bound makes sums exact only if the library adds plain products: try it on the extreme codes.

        As many outputs are tried as PROOF products give, full rows first.
        """
        rows, columns = self.output_shape[:2]
        columns = min(columns, max(1, _PROOF // kernel.size))
        rows = min(rows, max(1, _PROOF // (kernel.size * columns)))
        reach = [(count - 1) * step + taps for count, step, taps in
                 zip((rows, columns), self.stride, kernel.shape[:2], strict=True)]
        spread = _aligned((1, *reach, kernel.shape[2]), self.sums)
        codes = np.random.default_rng(0).choice(TYPE_RANGE[self.dtype], spread.shape)
        np.subtract(codes, self.zero_in, out=spread, dtype=spread.dtype, casting="unsafe")
        windows = np.lib.stride_tricks.sliding_window_view(spread[0].astype(np.int64), kernel.shape[:2], (0, 1))
        every = windows[::self.stride[0], ::self.stride[1]].transpose(0, 1, 3, 4, 2)
        if not np.array_equal(self._sums(spread)[0], np.tensordot(every, kernel, 3)):
            raise ModelError(f"'{name}': TensorFlow's convolution is not exact here (a fast-math or reduced-precision "
                             "mode?); switch off ONEDNN_DEFAULT_FPMATH_MODE and TF_SET_ONEDNN_FPMATH_MODE")

    def _prepare_backward(self, kernel: np.ndarray) -> None:
        """For stride 1 the gradient is itself a convolution, with the kernel turned around: faster than in general."""
        slope = (kernel * self.codes_per_sum).astype(np.float32)
        self.turned = self.stride == (1, 1)
        self.slope = tensorflow().constant(slope[::-1, ::-1].transpose(0, 1, 3, 2) if self.turned else slope)
        self.margin = kernel.shape[0] - 1 - self.top, kernel.shape[1] - 1 - self.left
        self.spread = self.input_shape[0] + kernel.shape[0] - 1, self.input_shape[1] + kernel.shape[1] - 1

    def _spread(self, codes: np.ndarray) -> np.ndarray:
        """Codes minus their zero point, padded with zeros, as floats."""
        spread = _aligned((len(codes), *self.padded), self.sums)
        _expand(codes, self.zero_in, self.top, self.left, spread)
        return spread

    def _sums(self, spread: np.ndarray) -> np.ndarray:
        return np.asarray(tensorflow().raw_ops.Conv2D(input=spread, filter=self.filter, padding="VALID",
                                                      strides=[1, *self.stride, 1]).numpy())

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        return self.codes(self._sums(self._spread(inputs[0])))

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        masked = gradient * saved
        if not self.turned:
            return [self._strided_backward(masked)]
        spread = _aligned((len(gradient), *self.spread, gradient.shape[3]), np.float32)
        _expand(masked, 0, *self.margin, spread)
        return [tensorflow().raw_ops.Conv2D(input=spread, filter=self.slope, strides=[1, 1, 1, 1],
                                            padding="VALID").numpy()]

    def _strided_backward(self, gradient: np.ndarray) -> np.ndarray:
        padded = tensorflow().raw_ops.Conv2DBackpropInput(
            input_sizes=(len(gradient), *self.padded), filter=self.slope, out_backprop=gradient,
            strides=[1, *self.stride, 1], padding="VALID").numpy()
        height, width, _ = self.input_shape
        reached = padded[:, self.top:self.top + height, self.left:self.left + width]
        found = np.zeros((len(gradient), *self.input_shape), np.float32)
        found[:, :reached.shape[1], :reached.shape[2]] = reached  # what no window reaches has gradient 0
        return found


def _ungrouped(weights: np.ndarray, groups: int) -> np.ndarray:
    """Weights [out, kh, kw, in] of one group over all input channels, 0 where a group does not read."""
    if groups == 1:
        return weights
    outputs, height, width, depth = weights.shape
    spread = np.zeros((groups, outputs // groups, height, width, groups, depth), weights.dtype)
    for group, content in enumerate(np.split(weights, groups)):
        spread[group, :, :, :, group] = content
    return spread.reshape(outputs, height, width, groups * depth)


def _dilated(weights: np.ndarray, dilation: tuple[int, int]) -> np.ndarray:
    """The kernel int64 [kh, kw, in, out] of weights [out, kh, kw, in], with zeros between taps that lie apart."""
    kernel = weights.astype(np.int64).transpose(1, 2, 3, 0)
    reach = [(size - 1) * step + 1 for size, step in zip(kernel.shape[:2], dilation, strict=True)]
    spread = np.zeros((*reach, *kernel.shape[2:]), kernel.dtype)
    spread[::dilation[0], ::dilation[1]] = kernel
    return spread


def _aligned(shape: tuple[int, ...], dtype: type | np.dtype) -> np.ndarray:
    """Make an uninitialised array that TensorFlow can read in place."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start:start + size].view(dtype).reshape(shape)


def _expand(values: np.ndarray, zero: int, top: int, left: int, out: np.ndarray) -> None:
    """Write values - zero [n, h, w, c] into the zero-padded floats ``out`` at (top, left), as far as they go."""
    out[...] = 0
    target = out[:, top:top + values.shape[1], left:left + values.shape[2]]
    np.subtract(values[:, :target.shape[1], :target.shape[2]], zero, out=target, dtype=out.dtype, casting="unsafe")
