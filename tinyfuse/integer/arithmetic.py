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

MOST_SHIFT = 30
"""To the left, of a 32-bit value; MOST_SHIFT_64 of a 64-bit one."""
MOST_SHIFT_64 = 14
TYPE_RANGE = {np.dtype(np.int8): (-128, 127), np.dtype(np.int16): (-32768, 32767)}


def quantize_multiplier(value: float) -> tuple[int, int]:
    """Return (multiplier, shift) with ``value`` ~ multiplier * 2^(shift - 31) and 2^30 <= multiplier < 2^31.

    ``QuantizeMultiplier``: the mantissa is rounded half away from zero; below 2^-31 the result is (0, 0).

    Raises :class:`ModelError` from 2^30 on: there TFLite Micro shifts by more bits than C defines.
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
    if shift > MOST_SHIFT:
        raise ModelError(f"a rescaling by {value:.6g} overflows 32 bits: TFLite Micro's arithmetic is defined below "
                         f"2^{MOST_SHIFT}; give the output a larger scale")
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


def wrapped(values: np.ndarray) -> np.ndarray:
    """Return int64 ``values`` as C's int32 would hold them: modulo 2^32, as int64."""
    return values.astype(np.int32).astype(np.int64)


@numba.njit(inline="always")
def rescale64(value, multiplier, shift):  # type: ignore[no-untyped-def]
    """Rescale with a 15-bit multiplier and one rounding (halves up): ``MultiplyByQuantizedMultiplier(int64)``.

    The product wraps in 64 bits and the result in 32; ``shift`` is at most MOST_SHIFT_64.
    """
    small = (multiplier + np.int64(1 << 15)) >> np.int64(16) if multiplier < 0x7FFF0000 else np.int64(0x7FFF)
    total = np.int64(15) - shift
    return wrap32((value * small + (np.int64(1) << (total - np.int64(1)))) >> total)


def clamp(values: np.ndarray, low: int, high: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return codes of ``dtype`` for integer ``values``, and bool where the clamp to [low, high] did nothing."""
    return np.clip(values, low, high).astype(dtype), (values >= low) & (values <= high)


def activation_range(activation: str, scale: float, zero_point: int, dtype: np.dtype) -> tuple[int, int]:
    """Return the first and last output code under a fused ``activation`` (``CalculateActivationRangeQuantized``).

    Raises :class:`ModelError` for an unknown activation, or if ``scale`` is so small that a bound leaves int32.
    """
    low, high = TYPE_RANGE[np.dtype(dtype)]
    if activation not in _ACTIVATIONS:
        raise ModelError(f"the fused activation {activation} is not supported; supported: {', '.join(_ACTIVATIONS)}")
    first, last = (None if bound is None else _code(bound, scale, zero_point) for bound in _ACTIVATIONS[activation])
    return low if first is None else max(low, first), high if last is None else min(high, last)


_ACTIVATIONS = {"NONE": (None, None), "RELU": (0.0, None), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}
"""First and last real value of each fused activation; None: that of the type."""


def _code(value: float, scale: float, zero_point: int) -> int:
    """Return the code of a real ``value``, halves away from zero, as float32 divides."""
    with np.errstate(over="ignore"):
        quotient = float(np.float32(value) / np.float32(scale))
    if abs(quotient) >= _LARGEST_QUOTIENT:
        raise ModelError(f"the bound {value:g} of an activation is {quotient:.6g} codes of {scale:.6g}, but TFLite "
                         f"Micro's arithmetic is defined below 2^31; give the tensor a larger scale")
    return zero_point + int(math.copysign(math.floor(abs(quotient) + 0.5), quotient))


_LARGEST_QUOTIENT = 2.0**31 - (1 << 16)  # what is left holds any zero point
