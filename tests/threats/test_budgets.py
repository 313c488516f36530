"""Budgets by input: what is refused, what belongs together, and that a suite carries nothing to a smaller one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import analytic
import numpy as np
import pytest

from tinyfuse.attacks import FGSM, PGD, Profile
from tinyfuse.attacks.suite import run_suite
from tinyfuse.core.errors import UsageError
from tinyfuse.core.results import ResultStore
from tinyfuse.data import Input, Samples
from tinyfuse.search.settings import Settings
from tinyfuse.study.cell_study import CellStudy, ThreatModel
from tinyfuse.study.matrix import Matrix
from tinyfuse.study.rows import OutcomeLog, Scope, Subject
from tinyfuse.threats.budgets import check_epsilons, epsilon_text, is_part, spread, whole_budgets
from tinyfuse.threats.modes import modes_of

SMALL, LARGE = {"camera": 0.1, "mic": 0.02}, {"camera": 0.4, "mic": 0.05}


def test_budgets_are_spread_written_and_taken_apart() -> None:
    assert spread(0.1, ("camera", "mic")) == {"camera": 0.1, "mic": 0.1} and spread(SMALL, ["mic"]) == {"mic": 0.02}
    assert [epsilon_text(one) for one in (0.1, {"a": 0.1, "b": 0.1}, SMALL)] == ["0.1", "0.1", "camera 0.1, mic 0.02"]
    parts = [{"mic": 0.05}, {"camera": 0.1}, LARGE, SMALL, {"mic": 0.02}, {"radar": 0.3}, {"camera": 0.2, "mic": 0.2}]
    assert whole_budgets(parts) == [SMALL, 0.2, 0.3, LARGE]
    assert is_part({"mic": 0.02}, SMALL) and not is_part({"mic": 0.05}, SMALL) and is_part({"mic": 0.1}, 0.1)


@pytest.mark.parametrize(("epsilons", "message"), [
    ((SMALL, {"camera": 0.2, "mic": 0.02}), r"epsilon camera 0\.1, mic 0\.02 and camera 0\.2, mic 0\.02; of two"),
    ((SMALL, 0.1), r"epsilon camera 0\.1, mic 0\.02 and 0\.1; of two budgets one has to be smaller in every input"),
    ((SMALL, {"camera": 0.2}), r"no budget for the input 'mic' in 0\.2"),
    (({"camera": -0.1},), r"epsilon -0\.1; a number of at least 0"), (({},), "an empty table of epsilons"),
])
def test_budgets_that_cannot_be_ordered_are_refused(epsilons: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_epsilons(epsilons, "matrix")
    with pytest.raises(UsageError, match=message):
        Matrix(epsilons=epsilons)


def test_matrices_and_selections_hold_them() -> None:
    assert Matrix(epsilons=(SMALL, LARGE)).to_table()["epsilons"] == [SMALL, LARGE]
    assert Settings().changed(epsilon=SMALL).epsilon == SMALL


def test_an_attack_on_one_input_does_not_count_for_a_budget_that_forbids_it() -> None:
    """The sound alone breaks the sample at 0.05; at (0.1, 0.02) nothing does, though 0.05 is below 0.1."""
    inputs = tuple(Input(name, (3,), -1.0, 1.0) for name in ("camera", "mic"))
    target = analytic.linear({"camera": np.array([[0.0, 0.1]] * 3), "mic": np.array([[0.0, 1.0]] * 3)},
                             np.array([0.13, 0.0]))
    samples = Samples({one.name: np.zeros((1, 3), np.float32) for one in inputs}, np.array([0]),
                      np.zeros(1, int))
    scope: Any = SimpleNamespace(dataset=SimpleNamespace(name="d", checksum="c", split="s"), seed=0, part="test")
    suite = Profile("two", (FGSM(), PGD(steps=2)))
    study = CellStudy(plan=suite, threat_model=ThreatModel(inputs), modes=modes_of(("camera", "mic")),
                      budgets=(LARGE, SMALL), samples=samples,
                      subject=Subject("m", "float", "keras", "s", {one.name: 2.0 for one in inputs}),
                      log=OutcomeLog(ResultStore(), Scope(scope.dataset, 0)), points={})
    assert study.budget_of == {("camera", 0.1): {"camera": 0.1}, ("camera", 0.4): {"camera": 0.4},
                               ("mic", 0.1): {"mic": 0.02}, ("mic", 0.4): {"mic": 0.05}, ("all", 0.1): SMALL,
                               ("all", 0.4): LARGE}
    assert study.decisive(("all", 0.1)) == [("camera", 0.1), ("mic", 0.1), ("all", 0.1)]
    found = {outcome.cell.key: bool(outcome.broken[0])
             for outcome in run_suite(target, study.problem[1], samples.label, study.problem[0], suite)}
    assert {key for key, broken in found.items() if broken} == {("mic", 0.4), ("all", 0.4)}
