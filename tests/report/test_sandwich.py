"""Certified <= true <= attacked, on the page and in the table, from rows small enough to check by eye."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import Page
from row_makers import certificate, model, outcome

from tinyfuse.core.results import Row, row_key
from tinyfuse.report import render
from tinyfuse.report.figures.curves import sandwich_figure
from tinyfuse.report.sandwich import sandwiches, tables
from tinyfuse.report.view import view_of

pytestmark = pytest.mark.usefixtures("undrawn")


def run_of(budgets: tuple[float, ...] = (0.1, 0.2), **changes: Any) -> list[Row]:
    """Four samples of 8-bit integers; the first is proved at every budget, the last one wrong from the start."""
    own: dict[str, Any] = {"precision": "w8", "source": "w8", "threat": "codes"}
    rows = [model("w8"), outcome([1, 1, 1, 0], precision="w8")]
    for epsilon in budgets:
        for attacked in (["image"], ["image", "audio"]):
            rows.append(outcome([1, 1, epsilon < 0.2, 0], attacked=attacked, epsilon=epsilon, **own))
            # The search for counterexamples breaks one that the attack of the run did not.
            rows += certificate([1, 0, 0, 0], attacked=attacked, epsilon=epsilon,
                                falsified=np.array([0, epsilon >= 0.2, 0, 1]), **changes)
    return rows


def test_the_truth_lies_between_what_is_proved_and_what_nothing_broke() -> None:
    view = view_of(run_of())
    (line,) = view.summary
    assert {mode: found.value for mode, found in line.certified.items()} == {"image": 0.25, "all": 0.25}
    (found,) = sandwiches(view)
    assert [point.accuracy.value for point in found.left["all"]] == [0.75, 0.25]
    for mode, points in found.certified.items():
        for low, high in zip(points, found.left[mode], strict=True):
            assert not (low.survivors & ~high.survivors).any()
    neither = {table["title"]: {row[2]: row[6] for row in table["rows"]} for table in tables(view, [found])}
    assert neither == {"ε = 0.1": {"image": "50.0", "all": "50.0"}, "ε = 0.2": {"image": "0.0", "all": "0.0"}}
    assert sandwich_figure(view, [found]) is not None


def test_one_budget_is_a_table_without_a_figure() -> None:
    view = view_of(run_of((0.1,)))
    found = sandwiches(view)
    assert len(tables(view, found)) == 1
    assert sandwich_figure(view, found) is None


def test_only_the_certificate_of_the_last_training_counts() -> None:
    """Its network is another one: what was proved of the first says nothing about the second."""
    first, again = run_of((0.1,)), certificate([0, 1, 0, 0], attacked=["image"], epsilon=0.1)
    (line,) = view_of([*first, *({**row, "key": row_key(row)} for row in again)]).summary
    assert line.certified["image"].value == 0.25
    (found,) = sandwiches(view_of([*first, *({**row, "key": row_key(row)} for row in again)]))
    assert found.certified["image"][0].survivors.tolist() == [False, True, False, False]


def test_the_page_shows_it_and_says_which_models_have_none(make_run: Callable[..., Path]) -> None:
    identity = {"kind": "failed", "model": "early", "precision": "w6", "seed": 0, "stage": "certify",
                "data_checksum": "c", "reason": "LSTM has no bounds"}
    rows = [*run_of(), model("w6"), outcome([1, 1, 1, 0], precision="w6"), {**identity, "key": row_key(identity)}]
    page = Page(render(make_run(rows)).read_text(encoding="utf-8"))
    assert "Certified and attacked: where the truth lies" in page.text
    assert "early w6: LSTM has no bounds" in page.text
    assert "Certified and attacked: early" in page.text


def test_a_proof_that_an_attack_refutes_is_the_first_thing_to_read(make_run: Callable[..., Path]) -> None:
    refuted = [*run_of((0.1,)), outcome([0, 1, 1, 0], attacked=["image"], epsilon=0.05, precision="w8", source="w8",
                                        threat="codes")]
    page = Page(render(make_run(refuted)).read_text(encoding="utf-8"))
    assert "an attack broke samples that a sound certificate protects" in page.text.split("Every recipe")[0]


@pytest.mark.parametrize("changes", [{"threat": "real"}, {"precision": "w6"}])
def test_other_threat_models_and_lines_are_not_mixed(changes: dict[str, Any]) -> None:
    (line,) = [line for line in view_of(run_of((0.1,), **changes)).summary if line.precision == "w8"]
    assert line.certified == {}
