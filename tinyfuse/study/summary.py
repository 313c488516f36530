"""From rows to figures: worst-case robust accuracy, the lines of the table, and the Pareto marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinyfuse.checks.firmware_cost import FirmwareCost, firmware_cost, reasons
from tinyfuse.checks.run_checks import Flag, by_line, clean_survivors, letters, run_checks, survivors_of
from tinyfuse.core.errors import DataError
from tinyfuse.core.results import Row
from tinyfuse.core.statistics import Difference, mcnemar, paired_difference, ratio, wilson

ATTACKED = ("image", "audio", "both")
FLOAT = "float"
FLOAT_EXECUTOR = "keras"
_MODEL_ORDER = ("image", "audio", "early", "intermediate", "late")
MEASURES = ("weight_bits_mean", "bits_image", "bits_audio", "bits_shared", "activation_bits", "stored_bytes",
            "packed_bytes", "arena_bytes", "macs", "max_abs_difference")
INTEGER_EXECUTOR = "twin"
_SAME_BUDGET = 1e-12


@dataclass(frozen=True)
class Accuracy:
    """A share of correct samples with its 95 % Wilson interval; all between 0 and 1."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, eq=False)
class CurvePoint:
    """Accuracy at one budget in units of the inputs; ``survivors`` is bool [n], sample by sample."""

    epsilon: float
    epsilon_image: float
    epsilon_audio: float
    accuracy: Accuracy
    survivors: np.ndarray


@dataclass(frozen=True, kw_only=True)
class SummaryRow:
    """One line of the table: what one (model, precision) costs and what it withstands.

    ``executor`` judged the line: Keras for the float network and for weights rounded in a float network,
    otherwise the integer executor. Robust accuracies are worst cases at ``epsilon`` by attacked modality; one that
    was not measured is absent. ``robust_integer`` is threat model G (the adversary writes codes), ``robust_real`` R
    (real values that the device rounds), ``transfer`` what inputs made on the float network leave. ``rerun`` inputs
    that the twin judged were run on TFLite Micro as well, where ``differing`` output codes were others; exact means 0.
    ``p_clean`` and ``p_robust`` are McNemar p-values, float against integer (G); ``change_clean`` and ``change_robust``
    the paired differences, integer minus float, with bootstrap intervals; ``ratio_robust`` integer over float, absent
    where float is below 5 %. ``agreement`` is the share of clean
    samples on which both are right or both wrong. ``pareto``: no deployable recipe of the same model is at least as
    good in packed bytes, clean and worst robust accuracy, and better in one of them. ``clean_float`` of an integer
    line is measured on the same samples as ``clean_integer`` wherever float verdicts on those exist. ``arena_bytes`` is
    TFLite Micro's; ``firmware`` is None on a line that no integer model belongs to.
    """

    model: str
    precision: str
    seed: int
    epsilon: float | None
    weight_bits_mean: float | None = None
    bits_image: float | None = None
    bits_audio: float | None = None
    bits_shared: float | None = None
    activation_bits: float | None = None
    stored_bytes: int | None = None
    packed_bytes: int | None = None
    arena_bytes: int | None = None
    macs: int | None = None
    max_abs_difference: float | None = None
    executor: str = FLOAT_EXECUTOR
    clean_float: Accuracy | None = None
    clean_integer: Accuracy | None = None
    robust_float: dict[str, Accuracy] = field(default_factory=dict)
    robust_integer: dict[str, Accuracy] = field(default_factory=dict)
    robust_real: dict[str, Accuracy] = field(default_factory=dict)
    transfer: dict[str, Accuracy] = field(default_factory=dict)
    rerun: int = 0
    differing: int = 0
    p_clean: float | None = None
    p_robust: dict[str, float] = field(default_factory=dict)
    change_clean: Difference | None = None
    change_robust: dict[str, Difference] = field(default_factory=dict)
    ratio_robust: dict[str, float] = field(default_factory=dict)
    agreement: float | None = None
    firmware: FirmwareCost | None = None
    flags: tuple[str, ...] = ()
    pareto: bool = False

    @property
    def clean(self) -> Accuracy | None:
        """Clean accuracy of what this line is about: the float network itself, or the integer model."""
        return self.clean_float if self.precision == FLOAT else self.clean_integer

    @property
    def robust(self) -> dict[str, Accuracy]:
        """Robust accuracy of what this line is about, by attacked modality."""
        return self.robust_float if self.precision == FLOAT else self.robust_integer

    @property
    def worst_robust(self) -> float | None:
        """The lowest robust accuracy over the attacked modalities that were measured."""
        return min((accuracy.value for accuracy in self.robust.values()), default=None)


