"""Robust accuracy against ε for each line of the table: worst cases, transfer, and the literature's way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tinyfuse.checks.line_rows import clean_survivors
from tinyfuse.core.results import Row
from tinyfuse.study.summary import (
    ATTACKED,
    FLOAT,
    FLOAT_EXECUTOR,
    Accuracy,
    CurvePoint,
    SummaryRow,
    accuracy_of,
    last_iterate,
    worst_case,
)

LITERATURE = "paper"
"""The profile whose last iterates are the literature's protocol."""
Track = dict[str, list[CurvePoint]]


@dataclass(frozen=True)
class LineCurves:
    """Curves of one (model, precision) by attacked modality, with rising budgets; empty where nothing was measured.

    ``start``: clean accuracy on the attacked samples. ``own``: the worst case, for integers in threat model G.
    ``real``: threat model R. ``transfer``: made on the float network. ``literature``: by attack, last iterate only.
    """

    start: Accuracy | None = None
    own: Track = field(default_factory=dict)
    real: Track = field(default_factory=dict)
    transfer: Track = field(default_factory=dict)
    literature: dict[str, Track] = field(default_factory=dict)

    def of(self, kind: str) -> Track:
        """The curves of G, R or T."""
        return {"G": self.own, "R": self.real, "T": self.transfer}[kind]


def curves_of(rows: Sequence[Row], lines: Sequence[SummaryRow], norm: str) -> dict[tuple[str, str], LineCurves]:
    """The curves of each of ``lines``, all of one seed."""
    groups: dict[tuple[str, str, int], list[Row]] = defaultdict(list)
    for row in rows:
        if row["kind"] in ("clean", "attack"):
            groups[row["model"], row["precision"], row["seed"]].append(row)
    return {(line.model, line.precision): _curves(groups[line.model, line.precision, line.seed], line, norm)
            for line in lines}


def _curves(rows: Sequence[Row], line: SummaryRow, norm: str) -> LineCurves:
    def track(chosen: Sequence[Row], **wanted: str) -> Track:
        found = {modality: worst_case(chosen, line.model, line.precision, line.executor, modality, norm=norm,
                                      threat=wanted.get("threat"), criterion=wanted.get("criterion"))
                 for modality in ATTACKED}
        return {modality: points for modality, points in found.items() if points}

    own = track(rows)
    rounds = line.executor != FLOAT_EXECUTOR
    replayed = [row for row in rows if row["kind"] == "clean" or row["source"] == FLOAT]
    return LineCurves(_start(rows, line, own), own, track(rows, threat="real") if rounds else {},
                      track(replayed, criterion="replayed") if rounds else {}, _literature(rows, line, norm))


def _start(rows: Sequence[Row], line: SummaryRow, own: Track) -> Accuracy | None:
    verdicts = clean_survivors(rows, line.executor)
    attacked = next((points[0].accuracy.n for points in own.values()), None)
    return accuracy_of(verdicts[attacked]) if attacked in verdicts else line.clean


def _literature(rows: Sequence[Row], line: SummaryRow, norm: str) -> dict[str, Track]:
    mine = [row for row in rows if row["profile"] == LITERATURE]
    tracks: dict[str, Track] = {}
    for attack in sorted({row["attack"] for row in mine if row["criterion"] == "last-iterate"}):
        found = {modality: last_iterate(mine, line.model, line.precision, line.executor, modality, attack, norm=norm)
                 for modality in ATTACKED}
        tracks[attack] = {modality: points for modality, points in found.items() if points}
    return tracks
