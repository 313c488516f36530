"""What an adversary can reach as boxes of codes: whole codes, masks, ends of the grid, real values that are rounded."""

from __future__ import annotations

import numpy as np
import pytest

from tinyfuse.analyses.certificates.ball import Ball, check_budget_covers
from tinyfuse.core.errors import UsageError
from tinyfuse.data import Input
from tinyfuse.threats.code_grid import InputGrid
from tinyfuse.threats.code_threats import code_problem
from tinyfuse.threats.threat import Threat

GRIDS = {"a": InputGrid(1 / 255, -128, -128, 127), "b": InputGrid(0.01, 0, -128, 127)}
INPUTS = (Input("a", (3,)), Input("b", (2,), low=-1.0, high=1.0))
REAL = {"a": np.array([[0.0, 0.502, 1.0]], np.float32), "b": np.array([[0.1, -1.0]], np.float32)}


def ball_of(budget: dict[str, float], norm: str = "linf", world: str = "codes",
            mask: dict[str, np.ndarray] | None = None) -> Ball:
    threat, clean = code_problem(Threat.of(INPUTS, budget, norm, mask), REAL, GRIDS, world)
    return Ball.of(threat, clean, GRIDS)


def test_codes_stay_on_the_grid_and_inputs_without_a_budget_stay_as_they_are() -> None:
    boxes = ball_of({"a": 4.4 / 255}).boxes
    assert boxes["a"][0].tolist() == [[-128, -4, 123]]
    assert boxes["a"][1].tolist() == [[-124, 4, 127]]
    assert np.array_equal(*boxes["b"])


def test_masked_places_keep_their_code() -> None:
    low, high = ball_of({"a": 4 / 255}, mask={"a": np.array([1, 0, 1], np.float32)}).boxes["a"]
    assert (low < high).tolist() == [[True, False, True]]


def test_real_values_reach_half_a_code_further() -> None:
    codes, real = (ball_of({"b": 0.017}, world=world).boxes["b"] for world in ("codes", "real"))
    assert [codes[0][0, 0], codes[1][0, 0]] == [9, 11]
    assert [real[0][0, 0], real[1][0, 0]] == [8, 12]  # 0.083 and 0.117 round to these


def test_a_length_reaches_as_far_in_each_coordinate_as_its_whole_codes() -> None:
    ball = ball_of({"b": 0.025}, norm="l2")
    assert ball.lengths["b"] == pytest.approx(2.5)
    assert [int(end[0, 0]) for end in ball.boxes["b"]] == [8, 12]
    assert ball_of({"a": 0.1, "b": 0.1}, norm="l2-joint").joint


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_clean_codes_outside_the_box_have_no_ball(norm: str) -> None:
    """A length was taken from a code that the box does not hold."""
    given = {**REAL, "b": np.array([[1.02, 0.0]], np.float32)}
    threat, clean = code_problem(Threat.of(INPUTS, {"b": 0.02}, norm), given, GRIDS, "codes")
    with pytest.raises(UsageError, match=r"clean input 'b' leaves the box \[-100\.0, 100\.0\]"):
        Ball.of(threat, clean, GRIDS)


def test_a_budget_over_the_whole_range_is_refused_unless_masked() -> None:
    threat, _ = code_problem(Threat.of(INPUTS, {"a": 1.0}), REAL, GRIDS, "codes")
    with pytest.raises(UsageError, match="budget of 'a' covers all of its 256 codes"):
        check_budget_covers(threat, GRIDS)
    half = {"a": np.array([1, 0, 0], np.float32)}
    threat, _ = code_problem(Threat.of(INPUTS, {"a": 1.0}, mask=half), REAL, GRIDS, "codes")
    check_budget_covers(threat, GRIDS)