def worst_case(rows: Iterable[Row], model: str, precision: str, executor: str, modality: str, *,
               norm: str = "linf", n: int | None = None, threat: str | None = None,
               criterion: str | None = None) -> list[CurvePoint]:
    """Robust accuracy against the union of all attacks, by rising budget; never rising with it.

    A sample is broken at a budget (ε_image, ε_audio) if it is misclassified when clean, or if any attack
    under any criterion broke it at a budget that is no larger in either modality: an attack on one modality
    alone is a member of the threat set for both. Only budgets that were measured for ``modality`` itself are
    returned.

    ``threat``: "codes" or "real" for integer models (default: codes where there are any). ``criterion``: only rows
    of this one, such as "replayed". Uses the largest sample count present unless ``n`` says otherwise; empty without
    attack or clean rows for it. Rows of several trainings or data sets must be told apart first (`current_rows`, or
    filters on seed).
    """
    mine = [row for row in rows if (row["model"], row["precision"]) == (model, precision)]
    attacks = _one_population([row for row in mine if row["kind"] == "attack" and
                               (row["executor"], row["norm"]) == (executor, norm) and not row["mask"] and
                               criterion in (None, row["criterion"])], n, threat)
    wanted = sorted({(row["epsilon"], *_budget(row)) for row in attacks if row["modality"] == modality})
    clean = clean_survivors(mine, executor).get(attacks[0]["n"]) if attacks else None
    if clean is None:
        return []
    verdicts = [(_budget(row), survivors_of(row)) for row in attacks]
    points = []
    for epsilon, image, audio in wanted:
        survivors = clean.copy()
        for (spent_image, spent_audio), verdict in verdicts:
            if spent_image <= image + _SAME_BUDGET and spent_audio <= audio + _SAME_BUDGET:
                survivors &= verdict
        points.append(CurvePoint(epsilon, image, audio, accuracy_of(survivors), survivors))
    return points


def last_iterate(rows: Iterable[Row], model: str, precision: str, executor: str, modality: str, attack: str,
                 *, norm: str = "linf") -> list[CurvePoint]:
    """Accuracy after the last step of one attack, budget by budget: the convention of the literature."""
    chosen = [row for row in rows if row["kind"] == "attack" and row["criterion"] == "last-iterate" and
              (row["model"], row["precision"], row["executor"]) == (model, precision, executor) and
              (row["modality"], row["attack"], row["norm"]) == (modality, attack, norm)]
    return [CurvePoint(row["epsilon"], *_budget(row), accuracy_of(survivors_of(row)), survivors_of(row))
            for row in sorted(_one_population(chosen, None, None), key=lambda row: float(row["epsilon"]))]


