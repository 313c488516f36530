"""Attacks before the front end as a page shows them: rows, what the checks find, and waves to listen to."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinyfuse.checks.gating import SCENE_STAGE
from tinyfuse.checks.line_rows import group_by
from tinyfuse.checks.run_checks import Flag
from tinyfuse.core.errors import DataError
from tinyfuse.core.files import read_limited
from tinyfuse.core.results import Row
from tinyfuse.study.row_text import findings, flag_text
from tinyfuse.study.saved_waves import FOLDER, MAX_WAVE_BYTES, SavedWave, read_waves
from tinyfuse.threats.budget_text import sizes_text
from tinyfuse.threats.frame_budgets import FRAME
from tinyfuse.threats.scene_budgets import SCENE
from tinyfuse.threats.wave_budgets import WAVE

_WAY = ("air", "frontend", "camera")
_HEAD = ("model", "precision", "executor", "attack", "input", "change", "correct", "%", "95 % interval")


def is_wave(row: Row) -> bool:
    """Tell whether ``row`` is about recordings or frames before the front end."""
    return row.get("threat") in (WAVE, FRAME, SCENE)


def only_waves(rows: Sequence[Row]) -> bool:
    """Tell whether ``rows`` are what attacks before the front end left, and no run of anything else."""
    return any(map(is_wave, rows)) and all(is_wave(row) or row["kind"] == "probe" for row in rows)


def wave_section(rows: Sequence[Row], folder: str | Path) -> dict[str, Any]:
    """Return for templates the rows about recordings and frames and the waves in ``folder``; empty without any."""
    own = [row for row in rows if is_wave(row)]
    if not own:
        return {}
    return {"head": _HEAD, "rows": [_cells(row) for row in own],
            "flags": [*dict.fromkeys(map(flag_text, wave_flags(own))), *_failed(rows)],
            "waves": [_shown(one, Path(folder) / FOLDER) for one in read_waves(folder)]}


def wave_flags(rows: Sequence[Row]) -> list[Flag]:
    """Find what the checks say of rows before the front end among ``rows``.

    They are parted by the way from the scene to the model, as clean recordings or frames differ with it.
    """
    found = group_by(filter(is_wave, rows), lambda row: (row["threat"], *map(row["attack"].get, _WAY)))
    return [flag for group in found.values() for flag in findings(group)]


def _failed(rows: Sequence[Row]) -> list[str]:
    return [f"{row['model']} {row['precision']} could not be attacked before the front end: {row['reason']}"
            for row in rows if row["kind"] == "failed" and row["stage"] == SCENE_STAGE]


def _cells(row: Row) -> list[str]:
    norms, sizes = row["norm"].split("+"), sizes_text(row["norm"], row["budget"]).values()
    change = [" and ".join(map(" ".join, zip(norms, sizes, strict=True)))] if sizes else []
    return [row["model"], row["precision"], row["executor"], row["attack"]["name"] if change else "clean",
            " and ".join(row["attacked"]), *(change or [""]), f"{row['correct']} of {row['n']}",
            f"{100 * row['accuracy']:.1f}", f"{100 * row['ci_low']:.1f} to {100 * row['ci_high']:.1f}"]


def _shown(one: SavedWave, folder: Path) -> dict[str, Any]:
    sounds = [base64.b64encode(read_limited(folder / file, MAX_WAVE_BYTES, DataError)).decode("ascii")
              for file in (one.clean_file, one.attacked_file)]
    return {"wave": one, "clean": sounds[0], "attacked": sounds[1]}
