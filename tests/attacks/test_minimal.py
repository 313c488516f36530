"""The smallest budget per sample, in whole codes and in real units, and its median."""

from __future__ import annotations

from typing import Any

import analytic
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from tinyfuse.attacks import InputGrid, Threat, attack
from tinyfuse.attacks.minimal import MinimalBudget, median, minimal_codes, minimal_epsilon
from tinyfuse.attacks.relative import RelativeTarget
from tinyfuse.core.errors import UsageError
from tinyfuse.threats.audit import audit

NAMES = ("image", "audio")
SHAPE = (6, 6, 1)
GRIDS = {"image": analytic.CODES, "audio": InputGrid(1 / 127, 0, -128, 127)}


def problem(*, count: int = 25, real: bool = False, seed: int = 0) -> tuple[Any, ...]:
    """(weights, target, batch, labels): linear, three classes, far from the box; the first three are misclassified."""
    random = np.random.default_rng(seed)
    weights = {name: random.normal(0, 1 if real else 0.02, (36, 3)) for name in NAMES}
    target = analytic.linear(weights, np.zeros(3), None if real else GRIDS)
    batch = {name: (random.uniform(-0.1, 0.1, (count, *SHAPE)) if real else random.integers(-30, 31, (count, *SHAPE)))
             .astype(np.float32) for name in NAMES}
    labels = target.logits(batch).argmax(axis=1)
    labels[:3] = (labels[:3] + 1) % 3
    return weights, target, batch, labels


@pytest.mark.parametrize("names", [("image",), ("audio",), NAMES])
@pytest.mark.parametrize(("name", "parameters"), [("fgsm", {}), ("pgd", {"steps": 5}), ("mim", {"steps": 5})])
def test_on_a_linear_model_of_two_classes_the_codes_are_exact(
        name: str, parameters: dict[str, Any], names: tuple[str, ...]) -> None:
    """FGSM is optimal there: k* is the first whole number beyond the closed form."""
    random = np.random.default_rng(1)
    weights = {key: random.normal(0, 0.02, (36, 2)) for key in NAMES}
    target = analytic.linear(weights, np.zeros(2), GRIDS)
    batch = {key: random.integers(-60, 60, (30, *SHAPE)).astype(np.float32) for key in NAMES}
    logits = target.logits(batch)
    labels = logits.argmax(axis=1)
    smallest, k_max = analytic.smallest_budget(weights, logits, labels, "linf", names), 8
    found = minimal_codes(target, batch, labels, names, GRIDS, attack=name, parameters=parameters, k_max=k_max)
    expected = np.floor(smallest).astype(int) + 1
    assert (expected > k_max).any() and (expected <= 3).any()
    assert found.budget.dtype == np.int64
    assert np.array_equal(found.budget, np.minimum(expected, k_max + 1))
    assert np.array_equal(found.found, expected <= k_max)
    assert found.shown() == [str(k) if k <= k_max else ">8" for k in expected]


@pytest.mark.parametrize(("name", "parameters"), [
    ("fgsm", {}), ("pgd", {"steps": 6, "restarts": 3, "seed": 2}), ("square", {"queries": 60}),
    ("corners", {"draws": 20}), ("nes", {"steps": 4, "pairs": 8}), ("spsa", {"steps": 4, "pairs": 8})])
def test_the_codes_that_are_returned_prove_the_budget(name: str, parameters: dict[str, Any]) -> None:
    _, target, batch, labels = problem()
    found = minimal_codes(target, batch, labels, NAMES, GRIDS, attack=name, parameters=parameters, k_max=20)
    assert np.array_equal(np.flatnonzero(found.budget == 0), [0, 1, 2])
    assert (found.found & (found.budget > 0)).sum() > 5
    wrong = target.logits(found.point).argmax(axis=1) != labels
    assert np.array_equal(wrong, found.found)
    moved = np.max([np.abs(found.point[key] - batch[key]).reshape(25, -1).max(axis=1) for key in NAMES], axis=0)
    assert np.array_equal(moved, np.where(found.found, found.budget, 0))
    for k in np.unique(found.budget[found.found & (found.budget > 0)]):
        rows = found.budget == k
        point, clean = ({key: values[rows] for key, values in inputs.items()} for inputs in (found.point, batch))
        audit(point, clean, Threat("linf", dict.fromkeys(NAMES, float(k)), -128, 127, lattice=True))
    assert np.array_equal(found.broken_at(7), found.budget <= 7)
    again = minimal_codes(target, batch, labels, NAMES, GRIDS, attack=name, parameters=parameters, k_max=20)
    assert np.array_equal(again.budget, found.budget) and again.queries == found.queries
    part = {key: values[10:] for key, values in batch.items()}
    alone = minimal_codes(target, part, labels[10:], NAMES, GRIDS, attack=name, parameters=parameters, k_max=20,
                          sample_ids=np.arange(10, 25))
    assert np.array_equal(alone.budget, found.budget[10:])