def summarise(rows: Iterable[Row], *, epsilon: float | None = None, norm: str = "linf",
              executor: str = INTEGER_EXECUTOR, flags: Sequence[Flag] | None = None) -> list[SummaryRow]:
    """One line per (model, precision, seed): float first, then by mean weight bits.

    ``epsilon`` is the budget of the robust columns (default: `reference_epsilon`), ``executor`` the integer
    truth. ``flags`` come from `run_checks`, which runs here when they are not given.
    """
    known = list(rows)
    marks = run_checks(known) if flags is None else flags
    budget = reference_epsilon(known, norm=norm) if epsilon is None else epsilon
    lines, lacking = by_line(known), reasons(known)
    summary = []
    for (model, precision, seed), found in lines.items():
        before = _Cell.of(lines.get((model, FLOAT, seed), []), FLOAT_EXECUTOR, budget, norm)
        judge = judge_of(found, executor)
        after = _Cell() if precision == FLOAT else _Cell.of(found, judge, budget, norm)
        line = _summary_row(found, before, after, budget)
        cost = None if precision == FLOAT or judge == FLOAT_EXECUTOR else firmware_cost(
            found, lacking.get((model, precision, seed), ""))
        summary.append(replace(line, executor=judge, flags=letters(marks, (model, precision, seed)), firmware=cost))
    return sorted(_mark_pareto(summary), key=_order)


def reference_epsilon(rows: Iterable[Row], *, norm: str = "linf") -> float | None:
    """The budget that tells recipes apart best: where the attacked float networks are on average nearest to
    50 %.

    Far smaller budgets leave every recipe near its clean accuracy, far larger ones near zero. Of equally
    good budgets the smaller; without attacks on float networks all attack rows count, and without any the
    answer is None.
    """
    attacks = [row for row in rows if row["kind"] == "attack" and row["norm"] == norm]
    chosen = [row for row in attacks if row["executor"] == FLOAT_EXECUTOR] or attacks
    by_budget: dict[float, list[float]] = {}
    for row in chosen:
        by_budget.setdefault(float(row["epsilon"]), []).append(row["accuracy"])
    distances = {budget: abs(float(np.mean(found)) - 0.5) for budget, found in by_budget.items()}
    return min(sorted(distances), key=distances.__getitem__, default=None)


def judge_of(rows: Iterable[Row], executor: str) -> str:
    """Return ``executor``, or Keras for a line that was judged by Keras alone."""
    judges = {row["executor"] for row in rows if row["kind"] in ("clean", "attack")}
    return FLOAT_EXECUTOR if judges == {FLOAT_EXECUTOR} else executor


def accuracy_of(survivors: np.ndarray) -> Accuracy:
    """Accuracy and interval from bool [n]."""
    correct, n = int(np.sum(survivors)), len(survivors)
    return Accuracy(correct / n, *wilson(correct, n), n)


@dataclass(frozen=True)
class _Cell:
    """Verdicts of one executor on one (model, precision): clean by n; worst cases by modality, in threat model R and
    by transfer too.
    """

    clean: dict[int, np.ndarray] = field(default_factory=dict)
    points: dict[str, CurvePoint] = field(default_factory=dict)
    real: dict[str, CurvePoint] = field(default_factory=dict)
    transfer: dict[str, CurvePoint] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Sequence[Row], executor: str, epsilon: float | None, norm: str) -> _Cell:
        def at_budget(chosen: Sequence[Row], **wanted: str) -> dict[str, CurvePoint]:
            return {modality: point for modality in (ATTACKED if rows else ()) for point in worst_case(
                chosen, rows[0]["model"], rows[0]["precision"], executor, modality, norm=norm, **wanted)  # type: ignore[arg-type]
                    if point.epsilon == epsilon}

        replayed = [row for row in rows if row["kind"] != "attack" or row["source"] == FLOAT]
        rounded = rows if executor != FLOAT_EXECUTOR else []  # a float network rounds nothing
        return cls(clean_survivors(rows, executor), at_budget(rows), at_budget(rounded, threat="real"),
                   at_budget(replayed, criterion="replayed"))

    def clean_accuracy(self, n: int | None = None) -> Accuracy | None:
        """Clean accuracy on n samples, or on the largest sample if that one was not judged."""
        return accuracy_of(self.clean[n if n in self.clean else max(self.clean)]) if self.clean else None



def _accuracies(points: dict[str, CurvePoint]) -> dict[str, Accuracy]:
    return {modality: point.accuracy for modality, point in points.items()}


