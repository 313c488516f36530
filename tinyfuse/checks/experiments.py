"""Small experiments on one target whose outcome says whether its robustness figures can be believed.

Each becomes a row that the checks read: attacks at their limits, repeated, doubled, or replaced by noise, on few
samples and in the units of the target (codes for an integer one). What the values mean is said in probe_names.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np

from tinyfuse.attacks import FGSM, PGD, Adversarial, Batch, Corners, DifferentiableTarget, SampleAttack, Square, Threat
from tinyfuse.attacks.adversarial import misclassified
from tinyfuse.attacks.guards import refuse_probabilities
from tinyfuse.attacks.losses import loss_and_slope
from tinyfuse.attacks.target import Gradient, zero_gradient
from tinyfuse.checks.linear_model import linear_problem
from tinyfuse.core.errors import TinyfuseError
from tinyfuse.threats.audit import audit

NOISE_DRAWS = 20
BLACK_BOX_QUERIES = 100


@dataclass(frozen=True, eq=False)
class ProbeSubject:
    """A target with a small batch, its labels, and the threat on all its inputs at the largest budget.

    ``truth`` int [n]: the classes read from the data once more. ``shortest_step``: of all iterated attacks that were
    made on the target, in its units. ``padding``: by input, 1 where the values carry no information.
    """

    target: DifferentiableTarget
    batch: Batch = field(repr=False)
    labels: np.ndarray = field(repr=False)
    truth: np.ndarray = field(repr=False)
    threat: Threat
    steps: int
    shortest_step: float | None = None
    padding: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def n(self) -> int:
        return len(self.labels)

    def loss(self, point: Batch) -> np.ndarray:
        """Cross-entropy float64 [n]."""
        return loss_and_slope("cross-entropy", self.target.logits(point), self.labels)[0]

    def attacked(self, attack: SampleAttack, threat: Threat | None = None, rows: np.ndarray | None = None, *,
                 survivors_only: bool = False) -> Adversarial:
        """What ``attack`` makes of the batch, or of its ``rows`` (int [m]), under its own or another ``threat``."""
        rows = np.arange(self.n) if rows is None else rows
        return attack.run(self.target, _rows_of(self.batch, rows), self.labels[rows],
                          (threat or self.threat).take(rows), sample_ids=rows, survivors_only=survivors_only)

    @cached_property
    def climb(self) -> tuple[Adversarial, np.ndarray]:
        """PGD with the usual number of steps, and its loss [steps + 1, n] from the clean point to the last."""
        watched = _Watched(self.target)
        found = PGD(steps=self.steps).run(watched, self.batch, self.labels, self.threat)
        return found, np.stack([*watched.losses, self.loss(found.last)])

    @cached_property
    def twice(self) -> Adversarial:
        return self.attacked(PGD(steps=2 * self.steps))

    @cached_property
    def one_step(self) -> Adversarial:
        return self.attacked(FGSM())

    @cached_property
    def corners(self) -> Adversarial:
        return self.attacked(Corners(draws=NOISE_DRAWS))


class _Watched:
    """A target that notes the loss wherever its gradient is asked for."""

    def __init__(self, inner: DifferentiableTarget) -> None:
        self.name, self.executor, self.inputs, self.grids = inner.name, inner.executor, inner.inputs, inner.grids
        self.logits, self._inner = inner.logits, inner
        self.losses: list[np.ndarray] = []

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        found = self._inner.gradient(batch, labels, wrt, loss)
        self.losses.append(found.loss)
        return found


@dataclass(frozen=True)
class Measured:
    """One measured value on ``n`` samples."""

    value: float
    n: int
    detail: str = ""


def measure(subject: ProbeSubject, skip: Callable[[str], bool] = lambda name: False) -> Iterator[tuple[str, Measured]]:
    """Yield (name, what was measured) of every probe but those to ``skip``; the gradient is probed input by input."""
    probes = dict(PROBES)
    for name in subject.threat.attacked:
        probes[f"zero-gradient-{name}"] = partial(zero_gradient_share, name=name)
    for name, probe in probes.items():
        found = None if skip(name) else probe(subject)
        if found is not None:
            yield name, found


def _rows_of(batch: Batch, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in batch.items()}


def _refused(check: Callable[..., object], *arguments: object) -> bool:
    try:
        check(*arguments)
    except TinyfuseError:
        return True
    return False


def _zero_budget(subject: ProbeSubject) -> Measured:
    nothing = replace(subject.threat, budget=dict.fromkeys(subject.threat.budget, 0.0))
    found = subject.attacked(PGD(steps=2), nothing)
    clean = misclassified(subject.target.logits(subject.batch), subject.labels)
    return Measured(float(np.sum(found.broken != clean)), subject.n)


def _fgsm_equals_one_step(subject: ProbeSubject) -> Measured:
    one, other = subject.one_step.last, subject.attacked(PGD(steps=1)).last
    return Measured(sum(int(np.sum(one[name] != other[name])) for name in subject.threat.attacked), subject.n)


def _unbounded(subject: ProbeSubject) -> Measured:
    """Anything but 0 is hidden gradients or a bug."""
    free = {name: _full_range(subject, name) for name in subject.threat.attacked}
    broken = _broken_by_two_losses(subject, max(40, subject.steps), replace(subject.threat, budget=free))
    return Measured(float(np.mean(~broken)), subject.n)


def _broken_by_two_losses(subject: ProbeSubject, steps: int, threat: Threat) -> np.ndarray:
    found = [subject.attacked(PGD(steps=steps, loss=loss), threat, survivors_only=True).broken
             for loss in ("cross-entropy", "margin")]
    return np.asarray(found[0] | found[1])


def _full_range(subject: ProbeSubject, name: str) -> float:
    """An epsilon that allows any change that stays in the box of an input, whatever else changes."""
    low, high = subject.threat.box[name]
    coordinates = sum(subject.batch[attacked][0].size for attacked in subject.threat.attacked)
    longest = 1.0 if subject.threat.norm.per_coordinate else float(np.sqrt(coordinates))
    return float(np.max(high) - np.min(low)) * longest


def _noise(subject: ProbeSubject) -> Measured:
    corners, gradient = (float(np.mean(~found.broken)) for found in (subject.corners, subject.one_step))
    return Measured(corners - gradient, subject.n,
                   f"{corners:.1%} against {NOISE_DRAWS} random corners, {gradient:.1%} against FGSM")


def _planted(subject: ProbeSubject) -> Measured:
    """An active test after Zimmermann et al. 2022: an attack that does not find a point known to lie in the ball says
    nothing about robustness.
    """
    found = subject.loss(subject.climb[0].strongest) >= subject.loss(subject.corners.strongest)
    return Measured(float(np.mean(found | subject.climb[0].broken)), subject.n,
                   f"each at the strongest of {NOISE_DRAWS} random corners")


def _on_linear_model(subject: ProbeSubject, *, certified: bool) -> Measured | None:
    """What FGSM or PGD breaks of a linear model although it is ``certified``, or misses of what can be broken."""
    if subject.threat.norm.name != "linf":
        return None
    target, labels, breakable = linear_problem(subject.batch, subject.threat, subject.target.grids)
    faults = np.zeros(subject.n, bool)
    for attack in (PGD(steps=subject.steps), FGSM()):
        broken = attack.run(target, subject.batch, labels, subject.threat).broken
        faults |= broken & ~breakable if certified else breakable & ~broken
    return Measured(float(faults.sum()), subject.n, "a linear model with the same inputs and budget, closed form")


def _black_box_only(subject: ProbeSubject) -> Measured:
    rows = np.flatnonzero(~_broken_by_two_losses(subject, subject.steps, subject.threat))
    broken = np.zeros(len(rows), bool)
    for search in (Square(queries=BLACK_BOX_QUERIES), Corners(draws=NOISE_DRAWS)):
        if len(rows) and subject.threat.norm.name in search.norms:
            broken |= subject.attacked(search, rows=rows).broken
    return Measured(float(broken.sum() / subject.n), subject.n,
                    f"square with {BLACK_BOX_QUERIES} queries, {NOISE_DRAWS} random corners")


def _double_steps(subject: ProbeSubject) -> Measured:
    return Measured(float(np.mean(subject.twice.broken) - np.mean(subject.climb[0].broken)), subject.n)


def _double_steps_loss(subject: ProbeSubject) -> Measured:
    once, twice = (float(np.mean(subject.loss(found.strongest))) for found in (subject.climb[0], subject.twice))
    return Measured((twice - once) / max(once, 1e-12), subject.n)


def _double_restarts(subject: ProbeSubject) -> Measured:
    """The second start is random."""
    rows = np.flatnonzero(~subject.climb[0].broken)
    if not len(rows):
        return Measured(0.0, subject.n)
    again = subject.attacked(PGD(steps=subject.steps, random_start=True), rows=rows, survivors_only=True)
    return Measured(float(again.broken.sum() / subject.n), subject.n)


def _loss_falls(subject: ProbeSubject) -> Measured:
    """One trajectory of PGD, seen after 0, 1, 2, 4, ... steps."""
    seen = [0, *(1 << power for power in range(subject.steps.bit_length()))]
    return Measured(float(np.mean(np.diff(subject.climb[1][seen], axis=0) < -1e-6)), subject.n)


def _repeat(subject: ProbeSubject) -> Measured:
    """Half of the samples is attacked again, alone."""
    half = np.arange(0, subject.n, 2)
    part = subject.attacked(PGD(steps=subject.steps), rows=half)
    return Measured(float(np.sum(subject.climb[0].broken[half] != part.broken)), len(half))


def _saturated_loss(subject: ProbeSubject) -> Measured:
    """With a probability of 1 a float32 cross-entropy has no gradient."""
    return Measured(float(np.mean(np.exp(-subject.loss(subject.batch)).astype(np.float32) == 1.0)), subject.n)


def _softmax_output(subject: ProbeSubject) -> Measured:
    logits = np.asarray(subject.target.logits(subject.batch))
    return Measured(float(_refused(refuse_probabilities, logits, subject.target.name)), subject.n)


def _bad_gradient(subject: ProbeSubject) -> Measured:
    found = subject.target.gradient(subject.batch, subject.labels, subject.threat.attacked)
    bad = [~np.isfinite(values).reshape(subject.n, -1).all(axis=1) for values in found.wrt.values()]
    return Measured(float(np.logical_or.reduce(bad).sum()), subject.n)


def _audit(subject: ProbeSubject) -> Measured:
    """All other adversarial inputs of a sweep are audited too, and one that is not allowed ends its attack."""
    def refused(point: Batch, rows: np.ndarray) -> bool:
        return _refused(audit, _rows_of(point, rows), _rows_of(subject.batch, rows), subject.threat.take(rows))
    points = [point for found in (subject.climb[0], subject.twice, subject.one_step, subject.corners)
              for point in (found.last, found.strongest)]
    every = np.arange(subject.n)
    bad = sum(refused(point, row) for point in points if refused(point, every) for row in every[:, np.newaxis])
    return Measured(float(bad), len(points) * subject.n)


def _label_source(subject: ProbeSubject) -> Measured:
    """A model's own answers would leak into the attack."""
    return Measured(float(np.array_equal(subject.labels, subject.truth)), subject.n)