def test_bisection_asks_each_sample_few_times_and_every_budget_once_per_round() -> None:
    _, target, batch, labels = problem()
    found = minimal_codes(target, batch, labels, ("image",), GRIDS, attack="corners", parameters={"draws": 1}, k_max=26)
    # One query to judge the clean point; then at most 5 rounds of a clean point and one draw.
    assert found.queries <= 25 + 22 * 5 * 2


def test_a_success_that_used_fewer_codes_than_allowed_saves_rounds() -> None:
    """Steps of one code break the sample at 2 of 10 codes: only 1 code is left to try."""
    weights = {"image": np.stack([np.zeros(36), np.ones(36)], axis=1)}
    target = analytic.linear(weights, np.array([36 * 1.5, 0.0]))
    batch, labels = {"image": np.zeros((1, *SHAPE), np.float32)}, np.zeros(1, int)
    parameters: dict[str, Any] = {"steps": 8, "step_size": 1.0, "survivors_only": True}
    found = minimal_codes(target, batch, labels, ("image",), GRIDS, attack="pgd", k_max=20, parameters=parameters)
    ten, one = attack("pgd", target, batch, labels, [Threat("linf", {"image": k}, -128, 127, lattice=True)
                                                     for k in (10, 1)], **parameters)
    assert found.budget.tolist() == [2] and np.all(found.point["image"] == 2)
    assert found.queries == 1 + ten.queries + one.queries


def test_masks_and_boxes_hold() -> None:
    _, target, batch, labels = problem()
    mask = np.zeros(SHAPE, np.float32)
    mask[:3] = 1
    low, high = ({"image": batch["image"] + np.float32(sign * 4)} for sign in (-1, 1))
    found = minimal_codes(target, batch, labels, ("image",), GRIDS, attack="pgd", k_max=20, mask={"image": mask},
                          low=low, high=high)
    free = minimal_codes(target, batch, labels, ("image",), GRIDS, attack="pgd", k_max=20)
    delta = found.point["image"] - batch["image"]
    assert not delta[:, 3:].any() and np.abs(delta).max() == 4
    assert found.point["audio"].tobytes() == batch["audio"].tobytes()
    assert np.all(found.budget >= free.budget) and np.any(found.budget > free.budget)
    assert set(found.budget) <= {0, 1, 2, 3, 4, 21}


@pytest.mark.parametrize("names", [("image",), NAMES])
def test_real_budgets_match_the_margin_over_the_dual_norm(names: tuple[str, ...]) -> None:
    random = np.random.default_rng(1)
    weights = {key: random.normal(0, 1, (36, 2)) for key in NAMES}
    target = analytic.linear(weights, np.zeros(2))
    batch = {key: random.uniform(-0.2, 0.2, (40, *SHAPE)).astype(np.float32) for key in NAMES}
    logits = target.logits(batch)
    labels = logits.argmax(axis=1)
    labels[0] = 1 - labels[0]
    smallest = analytic.smallest_budget(weights, logits, labels, "linf", names)
    largest = float(np.quantile(smallest, 0.9))
    found = minimal_epsilon(target, batch, labels, names, attack="fgsm", largest=largest, tolerance=1e-8, low=-9,
                            high=9)
    reached = smallest <= largest
    np.testing.assert_allclose(found.budget[reached], smallest[reached], rtol=0, atol=1e-6)
    assert found.budget[0] == 0 and np.all(np.isinf(found.budget[~reached])) and (~reached).sum() == 4
    assert np.array_equal(target.logits(found.point).argmax(axis=1) != labels, reached)
    for row in np.flatnonzero(reached):
        audit({key: found.point[key][[row]] for key in NAMES}, {key: batch[key][[row]] for key in NAMES},
              Threat("linf", dict.fromkeys(names, found.budget[row]), -9, 9))


