"""Fixed-point exp, 1 / (1 + x), tanh and logistic, bit for bit as gemmlowp computes them for TFLite Micro.

A number with i integer bits ("Qi") is an int32 that counts units of 2^(i - 31). The functions work on int64 scalars
that hold such int32 values. Source: gemmlowp ``fixedpoint/fixedpoint.h``.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from tinyfuse.integer.arithmetic import divide_by_power, multiply

ONE = (1 << 31) - 1  # the largest Q0 number stands for 1
_EXP_EIGHTH = round(math.exp(-1 / 8) * 2.0**31)
_THIRD = round(2.0**31 / 3)
_EXP_POWERS = tuple(round(math.exp(-(2.0**power)) * 2.0**31) for power in range(-2, 5))  # exp(-1/4) .. exp(-16)
_GUESS_AT_0, _GUESS_SLOPE = round(48 / 17 * 2.0**29), round(-32 / 17 * 2.0**29)  # Newton-Raphson's first guess, Q2


@numba.njit(nogil=True, cache=True)
def saturated_left(value, exponent):  # type: ignore[no-untyped-def]
    """Return ``value`` * 2^exponent, saturated to int32."""
    return min(max(value << exponent, np.int64(-1 << 31)), np.int64(ONE))


@numba.njit(nogil=True, cache=True)
def exp_negative(value, integer_bits):  # type: ignore[no-untyped-def]
    """Q0 exp of a Q(integer_bits) number <= 0; 4 or 5 integer bits.

    The part in [-1/4, 0) goes through a Taylor polynomial around -1/8, the rest through one factor for each bit.
    """
    if value == 0:
        return np.int64(ONE)
    fraction = np.int64(31 - integer_bits)
    quarter = np.int64(1) << (fraction - np.int64(2))
    part = (value & (quarter - np.int64(1))) - quarter
    x = saturated_left(part, np.int64(integer_bits)) + (np.int64(1) << np.int64(28))
    x2 = multiply(x, x)
    x3 = multiply(x2, x)
    x4 = multiply(x2, x2)
    higher = divide_by_power(multiply(divide_by_power(x4, np.int64(2)) + x3, _THIRD) + x2, np.int64(1))
    result = np.int64(_EXP_EIGHTH) + multiply(np.int64(_EXP_EIGHTH), x + higher)
    rest = part - value
    for bit in range(integer_bits + 2):
        if rest >> (fraction - np.int64(2) + np.int64(bit)) & np.int64(1):
            result = multiply(result, np.int64(_EXP_POWERS[bit]))
    return result


@numba.njit(nogil=True, cache=True)
def _newton(value):  # type: ignore[no-untyped-def]
    """Q2 number 2 / (1 + value) of a Q0 number in [0, 1]: three Newton-Raphson steps."""
    half_denominator = (value + np.int64(ONE) + np.int64(1)) >> np.int64(1)
    x = np.int64(_GUESS_AT_0) + multiply(half_denominator, np.int64(_GUESS_SLOPE))
    for _ in range(3):
        missing = (np.int64(1) << np.int64(29)) - multiply(half_denominator, x)
        x += saturated_left(multiply(x, missing), np.int64(2))
    return x


@numba.njit(nogil=True, cache=True)
def reciprocal_of_one_plus(value):  # type: ignore[no-untyped-def]
    """Q0 number 1 / (1 + value) of a Q0 number in [0, 1]."""
    return saturated_left(_newton(value), np.int64(1))


@numba.njit(nogil=True, cache=True)
def logistic(value):  # type: ignore[no-untyped-def]
    """Q0 logistic function of a Q4 number."""
    if value == 0:
        return np.int64(1 << 30)
    positive = reciprocal_of_one_plus(exp_negative(-abs(value), 4))
    return positive if value > 0 else np.int64(ONE) - positive


@numba.njit(nogil=True, cache=True)
def tanh(value):  # type: ignore[no-untyped-def]
    """Q0 hyperbolic tangent of a Q4 number."""
    if value == 0:
        return np.int64(0)
    # The same integer read as Q5 is twice the number: tanh(x) = (1 - exp(-2x)) / (1 + exp(-2x)).
    positive = saturated_left(_newton(exp_negative(-abs(value), 5)) - (np.int64(1) << np.int64(29)), np.int64(2))
    return positive if value > 0 else -positive


@numba.njit(nogil=True, cache=True)
def leading_zeros(value):  # type: ignore[no-untyped-def]
    """Leading zero bits of a positive 32-bit integer."""
    count = np.int64(0)
    while value < np.int64(1) << (np.int64(31) - count):
        count += np.int64(1)
    return count
