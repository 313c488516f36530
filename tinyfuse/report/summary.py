"""From rows to lines of the table: what each (model, precision) costs and withstands, and the Pareto marks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from tinyfuse.checks.firmware_cost import FirmwareCost, firmware_cost, reasons
from tinyfuse.checks.line_rows import by_line, clean_survivors
from tinyfuse.checks.run_checks import Flag, letters, run_checks
from tinyfuse.core.results import Row
from tinyfuse.core.statistics import Difference, mcnemar, paired_difference, ratio
from tinyfuse.nn.origin import SHARED
from tinyfuse.study.worst_case import (
    FLOAT,
    FLOAT_EXECUTOR,
    INTEGER_EXECUTOR,
    Accuracy,
    CurvePoint,
    Track,
    accuracy_of,
    certified_track,
    last_iterate,
    reference_epsilon,
    worst_case,
)
from tinyfuse.threats.budgets import Epsilon
from tinyfuse.threats.modes import ALL, mode_name, modes_of

LITERATURE = "paper"
"""The profile whose last iterates are the literature's protocol."""
MEASURES = ("weight_bits_mean", "activation_bits", "stored_bytes", "packed_bytes", "arena_bytes",
            "firmware_arena_bytes", "macs", "max_abs_difference")


@dataclass(frozen=True)
class Paired:
    """Integer minus float accuracy, McNemar's ``p``, and integer over float, which is None where float is below 5 %."""

    change: Difference
    p: float
    ratio: float | None

    @classmethod
    def of(cls, before: np.ndarray, after: np.ndarray) -> Paired:
        """Compare bool [n], correct by float ``before`` and by the integers ``after``."""
        return cls(paired_difference(before, after), mcnemar(before, after),
                   ratio(float(np.mean(after)), float(np.mean(before))))


@dataclass(frozen=True, kw_only=True)
class SummaryRow:
    """One line of the table: what one (model, precision) costs and what it withstands.

    ``inputs``: what the network looks at. ``bits``: mean weight bits by branch. ``executor`` judged the line: Keras for
    the float network and for weights rounded in a float network, otherwise the integer executor. Robust accuracies are
    worst cases at ``epsilon`` in ``norm`` by mode of attack; one that was not measured is absent. ``robust_integer`` is
    threat model G (the adversary writes codes), ``robust_real`` R (real values that the device rounds), ``transfer``
    what inputs made on the float network leave. ``certified`` (G) and ``certified_real`` (R) no attack can break.
    ``rerun`` inputs that the twin judged were run on TFLite Micro as well, where ``differing`` output codes were
    others; exact means 0. ``paired``: integers (G) against float on the same samples, "clean" and by mode.
    ``agreement`` is the share of clean samples on which both are right or both wrong. ``pareto``: no deployable recipe
    of the same model is at least as good in packed bytes, clean and worst robust accuracy, and better in one of them.
    ``clean_float`` of an integer line is measured on the same samples as ``clean_integer`` wherever float verdicts on
    those exist. ``arena_bytes`` is TFLite Micro's, ``firmware_arena_bytes`` that of the exported package; ``firmware``
    is None on a line that no integer model belongs to.
    """

    model: str
    precision: str
    seed: int
    epsilon: Epsilon | None
    inputs: tuple[str, ...] = ()
    bits: Mapping[str, float] = field(default_factory=dict)
    weight_bits_mean: float | None = None
    activation_bits: float | None = None
    stored_bytes: int | None = None
    packed_bytes: int | None = None
    arena_bytes: int | None = None
    firmware_arena_bytes: int | None = None
    macs: int | None = None
    max_abs_difference: float | None = None
    executor: str = FLOAT_EXECUTOR
    clean_float: Accuracy | None = None
    clean_integer: Accuracy | None = None
    robust_float: Mapping[str, Accuracy] = field(default_factory=dict)
    robust_integer: Mapping[str, Accuracy] = field(default_factory=dict)
    robust_real: Mapping[str, Accuracy] = field(default_factory=dict)
    certified: Mapping[str, Accuracy] = field(default_factory=dict)
    certified_real: Mapping[str, Accuracy] = field(default_factory=dict)
    transfer: Mapping[str, Accuracy] = field(default_factory=dict)
    rerun: int = 0
    differing: int = 0
    paired: Mapping[str, Paired] = field(default_factory=dict)
    agreement: float | None = None
    firmware: FirmwareCost | None = None
    flags: tuple[str, ...] = ()
    pareto: bool = False
    norm: str = "linf"

    @property
    def is_float(self) -> bool:
        """Whether this is the float network itself."""
        return self.precision == FLOAT

    @property
    def clean(self) -> Accuracy | None:
        """Clean accuracy of what this line is about: the float network itself, or the integer model."""
        return self.clean_float if self.is_float else self.clean_integer

    @property
    def robust(self) -> Mapping[str, Accuracy]:
        """Robust accuracy of what this line is about, by mode of attack."""
        return self.robust_float if self.is_float else self.robust_integer

    @property
    def worst_robust(self) -> float | None:
        """The lowest robust accuracy over the modes of attack that were measured."""
        return min((accuracy.value for accuracy in self.robust.values()), default=None)


