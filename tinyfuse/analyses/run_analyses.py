"""Runs analyses of one model and keeps what they find as rows: what the file holds is not computed again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tinyfuse.analyses import ANALYSES
from tinyfuse.analyses.analysis import Analysis, Finding
from tinyfuse.analyses.subject import NEEDS, AnalysisSubject
from tinyfuse.core.console import progress
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.core.results import ResultStore, Row, row_key
from tinyfuse.core.strict import decode, encode, settings_line
from tinyfuse.data.samples import Samples

DONE = "seconds"
"""The quantity of the last row of each analysis: it is complete, and took that long."""


def describe() -> list[str]:
    """Return a line for each analysis, with its settings and their defaults."""
    return [settings_line(name, kind()) for name, kind in ANALYSES.items()]


def analyses_of(names: Sequence[str], settings: Mapping[str, Mapping[str, Any]]) -> list[Analysis]:
    """Return the analyses ``names`` (none: all of them), with ``settings`` by name; UsageError if one is unknown."""
    chosen = list(dict.fromkeys(names)) or list(ANALYSES)
    for name in (*chosen, *settings):
        if name not in ANALYSES:
            raise UsageError(f"unknown analysis '{name}'{nearest(name, ANALYSES)}; choose of {', '.join(ANALYSES)}")
    for name in settings:
        if name not in chosen:
            raise UsageError(f"settings of {name}, which is not among the analyses {', '.join(chosen)}; leave them out")
    return [decode(ANALYSES[name], settings.get(name, {}), name, UsageError) for name in chosen]


def fitting(analyses: Sequence[Analysis], subject: AnalysisSubject, *, asked: bool,
            report: Callable[[str], None]) -> list[Analysis]:
    """Return those ``analyses`` that ``subject`` can carry, and tell ``report`` about others.

    If they were ``asked`` for by name, one that it cannot carry is a UsageError.
    """
    found = []
    for one in analyses:
        lacking = [NEEDS[need][1] for need in one.needs if not NEEDS[need][0](subject)]
        if lacking and asked:
            raise UsageError(f"{one.name} needs {' and '.join(lacking)}, which {subject.model} {subject.precision} has "
                             "not; leave it out, or give another model")
        if lacking:
            report(f"{one.name} left out: it needs {' and '.join(lacking)}")
        else:
            found.append(one)
    return found


def run_analyses(analyses: Sequence[Analysis], subject: AnalysisSubject, samples: Samples,
                 store: ResultStore) -> list[Row]:
    """Run ``analyses`` on ``samples`` and append to ``store`` what they find; return their rows, old and new."""
    return [row for one in analyses for row in _rows_of(one, subject, samples, store)]


def _rows_of(analysis: Analysis, subject: AnalysisSubject, samples: Samples, store: ResultStore) -> Iterator[Row]:
    common = _common(analysis, subject, samples)
    done = _key(common, DONE, {})
    if not store.has(done):
        began = time.monotonic()
        with progress(analysis.name, analysis.work(subject, samples)) as advance:
            for finding in analysis.run(subject, samples, advance):
                store.append(_row(common, finding))
        took = round(time.monotonic() - began, 3)
        store.append(_row(common, Finding(DONE, {}, took, len(samples))))
    mine = {name: common[name] for name in ("model", "precision", "seed", "data_checksum", "analysis", "settings")}
    for row in store.rows("analysis", **mine):
        if row["key"] == _key(common, row["quantity"], row["of"]):
            yield row


def _common(analysis: Analysis, subject: AnalysisSubject, samples: Samples) -> dict[str, Any]:
    """What the rows of one analysis share; with "sha256" and "samples", which tell them apart but are no fields."""
    return {"kind": "analysis", "model": subject.model, "precision": subject.precision, "executor": subject.executor,
            "seed": subject.seed, "data_checksum": subject.dataset.checksum, "analysis": analysis.name,
            "settings": encode(analysis), "sha256": subject.sha256, "samples": len(samples)}


def _key(common: Mapping[str, Any], quantity: str, of: Mapping[str, str]) -> str:
    return row_key({**common, "quantity": quantity, "of": dict(of)})


def _row(common: Mapping[str, Any], finding: Finding) -> Row:
    fields = {name: value for name, value in common.items() if name not in ("sha256", "samples")}
    each = None if finding.each is None else [_number(one) for one in finding.each]
    return {**fields, "key": _key(common, finding.quantity, finding.of), "quantity": finding.quantity,
            "of": dict(finding.of), "value": _number(finding.value), "low": _number(finding.low),
            "high": _number(finding.high), "each": each, "status": finding.status, "n": finding.n}


def _number(value: Any) -> float | None:
    """Return a finite number, or None: infinite and NaN values mean that there is none."""
    return None if value is None or not np.isfinite(value) else float(value)
