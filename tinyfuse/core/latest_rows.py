"""Which rows of a run belong together: one data set, and of repeated measurements the last."""

from __future__ import annotations

from collections.abc import Iterable

from tinyfuse.core.results import Row

_OUTCOMES = {"key", "correct", "accuracy", "ci_low", "ci_high", "survivors", "zero_gradient_share", "seconds",
             "queries"}
_FINDINGS = {"key", "value", "values", "differing", "max_abs", "argmax_differing"}
_LINE = {"kind", "model", "precision", "seed", "core", "stage"}


def current_rows(rows: Iterable[Row]) -> tuple[list[Row], list[str]]:
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
    kept = [row for row in known if (row["kind"] not in ("clean", "attack") or _scope(row) == scope) and
            checksums.get(row["seed"], row["data_checksum"]) == row["data_checksum"]]
    newest = {_settings(row): row for row in kept}
    current = [row for row in kept if newest[_settings(row)] is row]
    notes = [(len(known) - len(kept), "of other data, splits or earlier versions of the data are not shown"),
             (len(kept) - len(current), "were measured again later under the same settings and are not shown")]
    return current, [f"{count} rows {text}" for count, text in notes if count]


def _scope(row: Row) -> tuple[object, ...]:
    return row["data"], row["split"], row["part"]


def _settings(row: Row) -> tuple[object, ...]:
    if row["kind"] in ("clean", "attack"):
        measured = _OUTCOMES
    elif row["kind"] in ("parity", "probe"):
        measured = _FINDINGS
    else:
        measured = row.keys() - _LINE
    return tuple(value for name, value in row.items() if name not in measured)
