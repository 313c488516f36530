"""Worst cases, summary lines and Pareto marks against brute force and by hand."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from row_makers import BOTH, model, outcome

from tinyfuse.core.errors import DataError
from tinyfuse.core.results import Row, epsilon_of, unpack_survivors
from tinyfuse.core.statistics import mcnemar
from tinyfuse.report.advice import attack_text
from tinyfuse.report.bench_page import render_page
from tinyfuse.report.summary import as_table, summarise
from tinyfuse.report.tables import write_csv
from tinyfuse.report.view import view_of
from tinyfuse.study.latest_rows import latest_rows
from tinyfuse.study.worst_case import last_iterate, reference_epsilon, worst_case
from tinyfuse.threats.modes import mode_name, modes_of

EPSILONS = (0.01, 0.03, 0.1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_worst_case_against_brute_force(seed: int) -> None:
    """A sample counts at (mode, ε) only if it is correct in every row that the threat set contains."""
    rng = np.random.default_rng(seed)
    n = 12
    clean = rng.random(n) < 0.8
    rows = [outcome(clean)]
    for mode in ("image", "audio", "all"):
        for epsilon in EPSILONS:
            for attack in ("fgsm", "pgd"):
                for criterion in ("any-iterate", "last-iterate"):
                    rows.append(outcome(rng.random(n) < 0.9, attacked=modes_of(BOTH)[mode], epsilon=epsilon,
                                        attack={"name": attack}, criterion=criterion))
    order = rng.permutation(len(rows))
    shuffled = [rows[index] for index in order]
    for mode in ("image", "audio", "all"):
        members = {"image", "audio", "all"} if mode == "all" else {mode}
        points = worst_case(shuffled, "early", "float", "keras", mode)
        assert [point.epsilon for point in points] == list(EPSILONS)
        for point in points:
            for sample in range(n):
                expected = clean[sample] and all(
                    unpack_survivors(row["survivors"], n)[sample] for row in rows
                    if mode_name(row["attacked"], row["inputs"]) in members and epsilon_of(row) <= point.epsilon)
                assert point.survivors[sample] == expected
            assert point.accuracy.value == point.survivors.mean()
        values = [point.accuracy.value for point in points]
        assert values == sorted(values, reverse=True)
    every = worst_case(rows, "early", "float", "keras", "all")
    for mode in ("image", "audio"):
        alone = worst_case(rows, "early", "float", "keras", mode)
        assert all(b.accuracy.value <= a.accuracy.value for b, a in zip(every, alone, strict=True))


def test_an_attack_with_more_budget_in_one_input_does_not_count() -> None:
    """Budgets are compared input by input."""
    rows = [outcome([1, 1, 1, 1]),
            outcome([0, 1, 1, 1], attacked=BOTH, epsilon={"image": 0.1, "audio": 0.01}),
            outcome([1, 0, 1, 1], attacked=BOTH, epsilon=0.05),
            outcome([1, 1, 0, 1], attacked=["image"], epsilon=0.1)]
    by_budget = {(p.budget["image"], p.budget["audio"]): p.survivors.tolist()
                 for p in worst_case(rows, "early", "float", "keras", "all")}
    assert by_budget == {(0.1, 0.01): [False, True, False, True], (0.05, 0.05): [True, False, True, True]}


def test_clean_mistakes_stay_broken() -> None:
    """An attack that happens to repair a misclassified sample does not make it robust."""
    rows = [outcome([0, 1]), outcome([1, 1], attacked=["image"], epsilon=0.1)]
    assert worst_case(rows, "early", "float", "keras", "image")[0].survivors.tolist() == [False, True]
    assert worst_case(rows[1:], "early", "float", "keras", "image") == []


def test_sample_counts_are_not_mixed() -> None:
    """Verdicts on different samples cannot be combined: the larger set wins unless another is asked for."""
    rows = [outcome([1, 1]), outcome([1] * 4), outcome([0, 1], attacked=["image"], epsilon=0.1),
            outcome([1, 1, 1, 0], attacked=["image"], epsilon=0.1)]
    assert worst_case(rows, "early", "float", "keras", "image")[0].accuracy.n == 4
    assert worst_case(rows, "early", "float", "keras", "image", n=2)[0].accuracy.value == 0.5


def test_threat_models_are_not_mixed() -> None:
    """Sensor codes are the headline; real-valued perturbations are another question."""
    rows = [outcome([1, 1], precision="w8"),
            outcome([0, 1], precision="w8", attacked=["image"], epsilon=0.1, threat="real"),
            outcome([1, 1], precision="w8", attacked=["image"], epsilon=0.1, threat="codes")]
    assert worst_case(rows, "early", "w8", "twin", "image")[0].accuracy.value == 1.0


def test_mixed_trainings_are_an_error() -> None:
    """A union over two networks would be a number about neither."""
    rows = [outcome([1, 1], attacked=["image"], epsilon=0.1, seed=seed) for seed in (0, 1)]
    with pytest.raises(DataError, match="mix several seeds"):
        worst_case(rows, "early", "float", "keras", "image")


def test_last_iterate_is_one_attack_alone() -> None:
    """No union, no carrying over: the literature's curve may rise again."""
    rows = [outcome([0, 1], attacked=["image"], epsilon=0.01, criterion="last-iterate"),
            outcome([1, 1], attacked=["image"], epsilon=0.1, criterion="last-iterate"),
            outcome([0, 0], attacked=["image"], epsilon=0.1, criterion="last-iterate", attack={"name": "fgsm"}),
            outcome([0, 0], attacked=["image"], epsilon=0.1)]
    curve = last_iterate(rows, "early", "float", "keras", "image", "pgd")
    assert [(point.epsilon, point.accuracy.value) for point in curve] == [(0.01, 0.5), (0.1, 1.0)]