@pytest.mark.parametrize(("name", "parameters"), [
    ("fgsm", {}), ("pgd", {"steps": 10, "restarts": 2}), ("mim", {"steps": 5}), ("square", {"queries": 50}),
    ("spsa", {"steps": 4, "pairs": 8})])
def test_real_budgets_are_those_that_the_attack_itself_finds(name: str, parameters: dict[str, Any]) -> None:
    """Each sample in units of its own budget: the plain attack agrees just above and, being monotone here, below."""
    _, target, batch, labels = problem(real=True)
    found = minimal_epsilon(target, batch, labels, NAMES, attack=name, parameters=parameters, largest=0.2,
                            tolerance=1e-4, low=-0.15, high=0.15)
    assert np.array_equal(np.flatnonzero(found.budget == 0), [0, 1, 2])
    assert found.found.sum() > 10
    assert max(np.abs(found.point[key]).max() for key in NAMES) <= np.float32(0.15)
    differing = 0
    for row in np.flatnonzero(found.found & (found.budget > 0)):
        one = {key: values[[row]] for key, values in batch.items()}
        threats = [Threat("linf", dict.fromkeys(NAMES, found.budget[row] * factor), -0.15, 0.15)
                   for factor in (0.9, 1.001)]
        own = {} if name == "fgsm" else {"sample_ids": np.array([row])}
        below, above = attack(name, target, one, labels[[row]], threats, **parameters, **own)
        differing += int(below.broken[0]) + int(not above.broken[0])
        moved = max(float(np.abs(found.point[key][row] - batch[key][row]).max()) for key in NAMES)
        assert moved <= found.budget[row] + 2e-8  # of rounding x + delta in float32
    assert differing <= 1


def test_a_target_without_gradients_is_enough_for_random_search() -> None:
    _, target, batch, labels = problem(real=True)
    blind = analytic.OnlyLogits(target)
    options: dict[str, Any] = {"largest": 0.2, "tolerance": 1e-3, "low": -1, "high": 1}
    found = minimal_epsilon(blind, batch, labels, NAMES, attack="square", parameters={"queries": 30}, **options)
    assert found.found.sum() > 3
    with pytest.raises(UsageError, match="has no gradients, which fgsm needs"):
        minimal_epsilon(blind, batch, labels, NAMES, attack="fgsm", **options)


def test_all_samples_wrong_or_none_breakable() -> None:
    batch = {"image": np.zeros((4, *SHAPE), np.float32)}
    target = analytic.constant(("image",), np.array([2.0, 0.0]), {"image": analytic.CODES})
    wrong = minimal_codes(target, batch, np.ones(4, int), ("image",), GRIDS, attack="pgd", k_max=3)
    right = minimal_codes(target, batch, np.zeros(4, int), ("image",), GRIDS, attack="pgd", k_max=3)
    assert wrong.budget.tolist() == [0] * 4 and wrong.queries == 4
    assert right.budget.tolist() == [4] * 4 and right.shown() == [">3"] * 4
    assert right.point["image"].tobytes() == batch["image"].tobytes()
    assert str(right.median()) == ">3 [0, >3]" and str(wrong.median()) == "0 [0, >3]"
    with pytest.raises(UsageError, match="no sample to take the median of"):
        wrong.median(correct_only=True)


def a_budget(values: list[int], largest: int) -> MinimalBudget:
    return MinimalBudget("pgd", {}, ("image",), largest, np.array(values), {}, 0)


def test_the_median_counts_what_was_never_broken() -> None:
    found = a_budget([0, 1, 2, 3, 4, 9, 9, 9, 9], 8)
    assert found.median().value == 4
    whole = found.median(correct_only=True)
    assert (whole.value, whole.samples) == (4, 8)
    assert np.isinf(a_budget([1, 9, 9, 9], 8).median().value)
    assert a_budget([1, 2, 9, 9], 8).median().value == 2  # half of the samples are broken at 2
    assert str(a_budget([9] * 10, 8).median()) == ">8 [>8, >8]"
    assert str(a_budget([1, 2, 9, 9, 9, 9, 9, 9, 9], 8).median()) == ">8 [2, >8]"


