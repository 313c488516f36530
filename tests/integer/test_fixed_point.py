"""The fixed-point functions against the real ones: as near as their formats allow."""

import numpy as np
import pytest

from tinyfuse.integer.operators import fixed_point

Q0 = 2.0**31


@pytest.mark.parametrize("bits", [4, 5])
def test_exp(bits):
    unit = 2.0 ** (bits - 31)
    codes = np.unique(np.concatenate([-np.arange(0, 1 << 31, 9_999_991), [-1, -(1 << 29 - bits), -(1 << 31) + 1]]))
    found = np.array([fixed_point.exp_negative(int(code), bits) for code in codes]) / Q0
    assert np.abs(found - np.exp(codes * unit)).max() < 4e-7
    assert found[-1] * Q0 == fixed_point.ONE


@pytest.mark.parametrize("name, real", [("logistic", lambda x: 1 / (1 + np.exp(-x))), ("tanh", np.tanh)])
def test_sigmoids(name, real):
    codes = np.concatenate([np.arange(-(1 << 31) + 1, 1 << 31, 9_999_991), [-1, 0, 1]])
    found = np.array([getattr(fixed_point, name)(int(code)) for code in codes]) / Q0
    assert np.abs(found - real(codes * 2.0**-27)).max() < 2e-6


def test_reciprocal_and_division():
    values = np.arange(0, 1 << 31, 9_999_991)
    found = np.array([fixed_point.reciprocal_of_one_plus(int(value)) for value in values]) / Q0
    assert np.abs(found - 1 / (1 + values / Q0)).max() < 1e-8
    assert [fixed_point.divide_by_power(value, 1) for value in (-3, -1, 1, 3)] == [-2, -1, 1, 2]
    assert [fixed_point.leading_zeros(value) for value in (1, 1 << 19, (1 << 31) - 1, 1 << 31)] == [31, 12, 1, 0]
