"""The smallest budget per sample in whole codes, and its median."""

from __future__ import annotations

from typing import Any

import analytic
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from tinyfuse.attacks import FGSM, MIM, NES, PGD, SPSA, Corners, InputGrid, SampleAttack, Square
from tinyfuse.attacks.minimal import MinimalBudget, median, minimal_codes
from tinyfuse.core.errors import UsageError
from tinyfuse.threats.audit import audit

NAMES = ("image", "audio")
SHAPE = (6, 6, 1)
GRIDS = {"image": analytic.CODES, "audio": InputGrid(1 / 127, 0, -128, 127)}


def problem(count: int = 25, grids: dict[str, InputGrid] = GRIDS) -> tuple[Any, ...]:
    """(weights, target, batch, labels): linear, three classes, far from the box; the first three are misclassified."""
    random = np.random.default_rng(0)
    weights = {name: random.normal(0, 0.02, (36, 3)) for name in NAMES}
    target = analytic.linear(weights, np.zeros(3), grids)
    batch = {name: random.integers(-30, 31, (count, *SHAPE)).astype(np.float32) for name in NAMES}
    labels = target.logits(batch).argmax(axis=1)
    labels[:3] = (labels[:3] + 1) % 3
    return weights, target, batch, labels


@pytest.mark.parametrize("names", [("image",), ("audio",), NAMES])
@pytest.mark.parametrize("attack", [FGSM(), PGD(steps=5), MIM(steps=5)], ids=repr)
def test_on_a_linear_model_of_two_classes_the_codes_are_exact(attack: SampleAttack, names: tuple[str, ...]) -> None:
    """FGSM is optimal there: k* is the first whole number beyond the closed form."""
    random = np.random.default_rng(1)
    weights = {key: random.normal(0, 0.02, (36, 2)) for key in NAMES}
    target = analytic.linear(weights, np.zeros(2), GRIDS)
    batch = {key: random.integers(-60, 60, (30, *SHAPE)).astype(np.float32) for key in NAMES}
    logits = target.logits(batch)
    labels = logits.argmax(axis=1)
    smallest, largest = analytic.smallest_budget(weights, logits, labels, "linf", names), 8
    found = minimal_codes(target, batch, labels, names, attack=attack, largest=largest)
    expected = np.floor(smallest).astype(int) + 1
    assert (expected > largest).any() and (expected <= 3).any()
    assert found.budget.dtype == np.int64
    assert np.array_equal(found.budget, np.minimum(expected, largest + 1))
    assert np.array_equal(found.found, expected <= largest)


@pytest.mark.parametrize("attack", [
    FGSM(), PGD(steps=6, restarts=3, seed=2), Square(queries=60), Corners(draws=20), NES(steps=4, pairs=8),
    SPSA(steps=4, pairs=8)], ids=lambda attack: attack.name)
def test_the_codes_that_are_returned_prove_the_budget(attack: SampleAttack) -> None:
    _, target, batch, labels = problem()
    found = minimal_codes(target, batch, labels, NAMES, attack=attack, largest=20)
    assert np.array_equal(np.flatnonzero(found.budget == 0), [0, 1, 2])
    assert (found.found & (found.budget > 0)).sum() > 5
    wrong = target.logits(found.point).argmax(axis=1) != labels
    assert np.array_equal(wrong, found.found)
    moved = np.max([np.abs(found.point[key] - batch[key]).reshape(25, -1).max(axis=1) for key in NAMES], axis=0)
    assert np.array_equal(moved, np.where(found.found, found.budget, 0))
    for k in np.unique(found.budget[found.found & (found.budget > 0)]):
        rows = found.budget == k
        point, clean = ({key: values[rows] for key, values in inputs.items()} for inputs in (found.point, batch))
        audit(point, clean, analytic.threat("linf", dict.fromkeys(NAMES, float(k)), -128, 127, lattice=True))
    again = minimal_codes(target, batch, labels, NAMES, attack=attack, largest=20)
    assert np.array_equal(again.budget, found.budget) and again.queries == found.queries
    part = {key: values[10:] for key, values in batch.items()}
    alone = minimal_codes(target, part, labels[10:], NAMES, attack=attack, largest=20, sample_ids=np.arange(10, 25))
    assert np.array_equal(alone.budget, found.budget[10:])