def as_table(line: SummaryRow) -> dict[str, Any]:
    """Return ``line`` as plain values for JSON."""
    return asdict(line)


def inputs_of(lines: Iterable[SummaryRow]) -> list[str]:
    """Return the inputs that ``lines`` name, those of the network with the most inputs first."""
    return list(dict.fromkeys(name for line in sorted(lines, key=lambda line: -len(line.inputs))
                              for name in line.inputs))


def modes_among(lines: Sequence[SummaryRow]) -> list[str]:
    """Return the modes of attack on the networks of ``lines``: each input alone, other attacked sets, and all."""
    known = [mode for line in lines for found in (line.robust_float, line.robust_integer) for mode in found]
    every = [mode for line in lines for mode in modes_of(line.inputs)]
    found = dict.fromkeys([*inputs_of(lines), *known, *every])
    return sorted(found, key=lambda mode: mode == ALL)


def branches_among(lines: Sequence[SummaryRow]) -> list[str]:
    """Return what ``lines`` give widths to: each input's own layers, then the shared ones."""
    known = {branch: None for line in lines for branch in line.bits}
    named = [name for name in inputs_of(lines) if name in known]
    return sorted(dict.fromkeys([*named, *known]), key=lambda branch: branch == SHARED)


def summarise(rows: Iterable[Row], *, epsilon: Epsilon | None = None, norm: str = "linf",
              executor: str = INTEGER_EXECUTOR, flags: Sequence[Flag] | None = None) -> list[SummaryRow]:
    """Make one line per (model, precision, seed), models as in the rows: float first, then by mean weight bits.

    ``epsilon`` is the budget of the robust columns, by input or for all (default: `reference_epsilon`), ``executor``
    the integer truth. ``flags`` come from `run_checks`, which runs here when they are not given.
    """
    known = list(rows)
    marks = run_checks(known) if flags is None else flags
    budget = reference_epsilon(known, norm=norm) if epsilon is None else epsilon
    lines, lacking = by_line(known), reasons(known)
    summary = []
    for (model, precision, seed), found in lines.items():
        before = LineCurves.of(lines.get((model, FLOAT, seed), []), FLOAT_EXECUTOR, norm)
        judges = {row["executor"] for row in found if row["kind"] in ("clean", "attack")}
        judge = FLOAT_EXECUTOR if judges == {FLOAT_EXECUTOR} else executor
        after = LineCurves() if precision == FLOAT else LineCurves.of(found, judge, norm)
        cost = None if precision == FLOAT or judge == FLOAT_EXECUTOR else firmware_cost(
            found, lacking.get((model, precision, seed), ""))
        summary.append(replace(_line(found, before, after, budget, norm), executor=judge, firmware=cost,
                               norm=norm, flags=letters(marks, (model, precision, seed))))
    models = list(dict.fromkeys(line.model for line in summary))
    return sorted(_mark_pareto(summary), key=lambda line: (
        models.index(line.model), line.seed, not line.is_float, line.weight_bits_mean or 0.0, line.precision))


def measured_modes(rows: Iterable[Row]) -> list[str]:
    """Return the modes in which ``rows`` were attacked."""
    return list(dict.fromkeys(mode_name(row["attacked"], row["inputs"]) for row in rows if row["kind"] == "attack"))


