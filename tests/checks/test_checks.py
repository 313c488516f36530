"""Each check fires on a planted fault, names its numbers, and stays silent without one."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from findings import EARLY, YES, first, found, levels, reasons
from row_makers import AUDIO, BOTH, IMAGE, outcome, parity, probe

from tinyfuse.checks import experiments
from tinyfuse.checks.probe_names import MEANINGS, meaning
from tinyfuse.checks.run_checks import CHECKS, LEVELS, coverage, gate, letters, run_checks


def test_registry_covers_the_checklist() -> None:
    """Every point has a check; codes are a capital, or a capital and a small letter; names and sentences are unique."""
    for code, check in CHECKS.items():
        assert code == check.code and re.fullmatch("[A-Z][a-z]?", code) and check.level in LEVELS
        assert len(check.title) > 20 and re.fullmatch("[a-z-]+", check.name)
    assert {check.number for check in CHECKS.values()} == set(range(1, 27))
    for values in ([check.name for check in CHECKS.values()], [check.title for check in CHECKS.values()]):
        assert len(set(values)) == len(CHECKS)


def test_every_measured_probe_is_understood() -> None:
    """A probe under a name that no check reads would be lost in silence."""
    assert experiments.PROBES.keys() <= MEANINGS.keys()
    assert "every coordinate of image" in meaning("zero-gradient-image")


@pytest.mark.parametrize(("name", "bad", "good", "code", "level"), [
    ("audit", 2, 0, "A", "E"), ("zero-budget", 1, 0, "Z", "E"), ("fgsm-equals-pgd1", 3, 0, "F", "E"),
    ("unbounded", 0.1, 0, "U", "E"), ("noise", -0.1, 0.2, "R", "W"), ("black-box-only", 0.01, 0, "K", "W"),
    ("black-box-only", 0.001, 0, "K", "I"), ("double-steps", 0.01, 0.005, "C", "W"),
    ("double-steps", -0.01, -0.005, "C", "W"), ("double-steps-loss", 0.02, 0.01, "C", "W"),
    ("double-restarts", 0.02, 0.0, "C", "W"), ("loss-falls", 0.06, 0.05, "L", "W"), ("softmax-output", 1, 0, "O", "E"),
    ("zero-gradient", 0.02, 0, "G", "W"), ("zero-gradient-audio", 0.01, 0, "G", "I"), ("bad-gradient", 1, 0, "G", "E"),
    ("saturated-loss", 0.02, 0, "Q", "W"),
    ("saturated-loss", 0.01, 0, "Q", "I"), ("repeat", 1, 0, "V", "E"), ("step-below-code", 1, 0, "St", "W"),
    ("planted", 0.9, 1, "Ac", "W"), ("analytic", 1, 0, "Am", "W"), ("certificate", 1, 0, "Ce", "E"),
    ("label-source", 0, 1, "La", "W"), ("padding-share", 0.3, 0, "Pa", "W"), ("padding-share", 0.01, 0, "Pa", "I")])
def test_probes(name: str, bad: float, good: float, code: str, level: str) -> None:
    """One measurement on each side of its limit, and none: a finding, silence, and a gap in the coverage."""
    (flag,) = found([probe(name, bad, detail="planted here")], code)
    assert flag.level == level and "\n" not in flag.text
    assert "planted here" in flag.text or name == "audit"
    assert LEVELS[CHECKS[code].level] and list(LEVELS).index(CHECKS[code].level) <= list(LEVELS).index(level)
    healthy = [probe(name, good), probe("zero-gradient", 0)]
    assert not found(healthy, code) and code not in reasons(healthy)
    if code != "St":  # of the integer models only
        assert code in reasons([probe("other", 0)])


@pytest.mark.parametrize(("name", "values", "share"), [("unbounded", (0.0, 0.3, 0.1), "30.0%"),
                                                        ("planted", (1.0, 0.25, 0.5), "75.0%")])
def test_the_worst_of_several_probes_counts(name: str, values: Sequence[float], share: str) -> None:
    """One row per input or budget: the sentence names the worst one."""
    rows = [probe(name, value, detail=f"case {place}") for place, value in enumerate(values)]
    (flag,) = [flag for flag in run_checks(rows) if flag.code in ("U", "Ac")]
    assert share in flag.text and "(case 1)" in flag.text


@pytest.mark.parametrize(("name", "text"), [
    ("double-steps", "twice the steps change the accuracy by 12.5 points, n=30"),
    ("double-restarts", "twice the restarts change the accuracy by 12.5 points, n=30"),
    ("double-steps-loss", "twice the steps change the mean loss by 12.5%, n=30")])
def test_what_has_not_converged(name: str, text: str) -> None:
    """Accuracies change in points, losses in percent; the one furthest beyond its limit is told."""
    rows = [probe(name, -0.125), probe("double-steps", 0.006), probe("double-steps-loss", 0.011)]
    assert [flag.text for flag in found(rows, "C")] == [text]


def test_an_audit_of_nothing_is_no_audit() -> None:
    """No violations among no inputs proves nothing; violations of several audits add up."""
    assert "A" in reasons([probe("audit", 0, n=0)])
    (flag,) = found([probe("audit", 1, n=10, detail="a"), probe("audit", 2, n=20, detail="b")], "A")
    assert "3 of 30" in flag.text


def test_zero_budget_must_be_clean() -> None:
    """An attack that may change nothing must change nothing."""
    clean = outcome(YES)
    (flag,) = found([clean, outcome(first(9), attacked=IMAGE, epsilon=0.0)], "Z")
    assert flag.level == "E" and "1 verdicts" in flag.text
    healthy = [clean, outcome(YES, attacked=IMAGE, epsilon=0.0)]
    assert not found(healthy, "Z") and "Z" not in reasons(healthy)
    assert "Z" in reasons([clean, outcome(YES, attacked=IMAGE, epsilon=0.1)])


def test_judged_again_by_tflm() -> None:
    """Another class in TFLite Micro, seen in a parity row or between rows on the same inputs."""
    attack = {"precision": "w8", "attacked": IMAGE, "epsilon": 0.1, "source": "w8"}
    mine = outcome(first(5), **attack)
    again = outcome(first(4), executor="tflm", **attack)
    (flag,) = found([mine, again], "J")
    assert flag.level == "E" and "1 of 10" in flag.text
    same = outcome(first(5), executor="tflm", **attack)
    assert not found([mine, same], "J") and "J" not in reasons([mine, same])
    other_budget = outcome(first(4), executor="tflm", **{**attack, "epsilon": 0.05})
    assert "J" in reasons([mine, other_budget]) and not found([mine, other_budget], "J")
    assert levels([mine, parity(3, argmax_differing=1)], "J") == ["E"]
    assert "J" not in reasons([mine, parity()]) and "J" in reasons([mine, parity(where="clean")])
    litert = outcome(first(3), executor="litert", **attack)
    assert not found([mine, same, litert], "J") and "J" in reasons([mine, litert])
    assert "J" not in reasons([outcome(YES, attacked=IMAGE, epsilon=0.1)])


def test_parity_must_be_exact() -> None:
    """One differing code is an error, whichever of the two comes first; LiteRT may differ."""
    clean = outcome(YES, precision="w8")
    for wrong in (parity(1), parity(1, a="tflm", b="twin"), parity(1, where="clean")):
        (flag,) = found([clean, wrong], "Y")
        assert flag.level == "E" and "1 of 500" in flag.text
    assert not found([clean, parity()], "Y") and "Y" not in reasons([clean, parity()])
    assert "Y" in reasons([clean, parity(where="clean")])
    litert = parity(40, b="litert", argmax_differing=2)
    assert not found([clean, litert], "Y") and levels([clean, litert], "X") == ["W"]
    assert levels([clean, parity(40, b="litert")], "X") == ["I"]


def test_litert_differs() -> None:
    """Count verdicts, not accuracy: two swapped samples leave the accuracy alone."""
    swapped = outcome([0, 1, *YES[2:]], precision="w8", executor="litert")
    for executor in ("tflm", "twin"):
        truth = outcome([1, 0, *YES[2:]], precision="w8", executor=executor)
        (flag,) = found([truth, swapped], "X")
        assert flag.level == "W" and "2 of 10" in flag.text and "XNNPACK" in flag.text
        assert not found([truth, {**truth, "executor": "litert"}], "X")
        assert not found([truth, outcome([1, 0], precision="w8", executor="litert")], "X")
        assert "X" in reasons([truth])
        more = [outcome(np.ones(20), precision="w8", executor=name) for name in (executor, "litert")]
        assert not found([truth, swapped, *more], "X")


@pytest.mark.parametrize(("share", "expected"), [(None, []), (0.0, []), (0.005, ["I"]), (0.02, ["W"])])
def test_zero_gradients(share: float | None, expected: list[str]) -> None:
    """The threshold is one percent of the samples."""
    rows = [outcome(YES, attacked=IMAGE, epsilon=0.1, zero_gradient_share=share)]
    assert levels(rows, "G") == expected
    assert ("G" in reasons(rows)) == (share is None)


def test_a_saturated_loss_beside_a_margin_is_information() -> None:
    """The margin has a gradient where the cross-entropy has none."""
    saturated = probe("saturated-loss", 0.5)
    attack = {"attacked": IMAGE, "epsilon": 0.1}
    assert levels([saturated, outcome(YES, **attack)], "Q") == ["W"]
    assert levels([saturated, outcome(YES, attack={"loss": "margin"}, **attack)], "Q") == ["I"]
    suite = {"attack": {"name": "standard"}, "criterion": "union"}
    assert levels([saturated, outcome(YES, profile="standard", **suite, **attack)], "Q") == ["I"]
    assert levels([saturated, outcome(YES, profile="paper", **suite, **attack)], "Q") == ["W"]


def test_checks_of_integers_ask_only_integers_for_evidence() -> None:
    """Parity, hard rounding and code steps are no gaps of a float line."""
    only_integer = {"J", "Y", "X", "St", "D"}
    assert not only_integer & reasons([outcome(YES)]).keys()
    assert only_integer <= reasons([outcome(YES, precision="w8")]).keys()


def test_wide_intervals() -> None:
    """Ten samples are too few, ten thousand of ten thousand are not; beside a union only the union is a headline."""
    (flag,) = found([outcome(YES)], "N")
    assert "27.8 points" in flag.text and "n=10" in flag.text
    many = outcome(np.ones(10_000))
    raw = outcome(YES, attacked=IMAGE, epsilon=0.1, profile="raw")
    assert not found([many], "N") and found([many, raw], "N")
    assert not found([many, raw, outcome(np.ones(10_000), attacked=IMAGE, epsilon=0.1, criterion="union")], "N")


def test_single_seed() -> None:
    """Two trainings of the same (model, precision) lift the flag."""
    assert len(found([outcome(YES)], "S")) == 1
    assert not found([outcome(YES), outcome(YES, seed=1)], "S")
    assert len(found([outcome(YES), outcome(YES, seed=1, precision="w8")], "S")) == 2


def test_no_ratio_below_five_percent() -> None:
    """The smallest budget per mode of attack at which float keeps less than 5 % is named on the integer lines alone."""
    rows = [outcome(first(left, 100), attacked=names, epsilon=epsilon)
            for names, epsilon, left in ((AUDIO, 0.05, 4), (AUDIO, 0.1, 0), (AUDIO, 0.01, 5), (IMAGE, 0.1, 60))]
    integer = outcome(YES, precision="w8")
    (flag,) = found([*rows, integer], "Ra")
    assert flag.level == "I" and flag.precision == "w8" and "4.0% at audio ε=0.05" in flag.text
    assert "image" not in flag.text and not found(rows, "Ra") and not found([rows[2], integer], "Ra")
    assert "Ra" in reasons([integer])


@pytest.mark.parametrize(("n", "lost", "expected"), [
    (10, 0, []), (10, 1, ["I"]), (100, 1, []), (100, 7, ["W"]), (100, 20, ["E"]), (10_000, 30, []),
    (10_000, 60, ["W"])])
def test_clean_drop(n: int, lost: int, expected: list[str]) -> None:
    """A warning needs both significance and half a point; a large certain drop is an error, but of the model."""
    for executor in ("tflm", "twin"):
        rows = [outcome(np.ones(n)), outcome(first(n - lost, n), precision="w6", executor=executor)]
        flags = found(rows, "D")
        assert [flag.level for flag in flags] == expected and not gate(flags)
    if n == 100 and lost == 20:
        assert "20.0 points" in flags[0].text and re.search(r"interval 1\d\.\d to 2\d\.\d", flags[0].text)


def test_what_a_report_lacks() -> None:
    """Clean accuracy on the attacked samples, the name of the threat, and an end of the curve."""
    attack = {"attacked": IMAGE, "epsilon": 0.1}
    complete = [outcome(YES), outcome([0] * 10, **attack)]
    assert not found(complete, "Re") and "Re" not in reasons(complete)
    (flag,) = found([outcome([1, 1]), outcome(first(2), threat="", **attack)], "Re")
    assert flag.level == "I" and "1 attack rows do not name" in flag.text and "keras, n=10" in flag.text
    assert "lowest 20.0% at image ε=0.1" in flag.text


def test_flags_name_their_line_and_errors_come_first() -> None:
    """Letters of a line are sorted and complete; errors are what a gate lets nobody pass with."""
    rows = [outcome(YES), outcome(first(9), attacked=IMAGE, epsilon=0.0),
            outcome(YES, precision="w8")]
    flags = run_checks(rows)
    order = [list(LEVELS).index(flag.level) for flag in flags]
    assert order == sorted(order) and flags[0].code == "Z" and gate(flags) == [flags[0]]
    assert letters(flags, EARLY) == ("N", "S", "Z")
    assert letters(flags, ("early", "w8", 0)) == ("N", "S")


def test_coverage_counts_lines() -> None:
    """A gap on some lines says on how many; without rows nothing is covered; with all probes little is open."""
    rows = [outcome(YES), outcome(YES, precision="w8"), probe("repeat", 0)]
    gaps = {gap.check.code: gap for gap in coverage(rows)}
    assert gaps["Y"].total == len(gaps["Y"].lines) == 1
    assert gaps["V"].lines == (("early", "w8", 0),) and gaps["V"].total == 2
    assert gaps["V"].text() == "point 15, not-repeatable (V): no probe 'repeat' on 1 of 2 lines"
    assert gaps["A"].text().endswith("no probe 'audit'")
    numbers = [gap.check.number for gap in coverage(rows)]
    assert numbers == sorted(numbers)
    assert {gap.check.code for gap in coverage([])} == CHECKS.keys() and run_checks([]) == []
    everything = [outcome(YES), *(probe(name, 0) for name in [*MEANINGS, "alone-all", "alone-none"])]
    assert {gap.check.code for gap in coverage(everything)} == {"M", "P", "B", "T", "Tx", "Re"}


def test_a_healthy_run_has_nothing_to_say() -> None:
    """Every check has its evidence, and none has a finding but that float falls to 0 at the end of its curve."""
    n, rows, right = 10_000, [], {"planted": 1, "label-source": 1}
    for seed in (0, 1):
        for precision in ("float", "w8"):
            line = {"precision": precision, "seed": seed, "source": precision}
            rows += [outcome(np.ones(n), precision=precision, seed=seed),
                     *(probe(name, right.get(name, 0), precision=precision, seed=seed)
                       for name in [*MEANINGS, "alone-all", "alone-none"])]
            for names, epsilon, left in ((IMAGE, 0.0, n), (IMAGE, 0.1, 5000), (IMAGE, 0.2, 3000), (AUDIO, 0.1, 3000),
                                         (BOTH, 0.1, 2000), (BOTH, 1.0, 0)):
                suite = {"attack": {"name": "standard"}, "criterion": "union", "zero_gradient_share": 0.0}
                rows += [outcome(first(left, n), attacked=names, epsilon=epsilon, **settings, **line)
                         for settings in (suite, {}, {"attack": {"name": "fgsm"}})]
                replayed = {"criterion": "replayed", **line, "source": "w8" if precision == "float" else "float"}
                rows.append(outcome(first(left, n), attacked=names, epsilon=epsilon, **replayed))
        rows += [outcome(np.ones(n), precision="w8", seed=seed, executor="litert"), parity(seed=seed)]
    flags = run_checks(rows)
    assert coverage(rows) == [] and {flag.code for flag in flags} == {"Ra"}, flags
    assert gate(flags) == []


def test_failed_rows_are_no_lines() -> None:
    """A recipe that was never evaluated has nothing to check."""
    failed = {"kind": "failed", "key": "f", "model": "late", "precision": "w5", "stage": "quantize", "reason": "-",
              "seed": 0, "data_checksum": "c"}
    assert {flag.model for flag in run_checks([outcome(YES), failed])} == {"early"}
