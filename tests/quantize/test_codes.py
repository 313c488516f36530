"""Weight codes stay on their grid, are the nearest of it, and 9 bits are the sum of two int8."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinyfuse.core.errors import ConversionError
from tinyfuse.quantize.minmax import round_minmax
from tinyfuse.quantize.weight_codes import Codes, Slice, check, level, quantize, split

widths = st.integers(2, 9)
NO_BIAS = np.zeros(4)


def kernels(channels: int) -> st.SearchStrategy[np.ndarray]:
    values = st.floats(-4, 4, allow_subnormal=False).map(lambda value: 0.0 if abs(value) < 1e-6 else value)
    return arrays(np.float64, (4, 3, channels), elements=values)


@given(kernel=kernels(2), bits=widths)
def test_uniform_codes_are_the_nearest_and_use_the_range(kernel: np.ndarray, bits: int) -> None:
    codes = quantize(kernel, [Slice(0, 2, "shared", bits)], least_scale=NO_BIAS)
    check(codes, "layer")
    peak = np.abs(kernel).max(axis=(1, 2))
    assert np.array_equal(np.abs(codes.values).max(axis=(1, 2)), np.where(peak > 0, level(bits), 0))
    step = codes.scale.astype(np.float64).reshape(-1, 1, 1)
    assert (np.abs(codes.values * step - kernel) <= step * 0.5 * (1 + 1e-4)).all()
    assert codes.doubled == (bits == 9)


@given(kernel=kernels(3), first=widths, second=widths)
def test_slices_share_a_scale_and_keep_their_own_width(kernel: np.ndarray, first: int, second: int) -> None:
    parts = [Slice(0, 1, "image", first), Slice(1, 3, "audio", second)]
    codes = quantize(kernel, parts, least_scale=NO_BIAS)
    check(codes, "layer")
    for j, part in enumerate(parts):
        step = (codes.scale * codes.stride[:, j]).astype(np.float64).reshape(-1, 1, 1)
        values, wanted = codes.values[..., part.start:part.stop], kernel[..., part.start:part.stop]
        assert len(np.unique(values[0])) <= 2 * level(part.bits) + 1
        assert (np.abs(values * codes.scale.astype(np.float64).reshape(-1, 1, 1) - wanted) <= step * 0.501).all()


@given(values=arrays(np.int16, (3, 5), elements=st.integers(-254, 254)))
def test_nine_bits_are_two_int8(values: np.ndarray) -> None:
    first, second = split(values)
    assert first.dtype == second.dtype == np.int8
    assert min(first.min(), second.min()) >= -127
    assert np.array_equal(first.astype(np.int16) + second, values)


def test_a_bias_far_beyond_its_weights_coarsens_the_channel() -> None:
    kernel = np.full((1, 1, 1), 1e-12)
    codes = quantize(kernel, [Slice(0, 1, "shared", 8)], least_scale=np.array([1e-9]))
    assert codes.scale[0] == np.float32(1e-9)
    assert codes.coarse.all()
    check(codes, "layer")


@pytest.mark.parametrize(("values", "scale", "message"), [
    ([[32, 1]], 1.0, "leave the 6-bit grid"), ([[31, 1]], 2.0, "does not fit"), ([[31, 1]], 0.19, "does not fit")])
def test_the_check_catches_codes_off_their_grid_and_grids_off_their_weights(values: list[list[int]], scale: float,
                                                                             message: str) -> None:
    codes = Codes(np.full(1, scale, np.float32), np.ones((1, 1), np.int64), np.full((1, 1), 31.0), np.zeros(1, bool),
                  (Slice(0, 2, "shared", 6),), np.array(values, np.int16))
    with pytest.raises(ConversionError, match=message):
        check(codes, "layer")


@given(kernel=kernels(2), bits=widths, other=widths)
def test_the_check_catches_codes_of_another_width(kernel: np.ndarray, bits: int, other: int) -> None:
    codes = quantize(kernel, [Slice(0, 2, "shared", bits)], least_scale=NO_BIAS)
    mislabelled = replace(codes, slices=(Slice(0, 2, "shared", other),))
    if bits != other and kernel.any():
        with pytest.raises(ConversionError, match=r"grid|does not fit"):
            check(mislabelled, "layer")


@example(weights=np.array([5e-324] + [0.0] * 19), bits=2)
@given(weights=arrays(np.float64, 20, elements=st.floats(-3, 3)), bits=st.integers(2, 9))
def test_minmax_keeps_the_ends_and_has_at_most_2_to_the_n_values(weights: np.ndarray, bits: int) -> None:
    rounded = round_minmax(weights, bits)
    step = (weights.max() - weights.min()) / (2**bits - 1)
    assert len(np.unique(rounded)) <= 2**bits
    assert np.abs(rounded - weights).max() <= step / 2 + 1e-12
    assert rounded.min() == weights.min()
    assert rounded.max() == pytest.approx(weights.max())
