"""Each check fires on a planted fault, names its numbers, and stays silent without one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tinyfuse.evaluate.checks import CHECKS, LEVELS, Flag, letters, run_checks
from tinyfuse.results import Row

Maker = Callable[..., Row]
YES = [1] * 10


def found(rows: Sequence[Row], code: str) -> list[Flag]:
    """The flags with this letter."""
    return [flag for flag in run_checks(rows) if flag.code == code]


def first(count: int, n: int = 10) -> list[int]:
    """The first ``count`` samples survive."""
    return [1] * count + [0] * (n - count)


def test_registry_is_consistent() -> None:
    """Letters are unique capitals with a sentence."""
    for code, check in CHECKS.items():
        assert code == check.code and len(code) == 1 and code.isupper() and len(check.title) > 20


def test_monotonicity_events_are_counted_before_the_union(make_outcome: Maker) -> None:
    """Two of ten samples recover at a larger budget; the same attack only."""
    rows = [make_outcome([0, 0, 0, *YES[3:]], modality="image", epsilon=0.01),
            make_outcome([1, 1, 0, *YES[3:]], modality="image", epsilon=0.1)]
    (flag,) = found(rows, "M")
    assert flag.level == "W" and "20.0%" in flag.text and "pgd on image" in flag.text
    assert not found([rows[0], make_outcome(YES, modality="audio", epsilon=0.1)], "M")
    assert not found([rows[0], make_outcome(YES, modality="image", epsilon=0.1, attack="fgsm")], "M")
    assert not found([make_outcome(first(8), modality="image", epsilon=0.01),
                      make_outcome(first(2), modality="image", epsilon=0.1)], "M")


def test_rare_monotonicity_events_are_information(make_outcome: Maker) -> None:
    """One of 200 samples is worth a sentence, not a letter."""
    lost = np.ones(200)
    lost[0] = 0
    rows = [make_outcome(lost, modality="image", epsilon=0.01),
            make_outcome(np.ones(200), modality="image", epsilon=0.1)]
    (flag,) = found(rows, "M")
    assert flag.level == "I" and letters([flag], ("early", "float", 0)) == ()


def test_pgd_weaker_than_fgsm(make_outcome: Maker) -> None:
    """Samples that only FGSM broke, at the same budget; replayed inputs prove nothing."""
    rows = [make_outcome(first(5), modality="image", epsilon=0.1, attack="fgsm"),
            make_outcome(first(8), modality="image", epsilon=0.1)]
    (flag,) = found(rows, "P")
    assert flag.level == "W" and "30.0%" in flag.text
    replayed = [{**row, "precision": "w8", "executor": "tflm", "criterion": "replayed"} for row in rows]
    assert [flag.level for flag in found(replayed, "P")] == ["I"]
    assert not found([rows[0], make_outcome(first(8), modality="image", epsilon=0.05)], "P")
    assert not found([rows[0], make_outcome(first(4), modality="image", epsilon=0.1)], "P")


def test_both_must_not_be_weaker_than_one(make_outcome: Maker) -> None:
    """Before singles are carried over: 6 survive the attack on both, only 4 the one on audio."""
    single = make_outcome(first(4), modality="audio", epsilon=0.1)
    (flag,) = found([single, make_outcome(first(6), modality="both", epsilon=0.1)], "B")
    assert flag.level == "W" and "20.0 points" in flag.text and "audio alone at ε=0.1" in flag.text
    assert not found([single, make_outcome(first(4), modality="both", epsilon=0.1)], "B")
    assert not found([single, make_outcome(first(6), modality="both", epsilon=0.05)], "B")


@pytest.mark.parametrize(("share", "levels"), [(None, []), (0.0, []), (0.005, ["I"]), (0.02, ["W"])])
def test_zero_gradients(make_outcome: Maker, share: float | None, levels: list[str]) -> None:
    """The threshold is one percent of the samples."""
    rows = [make_outcome(YES, modality="image", epsilon=0.1, zero_gradient_share=share)]
    assert [flag.level for flag in found(rows, "G")] == levels


def test_wide_intervals(make_outcome: Maker) -> None:
    """Ten samples are too few, ten thousand of ten thousand are not."""
    (flag,) = found([make_outcome(YES)], "N")
    assert "27.8 points" in flag.text and "n=10" in flag.text
    assert not found([make_outcome(np.ones(10_000))], "N")


def test_single_seed(make_outcome: Maker) -> None:
    """Two trainings of the same (model, precision) lift the flag."""
    assert len(found([make_outcome(YES)], "S")) == 1
    assert not found([make_outcome(YES), make_outcome(YES, seed=1)], "S")
    assert len(found([make_outcome(YES), make_outcome(YES, seed=1, precision="w8")], "S")) == 2


def test_transfer_only(make_outcome: Maker) -> None:
    """Replays are an upper bound until rows with the model's own gradients exist."""
    replayed = make_outcome(YES, precision="w8", modality="image", epsilon=0.1, criterion="replayed")
    own = make_outcome(YES, precision="w8", modality="image", epsilon=0.1, source="w8")
    (flag,) = found([replayed], "T")
    assert flag.level == "W" and "upper bound" in flag.text
    assert not found([replayed, own], "T")
    assert not found([make_outcome(YES, modality="image", epsilon=0.1), make_outcome(YES, precision="w8")], "T")


def test_litert_differs(make_outcome: Maker) -> None:
    """Count verdicts, not accuracy: two swapped samples leave the accuracy alone."""
    truth = make_outcome([1, 0, *YES[2:]], precision="w8")
    swapped = make_outcome([0, 1, *YES[2:]], precision="w8", executor="litert")
    (flag,) = found([truth, swapped], "X")
    assert flag.level == "W" and "2 of 10" in flag.text and "XNNPACK" in flag.text
    assert not found([truth, {**truth, "executor": "litert"}], "X")
    assert not found([truth, make_outcome([1, 0], precision="w8", executor="litert")], "X")


@pytest.mark.parametrize(("n", "lost", "levels"), [
    (10, 0, []), (10, 1, ["I"]), (100, 1, []), (100, 7, ["W"]), (100, 20, ["E"]), (10_000, 30, []),
    (10_000, 60, ["W"])])
def test_clean_drop(make_outcome: Maker, n: int, lost: int, levels: list[str]) -> None:
    """A warning needs both significance and half a point; a large certain drop is an error."""
    rows = [make_outcome(np.ones(n)), make_outcome(first(n - lost, n), precision="w6")]
    assert [flag.level for flag in found(rows, "D")] == levels


def test_zero_budget_must_be_clean(make_outcome: Maker) -> None:
    """An attack that may change nothing must change nothing."""
    clean = make_outcome(YES)
    (flag,) = found([clean, make_outcome(first(9), modality="image", epsilon=0.0)], "Z")
    assert flag.level == "E" and "1 verdicts" in flag.text
    assert not found([clean, make_outcome(YES, modality="image", epsilon=0.0)], "Z")


def test_flags_name_their_line_and_errors_come_first(make_outcome: Maker) -> None:
    """Letters of a line are sorted and complete."""
    rows = [make_outcome(YES), make_outcome(first(9), modality="image", epsilon=0.0),
            make_outcome(YES, precision="w8")]
    flags = run_checks(rows)
    order = [list(LEVELS).index(flag.level) for flag in flags]
    assert order == sorted(order) and flags[0].code == "Z"
    assert letters(flags, ("early", "float", 0)) == ("N", "S", "Z")
    assert letters(flags, ("early", "w8", 0)) == ("N", "S")
