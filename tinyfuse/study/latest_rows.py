"""Which rows of a run belong together: one data set, and of repeated measurements the last."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tinyfuse.core.results import Row

_OUTCOMES = {"key", "correct", "accuracy", "ci_low", "ci_high", "survivors", "zero_gradient_share", "seconds",
             "queries"}
_FINDINGS = {"key", "value", "values", "differing", "max_abs", "argmax_differing"}
_MEASURED = {"clean": _OUTCOMES, "attack": _OUTCOMES, "parity": _FINDINGS, "probe": _FINDINGS,
             "analysis": {"key", "value", "low", "high", "each", "status"}}
_LINE = {"kind", "model", "precision", "seed", "core", "stage"}


def latest_rows(rows: Iterable[Row]) -> tuple[list[Row], list[str]]:
    """Keep the rows that belong together: those of the data set and split written last, newest data per seed.

    Of several measurements under the same settings the last one counts: the network was trained again in between.
    Returns the rows and one sentence for each group that was left out.
    """
    known = list(rows)
    judged = [row for row in known if row["kind"] in ("clean", "attack")]
    if not judged:
        return known, []
    scope = _scope(judged[-1])
    checksums = {row["seed"]: row["data_checksum"] for row in judged if _scope(row) == scope}
    same_data = [row for row in known if (row["kind"] not in ("clean", "attack") or _scope(row) == scope) and
            checksums.get(row["seed"], row["data_checksum"]) == row["data_checksum"]]
    newest = {_settings(row): row for row in same_data}
    latest = [row for row in same_data if newest[_settings(row)] is row]
    notes = [(len(known) - len(same_data), "of other data, splits or earlier versions of the data are not shown"),
             (len(same_data) - len(latest), "were measured again later under the same settings and are not shown")]
    return latest, [f"{count} rows {text}" for count, text in notes if count]


def _scope(row: Row) -> tuple[object, ...]:
    return row["data"], row["split"], row["part"]


def _settings(row: Row) -> str:
    """Write everything in ``row`` that says what was measured as text."""
    measured = _MEASURED.get(row["kind"], row.keys() - _LINE)
    return json.dumps({name: value for name, value in row.items() if name not in measured}, sort_keys=True)