def _summary_row(rows: Sequence[Row], before: _Cell, after: _Cell, epsilon: float | None) -> SummaryRow:
    facts: Row = next((row for row in reversed(rows) if row["kind"] == "model"), {})
    common = before.clean.keys() & after.clean.keys()
    clean_pair = (before.clean[max(common)], after.clean[max(common)]) if common else None
    pairs = {name: (before.points[name].survivors, point.survivors) for name, point in after.points.items()
             if _paired(before.points.get(name), point)}
    ratios = {name: ratio(float(np.mean(integer)), float(np.mean(own))) for name, (own, integer) in pairs.items()}
    measures: dict[str, Any] = {name: facts.get(name) for name in MEASURES}
    return SummaryRow(
        model=rows[0]["model"], precision=rows[0]["precision"], seed=rows[0]["seed"], epsilon=epsilon,
        clean_float=before.clean_accuracy(max(after.clean, default=None)), clean_integer=after.clean_accuracy(),
        robust_float=_accuracies(before.points), robust_integer=_accuracies(after.points),
        robust_real=_accuracies(after.real), transfer=_accuracies(after.transfer),
        rerun=sum(row["samples"] for row in _compared(rows)),
        differing=sum(row["differing"] for row in _compared(rows)),
        p_clean=mcnemar(*clean_pair) if clean_pair else None,
        p_robust={name: mcnemar(*pair) for name, pair in pairs.items()},
        change_clean=paired_difference(*clean_pair) if clean_pair else None,
        change_robust={name: paired_difference(*pair) for name, pair in pairs.items()},
        ratio_robust={name: share for name, share in ratios.items() if share is not None},
        agreement=float(np.mean(clean_pair[0] == clean_pair[1])) if clean_pair else None, **measures)


def _compared(rows: Sequence[Row]) -> list[Row]:
    """The parity rows of the twin and TFLite Micro."""
    return [row for row in rows if row["kind"] == "parity" and {row["a"], row["b"]} == {"twin", "tflm"}]


def _paired(before: CurvePoint | None, after: CurvePoint) -> bool:
    return before is not None and len(before.survivors) == len(after.survivors)


def _one_population(attacks: Sequence[Row], n: int | None, threat: str | None) -> list[Row]:
    """Keep attack rows on the same samples under one threat model; a union over others would be wrong."""
    if len({(row["seed"], row["data_checksum"]) for row in attacks}) > 1:
        raise DataError("the rows mix several seeds or data sets: filter by seed and data_checksum first")
    size = n if n is not None else max((row["n"] for row in attacks), default=0)
    threats = {row["threat"] for row in attacks}
    chosen = threat or ("codes" if "codes" in threats else next(iter(threats), ""))
    return [row for row in attacks if row["n"] == size and row["threat"] == chosen]


def _budget(row: Row) -> tuple[float, float]:
    return float(row["epsilon_image"]), float(row["epsilon_audio"])


def _mark_pareto(summary: Sequence[SummaryRow]) -> list[SummaryRow]:
    marked = []
    for line in summary:
        mine = _score(line)
        rivals = [_score(other) for other in summary if (other.model, other.seed) == (line.model, line.seed)]
        beaten = not mine or any(_dominates(rival, mine) for rival in rivals)
        marked.append(replace(line, pareto=not beaten))
    return marked


def _dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return bool(a) and a != b and all(x >= y for x, y in zip(a, b, strict=True))


def _score(line: SummaryRow) -> tuple[float, ...]:
    """What a Pareto comparison looks at, larger is better; empty for a line that takes no part."""
    if line.executor == FLOAT_EXECUTOR or line.packed_bytes is None or line.clean is None:
        return ()
    worst = line.worst_robust
    return (-line.packed_bytes, line.clean.value, -1.0 if worst is None else worst)


def _order(line: SummaryRow) -> tuple[int, str, int, bool, float, str]:
    place = _MODEL_ORDER.index(line.model) if line.model in _MODEL_ORDER else len(_MODEL_ORDER)
    bits = line.weight_bits_mean or 0.0
    return (place, line.model, line.seed, line.precision != FLOAT, bits, line.precision)
