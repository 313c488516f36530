"""A subject that cannot be attacked costs its own figures and the exit code, not the sweep."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tinyfuse.checks.gating import check_run, unconverted
from tinyfuse.cli.options import guarded
from tinyfuse.core.errors import DataError, GateError, ModelError, ParityError, RecipeError, TinyfuseError
from tinyfuse.core.faults import faults_logged
from tinyfuse.core.results import ResultStore
from tinyfuse.quantize.recipe import read_recipe
from tinyfuse.study.network_attacks import failing
from tinyfuse.study.rows import OutcomeLog, Scope
from tinyfuse.study.stages import convert


@pytest.fixture
def run(tmp_path: Path) -> Any:
    store, dataset = ResultStore(tmp_path / "results.jsonl"), SimpleNamespace(checksum="c")
    return SimpleNamespace(store=store, seed=0, folder=tmp_path, dataset=dataset,
                           log=OutcomeLog(store, Scope(dataset, 0)))


@pytest.mark.parametrize("error", [TinyfuseError("gradient is NaN"), ModelError("no such operator")])
def test_it_becomes_a_row_and_fails_the_gate(run: Any, error: TinyfuseError) -> None:
    with failing(run, SimpleNamespace(name="early"), "w6"):
        raise error
    (row,) = run.store.rows("failed")
    assert (row["model"], row["precision"], row["stage"], row["reason"]) == ("early", "w6", "attack", str(error))
    with pytest.raises(GateError, match="early w6 could not be attacked"):
        check_run(run.store, [])


def test_a_fault_of_ours_becomes_a_row_and_a_log_and_the_rest_goes_on(run: Any) -> None:
    for precision in ("w6", "w8"):
        with failing(run, SimpleNamespace(name="early"), precision):
            raise ZeroDivisionError("division\nby zero")
    rows = run.store.rows("failed")
    assert [row["precision"] for row in rows] == ["w6", "w8"]
    assert rows[0]["reason"] == ("fault of tinyfuse: ZeroDivisionError: division by zero (traceback in faults.log; "
                                 "please report it)")
    assert (run.folder / "faults.log").read_text().count("Traceback (most recent call last)") == 2
    with pytest.raises(GateError, match=r"could not be attacked.*faults\.log"):
        check_run(run.store, [])


def test_a_fault_in_a_conversion_fails_the_gate_until_it_is_mended(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, recipe: Any) -> Any:
        raise KeyError("scale") if recipe.name == "w6" else RecipeError("too few bits")

    monkeypatch.setattr(convert.Converter, "publish", broken)
    run.matrix = SimpleNamespace(proof_samples=2, calibration_samples=2,
                                 recipes_for=lambda names: [read_recipe("w6"), read_recipe("w4")])
    run.everything, run.models = SimpleNamespace(balanced=lambda count, seed: None), run.folder
    assert convert.convert_network(run, SimpleNamespace(name="early", input_names=("image",))) == []
    assert [row["precision"] for row in run.store.rows("failed")] == ["w6", "w4"]
    assert [row["precision"] for row in unconverted(run.store.rows())] == ["w6"]
    with pytest.raises(GateError, match="early w6 was not converted: fault of tinyfuse: KeyError: 'scale'"):
        check_run(run.store, [])
    mended = {"kind": "model", "model": "early", "precision": "w6", "seed": 0}
    assert not unconverted([*run.store.rows(), mended])


@pytest.mark.parametrize("folder", ["run", None])
def test_any_other_fault_is_one_line_that_names_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                        monkeypatch: pytest.MonkeyPatch, folder: str | None) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def action(args: argparse.Namespace) -> int:
        with faults_logged(tmp_path / folder) if folder else contextlib.nullcontext():
            raise IndexError("list index out of range")

    assert guarded(action, argparse.Namespace()) == 1
    said = capsys.readouterr().err.replace("\n", " ")
    assert "tinyfuse: fault of tinyfuse: IndexError: list index out of range" in said and "Traceback" not in said
    (log,) = tmp_path.glob("*/faults.log")
    assert "IndexError" in log.read_text() and str(log) in said.replace(" ", "")


@pytest.mark.parametrize("error", [DataError("disk full"), ParityError("codes differ"), OSError("no space left")])
def test_what_spoils_the_whole_run_ends_it(run: Any, error: Exception) -> None:
    with pytest.raises(type(error)), failing(run, SimpleNamespace(name="early"), "w6"):
        raise error
    assert not run.store.rows()