def _step_below_code(subject: ProbeSubject) -> Measured | None:
    if not subject.threat.lattice or subject.shortest_step is None:
        return None
    return Measured(float(subject.shortest_step < 0.5), subject.n, f"shortest step {subject.shortest_step:g} codes")


def _padding_share(subject: ProbeSubject) -> Measured | None:
    padding = {name: mask for name, mask in subject.padding.items() if name in subject.threat.attacked}
    if not any(mask.any() for mask in padding.values()):
        return None
    spent = {name: np.abs(subject.climb[0].last[name] - subject.batch[name]) for name in subject.threat.attacked}
    wasted = sum(float((change * padding[name]).sum()) for name, change in spent.items() if name in padding)
    return Measured(wasted / max(sum(float(change.sum()) for change in spent.values()), 1e-12), subject.n)


def zero_gradient_share(subject: ProbeSubject, name: str) -> Measured:
    """Share of samples whose gradient is 0 at every attackable coordinate of input ``name``."""
    gradient = subject.target.gradient(subject.batch, subject.labels, (name,))
    alone = replace(subject.threat, budget={name: subject.threat.budget[name]},
                    mask={key: mask for key, mask in subject.threat.mask.items() if key == name})
    return Measured(float(zero_gradient(gradient.wrt, alone).mean()), subject.n)


PROBES: dict[str, Callable[[ProbeSubject], Measured | None]] = {
    "zero-budget": _zero_budget, "fgsm-equals-pgd1": _fgsm_equals_one_step, "unbounded": _unbounded, "noise": _noise,
    "black-box-only": _black_box_only, "softmax-output": _softmax_output, "bad-gradient": _bad_gradient,
    "double-steps": _double_steps, "double-steps-loss": _double_steps_loss, "double-restarts": _double_restarts,
    "loss-falls": _loss_falls, "repeat": _repeat, "planted": _planted,
    "analytic": partial(_on_linear_model, certified=False), "certificate": partial(_on_linear_model, certified=True),
    "audit": _audit, "label-source": _label_source, "step-below-code": _step_below_code,
    "saturated-loss": _saturated_loss, "padding-share": _padding_share}
"""Name in the rows -> experiment, but for those on the gradient of each input."""
