"""Result rows of one attack in words, and when their numbers must not be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinyfuse.attacks import ATTACKS
from tinyfuse.checks.run_checks import LEVELS, Flag, gate, run_checks
from tinyfuse.core.errors import GateError
from tinyfuse.core.results import Row
from tinyfuse.threats.budget_text import sizes_text
from tinyfuse.threats.modes import mode_name

THREAT_NAMES = {"codes": "codes (G)", "real": "real (R)", "naive": "naive (N)", "wave": "wave", "frame": "frame",
                "wave,frame": "wave and frame"}


def sentence(row: Row, note: Mapping[str, Any] | None = None) -> str:
    """Put one result row in words: what was judged, by whom, against what, and how many held.

    ``note``: what ``AttackResult.notes`` holds for this row.
    """
    share, low, high = (100 * row[name] for name in ("accuracy", "ci_low", "ci_high"))
    against = "clean" + _behind(row) if row["kind"] == "clean" else _against(row, note or {})
    return (f"{row['model']} {row['precision']} in {row['executor']}: {against}: {row['correct']} of {row['n']} "
            f"correct, {share:.1f} % (95 % interval {low:.1f} to {high:.1f}){_beside(note or {})}")


def _against(row: Row, note: Mapping[str, Any]) -> str:
    """Describe the attack of a row: its budget and what it really spent, criterion, threat model, mask and origin."""
    name, budget = row["attack"]["name"], row["budget"]
    written = sizes_text(row["norm"], budget)
    sizes = {*written.values()}
    each = " and ".join(f"{size} of {where}" for where, size in written.items())
    said = [f"{name} on {mode_name(row['attacked'], row['inputs'])}",
            f"{row['norm']} {each if len(sizes) > 1 else sizes.pop()}"]
    if "spent" in note:
        spent = " and ".join(f"{size:.4g} of {name}" for name, size in note["spent"].items())
        said[-1] += f" (rounding spends up to {spent})"
    said += [row["criterion"], THREAT_NAMES[row["threat"]]]
    if "air" in row["attack"]:
        said.append(f"through air {row['attack']['air']}")
    said[-1] += _behind(row)
    if row["source"] != row["precision"]:
        searched = name in ATTACKS and ATTACKS[name].gradient_free
        said.append(f"{'searched on' if searched else 'gradients of'} {row['source']}")
    if row["mask"]:
        said.append(f"mask {row['mask']}")
    if "universal" in note:
        said.append(f"one perturbation made on {note['universal']['train_samples']} training samples")
    return ", ".join(said)


def _behind(row: Row) -> str:
    """Say which arithmetic a package's front end had, where it is not the usual one."""
    return f", front end in {row['attack']['frontend']} point" if "frontend" in row["attack"] else ""


def _beside(note: Mapping[str, Any]) -> str:
    if "auc" in note:
        return f"; AUC {note['auc']:.4f}"
    if "fooling_rate" in note.get("universal", {}):
        changed, learnt = (100 * note["universal"][name] for name in ("fooling_rate", "train_accuracy"))
        return f"; {changed:.1f} % change class, {learnt:.1f} % of the training samples stay correct{_spent(note)}"
    if "wave" in note:
        return _spent(note)
    if "evasive" in note:
        found = note["evasive"]
        share, low, high = (100 * found[name] for name in ("rate", "ci_low", "ci_high"))
        return (f"; float stays right on {found['float_stays_correct']} of the same inputs; evasive rate "
                f"{found['count']} of {found['n']}, {share:.1f} % (95 % interval {low:.1f} to {high:.1f}; "
                f"{found['clean_count']} when clean)")
    return ""


def _spent(note: Mapping[str, Any]) -> str:
    """Say how far changes lie below recordings, and how many answers are right over all ways through the air."""
    found = note.get("wave", {})
    said = "" if found.get("median_snr_db") is None else (
        f"; changes are {found['least_snr_db']:.1f} dB or more below the recordings, median "
        f"{found['median_snr_db']:.1f} dB")
    return said if "air" not in found else (
        f"{said}; right in {100 * found['right']:.1f} % of all conditions, clean recordings in "
        f"{100 * found['clean_right']:.1f} %")


def findings(rows: Sequence[Row]) -> list[Flag]:
    """Find the errors and warnings of the checks on ``rows``: when a number must not be trusted; errors first."""
    return [flag for flag in run_checks(rows) if flag.level != "I"]


def flag_text(flag: Flag) -> str:
    """Put one finding in words, with the line it is about."""
    return f"{LEVELS[flag.level]} {flag.code}, {flag.model} {flag.precision}: {flag.text}"


def check(flags: Sequence[Flag]) -> None:
    """Raise :class:`GateError` if one of ``flags`` says that a figure must not be trusted."""
    failed = gate(flags)
    if failed:
        raise GateError(f"{len(failed)} checks failed, so these figures must not be trusted; the first: "
                        f"{failed[0].text} (check {failed[0].code})")
