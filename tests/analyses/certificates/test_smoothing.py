"""Randomised smoothing: closed forms, and the true radius is hardly ever smaller than what is certified."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from tinyfuse.analyses import AnalysisSubject
from tinyfuse.analyses.certificates.smoothing import ABSTAINS, least_probability, of_twin, smoothed
from tinyfuse.core.errors import UsageError
from tinyfuse.data import Dataset


@pytest.mark.parametrize(("n", "cap"), [(100, 1.50), (1000, 2.46)])
def test_a_constant_has_the_largest_radius_that_so_many_draws_can_prove(n: int, cap: float) -> None:
    found = smoothed(lambda inputs: np.full(len(inputs["x"]), 2), {"x": np.zeros((2, 3))}, {"x": 0.3}, n=n)
    assert found.answer.tolist() == [2, 2]
    assert found.radius == pytest.approx(cap, abs=0.01)


def test_the_radius_of_a_half_space_is_covered() -> None:
    """F = 1[w x > 0]: noise sigma gives p = Phi(w x / (sigma |w|)), so that the true radius is w x / |w|."""
    w, x = np.array([3.0, -4.0]), np.array([[1.0, 0.4]])
    true = float((x @ w)[0]) / 5
    found = smoothed(lambda inputs: (inputs["x"] @ w > 0).astype(int), {"x": np.repeat(x, 200, axis=0)}, {"x": 0.5},
                     n0=20, n=200, alpha=0.05)
    assert set(found.answer) <= {1, ABSTAINS}
    radius = 0.5 * found.radius
    assert np.mean(radius <= true) >= 0.95
    assert radius.max() > 0.5 * true


def test_two_inputs_share_one_ball_in_units_of_their_noise() -> None:
    """F = 1[a + b > 0], noise (s, t): the nearest change in units of noise is (a + b) / sqrt(s^2 + t^2) away."""
    inputs = {"a": np.full((30, 1), 0.2), "b": np.full((30, 1), 0.1)}
    found = smoothed(lambda given: (given["a"] + given["b"] > 0).ravel().astype(int), inputs, {"a": 0.3, "b": 0.4},
                     n0=20, n=300, alpha=0.01)
    assert np.mean(found.radius <= 0.3 / 0.5) >= 0.9


def test_bounds_of_a_probability_are_those_of_clopper_and_pearson() -> None:
    assert least_probability(np.array([0, 10]), 10, 0.001).tolist() == pytest.approx([0, 0.001 ** 0.1])
    assert norm.ppf(least_probability(np.array(100), 100, 0.001)) == pytest.approx(1.50, abs=0.01)


def test_a_twin_is_smoothed_before_its_inputs_are_rounded(small_twin: AnalysisSubject, half_known: Dataset) -> None:
    assert small_twin.twin is not None
    samples = half_known.test.take(slice(2))
    found = smoothed(of_twin(small_twin.twin), samples.inputs, {"mic": 0.01}, n0=5, n=20, alpha=0.1)
    assert found.answer.tolist() == small_twin.predict(samples.inputs).tolist()
    with pytest.raises(UsageError, match="give noise above 0 for some of the inputs cam, mic"):
        smoothed(of_twin(small_twin.twin), samples.inputs, {"lens": 0.1})
