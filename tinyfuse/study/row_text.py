"""Result rows of single attacks in words, and when their numbers must not be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinyfuse.attacks.registry import GRADIENT_FREE
from tinyfuse.checks.run_checks import LEVELS, Flag, gate, run_checks
from tinyfuse.core.errors import GateError
from tinyfuse.core.results import Row

THREAT_NAMES = {"codes": "codes (G)", "real": "real (R)", "naive": "naive (N)"}


def sentence(row: Row, note: Mapping[str, Any] | None = None) -> str:
    """One result row in words: what was judged, by whom, against what, and how many held.

    ``note``: what ``Rows.notes`` holds for this row.
    """
    share, low, high = (100 * row[name] for name in ("accuracy", "ci_low", "ci_high"))
    against = "clean" if row["kind"] == "clean" else _against(row, note or {})
    return (f"{row['model']} {row['precision']} in {row['executor']}: {against}: {row['correct']} of {row['n']} "
            f"correct, {share:.1f} % (95 % interval {low:.1f} to {high:.1f}){_beside(note or {})}")


def _against(row: Row, note: Mapping[str, Any]) -> str:
    """The attack of a row: its budget and what it really spent, criterion, threat model, mask and origin."""
    each = {name: row[f"epsilon_{name}"] for name in ("image", "audio")}
    same = row["modality"] != "both" or each["image"] == each["audio"]
    said = [f"{row['attack']} on {row['modality']}", f"{row['norm']} " + (
        f"{row['epsilon']:g}" if same else " and ".join(f"{size:g} of {name}" for name, size in each.items()))]
    if "spent" in note:
        spent = " and ".join(f"{size:.4g} of {name}" for name, size in note["spent"].items())
        said[-1] += f" (rounding spends up to {spent})"
    said += [row["criterion"], THREAT_NAMES[row["threat"]]]
    if row["source"] != row["precision"]:
        said.append(f"{'searched on' if row['attack'] in GRADIENT_FREE else 'gradients of'} {row['source']}")
    if row["mask"]:
        said.append(f"mask {row['mask']}")
    if "universal" in note:
        said.append(f"one perturbation made on {note['universal']['train_pairs']} training pairs")
    return ", ".join(said)


def _beside(note: Mapping[str, Any]) -> str:
    if "fooling_rate" in note.get("universal", {}):
        changed, learnt = (100 * note["universal"][name] for name in ("fooling_rate", "train_accuracy"))
        return f"; {changed:.1f} % change class, {learnt:.1f} % of the training pairs stay correct"
    if "evasive" in note:
        found = note["evasive"]
        share, low, high = (100 * found[name] for name in ("rate", "ci_low", "ci_high"))
        return (f"; float stays right on {found['float_stays_correct']} of the same inputs; evasive rate "
                f"{found['count']} of {found['n']}, {share:.1f} % (95 % interval {low:.1f} to {high:.1f}; "
                f"{found['clean_count']} when clean)")
    return ""


def findings(rows: Sequence[Row]) -> list[Flag]:
    """The errors and warnings of the checks on ``rows``: when a number must not be trusted; errors come first."""
    return [flag for flag in run_checks(rows) if flag.level != "I"]


def flag_text(flag: Flag) -> str:
    """One finding in words, with the line it is about."""
    return f"{LEVELS[flag.level]} {flag.code}, {flag.model} {flag.precision}: {flag.text}"


def check(flags: Sequence[Flag]) -> None:
    """Raise :class:`GateError` if one of ``flags`` says that a figure must not be trusted."""
    failed = gate(flags)
    if failed:
        raise GateError(f"{len(failed)} checks failed, so these figures must not be trusted; the first: "
                        f"{failed[0].text} (check {failed[0].code})")
