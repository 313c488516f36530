"""Attack cells that workers do ahead of a sweep: the rows and inputs that the sweep makes alone, one for one."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyfuse.core.files import load_arrays
from tinyfuse.core.results import ResultStore
from tinyfuse.core.workers import Bundle, Processes
from tinyfuse.data import Dataset
from tinyfuse.study.matrix import Matrix
from tinyfuse.study.run import Run
from tinyfuse.study.stages import cell_task
from tinyfuse.study.sweep import sweep

MATRIX = Matrix(models=("plain-late",), recipes=("w6", "minmax6"), mixes=(), epsilons=(0.05, 0.15), steps=2,
                attack_samples=10, clean_samples=10, raw_samples=5, parity_samples=10, calibration_samples=20,
                proof_samples=2, epochs=1, batch_size=50, transfer_from=("float", "w6"))
FORMS, SUITES = ("float", "minmax6", "w6"), ("standard", "raw")


class Elsewhere:
    """Workers that get pickles and copies of files; in truth this process."""

    jobs, away = 1, True

    def __init__(self, folder: Path) -> None:
        self.folder, self.found = folder, dict[tuple[str, ...], Any]()

    def start(self, tasks: Iterable[Any]) -> Iterator[Any]:
        """Do each task when it is asked for."""
        for number, task in enumerate(tasks):
            assert task is not None, "whatever came before has ended"
            function, arguments = pickle.loads(pickle.dumps(task))
            found = function(*(self._there(one, number) for one in arguments))
            if isinstance(found[0], tuple):
                self.found[found[0]] = found[1]
            yield found

    def _there(self, argument: Any, number: int) -> Any:
        given = argument if isinstance(argument, Bundle) else Bundle(argument) if isinstance(argument, Path) else None
        if given is None:
            return argument
        folder = self.folder / f"{number}-{given.path.stem}"
        folder.mkdir(parents=True, exist_ok=True)
        for path in (*given.beside, given.path):
            shutil.copy(path, folder)
        return folder / given.path.name


@pytest.fixture(scope="module")
def serial(tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The sweep in one process; firmware is not measured, as compilers take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinyfuse.study.sweep.measure_all", lambda *told, **more: None)
        folder = tmp_path_factory.mktemp("serial")
        sweep(run_in(folder, tiny_dataset), Processes())
        yield folder


def run_in(folder: Path, dataset: Dataset) -> Run:
    return Run(folder, folder / "models", MATRIX, dataset, 0, ResultStore(folder / "results.jsonl"))


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Rows in their order, but for what the clock says and for what interpreters write when they end."""
    return [{name: value for name, value in row.items() if name not in ("seconds", "train_seconds")}
            for row in ResultStore(folder / "results.jsonl").rows()]


def test_rows_survivors_and_inputs_are_those_of_one_process(serial: Path, tiny_dataset: Dataset, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell comes from a task, none is attacked here, and what is saved is the same to the last bit."""
    folder = tmp_path / "ahead"
    shutil.copytree(serial / "models", folder / "models")
    workers = Elsewhere(tmp_path / "there")
    made_here = []
    monkeypatch.setattr("tinyfuse.study.stages.attack._results", lambda *told: made_here.append(told) or iter(()))
    sweep(run_in(folder, tiny_dataset), workers, attack_here=False)
    modes = {"image", "audio", "all"}
    assert workers.found.keys() == {
        ("plain-late", form, suite, "G", mode) for form in FORMS for suite in SUITES for mode in modes} | {
        ("plain-late", "w6", "standard", "R", mode) for mode in modes} | {
        ("plain-late", form, "transfer", "G", mode) for form in ("float", "w6") for mode in modes}
    assert not made_here and all(found is not None for found in workers.found.values())
    assert rows_of(folder) == rows_of(serial)
    cells = sorted(path.name for path in (serial / "samples").glob("plain-late__*"))
    assert cells and cells == sorted(path.name for path in (folder / "samples").glob("plain-late__*"))
    for name in cells:
        mine, theirs = (load_arrays(one / "samples" / name) for one in (folder, serial))
        assert mine.keys() == theirs.keys()
        assert all(np.array_equal(mine[key], theirs[key]) for key in mine if key != "seconds"), name


def test_what_cannot_be_attacked_is_left_to_the_sweep(serial: Path, tiny_dataset: Dataset, tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that fails on the integers leaves these, and threat model R after them, to the sweep; nothing hangs."""
    def refuse(self: Any, path: Path) -> Any:
        raise ValueError("no such operator")

    monkeypatch.setattr(cell_task.IntegerForm, "open", refuse)
    shutil.copytree(serial / "models", tmp_path / "models")
    small = replace(MATRIX, recipes=("w6",), epsilons=(0.05,), raw_samples=0, transfer_from=())
    run, workers = replace(run_in(tmp_path, tiny_dataset), matrix=small), Elsewhere(tmp_path / "there")
    sweep(run, workers, attack_here=False)
    assert {identity[1:4] for identity, cells in workers.found.items() if cells is None} == {("w6", "standard", "G")}
    unions = run.store.rows("attack", criterion="union")
    assert len(unions) == 3 * 3 and not run.store.rows("failed")
    before = {row["key"]: row["survivors"] for row in ResultStore(serial / "results.jsonl").rows("attack")}
    assert [before[row["key"]] for row in unions] == [row["survivors"] for row in unions]
