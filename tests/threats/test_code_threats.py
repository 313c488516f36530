"""Threat models of integer inputs: whole codes, real perturbations that a device rounds, and naive rounding."""

from __future__ import annotations

from typing import Any

import analytic
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfuse.core.errors import UsageError
from tinyfuse.threats.code_grid import InputGrid
from tinyfuse.threats.code_threats import (
    code_problem,
    covers,
    naive_codes,
    reachable,
    rounded_codes,
    spent,
    whole_codes,
)

GRIDS = {"image": InputGrid(1 / 255, -128, -128, 127), "audio": InputGrid(0.0112, 3, -128, 127)}
EPSILONS = st.floats(0.0, 0.4)


@given(k=st.integers(0, 255), scale=st.floats(1e-6, 10.0))
def test_a_budget_of_k_codes_is_k_codes_again(k: int, scale: float) -> None:
    grid = InputGrid(scale, 0, -128, 127)
    assert grid.budget(whole_codes(k, ("image",), {"image": grid})["image"]) == k


def test_budgets_that_are_no_codes_are_refused() -> None:
    for k in (-1, 256, 1.5, float("nan")):
        with pytest.raises(UsageError, match="give a whole number from 0 to 255"):
            whole_codes(k, ("image",), GRIDS)
    with pytest.raises(UsageError, match="did you mean 'audio'"):
        whole_codes(1, ("adio",), GRIDS)


@settings(max_examples=60, deadline=None)
@given(epsilon=EPSILONS, seed=st.integers(0, 2**32 - 1))
def test_every_code_of_the_real_threat_has_a_legal_witness(epsilon: float, seed: int) -> None:
    """A float32 input within epsilon and the box that the device rounds to that code, for the ends of the interval."""
    clean = np.random.default_rng(seed).uniform(0, 1, (4, 6, 6, 1)).astype(np.float32)
    threat = analytic.threat("linf", {"audio": epsilon})
    low, high = reachable(threat, "audio", clean, GRIDS["audio"])
    grid = GRIDS["audio"]
    for extremes, sign in ((low, -1), (high, 1)):
        exact = np.clip(clean.astype(np.float64) + sign * epsilon, 0, 1)
        witness = exact.astype(np.float32)
        # Rounding to float32 may leave the ball: step back inside.
        witness = np.where(np.abs(witness - exact) * sign * np.sign(witness - exact) > 0, np.nextafter(witness, clean),
                           witness)
        assert (np.abs(witness - clean.astype(np.float64)) <= epsilon).all()
        assert np.array_equal(grid.quantise(witness), extremes)
    assert (low <= grid.quantise(clean)).all() and (high >= grid.quantise(clean)).all()


def test_real_reaches_what_codes_reaches_and_a_little_more() -> None:
    batch, _ = analytic.samples(6)
    for epsilon in (0.0, 0.01, 0.03, 0.05):
        threat = analytic.threat("linf", {"image": epsilon, "audio": epsilon})
        (narrow, codes), (wide, _) = (code_problem(threat, batch, GRIDS, domain) for domain in ("codes", "real"))
        assert covers(wide, narrow, codes).all()
        assert covers(narrow, narrow, codes).all()
    assert not covers(narrow, wide, codes).any()


def test_naive_rounding_leaves_the_ball_and_says_by_how_much() -> None:
    """At a scale of 1/255 a budget of 0.01 becomes up to 3 codes, 0.0118."""
    grid = {"image": GRIDS["image"]}
    clean = {"image": grid["image"].dequantise(grid["image"].quantise(analytic.samples(3)[0]["image"]))}
    moved = {"image": np.clip(clean["image"] + np.float32(0.01), 0, 1)}
    excess = spent(naive_codes(moved, grid), clean, grid)["image"]
    assert excess == pytest.approx(3 / 255, abs=1e-6) and excess > 0.01


def test_a_device_rounds_real_inputs_to_codes_that_the_real_threat_allows() -> None:
    """Also where float32 put an input an ulp outside its ball, just beyond the border between two codes."""
    grid, edge = {"image": GRIDS["image"]}, np.float32(2.5 / 255)
    clean = {"image": np.zeros((1, 2, 1, 1), np.float32)}
    threat = analytic.threat("linf", {"image": float(np.nextafter(edge, np.float32(0)))})
    outside = {"image": np.array([edge, 0.001], np.float32).reshape(1, 2, 1, 1)}
    assert (naive_codes(outside, grid)["image"] + 128).ravel().tolist() == [3, 0]
    assert (rounded_codes(outside, clean, threat, grid)["image"] + 128).ravel().tolist() == [2, 0]
    batch, _ = analytic.samples(3)
    moved = {name: np.clip(values + np.float32(0.03), 0, 1) for name, values in batch.items()}
    found = rounded_codes(moved, batch, analytic.threat("linf", {"image": 0.0301, "audio": 0.0301}), GRIDS)
    assert all(np.array_equal(found[name], GRIDS[name].quantise(moved[name])) for name in GRIDS)


def test_what_is_refused() -> None:
    batch, _ = analytic.samples(2)
    arguments: list[tuple[dict[str, Any], str, str]] = [
        ({"norm": "linf", "budget": {"image": 0.1}}, "code", "did you mean 'codes'"),
        ({"norm": "l2", "budget": {"image": 0.1}}, "real", "is no ball of codes"),
        ({"norm": "linf", "budget": {"imgae": 0.1}}, "codes", "did you mean 'image'")]
    for threat, domain, words in arguments:
        with pytest.raises(UsageError, match=words):
            code_problem(analytic.threat(**threat), batch, GRIDS, domain)
