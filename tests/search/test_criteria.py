"""Costs from sensitivities, and who is best on the lower ends of intervals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinyfuse.checks.run_checks import Flag
from tinyfuse.quantize.folded_layers import FoldedLayer
from tinyfuse.search.criteria import CRITERIA, Evidence, cost_table, with_tie_break
from tinyfuse.search.explain import cost_of_budget, mode_text
from tinyfuse.search.groups import units_of
from tinyfuse.search.rank import Judged, compare, front, lower, rank

WIDTHS = (2, 4, 8, 9)
LAYERS = [FoldedLayer(name, np.zeros((2, 3, 3, channels)), np.zeros(2), ((branch, channels),))
          for name, branch, channels in (("image_stem_conv", "image", 1), ("shared_head", "shared", 4))]
numbers = st.floats(-5, 5)


def evidence(values: dict[tuple[str, int], float], traces: tuple[float, float] = (1.0, -2.0)) -> Evidence:
    """The same value under every criterion."""
    def row(value: float) -> dict[str, Any]:
        return {**dict.fromkeys(("mse", "kl", "cosine", "margin"), value),
                "attacked_loss": {"image": value, "audio": value}}

    curvature = {layer.name: {"trace": trace, "weights": layer.kernel.size}
                 for layer, trace in zip(LAYERS, traces, strict=True)}
    errors = {(layer.name, bits): 1 / bits for layer in LAYERS for bits in WIDTHS}
    return Evidence({place: row(value) for place, value in values.items()}, curvature, errors)


@given(data=st.data())
@pytest.mark.parametrize("criterion", list(CRITERIA))
def test_costs_are_never_negative_and_never_rise_with_the_width(criterion: str, data: st.DataObject) -> None:
    values = {(layer.name, bits): data.draw(numbers) for layer in LAYERS for bits in WIDTHS if bits != 8}
    found = evidence({**values, ("", 8): data.draw(numbers)})
    for granularity in ("layer", "modality"):
        table = cost_table(criterion, units_of(LAYERS, granularity, ("image", "audio")), WIDTHS, found)
        assert (table >= 0).all() and (np.diff(table, axis=1) <= 0).all()


def test_a_cost_is_the_rise_over_the_reference_and_a_modality_costs_the_sum() -> None:
    values = {("image_stem_conv", 2): 3.0, ("image_stem_conv", 4): 2.0, ("image_stem_conv", 9): 0.5,
              ("shared_head", 2): 1.5, ("shared_head", 4): 0.0, ("shared_head", 9): 1.0, ("", 8): 1.0}
    found, units = evidence(values), units_of(LAYERS, "layer", ("image", "audio"))
    np.testing.assert_allclose(cost_table("kl", units, WIDTHS, found), [[2, 1, 0, 0], [0.5, 0, 0, 0]])
    np.testing.assert_allclose(cost_table("robust", units, WIDTHS, found), [[4, 2, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_allclose(cost_table("hessian", units, WIDTHS, found)[0], [1 / 18 / bits for bits in WIDTHS])
    assert not cost_table("hessian", units, WIDTHS, found)[1].any()  # curvature below 0 is noise


@given(cost=hnp.arrays(float, (3, 4), elements=st.floats(0, 1e3)), other=hnp.arrays(float, (3, 4),
                                                                                    elements=st.floats(0, 1e3)))
def test_a_tie_break_decides_ties_only_within_its_weight(cost: np.ndarray, other: np.ndarray) -> None:
    found = with_tie_break(cost, other)
    assert np.abs(found - cost).max() <= 1.01e-3 * max(cost.max(), 1)
    ties = cost[:, :1] == cost
    with np.errstate(invalid="ignore"):
        assert ((found[:, :1] <= found) >= ((other[:, :1] <= other) & ties)).all()


def test_a_tie_break_of_the_smallest_numbers_is_finite() -> None:
    assert np.isfinite(with_tie_break(np.zeros((1, 2)), np.array([[0.0, 5e-324]]))).all()


def judged(name: str, weaker: int, *, clean: int = 100, flags: tuple[Flag, ...] = (), flash: int = 10) -> Judged:
    """``weaker`` and ``clean`` of 100 samples correct."""
    def some(count: int) -> np.ndarray:
        return np.arange(100) < count

    return Judged(name, some(clean), {"image": some(95), "audio": some(weaker), "all": some(weaker // 2)},
                  {"flash": flash}, flags)


def flag(code: str, level: str) -> Flag:
    return Flag(code, level, "early", "r", 0, "said")


def order(judged: list[Judged], objective: str = "robust") -> list[str]:
    """The ranking where clean accuracy is no matter."""
    return [one.name for one in rank(judged, objective, judged[0], 1.0, {}).order]


def test_the_lower_end_decides_then_bytes() -> None:
    best, smaller, same = judged("best", 80), judged("smaller", 79, flash=1), judged("same", 80, flash=11)
    assert order([smaller, same, best]) == ["best", "same", "smaller"]
    few = Judged("few", np.ones(5, bool), {"audio": np.ones(5, bool), "all": np.arange(5) < 3}, {"flash": 1})
    assert lower(few.robust["audio"]) < lower(best.robust["audio"])
    assert order([few, best])[0] == "best"


def test_what_is_certified_decides_before_what_attacks_leave() -> None:
    proved = [replace(judged(name, weaker), certified=np.arange(100) < count)
              for name, weaker, count in (("attacked", 90, 40), ("proved", 80, 60))]
    assert order(proved, "certified") == ["proved", "attacked"]
    assert order(proved) == ["attacked", "proved"]
    assert order([judged("less", 70), judged("more", 80)], "certified") == ["more", "less"]  # trials have no proofs


def test_an_attack_on_all_counts_as_much_as_the_weakest_input() -> None:
    one, other = judged("one", 81), judged("other", 80)
    weak = Judged("weak", one.clean, {**one.robust, "all": np.arange(100) < 30}, {"flash": 1})
    assert order([weak, other]) == ["other", "weak"]


def test_of_three_inputs_the_weakest_alone_counts() -> None:
    correct = {name: np.arange(100) < count for name, count in (("camera", 90), ("mic", 60), ("imu", 80), ("all", 20))}
    one = Judged("one", np.ones(100, bool), correct, {"flash": 1})
    assert one.weakest == "mic" and one.score("robust")[0] == (lower(correct["mic"]) + lower(correct["all"])) / 2
    assert [mode_text(mode) for mode in ("clean", "mic", "all")] == ["clean", "under mic attacks", "with all attacked"]
    alone = Judged("alone", np.ones(100, bool), {"mic": correct["mic"]}, {"flash": 1})
    assert alone.score("robust")[0] == lower(correct["mic"])


def test_what_loses_clean_accuracy_or_fails_a_check_is_left_out_with_its_reason() -> None:
    reference = judged("w8", 70)
    sloppy, fine = judged("sloppy", 90, clean=98), judged("f", 71)
    broken = judged("broken", 99, flags=(flag("B", "E"),))
    found = rank([sloppy, broken, fine], "robust", reference, 0.01, {})
    assert [one.name for one in found.order] == ["f"] and not found.relaxed
    assert found.left_out == {"sloppy": "it loses 2.0 points of clean accuracy",
                              "broken": "a check rejects its figures (said)"}
    assert rank([sloppy, fine], "robust", reference, 0.02, {}).order[0] is sloppy
    assert rank([sloppy, fine], "robust", reference, 0.02, {"sloppy": "too large"}).order == [fine]
    assert order([sloppy, fine], "clean")[0] == "f"
    assert order([judged("d", 90, flags=(flag("D", "E"),))]) == ["d"]  # a result, not a fault


def test_where_all_lose_too_much_clean_accuracy_decides_and_it_is_said() -> None:
    found = rank([judged("a", 90, clean=80), judged("b", 50, clean=81)], "robust", judged("w8", 70), 0.01, {})
    assert found.relaxed and found.order[0].name == "b"


def test_what_may_be_masked_comes_last() -> None:
    masked, plain = judged("masked", 99, flags=(flag("G", "W"),)), judged("plain", 60, flags=(flag("N", "W"),))
    assert order([masked, plain]) == ["plain", "masked"]


def test_what_the_budget_costs_names_its_own_reference() -> None:
    small, large = judged("w6", 80, flash=60), judged("w8", 90, flash=90)
    assert "takes 60 instead of 90 packed bytes (33 % less)" in cost_of_budget(small, large)
    assert "takes 90 instead of 60 packed bytes (50 % more)" in cost_of_budget(large, small)
    assert cost_of_budget(large, large) == "It is 8 bits everywhere."


def test_comparisons_are_paired() -> None:
    found = compare(judged("a", 80), judged("b", 60), "audio")
    assert found.difference.value == pytest.approx(0.2) and found.significant
    assert not compare(judged("a", 80), judged("b", 80), "audio").significant


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_no_point_of_the_front_is_beaten(points: list[tuple[int, int]]) -> None:
    marks = front([(float(size), float(score)) for size, score in points])
    for (size, score), mark in zip(points, marks, strict=True):
        beaten = any(s <= size and t >= score and (s, t) != (size, score) for s, t in points)
        assert mark != beaten
