"""Does anything break a model that its own gradients did not? Points 9 and 17: signs that gradients are masked."""

from __future__ import annotations

import numpy as np

from tinyfuse.attacks.registry import GRADIENT_FREE
from tinyfuse.checks import probe_names
from tinyfuse.checks.line_rows import (
    Evidence,
    budget_of,
    budget_text,
    clean_survivors,
    grouped,
    points,
    shared_cells,
    survivors_of,
    survivors_within,
    where,
)
from tinyfuse.checks.registry import Answer, Finding, Missing, register
from tinyfuse.core.results import Row

_AUTOATTACK_LIMIT = 0.002


@register("K", 9, "black-box-beats-white-box", "W",
          "attacks without the model's own gradients broke samples that those with them missed")
def _black_box_beats_white_box(evidence: Evidence) -> Answer:
    """AutoAttack's flag: more than 0.2 % of the samples. Transfer from another precision counts as black box."""
    probe = evidence.worst(probe_names.BLACK_BOX_ONLY)
    compared = probe is not None
    worst, text = (float(probe["value"]), f"n={probe['n']}{where(probe)}") if probe else (0.0, "")
    for budget, mine, theirs in shared_cells(evidence.white_box, evidence.others):
        compared = True
        for label, rows in _by_origin(theirs).items():
            share = _missed(evidence, mine, rows, budget)
            if share > worst:
                worst, text = share, f"{label}, {budget_text(budget)}, n={rows[0]['n']}"
    if not compared:
        return Missing("no budget was attacked both with the model's own gradients and without")
    level = "W" if worst > _AUTOATTACK_LIMIT else "I"
    return Finding(level, f"{worst:.1%} of the samples fall only without the model's own gradients ({text})") \
        if worst else None


@register("T", 17, "transfer-only", "W",
          "robustness by transfer only: an upper bound until the model itself is attacked")
def _transfer_only(evidence: Evidence) -> Answer:
    if not evidence.attacks:
        return Missing("no attack rows")
    if evidence.white_box:
        return None
    origin = ", ".join(sorted({_origin(row) for row in evidence.attacks}))
    return Finding("W", f"the inputs were made with {origin} and replayed or searched here: an upper bound")


@register("Tx", 17, "foreign-gradients-are-stronger", "W",
          "inputs made for another precision are stronger than the model's own, a sign of masked gradients")
def _foreign_gradients_are_stronger(evidence: Evidence) -> Answer:
    """The transfer matrix, column by column: own gradients must leave the fewest samples correct."""
    foreign = [row for row in evidence.others if row["attack"] not in GRADIENT_FREE]
    worst, text, compared = _AUTOATTACK_LIMIT, "", False
    for budget, mine, theirs in shared_cells(evidence.white_box, foreign):
        own = survivors_within([row for row in mine if budget_of(row) == budget], budget)
        for (source,), rows in grouped([row for row in theirs if budget_of(row) == budget], ("source",)).items():
            other = survivors_within(rows, budget)
            compared = True
            gap = 0.0 if own is None or other is None else float(np.mean(own) - np.mean(other))
            if gap > worst:
                worst, text = gap, f"gradients of {source} leave {points(gap)} fewer correct ({budget_text(budget)})"
    if not compared:
        return Missing("no budget was attacked both with own gradients and with those of another precision")
    return Finding("W", text) if text else None


def _origin(row: Row) -> str:
    return str(row["attack"]) if row["attack"] in GRADIENT_FREE else f"gradients of {row['source']}"


def _by_origin(rows: list[Row]) -> dict[str, list[Row]]:
    origins: dict[str, list[Row]] = {}
    for row in rows:
        origins.setdefault(_origin(row), []).append(row)
    return origins


def _missed(evidence: Evidence, mine: list[Row], theirs: list[Row], budget: tuple[float, float]) -> float:
    """Share of samples that ``theirs`` broke at ``budget`` and that survived all of ``mine`` up to it."""
    left = survivors_within(mine, budget)
    broken = [~survivors_of(row) for row in theirs if budget_of(row) == budget]
    if left is None or not broken:
        return 0.0
    clean = clean_survivors(evidence.rows, mine[0]["executor"]).get(len(left), np.True_)
    return float(np.mean(left & clean & np.logical_or.reduce(broken)))
