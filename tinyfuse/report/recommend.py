"""Three recipes to start from: the best, the smallest that works, and one in between, with reasons."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tinyfuse.report.summary import SummaryRow
from tinyfuse.study.worst_case import FLOAT_EXECUTOR

_QUALITY_MARGIN = 0.01
_COMPACT_MARGIN = 0.03


@dataclass(frozen=True)
class Recommendation:
    """One recommended (model, precision) and one sentence that says by which rule it was chosen."""

    title: str
    line: SummaryRow
    reason: str


@dataclass(frozen=True)
class _Candidate:
    """What decides about an integer model: accuracies as shares (robust: -1 if unknown), and packed bytes."""

    line: SummaryRow
    clean: float
    worst: float
    size: int


def recommendations(summary: Iterable[SummaryRow]) -> list[Recommendation]:
    """Choose "quality", "balanced" and "compact" among the integer models of one seed.

    Fusion models are preferred: a model with one input competes only when there is no fusion model. Empty
    when no integer model has a size and a clean accuracy.
    """
    usable = [_Candidate(line, line.clean.value, -1.0 if line.worst_robust is None else line.worst_robust,
                         max(line.packed_bytes, 1)) for line in summary
              if line.executor != FLOAT_EXECUTOR and line.clean is not None and line.packed_bytes is not None]
    candidates = [one for one in usable if len(one.line.inputs) > 1] or usable
    if not candidates:
        return []
    best = max(one.clean for one in candidates)
    quality = max((one for one in candidates if one.clean >= best - _QUALITY_MARGIN),
                  key=lambda one: (one.worst, one.clean, -one.size))
    roomy = [one for one in candidates if one.clean >= best - _COMPACT_MARGIN]
    compact = min(roomy, key=lambda one: (one.size, -one.worst, -one.clean))
    balanced = min(roomy, key=lambda one: (_distance(one, roomy), one.size))
    return [Recommendation("Quality", quality.line, _why_quality(quality, candidates)),
            Recommendation("Balanced", balanced.line, "closest to the ideal corner of log size and worst-case robust "
                           f"accuracy among the {len(roomy)} recipes within 3 points of the best clean accuracy."),
            Recommendation("Compact", compact.line, f"smallest packed size of the {len(roomy)} recipes within 3 points "
                           f"of the best clean accuracy ({100 * best:.1f} %).")]


def _why_quality(one: _Candidate, candidates: Sequence[_Candidate]) -> str:
    reason = "highest worst-case robust accuracy of the recipes within 1 point of the best clean accuracy"
    worst = min(one.line.robust.values(), key=lambda accuracy: accuracy.value, default=None)
    if worst is None:
        return "highest clean accuracy; no attack has been evaluated yet."
    close = sum(other is not one and worst.low <= other.worst <= worst.high for other in candidates)
    if not close:
        return reason + "."
    return (f"{reason}; {close} of the {len(candidates) - 1} others lie inside its 95 % interval "
            f"at n={worst.n}, so a larger sample may change the order.")


def _distance(one: _Candidate, candidates: Sequence[_Candidate]) -> float:
    """Return Euclidean distance to the ideal corner, both axes scaled to 0..1 over the candidates."""
    def scaled(value: float, values: Sequence[float]) -> float:
        span = max(values) - min(values)
        return (value - min(values)) / span if span else 0.0

    return math.hypot(scaled(math.log(one.size), [math.log(other.size) for other in candidates]),
                      1 - scaled(one.worst, [other.worst for other in candidates]))
