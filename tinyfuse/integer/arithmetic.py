"""TensorFlow Lite's fixed-point arithmetic, bit for bit: multipliers, double rounding, activation ranges.

Reference: ``tensorflow/lite/kernels/internal/{common,quantization_util}.cc`` and
``tensorflow/lite/micro/kernels/kernel_util.cc``, which TFLite Micro compiles with double rounding.
The functions are compiled by numba so that operators can inline them in their loops.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from tinyfuse.core.errors import ModelError

TYPE_RANGE = {np.dtype(np.int8): (-128, 127), np.dtype(np.int16): (-32768, 32767)}


def quantize_multiplier(value: float) -> tuple[int, int]:
    """Return (multiplier, shift) with ``value`` ~ multiplier * 2^(shift - 31) and 2^30 <= multiplier < 2^31.

    ``QuantizeMultiplier``: the mantissa is rounded half away from zero; below 2^-31 the result is (0, 0).
    """
    if not (math.isfinite(value) and value >= 0):
        raise ModelError(f"a rescaling by {value}: scales must be finite and positive")
    if value == 0.0:
        return 0, 0
    mantissa, shift = math.frexp(value)
    multiplier = math.floor(mantissa * 2.0**31 + 0.5)
    if multiplier == 1 << 31:
        multiplier, shift = multiplier // 2, shift + 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        return (1 << 31) - 1, 30
    return multiplier, shift


@numba.njit(inline="always")
def wrap32(value):  # type: ignore[no-untyped-def]
    """Return the value as C's int32 would hold it: modulo 2^32."""
    return np.int64(np.int32(value))


@numba.njit(inline="always")
def multiply(a, b):  # type: ignore[no-untyped-def]
    """Return ``a`` * ``b`` / 2^31, halves rounded up."""
    return (a * b + (np.int64(1) << np.int64(30))) >> np.int64(31)


@numba.njit(inline="always")
def divide_by_power(value, exponent):  # type: ignore[no-untyped-def]
    """Return ``value`` / 2^exponent, halves rounded away from zero."""
    mask = (np.int64(1) << exponent) - np.int64(1)
    threshold = (mask >> np.int64(1)) + np.int64(value < 0)
    return (value >> exponent) + np.int64((value & mask) > threshold)


@numba.njit(inline="always")
def rescale(value, multiplier, shift):  # type: ignore[no-untyped-def]
    """Return value * multiplier * 2^(shift - 31), rounded twice: ``MultiplyByQuantizedMultiplier(int32)``.

    First a rounding doubling high multiplication (halves up), then a rounding division by a power of two
    (halves away from zero). All arguments and the result are int64 that hold int32 values.
    """
    high = multiply(wrap32(value << max(shift, np.int64(0))), multiplier)
    return divide_by_power(high, max(-shift, np.int64(0)))


@numba.vectorize(cache=True)  # type: ignore[no-untyped-call]
def rescaled(value, multiplier, shift):  # type: ignore[no-untyped-def]
    """Apply :func:`rescale` to int64 arrays, which broadcast; values beyond 32 bits wrap as C's do."""
    return rescale(wrap32(value), multiplier, shift)


@numba.njit(inline="always")
def rescale64(value, multiplier, shift):  # type: ignore[no-untyped-def]
    """Rescale with a 15-bit multiplier and one rounding (halves up): ``MultiplyByQuantizedMultiplier(int64)``."""
    small = (multiplier + np.int64(1 << 15)) >> np.int64(16) if multiplier < 0x7FFF0000 else np.int64(0x7FFF)
    total = np.int64(15) - shift
    return (value * small + (np.int64(1) << (total - np.int64(1)))) >> total


def clamp(values: np.ndarray, low: int, high: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return codes of ``dtype`` for integer ``values``, and bool where the clamp to [low, high] did nothing."""
    return np.clip(values, low, high).astype(dtype), (values >= low) & (values <= high)


def activation_range(activation: str, scale: float, zero_point: int, dtype: np.dtype) -> tuple[int, int]:
    """Return the first and last output code under a fused ``activation`` (``CalculateActivationRangeQuantized``)."""
    low, high = TYPE_RANGE[np.dtype(dtype)]

    def code(value: float) -> int:
        quotient = float(np.float32(value) / np.float32(scale))
        return zero_point + int(math.copysign(math.floor(abs(quotient) + 0.5), quotient))

    bounds = {"NONE": (low, high), "RELU": (code(0.0), high), "RELU6": (code(0.0), code(6.0)),
              "RELU_N1_TO_1": (code(-1.0), code(1.0))}
    if activation not in bounds:
        raise ModelError(f"the fused activation {activation} is not supported; supported: {', '.join(bounds)}")
    return max(low, bounds[activation][0]), min(high, bounds[activation][1])
