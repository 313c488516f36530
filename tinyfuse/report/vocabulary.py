"""The names in the rows put into words, numbers into text, and what the numbers of a table are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from tinyfuse.attacks.profiles import PROFILES
from tinyfuse.checks.firmware_cost import MEASURED_ON
from tinyfuse.core.results import Row
from tinyfuse.report.summary import SummaryRow, modes_among
from tinyfuse.study.worst_case import FLOAT_EXECUTOR, INTEGER_EXECUTOR, Accuracy
from tinyfuse.threats.budgets import epsilon_text
from tinyfuse.threats.modes import ALL

NOTHING, NOT_MEASURED = "–", "n/m"
NORMS = {"linf": "L∞", "l2": "L2", "l2-joint": "joint L2", "l2-steps": "L2 by step"}
NORM_TEXTS = {"linf": "L∞ (every value moves by at most ε)", "l2": "L2 (the whole change has length at most ε)",
              "l2-joint": "joint L2 (the changes of all inputs, each in units of its ε, have a length of at most 1)",
              "l2-steps": "L2 by step (the change of each step along the first axis has length at most ε)"}
KINDS = {
    "G": "the adversary writes the integer codes of the sensor, each within floor(ε / scale) codes of the clean one",
    "R": "the adversary changes real values by at most ε, then the device rounds them to codes",
    "T": "transfer: made on the float network and replayed within the same ε; an upper bound",
}
"""The three robust accuracies of an integer model, in the order of the columns."""
PROVED = "no attack at all within the budget of G changes the answer: proved, so that the truth is no lower"
EXECUTORS = {
    "keras": "the float network, in Keras",
    "twin": "our batch executor of the .tflite: the integer arithmetic of TensorFlow Lite Micro with gradients through "
            "its rounding, so that the integers themselves are attacked",
    "tflm": "TensorFlow Lite Micro, whose integer arithmetic the microcontroller computes bit for bit",
    "litert": "LiteRT with XNNPACK, as on a phone or a PC: not what the microcontroller computes",
    "litert-reference": "LiteRT with its reference kernels",
}
EXECUTOR_NAMES = {"tflm": "TFLite Micro", "litert": "LiteRT (XNNPACK)",
                  "litert-reference": "LiteRT (reference kernels)"}
_PURPOSES = {"raw": "in full on few samples, to check that accuracy falls with ε without short cuts",
             "transfer": "in full on the float network, to be replayed on the integers"}
_COUNTED = ("steps", "restarts", "queries", "draws")


def either(modes: Sequence[str]) -> str:
    """Return modes of attack as a choice: "camera, mic or all inputs"."""
    names = ["all inputs" if mode == ALL else mode for mode in modes]
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def profile_text(name: str, rows: Sequence[Row]) -> str:
    """Return what the suite ``name`` does, from ``rows``, the attack rows that it left."""
    steps = max(row["attack"].get("steps", 0) for row in rows)
    if name in PROFILES:
        suite = PROFILES[name].with_steps(steps)
        parts = [_attack_text(attack.settings()) for attack in suite.attacks]
        last = suite.last_iterate
    else:
        parts = sorted({_attack_text({key: row["attack"][key] for key in ("name", "steps") if row["attack"].get(key)})
                        for row in rows})
        last = {row["criterion"] for row in rows} == {"last-iterate"}
    spent = [row["queries"] for row in rows if row["criterion"] == "union"]
    cost = f"; {span(spent)} gradients or queries for each sample and budget" if spent else ""
    purpose = _PURPOSES.get(name, "each attack counts by its last iterate alone" if last else
                            "any iterate counts, and a sample that is broken stays broken at larger ε")
    return f"{', '.join(parts)}; {purpose}{cost}"


def _attack_text(settings: dict[str, Any]) -> str:
    text = settings["name"] + (" on the margin" if settings.get("loss") == "margin" else "")
    counts = [f"{settings[name]:,} {name}" for name in _COUNTED if settings.get(name, 0) > (name == "restarts")]
    counts += [f"step {settings['step_size']:g}"] if settings.get("step_size") else []
    return f"{text} ({', '.join(counts)})" if counts else str(text)


def span(values: Iterable[int]) -> str:
    """Return one number, or the smallest and the largest."""
    distinct = sorted(set(values))
    if not distinct:
        return NOTHING
    return f"{distinct[0]:,}" if len(distinct) == 1 else f"{distinct[0]:,}–{distinct[-1]:,}"


def widest(accuracies: Iterable[Accuracy]) -> str:
    """Return half of the widest 95 % interval, such as "±13.7 points"."""
    return f"±{50 * max((a.high - a.low for a in accuracies), default=0.0):.1f} points"


def percent(share: Accuracy | float | None, decimals: int = 1) -> str:
    """Return a share as percent without the sign."""
    value = share.value if isinstance(share, Accuracy) else share
    return NOTHING if value is None else f"{100 * value:.{decimals}f}"


def interval(accuracy: Accuracy | None) -> str:
    """Return value and 95 % interval in percent."""
    return NOTHING if accuracy is None else (
        f"{percent(accuracy)} ({percent(accuracy.low)} to {percent(accuracy.high)})")


def kib(size_bytes: float | None) -> str:
    """Return bytes as KiB with one decimal."""
    return NOTHING if size_bytes is None else f"{size_bytes / 1024:.1f}"


def mega(count: float | None) -> str:
    """Return a count in millions with one decimal."""
    return NOTHING if count is None else f"{count / 1e6:.1f}"


def number(value: float) -> str:
    """Return a mean of bits with one decimal where it needs one."""
    return f"{value:.1f}".removesuffix(".0")


def notes(lines: Sequence[SummaryRow], scope: str, further: Sequence[str]) -> list[str]:
    """Return what the numbers are: budget, executors, threat models, samples, seeds and intervals."""
    epsilon = next((line.epsilon for line in lines if line.epsilon is not None), None)
    shown = [accuracy for line in lines for found in (
        line.robust_float, line.robust_integer, line.robust_real, line.transfer) for accuracy in found.values()]
    cleans, seeds = [line.clean for line in lines if line.clean], sorted({line.seed for line in lines})
    trained = f"training seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}" if seeds else ""
    parts = [", ".join(part for part in (scope, trained) if part)]
    if cleans:
        parts.append(f"clean %: n={span(accuracy.n for accuracy in cleans)}, widest 95 % interval {widest(cleans)}")
    if epsilon is not None and shown:
        parts.append(f"robust %: worst case at ε={epsilon_text(epsilon)} with {either(measured(lines))} attacked, "
                     f"n={span(accuracy.n for accuracy in shown)}, widest 95 % interval {widest(shown)}")
    judge = integer_judge(lines)
    parts.append("float in keras" + (f", integers in {judge}" if judge else ""))
    parts += [f"{kind} = {KINDS[kind]}" for kind in kinds_of(lines)]
    parts += [f"certified = {PROVED}"] * any(line.certified for line in lines)
    parts += firmware_notes(lines)
    parts.append("* = Pareto: no recipe of that model is better in packed bytes, clean and robust accuracy")
    return [part for part in (*parts, *further) if part]


def measured(lines: Sequence[SummaryRow]) -> list[str]:
    """Return the modes of attack that at least one line has."""
    return [mode for mode in modes_among(lines) if any(mode in line.robust_float or mode in line.robust_integer
                                                       for line in lines)]


def kinds_of(lines: Iterable[SummaryRow]) -> list[str]:
    """Return which of G, R and T were measured on at least one of ``lines``."""
    known = list(lines)
    fields = {"G": "robust_integer", "R": "robust_real", "T": "transfer"}
    return [kind for kind in KINDS if any(getattr(line, fields[kind]) for line in known)]


def integer_judge(lines: Sequence[SummaryRow]) -> str:
    """Name the integer executor of ``lines`` and its proof: "twin (= TFLite Micro, 300 inputs re-run, ...)"."""
    judged = [line for line in lines if not line.is_float and line.executor == INTEGER_EXECUTOR]
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


def common_letters(lines: Sequence[SummaryRow]) -> tuple[str, ...]:
    """Return the letters that every integer line carries; they are said once below the table."""
    sets = [set(line.flags) for line in lines if not line.is_float]
    return tuple(sorted(set.intersection(*sets))) if len(sets) > 1 else ()


def without_letters(lines: Iterable[SummaryRow], letters: Iterable[str]) -> list[SummaryRow]:
    """Return the lines without the flags that are said elsewhere."""
    return [replace(line, flags=tuple(flag for flag in line.flags if flag not in letters)) for line in lines]


def firmware_notes(lines: Sequence[SummaryRow]) -> list[str]:
    """Say what the columns of the firmware are and why something is missing; empty without integer models."""
    costs = [line.firmware for line in lines if line.firmware]
    if not costs:
        return []
    problems = _problems(lines)
    cores = [core for core in MEASURED_ON if any(core in cost.instructions for cost in costs)]
    if not cores:
        why = problems or ["this needs a cross compiler and an emulator of its cores; the same command adds them"]
        return [f"flash, RAM and instructions of the firmware: not measured ({'; '.join(why)})"]
    made = " and ".join(sorted({cost.core.upper() for cost in costs if cost.core}))
    tools = dict.fromkeys(tool for cost in costs for tool in cost.tools)
    found = [f"flash: packed n-bit weights, code and tables of the exported firmware for {made}; RAM: its arena and "
             "stack; arena: what TFLite Micro needs for its own arena",
             f"{', '.join(core.upper() for core in cores)} Minstr: millions of instructions of one inference on the "
             f"emulated core ({', '.join(tools)})"]
    if any(len(cost.instructions) < len(cores) for cost in costs):
        found.append(": ".join([f"{NOT_MEASURED} = not measured", *(["; ".join(problems)] if problems else [])]))
    return found


def mismatches(lines: Iterable[SummaryRow]) -> list[str]:
    """Return the lines with firmware whose codes are not TFLite Micro's, in words."""
    return [f"{line.model} {line.precision}: {line.firmware.problem}" for line in lines
            if line.firmware and not line.firmware.exact]


def _problems(lines: Iterable[SummaryRow]) -> list[str]:
    """Return each reason once, with the first line that it holds for and the number of the others."""
    by_problem: dict[str, list[str]] = {}
    for line in lines:
        if line.firmware and line.firmware.problem:
            by_problem.setdefault(line.firmware.problem, []).append(f"{line.model} {line.precision}")
    return [f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {problem}"
            for problem, names in by_problem.items()]