@dataclass(frozen=True)
class LineCurves:
    """Verdicts of one executor on one (model, precision); empty where nothing was measured.

    ``clean``: by number of samples. ``own``: the worst case, for integers in threat model G. ``real``: threat model R.
    ``transfer``: made on the float network. ``literature``: by attack, last iterate only.
    """

    clean: Mapping[int, np.ndarray] = field(default_factory=dict)
    own: Track = field(default_factory=dict)
    real: Track = field(default_factory=dict)
    transfer: Track = field(default_factory=dict)
    literature: dict[str, Track] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Sequence[Row], executor: str, norm: str) -> LineCurves:
        """Read the curves of ``executor`` from the ``rows`` of one line."""
        def track(curve: Callable[..., list[CurvePoint]], chosen: Sequence[Row], *which: str, **scope: str) -> Track:
            found = {mode: curve(chosen, rows[0]["model"], rows[0]["precision"], executor, mode, *which, norm=norm,
                                 **scope) for mode in measured_modes(chosen)}
            return {mode: points for mode, points in found.items() if points}

        replayed = [row for row in rows if row["kind"] != "attack" or row["source"] == FLOAT]
        rounded = rows if executor != FLOAT_EXECUTOR else []  # a float network rounds nothing
        paper = [row for row in rows if row["kind"] == "attack" and
                 (row["profile"], row["criterion"]) == (LITERATURE, "last-iterate")]
        attacks = sorted({row["attack"]["name"] for row in paper})
        return cls(clean_survivors(rows, executor), track(worst_case, rows), track(worst_case, rounded, threat="real"),
                   track(worst_case, replayed, criterion="replayed"),
                   {attack: track(last_iterate, paper, attack) for attack in attacks})

    def by_kind(self, kind: str) -> Track:
        """Return the curves of G, R or T."""
        return {"G": self.own, "R": self.real, "T": self.transfer}[kind]

    def clean_accuracy(self, n: int | None = None) -> Accuracy | None:
        """Return clean accuracy on n samples, or on the largest sample if that one was not judged."""
        return accuracy_of(self.clean.get(n or 0, self.clean[max(self.clean)])) if self.clean else None

    @property
    def start(self) -> Accuracy | None:
        """Clean accuracy on the attacked samples."""
        return self.clean_accuracy(next((points[0].accuracy.n for points in self.own.values()), None))


def _at(epsilon: Epsilon | None, track: Track) -> dict[str, CurvePoint]:
    return {mode: point for mode, points in track.items() for point in points if point.is_at(epsilon)}


def _line(rows: Sequence[Row], before: LineCurves, after: LineCurves, epsilon: Epsilon | None,
          norm: str) -> SummaryRow:
    facts: Row = next((row for row in reversed(rows) if row["kind"] == "model"), {})
    judged: Row = next((row for row in rows if row["kind"] in ("clean", "attack")), {})
    compared = [row for row in rows if row["kind"] == "parity" and {row["a"], row["b"]} == {INTEGER_EXECUTOR, "tflm"}]
    common = before.clean.keys() & after.clean.keys()
    compared_on = {"clean": (before.clean[max(common)], after.clean[max(common)])} if common else {}
    unquantised = _at(epsilon, before.own)
    compared_on |= {mode: (unquantised[mode].survivors, point.survivors)
                    for mode, point in _at(epsilon, after.own).items() if mode in unquantised
                    and len(unquantised[mode].survivors) == len(point.survivors)}
    tracks = {"robust_float": before.own, "robust_integer": after.own, "robust_real": after.real,
              "transfer": after.transfer, "certified": certified_track(rows, norm),
              "certified_real": certified_track(rows, norm, "real")}
    measures: dict[str, Any] = {name: facts.get(name) for name in MEASURES} | {
        name: {mode: point.accuracy for mode, point in _at(epsilon, track).items()} for name, track in tracks.items()}
    return SummaryRow(
        model=rows[0]["model"], precision=rows[0]["precision"], seed=rows[0]["seed"], epsilon=epsilon,
        inputs=tuple(judged.get("inputs", ())), bits=facts.get("bits", {}),
        clean_float=before.clean_accuracy(max(after.clean, default=None)), clean_integer=after.clean_accuracy(),
        rerun=sum(row["samples"] for row in compared), differing=sum(row["differing"] for row in compared),
        paired={what: Paired.of(*verdicts) for what, verdicts in compared_on.items()},
        agreement=float(np.mean(np.equal(*compared_on["clean"]))) if common else None, **measures)


def _mark_pareto(summary: Sequence[SummaryRow]) -> list[SummaryRow]:
    marked = []
    for line in summary:
        mine = _score(line)
        rivals = [_score(other) for other in summary if (other.model, other.seed) == (line.model, line.seed)]
        beaten = not mine or any(rival and rival != mine and all(theirs >= own for theirs, own in zip(
            rival, mine, strict=True)) for rival in rivals)
        marked.append(replace(line, pareto=not beaten))
    return marked


def _score(line: SummaryRow) -> tuple[float, ...]:
    """Return what a Pareto comparison looks at, larger is better; empty for a line that takes no part."""
    if line.executor == FLOAT_EXECUTOR or line.packed_bytes is None or line.clean is None:
        return ()
    worst = line.worst_robust
    return (-line.packed_bytes, line.clean.value, -1.0 if worst is None else worst)