def test_too_few_samples_bound_nothing() -> None:
    five, six = median(np.arange(1.0, 6.0), 9), median(np.arange(1.0, 7.0), 9)
    assert (five.low, five.high) == (0, np.inf) and (six.low, six.high) == (1, 6)


@settings(max_examples=60, deadline=None)
@given(st.integers(6, 3000))
def test_the_interval_covers_the_median_with_95_percent_and_no_narrower_one_does(count: int) -> None:
    """Ranks l and n + 1 - l enclose the median of a continuous law with probability 1 - 2 P(Bin(n, 1/2) < l)."""
    found = median(np.arange(1.0, count + 1), count)
    assert found.low + found.high == count + 1
    assert 1 - 2 * binom.cdf(found.low - 1, count, 0.5) >= 0.95 > 1 - 2 * binom.cdf(found.low, count, 0.5)
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize(("wrong", "message"), [
    ({"k_max": 0}, "k_max is 0; give a whole number of codes"),
    ({"k_max": 2.5}, "k_max is 2.5"),
    ({"attack": "pgdd"}, r"unknown attack 'pgdd' \(did you mean 'pgd'\?\)"),
    ({"modalities": ("imgae",)}, "the threat attacks 'imgae'"),
])
def test_wrong_requests_are_refused(wrong: dict[str, Any], message: str) -> None:
    _, target, batch, labels = problem()
    settings_ = {"modalities": ("image",), "attack": "fgsm", "k_max": 5} | wrong
    with pytest.raises(UsageError, match=message):
        minimal_codes(target, batch, labels, settings_.pop("modalities"), GRIDS, **settings_)


def test_budgets_beyond_the_search_and_bad_tolerances_are_refused() -> None:
    with pytest.raises(UsageError, match="searched up to 8, given 9"):
        a_budget([1], 8).broken_at(9)
    _, target, batch, labels = problem(real=True)
    for tolerance, largest in ((0.0, 0.1), (0.2, 0.1), (1e-3, np.inf), (np.nan, 0.1)):
        with pytest.raises(UsageError, match="give 0 < tolerance <= largest"):
            minimal_epsilon(target, batch, labels, ("image",), attack="fgsm", largest=largest, tolerance=tolerance)


def test_a_relative_target_is_the_target_in_units_of_each_budget() -> None:
    _, target, batch, labels = problem(real=True, count=4)
    epsilon = np.array([0.1, 0.02, 0.3, 0.05])
    relative = RelativeTarget(target, batch, Threat("linf", {"audio": 0.3}, -0.15, 0.15), epsilon)
    z = {"image": batch["image"], "audio": np.random.default_rng(0).uniform(-1, 1, (4, *SHAPE)).astype(np.float32)}
    unit = epsilon.reshape(-1, 1, 1, 1)
    absolute = relative.absolute(z)
    np.testing.assert_allclose(absolute["audio"], np.clip(batch["audio"] + unit * z["audio"], -0.15, 0.15), atol=1e-7)
    assert absolute["image"].tobytes() == batch["image"].tobytes()
    assert np.array_equal(relative.logits(z), target.logits(absolute))
    expected = target.gradient(absolute, labels, ("audio",)).wrt["audio"] * unit
    np.testing.assert_allclose(relative.gradient(z, labels, ("audio",)).wrt["audio"], expected, rtol=1e-6)
    rows = np.array([2, 0])
    some = relative.focus(z, ("audio",))
    np.testing.assert_allclose(some.gradient({"audio": z["audio"][rows]}, labels[rows], rows).wrt["audio"],
                               expected[rows], rtol=1e-6)
    np.testing.assert_allclose(some.logits({"audio": z["audio"][rows]}, rows), relative.logits(z)[rows])
    low, high = relative.threat.box("audio")
    np.testing.assert_allclose(batch["audio"] + unit * low, -0.15, atol=1e-6)
    np.testing.assert_allclose(batch["audio"] + unit * high, 0.15, atol=1e-6)
