"""A subject that cannot be attacked costs its own figures and the exit code, not the sweep."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tinyfuse.checks.gating import check_run
from tinyfuse.core.errors import DataError, GateError, ModelError, ParityError, TinyfuseError
from tinyfuse.core.results import ResultStore
from tinyfuse.study.sweep import _failing


@pytest.fixture
def run(tmp_path: Path) -> Any:
    return SimpleNamespace(store=ResultStore(tmp_path / "results.jsonl"), seed=0, folder=tmp_path,
                           dataset=SimpleNamespace(checksum="c"))


@pytest.mark.parametrize("error", [TinyfuseError("gradient is NaN"), ModelError("no such operator")])
def test_it_becomes_a_row_and_fails_the_gate(run: Any, error: TinyfuseError) -> None:
    with _failing(run, SimpleNamespace(name="early"), "w6"):
        raise error
    (row,) = run.store.rows("failed")
    assert (row["model"], row["precision"], row["stage"], row["reason"]) == ("early", "w6", "attack", str(error))
    with pytest.raises(GateError, match="early w6 could not be attacked"):
        check_run(run.store, [])


@pytest.mark.parametrize("error", [DataError("disk full"), ParityError("codes differ")])
def test_what_spoils_the_whole_run_ends_it(run: Any, error: TinyfuseError) -> None:
    with pytest.raises(type(error)), _failing(run, SimpleNamespace(name="early"), "w6"):
        raise error
    assert not run.store.rows()
