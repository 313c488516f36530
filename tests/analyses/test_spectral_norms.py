"""Bounds of linear layers: closed forms, and never below the norm of the layer's own matrix."""

from __future__ import annotations

import numpy as np
import pytest

from tinyfuse.analyses.spectral_norms import (
    convolution_norm,
    dense_norm,
    depthwise_norm,
    overlaps,
    pooling_norm,
)

KERNEL = np.array([1.0, 2.0, 1.0]).reshape(3, 1, 1, 1)


def convolution_matrix(kernel: np.ndarray, size: int, stride: int, dilation: int = 1) -> np.ndarray:
    """The matrix of a SAME convolution of a square map of ``size``, padded as TensorFlow does."""
    k, _, inputs, outputs = kernel.shape
    reach, places = (k - 1) * dilation + 1, -(-size // stride)
    before = max((places - 1) * stride + reach - size, 0) // 2
    matrix = np.zeros((places, places, outputs, size, size, inputs))
    for i, j, u, v in np.ndindex(places, places, k, k):
        y, x = i * stride + u * dilation - before, j * stride + v * dilation - before
        if 0 <= y < size and 0 <= x < size:
            matrix[i, j, :, y, x] += kernel[u, v].T
    return matrix.reshape(places * places * outputs, -1)


def test_closed_form_of_one_two_one() -> None:
    bound = convolution_norm(KERNEL, (28, 1))
    exact = np.linalg.norm(2 * np.eye(28) + np.eye(28, k=1) + np.eye(28, k=-1), 2)
    assert exact == pytest.approx(2 + 2 * np.cos(np.pi / 29), abs=1e-12) == pytest.approx(3.98828, abs=1e-5)
    assert exact <= bound == pytest.approx(4, rel=1e-8)


def test_stride_two_of_one_two_one_is_bounded_more_tightly() -> None:
    matrix = (2 * np.eye(28) + np.eye(28, k=1) + np.eye(28, k=-1))[1::2]
    exact = np.linalg.norm(matrix, 2)
    assert exact == pytest.approx(2.8201, abs=1e-4)
    assert exact <= convolution_norm(KERNEL, (28, 1), (2, 1)) < 2.83


def test_identity_convolution_has_norm_one() -> None:
    kernel = np.zeros((3, 3, 5, 5))
    kernel[1, 1] = np.eye(5)
    assert convolution_norm(kernel, (6, 7)) == pytest.approx(1)


@pytest.mark.parametrize(("size", "stride", "dilation"), [(7, 1, 1), (7, 2, 1), (8, 2, 1), (9, 3, 1), (8, 1, 2)])
def test_bound_holds_and_is_near_the_norm_of_the_matrix(size: int, stride: int, dilation: int) -> None:
    rng = np.random.default_rng(size + stride)
    for _ in range(5):
        kernel = rng.normal(size=(3, 3, 2, 4))
        exact = np.linalg.norm(convolution_matrix(kernel, size, stride, dilation), 2)
        bound = convolution_norm(kernel, (size, size), (stride, stride), (dilation, dilation))
        assert exact <= bound <= 1.35 * exact
        assert bound <= convolution_norm(kernel, (size, size), dilation=(dilation, dilation)) + 1e-9


def test_depthwise_is_the_largest_channel() -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 2))
    exact = max(np.linalg.norm(convolution_matrix(kernel[:, :, [channel]], 6, 1), 2) for channel in range(3))
    assert exact <= depthwise_norm(kernel, (6, 6)) <= 1.35 * exact


def test_dense_is_its_largest_singular_value() -> None:
    assert dense_norm(np.diag([3.0, -5.0])) == pytest.approx(5)


def test_average_over_everything_divides_by_the_root_of_its_size() -> None:
    assert pooling_norm((7, 7), (7, 7), (7, 7), same=False) == pytest.approx(1 / 7)


@pytest.mark.parametrize("same", [True, False])
def test_norm_of_overlapping_averages_is_exact(same: bool) -> None:
    size, pool, stride = 7, 3, 2
    places = -(-size // stride) if same else (size - pool) // stride + 1
    before = ((places - 1) * stride + pool - size) // 2 if same else 0
    matrix = np.zeros((places, size))
    for place in range(places):
        matrix[place, max(place * stride - before, 0):place * stride - before + pool] = 1
    matrix /= matrix.sum(axis=1, keepdims=True)
    exact = np.linalg.norm(matrix, 2) ** 2
    assert pooling_norm((size, size), (pool, pool), (stride, stride), same=same) == pytest.approx(exact)


def test_windows_that_overlap() -> None:
    assert overlaps((2, 2), (2, 2)) == 1
    assert overlaps((3, 3), (2, 2)) == 4