def test_bisection_asks_each_sample_few_times_and_every_budget_once_per_round() -> None:
    _, target, batch, labels = problem()
    found = minimal_codes(target, batch, labels, ("image",), attack=Corners(draws=1), largest=26)
    # One query to judge the clean point; then at most 5 rounds of a clean point and one draw.
    assert found.queries <= 25 + 22 * 5 * 2


def test_a_success_that_used_fewer_codes_than_allowed_saves_rounds() -> None:
    """Steps of one code break the sample at 2 of 10 codes: only 1 code is left to try."""
    weights = {"image": np.stack([np.zeros(36), np.ones(36)], axis=1)}
    target = analytic.linear(weights, np.array([36 * 1.5, 0.0]), {"image": GRIDS["image"]})
    batch, labels = {"image": np.zeros((1, *SHAPE), np.float32)}, np.zeros(1, int)
    attack = PGD(steps=8, step_size=1 / 255)
    found = minimal_codes(target, batch, labels, ("image",), attack=attack, largest=20)
    ten, one = (attack.run(target, batch, labels, analytic.threat("linf", {"image": k}, -128, 127, lattice=True),
                           survivors_only=True) for k in (10, 1))
    assert found.budget.tolist() == [2] and np.all(found.point["image"] == 2)
    assert found.queries == 1 + ten.queries + one.queries


def test_masks_and_the_box_of_the_grid_hold() -> None:
    _, target, batch, labels = problem(grids={name: InputGrid(1 / 255, 0, -31, 31) for name in NAMES})
    mask = np.zeros(SHAPE, np.float32)
    mask[:3] = 1
    found = minimal_codes(target, batch, labels, ("image",), attack=PGD(), largest=20, mask={"image": mask})
    free = minimal_codes(problem()[1], batch, labels, ("image",), attack=PGD(), largest=20)
    delta = found.point["image"] - batch["image"]
    assert not delta[:, 3:].any() and np.abs(found.point["image"]).max() == 31
    assert found.point["audio"].tobytes() == batch["audio"].tobytes()
    assert np.all(found.budget >= free.budget) and np.any(found.budget > free.budget)


def test_a_target_without_gradients_is_enough_for_random_search() -> None:
    _, target, batch, labels = problem()
    blind = analytic.OnlyLogits(target)
    found = minimal_codes(blind, batch, labels, NAMES, attack=Square(queries=30), largest=20)
    assert found.found.sum() > 3
    with pytest.raises(UsageError, match="has no gradients, which fgsm needs"):
        minimal_codes(blind, batch, labels, NAMES, attack=FGSM(), largest=20)


def test_all_samples_wrong_or_none_breakable() -> None:
    batch = {"image": np.zeros((4, *SHAPE), np.float32)}
    target = analytic.constant(("image",), np.array([2.0, 0.0]), {"image": analytic.CODES})
    wrong = minimal_codes(target, batch, np.ones(4, int), ("image",), attack=PGD(), largest=3)
    right = minimal_codes(target, batch, np.zeros(4, int), ("image",), attack=PGD(), largest=3)
    assert wrong.budget.tolist() == [0] * 4 and wrong.queries == 4
    assert right.budget.tolist() == [4] * 4
    assert right.point["image"].tobytes() == batch["image"].tobytes()
    assert str(right.median()) == ">3 [0, >3]" and str(wrong.median()) == "0 [0, >3]"
    with pytest.raises(UsageError, match="no sample to take the median of"):
        wrong.median(correct_only=True)


def a_budget(values: list[int], largest: int) -> MinimalBudget:
    return MinimalBudget(PGD(), ("image",), largest, np.array(values), {}, 0)


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
    ({"largest": 0}, "the largest is 0; give a whole number of codes"),
    ({"largest": 2.5}, "the largest is 2.5"),
    ({"attacked": ("imgae",)}, "the threat attacks 'imgae'"),
])
def test_wrong_requests_are_refused(wrong: dict[str, Any], message: str) -> None:
    _, target, batch, labels = problem()
    settings_ = {"attacked": ("image",), "attack": FGSM(), "largest": 5} | wrong
    with pytest.raises(UsageError, match=message):
        minimal_codes(target, batch, labels, **settings_)
