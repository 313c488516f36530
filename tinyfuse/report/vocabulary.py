"""The names in the rows put into words: executors, threat models, criteria, norms, attacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tinyfuse.attacks.profiles import PROFILES, Entry
from tinyfuse.core.results import Row
from tinyfuse.study.summary import FLOAT, FLOAT_EXECUTOR, INTEGER_EXECUTOR, Accuracy, SummaryRow

NOTHING = "–"
NORMS = {"linf": "L∞", "l2": "L2"}
NORM_TEXTS = {"linf": "L∞ (every value moves by at most ε)", "l2": "L2 (the whole change has length at most ε)"}
KINDS = {
    "G": "the adversary writes the integer codes of the sensor, each within floor(ε / scale) codes of the clean one",
    "R": "the adversary changes real values by at most ε, then the device rounds them to codes",
    "T": "transfer: made on the float network and replayed within the same ε; an upper bound",
}
"""The three robust accuracies of an integer model, in the order of the columns."""
EXECUTORS = {
    "keras": "the float network, in Keras",
    "twin": "our batch executor of the .tflite: the integer arithmetic of TensorFlow Lite Micro with gradients through "
            "its rounding, so that the integers themselves are attacked",
    "tflm": "TensorFlow Lite Micro, whose integer arithmetic the microcontroller computes bit for bit",
    "litert": "LiteRT with XNNPACK, as on a phone or a PC: not what the microcontroller computes",
    "litert-reference": "LiteRT with its reference kernels",
}
CRITERIA = {
    "union": "a sample is broken if anything in the profile broke it, at this ε or a smaller one, or in one modality "
             "alone",
    "any-iterate": "a sample is broken if any iterate of the attack is misclassified",
    "last-iterate": "only the last iterate counts, as in most of the literature",
    "replayed": "inputs made on another network are fed to this one",
}
_PURPOSES = {"raw": "in full on few samples, to check that accuracy falls with ε without short cuts",
             "transfer": "in full on the float network, to be replayed on the integers"}


def kinds_of(lines: Iterable[SummaryRow]) -> list[str]:
    """Which of G, R and T were measured on at least one of ``lines``."""
    known = list(lines)
    return [kind for kind in KINDS if any(robust_of(line, kind) for line in known)]


def robust_of(line: SummaryRow, kind: str) -> dict[str, Accuracy]:
    """Robust accuracy of an integer line by attacked modality, for one of G, R and T."""
    return {"G": line.robust_integer, "R": line.robust_real, "T": line.transfer}[kind]


def integer_judge(lines: Sequence[SummaryRow]) -> str:
    """The integer executor of ``lines`` and its proof: "twin (= TFLite Micro, 300 inputs re-run, 0 differing)"."""
    judged = [line for line in lines if line.precision != FLOAT and line.executor == INTEGER_EXECUTOR]
    if not judged:
        return ", ".join(sorted({line.executor for line in lines} - {FLOAT_EXECUTOR}))
    rerun, differing = sum(line.rerun for line in judged), sum(line.differing for line in judged)
    if not rerun:
        return f"{INTEGER_EXECUTOR} (not compared with TFLite Micro here)"
    if differing:
        return f"{INTEGER_EXECUTOR} (NOT TFLite Micro: {differing:,} output codes differ on {rerun:,} inputs re-run)"
    compared = sum(line.rerun > 0 for line in judged)
    part = "" if compared == len(judged) else f" on {compared} of {len(judged)} models"
    return f"{INTEGER_EXECUTOR} (= TFLite Micro, {rerun:,} inputs re-run{part}, 0 differing)"


def widest(accuracies: Iterable[Accuracy]) -> str:
    """Half of the widest 95 % interval, such as "±13.7 points"."""
    return f"±{50 * max((a.high - a.low for a in accuracies), default=0.0):.1f} points"


def span(values: Iterable[int]) -> str:
    """One number, or the smallest and the largest."""
    distinct = sorted(set(values))
    if not distinct:
        return NOTHING
    return f"{distinct[0]:,}" if len(distinct) == 1 else f"{distinct[0]:,}–{distinct[-1]:,}"


def profile_text(name: str, rows: Sequence[Row]) -> str:
    """What the suite ``name`` does, from ``rows``, the attack rows that it left."""
    if name in PROFILES:
        suite = PROFILES[name].with_steps(max(row["steps"] for row in rows))
        parts = [_entry_text(entry) for entry in suite.entries]
        last = suite.last_iterate
    else:
        parts = sorted({_steps_text(row["attack"], row["steps"]) for row in rows})
        last = {row["criterion"] for row in rows} == {"last-iterate"}
    spent = [row["queries"] for row in rows if row["criterion"] == "union"]
    cost = f"; {span(spent)} gradients or queries for each sample and budget" if spent else ""
    purpose = _PURPOSES.get(name, "each attack counts by its last iterate alone" if last else
                            "any iterate counts, and a sample that is broken stays broken at larger ε")
    return f"{', '.join(parts)}; {purpose}{cost}"


def _entry_text(entry: Entry) -> str:
    given = entry.parameters
    text = entry.attack + (" on the margin" if given.get("loss") == "margin" else "")
    counts = [f"{given[name]:,} {name}" for name in ("steps", "restarts", "queries", "draws") if name in given]
    counts += [f"step {given['step_size']:g}"] if "step_size" in given else []
    return f"{text} ({', '.join(counts)})" if counts else text


def _steps_text(attack: str, steps: int) -> str:
    return attack if steps < 2 else f"{attack} ({steps} steps)"