def test_reference_epsilon_separates() -> None:
    """Neither the harmless nor the hopeless budget; float rows decide; nothing without attacks."""
    rows = [outcome(verdicts, attacked=["image"], epsilon=epsilon)
            for epsilon, verdicts in ((0.01, [1, 1, 1, 1]), (0.03, [1, 1, 0, 0]), (0.1, [0, 0, 0, 0]))]
    rows.append(outcome([1, 0, 1, 0], attacked=["image"], epsilon=0.1, precision="w8"))
    assert reference_epsilon(rows) == 0.03
    assert reference_epsilon(rows[3:]) == 0.1
    assert reference_epsilon(rows, norm="l2") is None and reference_epsilon([]) is None


def test_summary_line_by_hand() -> None:
    """Every field of an integer line, from rows small enough to check by eye."""
    float_clean, twin_clean = [1, 1, 1, 1, 0], [1, 1, 1, 0, 0]
    rows = [model("float"), model("w8", macs=7), outcome(float_clean),
            outcome([1, 1, 0, 0, 0], attacked=["image"], epsilon=0.1),
            outcome(twin_clean, precision="w8"), outcome([1] * 5, precision="w8", executor="litert"),
            outcome([1, 0, 0, 1, 1], precision="w8", attacked=["image"], epsilon=0.1, criterion="replayed",
                         threat="codes")]
    before, after = summarise(rows, flags=())
    assert (before.precision, after.precision, after.executor, after.macs) == ("float", "w8", "twin", 7)
    assert after.clean_float and after.clean_float.value == 0.8
    assert after.clean_integer and after.clean_integer.value == 0.6
    assert after.robust_float["image"].value == 0.4 and after.robust_integer["image"].value == 0.2
    assert after.epsilon == 0.1 and after.worst_robust == 0.2 and before.worst_robust == 0.4
    assert after.agreement == 0.8
    assert after.paired["clean"].p == mcnemar(np.array(float_clean, bool), np.array(twin_clean, bool))
    assert set(after.paired) == {"clean", "image"}
    assert before.clean_integer is None and before.robust_integer == {} and not before.pareto and after.pareto


def test_headline_uses_the_largest_sample() -> None:
    """Clean accuracy on all pairs beside attacks on a few; p-values only on common samples."""
    rows = [outcome([1] * 8), outcome([1, 0]), outcome([1, 1], precision="w8"),
            outcome([1, 0, 1, 0], precision="w8")]
    before, after = summarise(rows, flags=())
    assert before.clean and before.clean.n == 8 and after.clean and after.clean.n == 4
    assert after.agreement == 0.5 and after.clean_float and after.clean_float.n == 8


def test_float_and_integer_are_compared_on_the_same_samples() -> None:
    """The float column of an integer line is no accuracy on other samples, if that can be avoided."""
    rows = [outcome([1, 1, 1, 1, 0, 0]), outcome([1, 0]), outcome([1, 1], precision="w8")]
    before, after = summarise(rows, flags=())
    assert before.clean_float and before.clean_float.n == 6
    assert after.clean_float and (after.clean_float.n, after.clean_float.value) == (2, 0.5)


def test_weights_rounded_in_float_are_judged_by_keras() -> None:
    """The papers' scheme has no integer model: its own figures come from Keras, and it takes no Pareto mark."""
    rows = [model("minmax6"), outcome([1, 1]), outcome([1, 0], precision="minmax6", executor="keras")]
    line = next(line for line in summarise(rows, flags=()) if line.precision == "minmax6")
    assert line.executor == "keras" and line.clean and line.clean.value == 0.5 and not line.pareto


