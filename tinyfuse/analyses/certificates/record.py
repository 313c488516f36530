"""Certificates of one model as rows of a run, mode by mode; what the file of rows holds is not computed again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinyfuse.analyses.analysis import Quantity
from tinyfuse.analyses.certificates.ball import LENGTHS, Ball, check_budget_covers
from tinyfuse.analyses.certificates.branches import BRANCHES
from tinyfuse.analyses.certificates.certify import Certifier, verdicts
from tinyfuse.analyses.certificates.radius import certified_radii
from tinyfuse.analyses.certificates.smoothing import ALPHA, of_twin, smoothed
from tinyfuse.attacks.minimal import minimal_codes
from tinyfuse.attacks.pgd import PGD
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.checks.certificates import CERTIFICATE, CERTIFIED
from tinyfuse.core.console import progress
from tinyfuse.core.errors import UsageError
from tinyfuse.core.results import ResultStore, Row, row_key
from tinyfuse.core.statistics import two_level
from tinyfuse.data.samples import Batch, Input, Samples
from tinyfuse.threats.code_threats import code_problem
from tinyfuse.threats.masks import mask_text
from tinyfuse.threats.modes import mode_name
from tinyfuse.threats.threat import Threat

TEST = "test"
QUANTITIES = (CERTIFIED, "falsified", "open")
FOUND = (
    Quantity(CERTIFIED, "certified", "share", "no codes within the budget change the answer: proved"),
    Quantity("falsified", "falsified", "share", "wrong when clean, or by codes within the budget that PGD, or "
                                                "branch and bound, found"),
    Quantity("open", "open", "share", "neither proved nor falsified"),
    Quantity("certified by METHOD", "method", "share", "proved by intervals, by linear bounds, by recursive ones or by "
                                                       "branches, where those before did not suffice"),
    Quantity("certified radius", "certified radius", "codes", "median of the largest budget that is proved, -1: wrong"),
    Quantity("unbroken radius", "unbroken radius", "codes", "median of the largest budget at which PGD breaks nothing"),
    Quantity("L2 radius", "L2 radius", "budgets", "median of the length of change, in budgets, that the sound "
                                                  "Lipschitz constant of the integers proves harmless; 0: none"),
    Quantity("smoothed radius", "smoothed", "share", "right with a radius above 0 when smoothed with noise; radii in "
                                                     "units of the noise"))
"""What rows of certificates hold, for the dictionary of rows."""
LENGTH = "L2 radius"
SECONDS, RADIUS, UNBROKEN, SMOOTHED = "seconds", "certified radius", "unbroken radius", "smoothed radius"
BY = "certified by "
"""Before the name of a method, of METHODS: the samples that it proves where those before it do not."""


@dataclass(frozen=True, eq=False)
class Question:
    """What an adversary may do: ``budget`` in the units of the ``inputs``, by attacked input, everything else alike.

    ``world``: threat model "codes" (G) or "real" (R). ``steps`` of the PGD that looks for counterexamples; ``largest``:
    codes up to which a radius is searched (0: none). ``part`` of the data whose samples it is about. ``seconds`` of
    branch and bound for each sample that is still open.
    """

    inputs: tuple[Input, ...]
    budget: Mapping[str, float]
    norm: str = "linf"
    world: str = "codes"
    mask: Mapping[str, np.ndarray] = field(default_factory=dict)
    steps: int = 20
    largest: int = 0
    part: str = TEST
    seconds: float = 0.0

    def on(self, names: tuple[str, ...]) -> Question:
        """Return the question for an adversary who changes the inputs ``names`` alone."""
        return replace(self, budget={name: self.budget[name] for name in names},
                       mask={name: mask for name, mask in self.mask.items() if name in names})

    def settings(self, methods: tuple[str, ...]) -> dict[str, Any]:
        """Return what decides the answer, as plain values."""
        other: dict[str, Any] = {} if self.part == TEST else {"part": self.part}
        if self.seconds:
            other["seconds_per_sample"] = self.seconds
        return {"norm": self.norm, "threat": self.world, "budget": dict(self.budget), "mask": mask_text(self.mask),
                "methods": list(methods), "steps": self.steps, "largest": self.largest, **other}


@dataclass(frozen=True)
class Named:
    """What rows say about the model and the data; ``sha256`` of the file."""

    model: str
    precision: str
    sha256: str
    seed: int
    data_checksum: str

    def common(self, **asked: Any) -> dict[str, Any]:
        """Return the fields that all rows of a question share, with what was ``asked``."""
        return {"kind": "analysis", "analysis": CERTIFICATE, "executor": "twin", **vars(self), **asked}


def certificate_rows(named: Named, certifier: Certifier, samples: Samples, questions: list[Question],
                     store: ResultStore) -> Iterator[list[Row]]:
    """Answer ``questions`` on ``samples``, each as rows that are appended to ``store``; yield those of each."""
    for question in questions:
        common = _common(named, question, certifier, samples)
        done = row_key({**common, "quantity": SECONDS})
        if not store.has(done):
            began = time.monotonic()
            for finding in _findings(certifier, question, samples, str(common["of"]["attacked"])):
                store.append(_row(common, **finding))
            store.append(_row(common, quantity=SECONDS, value=round(time.monotonic() - began, 3)))
        wanted = [store.rows("analysis", key=row_key({**common, "quantity": quantity}))
                  for quantity in (*QUANTITIES, *(BY + name for name in (*certifier.methods, BRANCHES)), RADIUS,
                                   UNBROKEN, LENGTH, SECONDS)]
        yield [row for found in wanted for row in found]


def _common(named: Named, question: Question, certifier: Certifier, samples: Samples) -> dict[str, Any]:
    mode = mode_name(question.budget, [one.name for one in question.inputs])
    return named.common(settings=question.settings(certifier.methods), of={"attacked": mode}, n=len(samples))


def _row(common: Mapping[str, Any], **finding: Any) -> Row:
    fields = {name: value for name, value in common.items() if name != "sha256"}
    return {**fields, "low": None, "high": None, "each": None, "status": "measured", **finding,
            "key": row_key({**common, "quantity": finding["quantity"]})}


def _findings(certifier: Certifier, question: Question, samples: Samples, mode: str) -> Iterator[dict[str, Any]]:
    target = certifier.target
    assert target.grids is not None
    threat = Threat.of(question.inputs, question.budget, question.norm, question.mask)
    threat, batch = code_problem(threat, samples.inputs, target.grids, question.world)
    check_budget_covers(threat, target.grids)
    check_labels(samples.label, certifier.margins.classes)
    with progress(f"certify {mode}", len(samples)) as advance:
        found = verdicts(certifier, batch, samples.label, threat, steps=question.steps, seconds=question.seconds,
                         tick=advance)
    for quantity in QUANTITIES:
        flags = np.asarray(getattr(found, quantity), float)
        yield {"quantity": quantity, **_share_fields(flags, samples.group), "each": flags.tolist(),
               "status": "certified" if quantity == CERTIFIED else "measured"}
    for place, name in enumerate((*certifier.methods, *([BRANCHES] if question.seconds else [])), 1):
        yield {"quantity": BY + name, "value": float((found.method == place).mean()), "status": "certified"}
    if question.norm in LENGTHS and certifier.movement is not None:
        radii = certifier.movement.radii(Ball.of(threat, batch, target.grids), samples.label)
        yield {"quantity": LENGTH, "value": float(np.median(radii)), "each": radii.tolist(), "status": "certified"}
    if question.largest:
        yield from _radii(certifier, question, batch, samples.label, mode)


def _radii(certifier: Certifier, question: Question, batch: Batch, labels: np.ndarray,
           mode: str) -> Iterator[dict[str, Any]]:
    """By sample the codes that are certified, and those up to which PGD breaks nothing; -1 where it is wrong."""
    attacked, largest = tuple(question.budget), question.largest
    with progress(f"radius {mode}", largest) as advance:
        proved = certified_radii(certifier, batch, labels, attacked, largest, question.mask, tick=advance)
    found = minimal_codes(certifier.target, batch, labels, attacked, attack=PGD(steps=question.steps), largest=largest,
                          mask=question.mask)
    for quantity, radii, status in ((RADIUS, proved, "certified"), (UNBROKEN, found.budget - 1, "estimate")):
        yield {"quantity": quantity, "value": float(np.median(radii)), "each": [float(one) for one in radii],
               "status": status}


def _share_fields(flags: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """The share of samples with its interval over groups, such as utterances, whose samples are not independent."""
    effect = two_level(flags[None], groups)
    return {"value": float(flags.mean()), "low": max(0.0, effect.low), "high": min(1.0, effect.high)}


def smoothed_row(named: Named, target: TwinTarget, samples: Samples, sigma: Mapping[str, float], draws: int,
                 store: ResultStore) -> Row:
    """Smooth the model with noise ``sigma`` by input, and append the radii in units of the noise; 0 where it errs.

    Each radius is wrong with a probability of at most 0.001: an estimate, not a proof.
    """
    noise = ", ".join(f"{name} {size:g}" for name, size in sigma.items())
    common = named.common(settings={"sigma": dict(sigma), "n": draws, "alpha": ALPHA}, of={"noise": noise},
                          n=len(samples))
    key = row_key({**common, "quantity": SMOOTHED})
    if not store.has(key):
        with progress(f"smooth {noise}", len(samples)) as advance:
            found = smoothed(of_twin(target), samples.only(target.inputs).inputs, sigma, n=draws, tick=advance)
        radii = np.where(found.answer == samples.label, found.radius, 0.0)
        store.append(_row(common, quantity=SMOOTHED, **_share_fields(radii > 0, samples.group), each=radii.tolist(),
                          status="estimate"))
    return store.rows("analysis", key=key)[0]


def smoothed_sentence(row: Row) -> str:
    """Say in a line what smoothing found."""
    median = float(np.median(row["each"]))
    return (f"{row['model']} {row['precision']}, smoothed with noise {row['of']['noise']} ({row['settings']['n']} "
            f"draws): {100 * row['value']:.1f} % ({100 * row['low']:.1f} to {100 * row['high']:.1f}) right with a "
            f"radius above 0; median radius {median:.3g} of the noise, each wrong with probability {ALPHA:g} at most; "
            f"n={row['n']}")


def check_labels(labels: np.ndarray, classes: int) -> None:
    """Raise UsageError for a label that no output stands for."""
    if len(labels) and not (labels.min() >= 0 and labels.max() < classes):
        raise UsageError(f"labels from {labels.min()} to {labels.max()}, but the model has {classes} outputs; give data"
                         f" with the classes 0 to {classes - 1}")


def curve(proved: Row, unbroken: Row) -> str:
    """Say at some budgets how many samples are certified, and how many PGD does not break: the truth lies between."""
    both = [np.asarray(row["each"]) for row in (proved, unbroken)]
    largest = proved["settings"]["largest"]
    steps = [k for k in (1, 2, 4, 8, 16, 32, 64, 128) if k < largest] + [largest]
    shares = ", ".join(f"{k}: {100 * np.mean(both[0] >= k):.0f}-{100 * np.mean(both[1] >= k):.0f}" for k in steps)
    return (f"; median radius {proved['value']:g} codes certified, {unbroken['value']:g} unbroken by PGD; certified to "
            f"unbroken % at codes {shares}")


def sentence(rows: list[Row]) -> str:
    """Say the answer to one question in a line."""
    found = {row["quantity"]: row for row in rows}
    settings, certified = found["certified"]["settings"], found["certified"]
    shares = ", ".join(f"{name} {100 * found[name]['value']:.1f} % ({100 * found[name]['low']:.1f} to "
                       f"{100 * found[name]['high']:.1f})" for name in QUANTITIES)
    budget = ", ".join(f"{name} {size:.4g}" for name, size in settings["budget"].items())
    by = ", ".join(f"{round(row['value'] * row['n'])} by {name.removeprefix(BY)}" for name, row in found.items()
                   if name.startswith(BY))
    radius = curve(found[RADIUS], found[UNBROKEN]) if RADIUS in found else ""
    if LENGTH in found:
        radius += f"; median L2 radius {found[LENGTH]['value']:.3g} of the budget by the Lipschitz constant"
    mode = certified["of"]["attacked"]
    return (f"{certified['model']} {certified['precision']}, {mode} attacked ({settings['norm']} {budget}, threat "
            f"model {settings['threat']}): {shares}{radius}; {by}; n={certified['n']}, {found[SECONDS]['value']:.1f} s")
