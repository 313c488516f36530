"""Density and convexity of classes against what can be computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tinyfuse.nn.density import convexity, density


def test_the_density_of_two_radii() -> None:
    """100 samples in 64 dimensions, 80 within radius 1, the last at 2: 0.4508, as 20 / (64 log 2)."""
    radii = np.r_[np.ones(82), np.full(18, 2.0)]
    features = np.zeros((100, 64))
    features[np.arange(100), np.repeat(np.arange(50), 2) % 64] = radii * np.tile([1.0, -1.0], 50)
    assert np.allclose(features.mean(0), 0)
    assert density(features) == pytest.approx(0.4508, abs=5e-5)


@pytest.mark.parametrize("dimensions", [1, 3, 64])
@pytest.mark.parametrize(("share", "outer"), [(0.8, 1.0), (0.6, 0.99)])
def test_evenly_spread_over_a_ball(dimensions: int, share: float, outer: float) -> None:
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(4000, dimensions))
    radii = ((np.arange(4000) + 1) / 4000) ** (1 / dimensions)
    half = directions / np.linalg.norm(directions, axis=1, keepdims=True) * radii[:, None]
    features = np.concatenate([half, -half])  # so that the mean is the centre
    expected = (outer - share) / np.log(outer / share)
    assert density(features, share=share, outer=outer) / len(features) == pytest.approx(expected, rel=1e-3)


def test_densities_at_the_edge() -> None:
    assert density(np.ones((5, 3))) == float("inf")
    assert np.isnan(density(np.ones((1, 3)))) and np.isnan(density(np.ones((0, 3))))
    assert density(np.r_[np.zeros((9, 2)), [[1.0, 0.0]]] - np.array([[0.1, 0.0]])) > 0
    assert density(np.array([[0.0]] * 18 + [[1.0], [-1.0]])) == 0.0


@pytest.mark.parametrize(("order", "radius"), [(1.0, 7.0), (2.0, 5.0), (np.inf, 4.0)])
def test_the_norm_can_be_another(order: float, radius: float) -> None:
    features = np.array([[1.0, 0.0], [-1.0, 0.0]] * 9 + [[3.0, 4.0], [-3.0, -4.0]])
    assert density(features, order=order) == pytest.approx(20 * 0.2 / (2 * np.log(radius)))


def test_regions_of_a_linear_layer_are_convex() -> None:
    rng = np.random.default_rng(1)
    weights, features = rng.normal(size=(8, 5)), rng.normal(size=(300, 8))
    for label in range(5):
        found = convexity(lambda values: (values["features"] @ weights).argmax(1), {"features": features}, label)
        assert found == 1.0


def test_a_ring_has_a_hole() -> None:
    """Endpoints at +-R of the class |x| > 1: the share 1 - 1/R of the line between them is of the class."""
    ends = np.array([[3.0, 0.0], [-3.0, 0.0]])
    found = convexity(lambda values: (np.linalg.norm(values["x"], axis=1) > 1).astype(int), {"x": ends}, 1,
                      pairs=20_000)
    assert found == pytest.approx(1 - 1 / 3, abs=0.015)


def test_one_name_can_move_alone() -> None:
    """|x + y| > 1 is a ring along both and convex along x alone where y is large."""
    values = {"x": np.array([2.0, -2.0]), "y": np.array([4.0, -4.0])}

    def classify(given: dict[str, np.ndarray]) -> np.ndarray:
        return (np.abs(given["x"] + given["y"]) > 1).astype(int)

    assert convexity(classify, values, 1, pairs=20_000) == pytest.approx(1 - 1 / 6, abs=0.012)
    assert convexity(classify, values, 1, varying=["x"]) == 1.0
    assert np.isnan(convexity(classify, {"x": np.array([2.0, -2.0]), "y": np.array([2.0, -2.0])}, 1, varying=["x"]))


def test_samples_that_are_classified_wrong_are_left_out() -> None:
    values = {"x": np.array([-5.0, 1.0, 2.0, 3.0])}
    assert convexity(lambda given: (given["x"] > 0).astype(int), values, 1) == 1.0
    assert np.isnan(convexity(lambda given: np.zeros(len(given["x"]), int), values, 1))
