"""Three recipes to start from: the best, the smallest that works, and one in between, with reasons."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tinyfuse.study.summary import FLOAT_EXECUTOR, SummaryRow

_QUALITY_MARGIN = 0.01
_COMPACT_MARGIN = 0.03
_SINGLE_INPUT = ("image", "audio")


@dataclass(frozen=True)
class Pick:
    """One recommended (model, precision) and one sentence that says by which rule it was chosen."""

    title: str
    line: SummaryRow
    reason: str


def picks(summary: Iterable[SummaryRow]) -> list[Pick]:
    """Choose "quality", "balanced" and "compact" among the integer models of one seed.

    Fusion models are preferred: a model with one input competes only when there is no fusion model. Empty
    when no integer model has a size and a clean accuracy.
    """
    usable = [line for line in summary
              if line.executor != FLOAT_EXECUTOR and line.clean is not None and line.packed_bytes is not None]
    fusion = [line for line in usable if line.model not in _SINGLE_INPUT]
    candidates = fusion or usable
    if not candidates:
        return []
    best = max(_clean(line) for line in candidates)
    quality = max((line for line in candidates if _clean(line) >= best - _QUALITY_MARGIN),
                  key=lambda line: (_worst(line), _clean(line), -_bytes(line)))
    roomy = [line for line in candidates if _clean(line) >= best - _COMPACT_MARGIN]
    compact = min(roomy, key=lambda line: (_bytes(line), -_worst(line), -_clean(line)))
    balanced = min(roomy, key=lambda line: (_distance(line, roomy), _bytes(line)))
    return [Pick("Quality", quality, _why_quality(quality, candidates)),
            Pick("Balanced", balanced, "closest to the ideal corner of log size and worst-case robust "
                 f"accuracy among the {len(roomy)} recipes within 3 points of the best clean accuracy."),
            Pick("Compact", compact, f"smallest packed size of the {len(roomy)} recipes within 3 points of "
                 f"the best clean accuracy ({100 * best:.1f} %).")]


def _why_quality(line: SummaryRow, candidates: Sequence[SummaryRow]) -> str:
    reason = "highest worst-case robust accuracy of the recipes within 1 point of the best clean accuracy"
    worst = min(line.robust.values(), key=lambda accuracy: accuracy.value, default=None)
    if worst is None:
        return "highest clean accuracy; no attack has been evaluated yet."
    close = sum(other is not line and worst.low <= _worst(other) <= worst.high for other in candidates)
    if not close:
        return reason + "."
    return (f"{reason}; {close} of the {len(candidates) - 1} others lie inside its 95 % interval "
            f"at n={worst.n}, so a larger sample may change the order.")


def _distance(line: SummaryRow, candidates: Sequence[SummaryRow]) -> float:
    """Euclidean distance to the ideal corner, both axes scaled to 0..1 over the candidates."""
    return math.hypot(_scaled(math.log(_bytes(line)), [math.log(_bytes(other)) for other in candidates]),
                      1 - _scaled(_worst(line), [_worst(other) for other in candidates]))


def _scaled(value: float, values: Sequence[float]) -> float:
    span = max(values) - min(values)
    return (value - min(values)) / span if span else 0.0


def _clean(line: SummaryRow) -> float:
    return line.clean.value if line.clean else 0.0


def _worst(line: SummaryRow) -> float:
    return -1.0 if line.worst_robust is None else line.worst_robust


def _bytes(line: SummaryRow) -> int:
    return max(line.packed_bytes or 0, 1)
