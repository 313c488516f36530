"""What convolutions of any kind and FULLY_CONNECTED share: constant weights and biases, sums rescaled to codes."""

from __future__ import annotations

import numba
import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import MOST_SHIFT_64, TYPE_RANGE, quantize_multiplier, rescale, rescale64, wrap32
from tinyfuse.integer.operators.base import fused_range, need_centred, source_and_target
from tinyfuse.integer.undouble import weight_type
from tinyfuse.tflite.graph import Graph, Operator, Tensor

_BIAS_TYPES = {"int8": ("int32",), "int16": ("int32", "int64")}
_FIXED_BIAS_TYPE = ("DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
"""Operators that read the bias as the last of these types, whatever the model says."""


@numba.njit(nogil=True, cache=True)
def _requantize(sums, bias, multiplier, shift, zero_point, low, high, wide, out, inside):  # type: ignore[no-untyped-def]
    """Write clamp(rescale(sums + bias) + zero_point) per channel to ``out``; ``inside`` (uint8): the clamp did nothing.

    ``sums`` [m, c] holds exact integers in any type; ``wide``: the accumulators have 64 bits, not 32. Every step wraps
    as that of TFLite Micro does.
    """
    for i in range(sums.shape[0]):
        for c in range(sums.shape[1]):
            total = np.int64(sums[i, c]) + bias[c]
            if wide:
                value = rescale64(total, multiplier[c], shift[c])
            else:
                value = wrap32(rescale(wrap32(total), multiplier[c], shift[c]) + zero_point)
            out[i, c] = min(max(value, low), high)
            inside[i, c] = (value >= low) & (value <= high)


class Weighted:
    """One operator whose output channels each have weights (in ``content``): exact sums, rescaled, clamped to codes."""

    def __init__(self, operator: Operator, graph: Graph, *, axes: int, channel_axis: int) -> None:
        source, target = source_and_target(operator, graph)
        need_centred(operator, source, target)
        weights, channels = graph.tensors[operator.inputs[1]], target.shape[-1]
        self.content = _content(operator, weights, target, axes, channel_axis)
        self.dtype, self.input_shape, self.output_shape = target.dtype, source.shape[1:], target.shape[1:]
        self.zero_in, self.zero_out = source.zero, target.zero
        self.bias, self.wide_sums = _bias(operator, graph, channels)
        self.multiplier, self.shift = _rescaling(weights.name, source.unit * weights.scale.astype(np.float64) /
                                                 target.unit, channels, wide=self.wide_sums)
        self.low, self.high = fused_range(operator, target)

    @property
    def codes_per_sum(self) -> np.ndarray:
        """Float64 [channels]: what one unit of a sum adds to the output code."""
        return np.asarray(self.multiplier * 2.0 ** (self.shift - 31))

    def exact_type(self, weights: np.ndarray) -> type:
        """Choose the float type in which int64 ``weights`` [..., channels] give exact sums in any order.

        A partial sum is an integer of at most ``largest``; float32 holds all of them up to 2^24, float64 up to 2^53.
        """
        low, high = TYPE_RANGE[self.dtype]
        sums = np.abs(weights).reshape(-1, weights.shape[-1]).sum(axis=0)
        largest = int(sums.max()) * max(self.zero_in - low, high - self.zero_in)
        if largest >= 1 << 53:
            raise ModelError(f"sums up to {largest} do not fit float64")
        return np.float32 if largest < 1 << 24 else np.float64

    def codes(self, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turn ``sums`` into output codes [n, ...], and where the clamp did nothing."""
        channels = len(self.multiplier)
        out = np.empty((sums.size // int(np.prod(self.output_shape)), *self.output_shape), self.dtype)
        inside = np.empty(out.shape, np.uint8)
        self._write(sums.reshape(-1, channels), self.bias, out.reshape(-1, channels), inside.reshape(-1, channels))
        return out, inside

    def codes_of(self, totals: np.ndarray) -> np.ndarray:
        """Turn ``totals`` int64 [m, channels], sums with their biases, into codes [m, channels]."""
        out = np.empty(totals.shape, self.dtype)
        self._write(totals, np.zeros_like(self.bias), out, np.empty(out.shape, np.uint8))
        return out

    def _write(self, sums: np.ndarray, bias: np.ndarray, out: np.ndarray, inside: np.ndarray) -> None:
        _requantize(sums, bias, self.multiplier, self.shift, self.zero_out, self.low, self.high, self.wide_sums, out,
                    inside)


def _rescaling(name: str, real: np.ndarray, channels: int, *, wide: bool) -> tuple[np.ndarray, np.ndarray]:
    """Multipliers and shifts int64 [channels] for the factors ``real``, one for all or one for each channel.

    Raises :class:`ModelError` for a factor beyond what TFLite Micro's arithmetic is defined for.
    """
    try:
        found = [quantize_multiplier(float(one)) for one in real]
    except ModelError as error:
        raise ModelError(f"'{name}': {error}") from error
    multiplier, shift = np.broadcast_to(np.array(found, np.int64), (channels, 2)).T.copy()
    if wide and shift.max() > MOST_SHIFT_64:
        channel = int(shift.argmax())
        factor = float(np.broadcast_to(real, channels)[channel])
        raise ModelError(f"'{name}': a rescaling of channel {channel} by {factor:.6g}; that of TFLite Micro's 64-bit "
                         f"sums is defined below 2^{MOST_SHIFT_64}: give the output a larger scale")
    return multiplier, shift


def _content(operator: Operator, weights: Tensor, target: Tensor, axes: int, channel_axis: int) -> np.ndarray:
    """The codes of ``weights``, refused unless constant, of so many axes and with a channel for each of ``target``."""
    if weights.data is None or weights.dtype != weight_type(operator) or len(weights.shape) != axes:
        raise ModelError(f"'{weights.name}': {operator.name} needs constant int8 weights with {axes} axes")
    scales, channels = len(weights.scale), weights.shape[channel_axis]
    if channels != target.shape[-1]:
        raise ModelError(f"'{weights.name}': {operator.name} by weights {list(weights.shape)} does not give "
                         f"{list(target.shape)}")
    if scales not in (1, channels) or (scales > 1 and weights.axis != channel_axis):
        raise ModelError(f"'{weights.name}' has {scales} scales along axis {weights.axis}; {operator.name} needs 1, or "
                         f"{channels} along axis {channel_axis}")
    if weights.zero_point.any() and (scales > 1 or operator.name != "FULLY_CONNECTED"):
        raise ModelError(f"'{weights.name}': {operator.name} needs zero point 0 for these weights")
    return weights.data


def _bias(operator: Operator, graph: Graph, channels: int) -> tuple[np.ndarray, bool]:
    """The bias, int64 [channels], and whether TFLite Micro adds up in 64 bits."""
    source, fixed = graph.tensors[operator.inputs[0]], operator.name in _FIXED_BIAS_TYPE
    if len(operator.inputs) < 3 or operator.inputs[2] < 0:
        if fixed and len(operator.inputs) > 2:  # TFLite Micro crashes there
            raise ModelError(f"'{graph.tensors[operator.outputs[0]].name}': {operator.name} with an absent third "
                             "input; give a bias, or two inputs")
        return np.zeros(channels, np.int64), source.dtype == np.int16
    bias, allowed = graph.tensors[operator.inputs[2]], _BIAS_TYPES[str(source.dtype)]
    if fixed:
        allowed = allowed[-1:]
    if str(bias.dtype) not in allowed or bias.shape != (channels,) or bias.data is None:
        raise ModelError(f"'{bias.name}': the bias of {operator.name} with {source.dtype} input must be "
                         f"{' or '.join(allowed)} [{channels}], constant, not {bias.dtype} {list(bias.shape)}")
    return bias.data.astype(np.int64), bias.dtype == np.int64