def test_pareto_marks() -> None:
    """Dominated means no better in bytes, clean and robust, and worse in one; equals stay both."""
    recipes = {"w5": (50, [1, 0, 0, 0]), "w6": (60, [1, 1, 0, 0]), "w7": (70, [1, 1, 0, 0]), "w8": (80, [1, 1, 1, 0]),
               "twin8": (80, [1, 1, 1, 0])}
    rows: list[Row] = []
    for name, (size, clean) in recipes.items():
        rows += [model(name, packed_bytes=size), outcome(clean, precision=name)]
    rows += [model("w9", packed_bytes=None), outcome([1, 1, 1, 1], precision="w9")]
    marks = {line.precision: line.pareto for line in summarise(rows, flags=())}
    assert marks == {"w5": True, "w6": True, "w7": False, "w8": True, "twin8": True, "w9": False}


def test_order_of_lines() -> None:
    """Models in the order of the rows, float first, then by width."""
    rows = [outcome([1], model=name, precision=precision)
            for name in ("late", "zebra", "image") for precision in ("w8", "float")]
    assert [(line.model, line.precision) for line in summarise(rows, flags=())] == [
        ("late", "float"), ("late", "w8"), ("zebra", "float"), ("zebra", "w8"), ("image", "float"), ("image", "w8")]


def test_latest_rows_follow_the_last_run() -> None:
    """Other data, an earlier version of the data and superseded measurements are left out, and counted."""
    old = [outcome([1], data="mnist"), outcome([0], data_checksum="before")]
    new = [model("float"), outcome([1]), outcome([1], seed=1, data_checksum="seed1"),
           model("w8", seed=2, data_checksum="seed2"), model("w8", data_checksum="before")]
    first = {**outcome([0, 1]), "key": "f" * 16}
    again = outcome([1, 1])
    kept, notes = latest_rows([*old, first, *new, again])
    assert kept == [*new[:4], again]
    assert [note.split()[0] for note in notes] == ["3", "1"]
    assert latest_rows(new[:1]) == (new[:1], [])


def test_csv_has_one_line_per_recipe(tmp_path: Path) -> None:
    """Numbers with full precision, empty cells where nothing was measured."""
    rows = [model("float", packed_bytes=None), outcome([1, 1, 0]), outcome([1, 0, 0], precision="w8"),
            outcome([1, 0, 0], attacked=["audio"], epsilon=0.1)]
    write_csv(tmp_path / "summary.csv", summarise(rows))
    with (tmp_path / "summary.csv").open(newline="") as handle:
        table = list(csv.DictReader(handle))
    assert [line["precision"] for line in table] == ["float", "w8"]
    assert float(table[1]["clean_integer"]) == 1 / 3 and table[1]["clean_integer_n"] == "3"
    assert table[0]["packed_bytes"] == "" and table[0]["robust_float_image"] == ""
    assert float(table[0]["robust_float_audio"]) == 1 / 3 and table[0]["flags"] == "NS"


def test_nothing_evaluated() -> None:
    """An empty run is no crash."""
    assert summarise([]) == [] and latest_rows([]) == ([], [])


def test_budgets_by_input_have_one_line_with_the_part_of_each_mode() -> None:
    small, large = {"image": 0.1, "audio": 0.02}, {"image": 0.2, "audio": 0.1}
    rows = [outcome([1, 1, 1, 1])]
    for budget, right in ((small, {"image": 3, "audio": 2, "all": 2}), (large, {"image": 1, "audio": 1, "all": 0})):
        rows += [outcome(np.arange(4) < correct, attacked=modes_of(BOTH)[mode], epsilon=budget)
                 for mode, correct in right.items()]
    assert reference_epsilon(rows) == small
    (line,) = summarise(rows, epsilon=large)
    assert {mode: found.value for mode, found in line.robust.items()} == {"image": 0.25, "audio": 0.25, "all": 0.0}
    (line,) = summarise(rows)
    assert {mode: found.value for mode, found in line.robust.items()} == {"image": 0.75, "audio": 0.5, "all": 0.5}
    view = view_of(rows)
    assert view.budgets == [small, large]
    page = render_page(view)
    for text in ("ε = image 0.1, audio 0.02", "image 0.1, audio 0.02; image 0.2, audio 0.1"):
        assert text in page
    assert as_table(line)["epsilon"] == small
    assert "every value of audio by up to 0.02" in attack_text("audio", line)
    assert "may change audio by up to 0.02 in joint L2" in attack_text("audio", replace(line, norm="l2-joint"))
