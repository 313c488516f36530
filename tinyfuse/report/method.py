"""What was run, in words, and everything that identifies the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinyfuse.core.results import Row
from tinyfuse.report.view import RunView
from tinyfuse.report.vocabulary import (
    CRITERIA,
    EXECUTORS,
    KINDS,
    NORM_TEXTS,
    NOTHING,
    integer_judge,
    kinds_of,
    profile_text,
    span,
    widest,
)
from tinyfuse.study.summary import FLOAT_EXECUTOR, INTEGER_EXECUTOR


def method(view: RunView) -> list[tuple[str, str]]:
    """How the numbers were made, in words: (term, explanation)."""
    judged = [row for row in view.rows if row["kind"] in ("clean", "attack")]
    attacks = [row for row in judged if row["kind"] == "attack"]
    terms = [*_samples(view, judged), *_executors(view, judged)]
    if attacks:
        budgets = ", ".join(f"{budget:g}" for budget in budgets_of(view))
        terms.append(("Budget", f"{NORM_TEXTS.get(view.norm, view.norm)}, ε = {budgets} in units of the inputs "
                      "(0 to 1), separately for image and audio; true labels"))
        terms += _threats(view, attacks)
        terms += [(f"Profile “{name}”", profile_text(name, [row for row in attacks if row["profile"] == name]))
                  for name in dict.fromkeys(row["profile"] for row in attacks)]
        terms += [(f"Criterion “{name}”", text) for name, text in CRITERIA.items()
                  if any(row["criterion"] == name for row in attacks)]
        terms.append(("Robust accuracy", "worst case, sample by sample: a sample fails if it is misclassified when "
                      "clean or broken by any attack at any budget up to ε; breaking one modality counts for both"))
    terms.append(("Intervals", f"95 % Wilson score intervals{_widest(view)}; comparisons of float and integer by "
                  "McNemar's exact test"))
    return terms


def identity(view: RunView) -> list[tuple[str, str]]:
    """Everything that identifies the run: (name, value)."""
    facts = view.facts
    found: list[tuple[str, str]] = []
    if facts is not None:
        found += [("started", facts.started), ("finished", facts.finished or NOTHING), ("data", facts.data),
                  ("commit", facts.commit), ("seeds", ", ".join(map(str, facts.seeds)))]
        if facts.peak_memory_worker_mib:
            found.append(("largest worker process", gib(facts.peak_memory_worker_mib)))
        found += [(name, _text(value)) for name, value in facts.settings.items()]
        found += [(f"version of {name}", version) for name, version in facts.versions.items()]
    sums = sorted({row["data_checksum"] for row in view.rows})
    found += [("data checksum", checksum) for checksum in sums]
    return [(name, value) for name, value in found if value]


def budgets_of(view: RunView) -> list[float]:
    """The budgets that were attacked in the norm of the page."""
    return sorted({float(row["epsilon"]) for row in view.rows if row["kind"] == "attack" and row["norm"] == view.norm})


def duration(seconds: float) -> str:
    """Seconds in the units that a reader expects."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def gib(mib: float) -> str:
    """Mebibytes in the unit that a reader expects."""
    return f"{mib / 1024:.2f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"


def _samples(view: RunView, judged: Sequence[Row]) -> list[tuple[str, str]]:
    if not judged:
        return []
    last, counts = judged[-1], {kind: span(row["n"] for row in judged if row["kind"] == kind)
                                for kind in ("clean", "attack")}
    attacked = f", {counts['attack']} samples attacked" if any(row["kind"] == "attack" for row in judged) else ""
    text = (f"{last['data']}, {last['split']} split, {last['part']} part, {counts['clean']} samples judged clean"
            f"{attacked}; classes balanced where not all were taken")
    seeds = sorted({row["seed"] for row in judged})
    shown = f"; the figures show seed {view.seed}" if len(seeds) > 1 else ""
    return [("Data", text), (f"Training seed{'s' * (len(seeds) > 1)}", ", ".join(map(str, seeds)) + shown)]


def _executors(view: RunView, judged: Sequence[Row]) -> list[tuple[str, str]]:
    terms = []
    for name, text in EXECUTORS.items():
        if any(row["executor"] == name for row in judged):
            proof = f". Here: {integer_judge(view.summary)}" if name == INTEGER_EXECUTOR else ""
            terms.append((f"Executor “{name}”", text + proof))
    return terms


def _threats(view: RunView, attacks: Sequence[Row]) -> list[tuple[str, str]]:
    floats = [("Threat on float", "the adversary changes the real values that the float network reads by at most ε")]
    found = floats if any(row["executor"] == FLOAT_EXECUTOR for row in attacks) else []
    found += [(f"Threat {kind} on integers" if kind != "T" else "Transfer (T)", KINDS[kind])
              for kind in kinds_of(view.summary)]
    masks = sorted({row["mask"] for row in attacks if row["mask"]})
    return found + ([("Masked attacks", f"in results.jsonl but not shown: {', '.join(masks)}")] if masks else [])


def _widest(view: RunView) -> str:
    shown = [accuracy for line in view.summary for accuracy in line.robust.values()]
    return f", on robust accuracies at most {widest(shown)}" if shown else ""


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
