"""Radii hold against linear networks, and the second step of CRMT finds the optimum that can be computed by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import check_grad

from tinyfuse.nn.objectives.crmt_weights import Scored, enlarge, joint_radii

AIMS = ["joint", "least", "balanced"]


def drawn(seed: int, branches: int = 2, count: int = 60, classes: int = 4) -> Scored:
    """Scores that favour the label, one branch ten times as steep as the first."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    scores = rng.standard_normal((branches, count, classes)) + 3 * np.eye(classes)[labels]
    slopes = rng.uniform(0.5, 1.5, (branches, classes)) * np.geomspace(1, 10, branches)[:, None]
    return Scored(scores, labels, slopes, rng.standard_normal(classes))


def by_hand() -> Scored:
    """Two classes, both labels, whose margins are 1 and 3 and whose slopes add up to 0.5 and 2."""
    half = np.array([0.5, 1.5])[:, None, None] * np.array([[1.0, -1.0], [-1.0, 1.0]])
    return Scored(half, np.array([0, 1]), np.array([[0.25, 0.25], [1.0, 1.0]]), np.zeros(2))


def test_equation_5_is_the_distance_and_equation_10_no_more_for_linear_networks() -> None:
    """Logits are W^m A^m x^m summed: the distance to where two are equal is exact; 2,000 draws."""
    rng, bigger = np.random.default_rng(0), []
    for _ in range(2000):
        maps = [rng.standard_normal((3, 6)) @ rng.standard_normal((6, size)) for size in (4, 5, 2)]
        values = [rng.standard_normal(one.shape[1]) for one in maps]
        weights, bias = rng.uniform(0.1, 2, (3, 3)), rng.standard_normal(3)
        scores = np.stack([one @ value for one, value in zip(maps, values, strict=True)])
        full = np.concatenate([weight[:, None] * one for weight, one in zip(weights, maps, strict=True)], axis=1)
        logits = full @ np.concatenate(values) + bias
        label = int(logits.argmax())
        distances = [(logits[label] - logits[j]) / np.linalg.norm(full[label] - full[j])
                     for j in range(3) if j != label]
        pairs = np.stack([np.linalg.norm((weight[:, None] * one)[:, None] - (weight[:, None] * one)[None], axis=2)
                          for weight, one in zip(weights, maps, strict=True)])
        exact = joint_radii((logits[label] - logits)[None], pairs, np.array([label]))[0]
        assert exact == pytest.approx(min(distances), rel=1e-9)
        slopes = np.stack([np.linalg.norm(one, axis=1) for one in maps])
        scored = Scored(scores[:, None], np.array([label]), slopes, bias)
        radii = scored.radii(weights)[:, 0]
        bigger.append(radii[0] > exact * (1 + 1e-12))
        assert (radii[1:] >= radii[0]).all(), "an attack on all inputs includes those on one"
    assert not any(bigger)


def test_the_optimum_computed_by_hand() -> None:
    """a_m ~ M_m / T_m^2: ratio (1 / .25) / (3 / 4) = 5.333 and r = sqrt(sum (M_m / T_m)^2) = 2.5; equal: 1.940."""
    scored, equal = by_hand(), np.ones((2, 2))
    assert scored.radii(equal)[0] == pytest.approx([1.940285, 1.940285], abs=1e-6)
    found = enlarge(scored, equal)
    assert found[0] / found[1] == pytest.approx([16 / 3, 16 / 3], rel=1e-3)
    assert scored.radii(found)[0] == pytest.approx([2.5, 2.5], rel=1e-6)
    assert np.linalg.norm(found) == pytest.approx(2)


def test_the_other_aims_stop_where_they_should() -> None:
    """Weights c and 1 give radii (c + 3) / hypot(c / 2, 2), (c + 3) / (c / 2) and (c + 3) / 2: the least at c = 4."""
    scored, equal = by_hand(), np.ones((2, 2))
    least = enlarge(scored, equal, "least")
    assert least[0] / least[1] == pytest.approx([4, 4], rel=0.02)
    assert scored.radii(least)[1:].mean(axis=1) == pytest.approx([3.5, 3.5], rel=0.02)
    assert scored.vulnerability(equal) == pytest.approx([0.5, 2.0])
    steep = Scored(scored.scores, scored.labels, scored.slopes * np.array([[1], [10]]), scored.bias)
    balanced, free = enlarge(steep, equal, "balanced"), enlarge(steep, equal)
    assert steep.vulnerability(free)[0] > 2.1 * steep.vulnerability(free)[1]  # M_m / T_m: 2 and 0.15
    assert steep.vulnerability(balanced)[0] == pytest.approx(2 * steep.vulnerability(balanced)[1], rel=1e-4)


@pytest.mark.parametrize("factor", [1e-3, 7.0])
def test_radii_do_not_depend_on_the_length_of_the_weights_without_biases(factor: float) -> None:
    scored = replace(drawn(1), bias=np.zeros(4))
    weights = np.random.default_rng(3).uniform(0.2, 1, (2, 4))
    np.testing.assert_allclose(scored.radii(factor * weights), scored.radii(weights), rtol=1e-9)
    assert not np.allclose(drawn(1).radii(factor * weights), drawn(1).radii(weights))


@pytest.mark.parametrize("order", [2.0, 32.0])
@pytest.mark.parametrize("branches", [1, 2, 3])
def test_gradients_are_those_of_the_mean(branches: int, order: float) -> None:
    scored = drawn(2, branches)
    weights = np.random.default_rng(4).uniform(0.2, 1, (branches, 4)) * np.array([1, 1, 1, -1])
    assert scored.mean_radius(weights)[0] == pytest.approx(scored.radii(weights)[0].mean(), rel=1e-12)
    assert check_grad(lambda flat: scored.mean_radius(flat.reshape(weights.shape), order)[0],
                      lambda flat: scored.mean_radius(flat.reshape(weights.shape), order)[1].ravel(),
                      weights.ravel()) < 1e-5


@pytest.mark.parametrize("branches", [2, 3])
@pytest.mark.parametrize("aim", AIMS)
def test_no_random_weights_are_better(aim: str, branches: int) -> None:
    scored, rng = drawn(5, branches), np.random.default_rng(6)
    start = np.full((branches, 4), 0.1)
    found = enlarge(scored, start, aim)
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(start))
    best, _ = scored.mean_radius(found, 32.0 if aim == "least" else 2.0)
    if aim != "balanced":  # which the start is not
        assert best > scored.mean_radius(start, 32.0 if aim == "least" else 2.0)[0]
    for spread in [0.03] * 100 + [0.3] * 100 + [1.0] * 100:
        other = found * np.exp(spread * rng.standard_normal(found.shape))
        other *= np.linalg.norm(found) / np.linalg.norm(other)
        sizes = scored.vulnerability(other)
        if aim != "balanced" or sizes.max() <= 2 * sizes.min():
            assert scored.mean_radius(other, 32.0 if aim == "least" else 2.0)[0] <= best * (1 + 1e-4)
    if aim == "balanced":
        assert scored.vulnerability(found).max() <= 2.0001 * scored.vulnerability(found).min()


def test_a_branch_that_hears_nothing_breaks_nothing() -> None:
    live = drawn(7)
    scored = Scored(live.scores * np.array([1, 0])[:, None, None], live.labels, live.slopes * np.array([[1], [0]]),
                    live.bias)
    for aim in AIMS:
        found = enlarge(scored, np.full((2, 4), 0.1), aim)
        assert np.isfinite(found).all() and np.isfinite(scored.radii(found)).all()
