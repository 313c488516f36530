"""run.json of a run that is interrupted, continued, repeated, and followed by another in the same folder."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from tinyfuse.core import provenance, run_log
from tinyfuse.core.errors import UsageError
from tinyfuse.core.run_log import RunLog

FACTS = provenance.RunFacts(command="tinyfuse select", started="2026-01-01T00:00:00Z", settings={"widths": (2, 3)})


def run(folder: Path, rows: list[int], facts: provenance.RunFacts, *, finish: bool = True) -> provenance.RunFacts:
    """A run that adds one row for each item of ``rows`` after the first, which counts those that are there."""
    log = RunLog(folder, lambda: rows[0], facts)
    for row in rows[1:]:
        rows[0] += row
        log.write()
    if finish:
        log.finish(12.0)
    return provenance.read_run(folder / "run.json")


def test_times_add_up_until_the_end(tmp_path: Path) -> None:
    """The second process began later; the first start counts, and its seconds."""
    assert run(tmp_path, [0, 1], FACTS, finish=False).finished == ""
    before = provenance.read_run(tmp_path / "run.json")
    replace(before, wall_seconds=100.0, peak_memory_mib=1e6).write(tmp_path / "run.json")
    after = run(tmp_path, [1, 1], replace(FACTS, started="2026-01-02T00:00:00Z"))
    assert after.finished and after.started == FACTS.started and (after.wall_seconds or 0) >= 100
    assert after.peak_memory_mib == 1e6 and after.peak_memory_worker_mib == 12


def test_a_finished_run_without_new_rows_is_left_as_it_is(tmp_path: Path) -> None:
    """Its time is that of the measurements, not of looking at them."""
    run(tmp_path, [0, 1], FACTS)
    before = (tmp_path / "run.json").read_bytes()
    run(tmp_path, [1], FACTS)
    assert (tmp_path / "run.json").read_bytes() == before


def test_another_run_in_the_folder_adds_to_it(tmp_path: Path) -> None:
    """The folder holds what both measured; a run that only reads what is there takes nothing away."""
    replace(run(tmp_path, [0, 1], FACTS), wall_seconds=100.0).write(tmp_path / "run.json")
    other = replace(FACTS, started="2026-01-02T00:00:00Z", settings={"widths": (2, 4)})
    before = (tmp_path / "run.json").read_bytes()
    run(tmp_path, [1], other)
    assert (tmp_path / "run.json").read_bytes() == before
    found = run(tmp_path, [1, 1], other)
    assert found.started == FACTS.started and (found.wall_seconds or 0) >= 100 and found.settings == {"widths": [2, 4]}


def test_the_time_of_a_killed_run_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written again and again, also before the first stage ends, as a run that is still going on."""
    monkeypatch.setattr(run_log, "BEAT_SECONDS", 0.05)
    with pytest.raises(KeyboardInterrupt), RunLog(tmp_path, lambda: 0, FACTS):
        while not (tmp_path / "run.json").exists():
            time.sleep(0.01)
        raise KeyboardInterrupt
    found = provenance.read_run(tmp_path / "run.json")
    assert (found.started, found.finished) == (FACTS.started, "") and found.wall_seconds is not None
    time.sleep(0.2)
    assert provenance.read_run(tmp_path / "run.json") == found


def test_a_run_that_measured_nothing_yet_keeps_the_command_of_the_one_before(tmp_path: Path,
                                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """Until its first stage ended it may still be refused."""
    run(tmp_path, [0, 1], FACTS, finish=False)
    before = (tmp_path / "run.json").read_bytes()
    monkeypatch.setattr(run_log, "BEAT_SECONDS", 0.05)
    other = replace(FACTS, command="tinyfuse bench")
    with RunLog(tmp_path, lambda: 1, other) as log:
        while (tmp_path / "run.json").read_bytes() == before:
            log._began -= 1
            time.sleep(0.01)
        assert provenance.read_run(tmp_path / "run.json").command == FACTS.command
        log.write()
        assert provenance.read_run(tmp_path / "run.json").command == "tinyfuse bench"


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    """Each would write every row."""
    with RunLog(tmp_path, lambda: 0, FACTS) as log:
        with pytest.raises(UsageError, match="another run is at work"), RunLog(tmp_path, lambda: 0, FACTS):
            pass
        log.finish()
    with RunLog(tmp_path, lambda: 0, FACTS):
        pass
