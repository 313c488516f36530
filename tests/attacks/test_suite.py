"""The suite's short cuts leave its answer as it is."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import analytic
import numpy as np
import pytest

from tinyfuse.attacks import (
    FGSM,
    PGD,
    DequantisedTarget,
    DifferentiableTarget,
    InputGrid,
    KerasTarget,
    code_problem,
    misclassified,
)
from tinyfuse.attacks.profiles import PAPER, STANDARD, STRONG, Profile, profile
from tinyfuse.attacks.suite import Cell, run_suite
from tinyfuse.core.errors import UsageError

Build = Callable[..., DifferentiableTarget]
Draw = Callable[..., tuple[dict[str, np.ndarray], np.ndarray]]
MODES = {"image": ("image",), "audio": ("audio",), "both": ("image", "audio")}
EPSILONS = (0.001, 0.002, 0.004, 0.008)
GRIDS = {name: InputGrid(1 / 255, -128, -128, 127) for name in ("image", "audio")}


def cells_of(norm: str = "linf") -> list[Cell]:
    return [Cell(mode, epsilon, analytic.threat(norm, dict.fromkeys(names, epsilon * (10 if norm == "l2" else 1))))
            for mode, names in MODES.items() for epsilon in EPSILONS]


@pytest.fixture(params=[0, 3, 16])
def problem(request: pytest.FixtureRequest, linear: Build,
            samples: Draw) -> tuple[DifferentiableTarget, dict[str, np.ndarray], np.ndarray]:
    """A target that misclassifies some of its samples when clean; with batches, cells are attacked ahead of time."""
    target, (batch, labels) = linear(scale=0.5), samples(40)
    target.batch_size = request.param  # type: ignore[attr-defined]
    right = target.logits(batch).argmax(1)
    return target, batch, np.where(np.arange(40) % 8 == 0, labels, right)


def naive_union(target: DifferentiableTarget, batch: dict[str, np.ndarray], labels: np.ndarray, cells: list[Cell],
                suite: Profile) -> dict[tuple[str, float], np.ndarray]:
    """Every attack on every sample in every cell, then the union by hand."""
    raw = {}
    for cell in cells:
        broken = misclassified(target.logits(batch), labels)
        for attack in suite.attacks:
            broken = broken | attack.run(target, batch, labels, cell.threat).broken
        raw[cell.key] = broken
    return {cell.key: np.logical_or.reduce([
        flags for (mode, epsilon), flags in raw.items()
        if epsilon <= cell.epsilon and set(MODES[mode]) <= set(MODES[cell.mode])]) for cell in cells}


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_unions_equal_those_of_all_attacks_on_all_samples(problem: tuple, norm: str) -> None:
    target, batch, labels = problem
    suite = STANDARD.with_steps(4)
    expected = naive_union(target, batch, labels, cells_of(norm), suite)
    found = {outcome.cell.key: outcome for outcome in run_suite(target, batch, labels, cells_of(norm), suite)}
    assert {key: flags.tolist() for key, flags in expected.items()} == {
        key: outcome.broken.tolist() for key, outcome in found.items()}
    shares = [outcome.broken.mean() for outcome in found.values()]
    assert min(shares) < 0.5 < max(shares)


def test_saved_points_break_what_they_are_said_to_break(problem: tuple) -> None:
    target, batch, labels = problem
    for outcome in run_suite(target, batch, labels, cells_of(), STANDARD.with_steps(3)):
        full = {name: values[outcome.rows].copy() for name, values in batch.items()} | outcome.point
        wrong = misclassified(target.logits(full), labels[outcome.rows])
        assert np.array_equal(wrong, outcome.broken[outcome.rows])


def alone(target: DifferentiableTarget, batch: dict[str, np.ndarray], labels: np.ndarray, cell: Cell, suite: Profile,
          row: int) -> tuple[bool, dict[str, np.ndarray]]:
    """One attack after the other on one sample: is it broken, and by what?"""
    one = {name: values[row:row + 1] for name, values in batch.items()}
    for attack in suite.attacks:
        found = attack.run(target, one, labels[row:row + 1], cell.threat, survivors_only=True)
        if found.broken[0]:
            break
    return bool(found.broken[0]), {name: found.strongest[name][0] for name in cell.threat.attacked}


@pytest.mark.parametrize("by_attack", [True, False])
def test_samples_that_share_batches_fare_as_if_alone(network: Any, samples: Draw, by_attack: bool) -> None:
    """Bit for bit, for a float32 network, whatever is attacked ahead of time."""
    batch, _ = samples(10)
    target, alike = KerasTarget(network, batch_size=8), KerasTarget(network, batch_size=8)
    labels = target.logits(batch).argmax(1)
    cells = [Cell(mode, epsilon, analytic.threat("linf", dict.fromkeys(names, epsilon)))
             for mode, names in MODES.items() for epsilon in (0.003, 0.01, 0.03)]
    suite = STANDARD.with_steps(3)
    outcomes = list(run_suite(target, batch, labels, cells, suite, by_attack=by_attack))
    assert 0.1 < np.mean([outcome.broken.mean() for outcome in outcomes]) < 0.9
    for outcome in outcomes:
        assert bool(outcome.by_attack) == by_attack
        for place, row in enumerate(outcome.rows):
            broken, point = alone(alike, batch, labels, outcome.cell, suite, row)
            assert outcome.broken[row] == broken
            assert all(outcome.point[name][place].tobytes() == values.tobytes() for name, values in point.items())


def test_batches_are_filled_with_what_comes_next(linear: Build, samples: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 8 that a target computes, if it says so and if it does not."""
    target, (batch, _) = linear(scale=0.1), samples(5)
    labels, gradient, batches = target.logits(batch).argmax(1), target.gradient, [0, 0]
    for run in range(2):
        def counted(batch: Any, labels: Any, *rest: Any, run: int = run) -> Any:
            batches[run] += -(-len(labels) // 8)
            return gradient(batch, labels, *rest)

        monkeypatch.setattr(target, "gradient", counted)
        monkeypatch.setattr(target, "batch_size", (0, 8)[run], raising=False)
        list(run_suite(target, batch, labels, cells_of(), Profile("pgd", (PGD(steps=20),))))
    assert batches[1] < 0.8 * batches[0]


def test_nothing_is_attacked_twice(linear: Build, problem: tuple) -> None:
    target, batch, labels = problem
    outcomes = list(run_suite(target, batch, labels, cells_of(), STANDARD.with_steps(3)))
    by_key = {outcome.cell.key: outcome for outcome in outcomes}
    for mode in MODES:
        for smaller, larger in itertools.pairwise(EPSILONS):
            assert not by_key[mode, smaller].broken[by_key[mode, larger].rows].any()
    singles = by_key["image", 0.008].broken | by_key["audio", 0.008].broken
    assert not singles[by_key["both", 0.008].rows].any()


def test_an_interrupted_suite_goes_on_where_it_stopped(problem: tuple) -> None:
    target, batch, labels = problem
    suite = STANDARD.with_steps(3)
    whole = {outcome.cell.key: outcome for outcome in run_suite(target, batch, labels, cells_of(), suite)}
    first = list(whole)[:5]
    rest = list(run_suite(target, batch, labels, cells_of(), suite, known={key: whole[key].broken for key in first}))
    assert [outcome.cell.key for outcome in rest] == list(whole)[5:]
    for outcome in rest:
        again = whole[outcome.cell.key]
        assert np.array_equal(outcome.broken, again.broken) and np.array_equal(outcome.rows, again.rows)
        assert all(np.array_equal(outcome.point[name], again.point[name]) for name in outcome.point)


def test_the_literature_protocol_runs_in_full(problem: tuple) -> None:
    target, batch, labels = problem
    suite = replace(PAPER, attacks=(FGSM(), PGD(steps=5, step_size=0.001)))
    for outcome in run_suite(target, batch, labels, cells_of()[:2], suite):
        last = suite.attacks[1].run(target, batch, labels, outcome.cell.threat)
        assert np.array_equal(outcome.by_attack["pgd"], last.broken_last)
        assert len(outcome.rows) == len(labels)


def test_the_literature_step_is_whole_codes_on_an_integer_model(linear: Build, samples: Draw) -> None:
    """eps_iter 0.01 is 2 codes of 1/255; with a budget of one code it is one."""
    batch, labels = samples(6)
    target = DequantisedTarget(linear(), GRIDS)
    for epsilon, step in ((0.03, 2.0), (0.005, 1.0)):
        threat, codes = code_problem(analytic.threat("linf", {"image": epsilon}), batch, GRIDS, "codes")
        once = replace(PAPER, attacks=(PGD(steps=1, step_size=0.01),))
        (outcome,) = run_suite(target, codes, labels, [Cell("image", epsilon, threat)], once)
        moved = np.abs(outcome.point["image"] - codes["image"])
        assert moved.max() == step


def test_profiles_by_name() -> None:
    assert profile("paper").with_steps(3) is profile("paper")
    assert profile("standard").with_steps(7).attacks == (FGSM(), PGD(steps=7), PGD(steps=7, loss="margin"))
    assert [attack.title for attack in STANDARD.attacks] == ["fgsm", "pgd", "pgd-margin"]
    assert STRONG.steps == 40 and Profile("fgsm", (FGSM(),)).steps == 1
    with pytest.raises(UsageError, match="did you mean 'standard'"):
        profile("standart")
