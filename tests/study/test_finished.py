"""A finished folder is known again; whatever is asked, made or changed otherwise is looked at closely."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import row_makers

from tinyfuse.checks.gating import ATTACK_STAGE
from tinyfuse.core.results import ResultStore, row_key
from tinyfuse.study.finished import folder_of, has_page, identify, is_finished, mark_finished


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "runs" / "mine"
    for name in ("results.jsonl", "models/early.keras", "report/index.html", "summary.csv"):
        (found / name).parent.mkdir(parents=True, exist_ok=True)
        (found / name).write_text("x\n")
    return found


def mark(folder: Path, identity: str, *rows: dict[str, object]) -> None:
    store = ResultStore()
    for row in rows:
        store.append(row)
    mark_finished(folder, identity, store)


def test_the_same_request_finds_its_folder(folder: Path) -> None:
    identity = identify({"seed": 0, "matrix": {"steps": 5}}, None)
    assert not is_finished(folder, identity) and folder_of(identity, folder.parent) is None
    mark(folder, identity)
    assert is_finished(folder, identity) and has_page(folder) and folder_of(identity, folder.parent) == folder
    (folder / "summary.csv").write_text("made again")
    assert is_finished(folder, identity)
    other = identify({"seed": 1, "matrix": {"steps": 5}}, None)
    assert other != identity and not is_finished(folder, other) and folder_of(other, folder.parent) is None


@pytest.mark.parametrize("change", [
    lambda folder: (folder / "models/early.keras").write_text("y\n"),
    lambda folder: (folder / "results.jsonl").write_text("x\nx\n"),
    lambda folder: (folder / "models/early.keras").unlink(),
    lambda folder: (folder / "models/more").write_text(""),
    lambda folder: (folder / "finished.json").write_text("{")], ids=["other bytes", "rows", "lost", "more", "damaged"])
def test_a_changed_folder_is_looked_at(folder: Path, change: Callable[[Path], object]) -> None:
    mark(folder, "a")
    change(folder)
    assert not is_finished(folder, "a")


def test_a_page_made_for_another_budget_is_not_the_page(folder: Path) -> None:
    mark(folder, "a")
    (folder / "report/index.html").write_text("another\n")
    assert is_finished(folder, "a") and not has_page(folder)


def test_changed_data_are_other_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.wav").write_bytes(b"1")
    before = identify({}, str(data))
    assert identify({}, str(data)) == before
    (data / "b.wav").write_bytes(b"2")
    assert identify({}, str(data)) != before


def test_a_changed_file_that_an_option_names_is_another_request(tmp_path: Path) -> None:
    table = tmp_path / "dataset.toml"
    table.write_text("a = 1")
    before = identify({"table": str(table)}, None)
    table.write_text("a = 12")
    assert identify({"table": str(table)}, None) != before


@pytest.mark.parametrize("stage", [ATTACK_STAGE, "firmware run"])
def test_what_another_attempt_may_bring_keeps_it_open(folder: Path, stage: str) -> None:
    failed = {"kind": "failed", "model": "early", "precision": "w6", "stage": stage, "reason": "no memory", "seed": 0,
              "data_checksum": "c"}
    mark(folder, "a", {**failed, "key": row_key(failed)})
    assert not is_finished(folder, "a")
    mark(folder, "a", row_makers.parity())
    assert is_finished(folder, "a")
