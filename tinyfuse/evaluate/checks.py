"""Checks that say when a robustness figure should not be trusted (Carlini et al. 2019; AutoAttack's flags).

Each check is a small function from the rows of one line of the table to a finding, registered under a letter.
The tables print the letters of errors and warnings; the report prints every sentence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tinyfuse.evaluate.statistics import mcnemar
from tinyfuse.results import Row, unpack_survivors

_OTHER_EXECUTORS = {"litert": "LiteRT (XNNPACK)", "litert-reference": "LiteRT (reference kernels)"}
LEVELS = {"E": "error", "W": "warning", "I": "information"}
Line = tuple[str, str, int]
Finding = tuple[str, str]


@dataclass(frozen=True)
class Evidence:
    """All rows of one (model, precision, seed), those of its float network, and how many seeds were
    trained.
    """

    line: Line
    rows: Sequence[Row]
    float_rows: Sequence[Row]
    seed_count: int

    @property
    def attacks(self) -> list[Row]:
        """The attack rows of this line."""
        return [row for row in self.rows if row["kind"] == "attack"]


@dataclass(frozen=True)
class Flag:
    """One finding about one line: a letter, a level ("E", "W" or "I") and one sentence with the numbers."""

    code: str
    level: str
    model: str
    precision: str
    seed: int
    text: str


@dataclass(frozen=True)
class Check:
    """A registered check: its letter, what it means in a legend, and the function."""

    code: str
    title: str
    find: Callable[[Evidence], Finding | None]


CHECKS: dict[str, Check] = {}


def run_checks(rows: Iterable[Row]) -> list[Flag]:
    """Run every registered check on every (model, precision, seed); errors come first."""
    lines = by_line(rows)
    seeds: dict[tuple[str, str], int] = defaultdict(int)
    for model, precision, _ in lines:
        seeds[model, precision] += 1
    flags = []
    for (model, precision, seed), found in lines.items():
        evidence = Evidence((model, precision, seed), found, lines.get((model, "float", seed), []),
                            seeds[model, precision])
        for check in CHECKS.values():
            finding = check.find(evidence)
            if finding is not None:
                flags.append(Flag(check.code, finding[0], model, precision, seed, finding[1]))
    return sorted(flags, key=lambda flag: list(LEVELS).index(flag.level))


def letters(flags: Iterable[Flag], line: Line) -> tuple[str, ...]:
    """The sorted letters of the errors and warnings of one line."""
    return tuple(sorted({flag.code for flag in flags
                         if (flag.model, flag.precision, flag.seed) == line and flag.level != "I"}))


def by_line(rows: Iterable[Row]) -> dict[Line, list[Row]]:
    """Group model, clean and attack rows by (model, precision, seed), in the order of first appearance."""
    lines: dict[Line, list[Row]] = {}
    for row in rows:
        if row["kind"] != "failed":
            lines.setdefault((row["model"], row["precision"], row["seed"]), []).append(row)
    return lines


def survivors_of(row: Row) -> np.ndarray:
    """Bool [n]: which samples were still classified correctly."""
    return unpack_survivors(row["survivors"], row["n"])


def clean_survivors(rows: Iterable[Row], executor: str) -> dict[int, np.ndarray]:
    """Clean verdicts of one executor by sample count n."""
    return {row["n"]: survivors_of(row) for row in rows
            if row["kind"] == "clean" and row["executor"] == executor}


def _register(code: str, title: str) -> Callable[[Callable[[Evidence], Finding | None]], None]:
    def add(find: Callable[[Evidence], Finding | None]) -> None:
        CHECKS[code] = Check(code, title, find)
    return add


@_register("B", "attacking both modalities broke fewer samples than attacking one of them")
def _both_weaker_than_one(evidence: Evidence) -> Finding | None:
    worst, where = 0.0, ""
    for setting, unions in _unions(evidence.attacks).items():
        for (image, audio), both in unions.items():
            for name, budget in (("image", (image, 0.0)), ("audio", (0.0, audio))):
                single = unions.get(budget, both) if image and audio else both
                gap = float(np.mean(both) - np.mean(single))
                if gap > worst:
                    worst, where = gap, f"{name} alone at ε={max(budget):g} ({setting[0]})"
    if not worst:
        return None
    return "W", f"the attack on both leaves {_points(worst)} more samples correct than the one on {where}"


@_register("D", "the integer model loses clean accuracy against its float network")
def _clean_drop(evidence: Evidence) -> Finding | None:
    before_by_n = clean_survivors(evidence.float_rows, "keras")
    pair = _same_samples(before_by_n, clean_survivors(evidence.rows, "tflm"))
    if pair is None:
        return None
    before, after = pair
    drop = float(np.mean(before) - np.mean(after))
    p_value = mcnemar(before, after)
    certain = p_value < 0.05
    if drop <= (0.005 if certain else 0.015):
        return None
    numbers = f"n={len(before)}, McNemar p={p_value:.2g}"
    level = "E" if certain and drop > 0.1 else "W" if certain else "I"
    return level, f"clean accuracy falls by {_points(drop)} from float to integer ({numbers})"


@_register("G", "gradients vanish, which hides weaknesses instead of removing them")
def _zero_gradients(evidence: Evidence) -> Finding | None:
    if not evidence.attacks:
        return None
    row = max(evidence.attacks, key=lambda row: float(row["zero_gradient_share"] or 0))
    share = float(row["zero_gradient_share"] or 0)
    if not share:
        return None
    text = f"{share:.1%} of the samples have an all-zero gradient ({row['attack']}, {row['modality']})"
    return "W" if share > 0.01 else "I", text


@_register("M", "a larger budget broke fewer samples than a smaller one (before the union over budgets)")
def _not_monotone(evidence: Evidence) -> Finding | None:
    series: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in evidence.attacks:
        series[tuple(row[name] for name in _SERIES)].append(row)
    worst, where = 0.0, ""
    for rows in series.values():
        broken_before = np.zeros(rows[0]["n"], dtype=bool)
        recovered = np.zeros(rows[0]["n"], dtype=bool)
        for row in sorted(rows, key=lambda row: float(row["epsilon"])):
            survivors = survivors_of(row)
            recovered |= broken_before & survivors
            broken_before |= ~survivors
        if np.mean(recovered) > worst:
            worst, where = float(np.mean(recovered)), _name(rows[0])
    if not worst:
        return None
    text = f"{worst:.1%} of the samples are broken at some ε and survive a larger one ({where})"
    return "W" if worst > 0.01 else "I", text


@_register("N", "too few samples: a 95 % interval is wider than 3 points")
def _wide_interval(evidence: Evidence) -> Finding | None:
    judged = [row for row in evidence.rows if row["kind"] != "model"]
    width, n = max(((row["ci_high"] - row["ci_low"], row["n"]) for row in judged), default=(0.0, 0))
    return ("W", f"the widest 95 % interval spans {_points(width)} (n={n})") if width > 0.03 else None


@_register("P", "PGD missed samples that one FGSM step broke")
def _pgd_weaker_than_fgsm(evidence: Evidence) -> Finding | None:
    one_step = _unions(row for row in evidence.attacks if row["attack"] == "fgsm")
    many_steps = _unions(row for row in evidence.attacks if row["attack"] == "pgd")
    worst, setting = 0.0, ("", "")
    for key in one_step.keys() & many_steps.keys():
        for budget in one_step[key].keys() & many_steps[key].keys():
            share = float(np.mean(many_steps[key][budget] & ~one_step[key][budget]))
            if share > worst:
                worst, setting = share, (str(key[0]), str(key[1]))
    if not worst:
        return None
    executor, source = setting
    # Replayed inputs were made for another network; one step often transfers better, which is no fault.
    own_gradients = source == evidence.line[1]
    level = "W" if own_gradients and worst > 0.005 else "I"
    return level, f"{worst:.1%} of the samples fall to FGSM but not to PGD ({executor}, gradients: {source})"


@_register("S", "a single training seed: other trainings of the same network may differ")
def _single_seed(evidence: Evidence) -> Finding | None:
    return ("W", f"only seed {evidence.line[2]} was trained") if evidence.seed_count == 1 else None


@_register("T", "robustness by transfer only: an upper bound until the integers themselves are attacked")
def _transfer_only(evidence: Evidence) -> Finding | None:
    sources = {row["source"] for row in evidence.attacks}
    if not sources or evidence.line[1] in sources:
        return None
    origin = ", ".join(sorted(sources))
    return "W", f"the inputs were made with gradients of {origin} and replayed here: an upper bound"


@_register("X", "LiteRT does not compute what the microcontroller computes")
def _executors_differ(evidence: Evidence) -> Finding | None:
    truth = clean_survivors(evidence.rows, "tflm")
    found: list[tuple[float, str]] = []
    for executor, label in _OTHER_EXECUTORS.items():
        pair = _same_samples(truth, clean_survivors(evidence.rows, executor))
        count = 0 if pair is None else int(np.sum(pair[0] != pair[1]))
        if pair is not None and count:
            n = len(pair[0])
            found.append((count / n, f"{label} judges {count} of {n} clean samples otherwise"))
    if not found:
        return None
    level = "W" if max(share for share, _ in found) > 0.01 else "I"
    return level, "; ".join(text for _, text in found) + " than TFLM"


@_register("Z", "an attack with ε = 0 does not reproduce the clean accuracy")
def _zero_budget_differs(evidence: Evidence) -> Finding | None:
    for row in evidence.attacks:
        clean = clean_survivors(evidence.rows, row["executor"]).get(row["n"])
        if row["epsilon"] == 0 and clean is not None and not np.array_equal(clean, survivors_of(row)):
            return "E", f"{_name(row)} with ε = 0 changes {int(np.sum(clean != survivors_of(row)))} verdicts"
    return None


_SERIES = ("executor", "attack", "criterion", "source", "modality", "norm", "threat", "steps", "random_start",
           "attack_seed", "n")
_SETTING = ("executor", "source", "norm", "threat", "n")


def _unions(rows: Iterable[Row]) -> dict[tuple[object, ...], dict[tuple[float, float], np.ndarray]]:
    """Survivors of all attacks together: by setting, then by budget (epsilon_image, epsilon_audio)."""
    unions: dict[tuple[object, ...], dict[tuple[float, float], np.ndarray]] = defaultdict(dict)
    for row in rows:
        found = unions[tuple(row[name] for name in _SETTING)]
        budget = (row["epsilon_image"], row["epsilon_audio"])
        found[budget] = found.get(budget, True) & survivors_of(row)
    return unions


def _same_samples(a: dict[int, np.ndarray], b: dict[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
    common = a.keys() & b.keys()
    return (a[max(common)], b[max(common)]) if common else None


def _name(row: Row) -> str:
    return f"{row['attack']} on {row['modality']}, {row['criterion']}, {row['executor']}"


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"
