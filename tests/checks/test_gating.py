"""Which findings end a command, with which exit code; the letters that --help and the documents name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import row_makers

from tinyfuse.checks.gating import ATTACK_STAGE, check_run, unattacked
from tinyfuse.checks.run_checks import GATING, Flag, lost_models, run_checks
from tinyfuse.cli import bench
from tinyfuse.core.errors import GateError, ParityError
from tinyfuse.core.results import ResultStore, Row, row_key

DOCS = Path(__file__).resolve().parents[2] / "docs"


def flag(code: str, level: str = "E") -> Flag:
    return Flag(code, level, "early", "w6", 0, "something")


def failed(reason: str = "no finite gradient") -> Row:
    row = {"kind": "failed", "model": "early", "precision": "w6", "stage": ATTACK_STAGE, "reason": reason, "seed": 0,
           "data_checksum": "c"}
    return {**row, "key": row_key(row)}


def attack(**changes: Any) -> Row:
    return row_makers.outcome(np.ones(4, bool), attacked=("image",), epsilon=0.1, precision="w6",
                              **{"source": "w6", "threat": "codes", **changes})


@pytest.mark.parametrize("code", GATING)
def test_an_error_of_these_checks_ends_with_4(code: str) -> None:
    with pytest.raises(GateError, match=f"check {code}"):
        check_run(ResultStore(), [flag("D"), flag(code)])


def test_warnings_and_lost_models_do_not() -> None:
    check_run(ResultStore(), [flag("D"), *(flag(code, "W") for code in GATING)])


def test_another_arithmetic_ends_with_3() -> None:
    store = ResultStore()
    store.append(row_makers.parity(2))
    with pytest.raises(ParityError, match="2 of 500 output codes"):
        check_run(store, [flag("U")])


def test_a_model_that_lost_its_accuracy_is_told_apart() -> None:
    right = np.arange(100) < 95
    rows = [row_makers.outcome(right), row_makers.outcome(right & (np.arange(100) > 20), precision="w6")]
    assert [one.code for one in lost_models(run_checks(rows))] == ["D"]


def test_a_later_attempt_with_its_own_gradients_mends_a_failed_one() -> None:
    assert unattacked([failed()]) == [failed()]
    assert unattacked([failed(), attack()]) == [] == unattacked([failed(), row_makers.parity(precision="w6")])
    assert unattacked([attack(), failed()]) == [failed()]
    assert unattacked([failed(), attack(source="float", criterion="replayed")]) == [failed()]
    assert unattacked([failed(), attack(), failed("again")]) == [failed("again")]


def test_help_and_documents_name_the_letters() -> None:
    named = re.search(r"ended in an error \(([^)]*)\)", " ".join(bench.EXAMPLES.split()))
    assert named is not None and tuple(re.findall(r"[A-Z][a-z]?", named[1])) == GATING
    text = " ".join((DOCS / "threats.md").read_text(encoding="utf-8").split())
    said = re.search(r"Errors of (.*?) end a command with exit code 4", text)
    assert said is not None and tuple(re.findall(r"[A-Z][a-z]?", said[1])) == GATING
