"""Small experiments on one target whose outcome says whether its robustness figures can be believed.

Each is a row that the checks read (see checks.py): attacks at their limits, repeated, doubled, or replaced by noise.
They run on few samples, in the units of the target: real values for a float network, codes (G) for an integer one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from tinyfuse.attacks import (
    Adversarial,
    Batch,
    DifferentiableTarget,
    Gradient,
    Threat,
    attack,
    loss_and_slope,
    misclassified,
    pgd,
    refuse_probabilities,
)
from tinyfuse.attacks.steps import zero_gradient
from tinyfuse.checks.linear_model import linear_problem
from tinyfuse.core.errors import TinyfuseError
from tinyfuse.threats.audit import audit

NOISE_DRAWS = 20
BLACK_BOX_QUERIES = 100


@dataclass(frozen=True, eq=False)
class Bench:
    """A target with a small batch, its labels, and the threat on all its modalities at the largest budget.

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

    def correct(self, point: Batch) -> np.ndarray:
        """Bool [n]: ``point`` is still classified correctly."""
        return ~misclassified(self.target.logits(point), self.labels)

    def loss(self, point: Batch) -> np.ndarray:
        """Cross-entropy float64 [n]."""
        return loss_and_slope("cross-entropy", self.target.logits(point), self.labels)[0]

    @cached_property
    def climb(self) -> tuple[Adversarial, np.ndarray]:
        """PGD with the usual number of steps, and its loss [steps + 1, n] from the clean point to the last."""
        watched = _Watched(self.target)
        found = pgd(watched, self.batch, self.labels, self.threat, steps=self.steps)
        return found, np.stack([*watched.losses, self.loss(found.last)])

    @cached_property
    def twice(self) -> Adversarial:
        """PGD with twice as many steps."""
        return pgd(self.target, self.batch, self.labels, self.threat, steps=2 * self.steps)

    @cached_property
    def one_step(self) -> Adversarial:
        """The fast gradient method."""
        return attack("fgsm", self.target, self.batch, self.labels, [self.threat])[0]

    @cached_property
    def corners(self) -> Adversarial:
        """The worst of random corners of the ball."""
        return attack("corners", self.target, self.batch, self.labels, [self.threat], draws=NOISE_DRAWS)[0]


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
class Finding:
    """One measured value on ``n`` samples."""

    value: float
    n: int
    detail: str = ""


def measure(bench: Bench, skip: Callable[[str], bool] = lambda name: False) -> Iterator[tuple[str, Finding]]:
    """Yield (name, finding) of every probe but those to ``skip``."""
    for name, probe in PROBES.items():
        if not skip(name):
            found = probe(bench)
            if found is not None:
                yield name, found


def zero_budget(bench: Bench) -> Finding:
    """Verdicts that PGD with a budget of 0 changes."""
    nothing = replace(bench.threat, epsilon=dict.fromkeys(bench.threat.epsilon, 0.0))
    found = pgd(bench.target, bench.batch, bench.labels, nothing, steps=2, step_size=0.0)
    return Finding(float(np.sum(found.broken == bench.correct(bench.batch))), len(bench.labels))


def fgsm_equals_one_step(bench: Bench) -> Finding:
    """Coordinates in which one PGD step of the whole budget differs from the fast gradient method."""
    looped = pgd(bench.target, bench.batch, bench.labels, bench.threat, steps=1, step_size=dict(bench.threat.epsilon))
    differing = sum(int(np.sum(bench.one_step.last[name] != looped.last[name])) for name in bench.threat.modalities)
    return Finding(differing, len(bench.labels))


def unbounded(bench: Bench) -> Finding:
    """Accuracy when every value of every input may be chosen freely: anything but 0 is hidden gradients or a bug."""
    span = {name: float(np.max(high) - np.min(low)) for name in bench.threat.epsilon
            for low, high in [bench.threat.box(name)]}
    longest = {name: np.sqrt(bench.batch[name][0].size) if bench.threat.norm == "l2" else 1.0 for name in span}
    free = replace(bench.threat, epsilon={name: span[name] * longest[name] for name in span})
    found = [pgd(bench.target, bench.batch, bench.labels, free, steps=max(40, bench.steps), loss=loss,
                 survivors_only=True).broken for loss in ("cross-entropy", "margin")]
    return Finding(float(np.mean(~(found[0] | found[1]))), len(bench.labels))


def noise(bench: Bench) -> Finding:
    """Accuracy under the worst of random corners of the ball, minus that under FGSM; below 0 noise is the stronger."""
    corners, gradient = (float(np.mean(~found.broken)) for found in (bench.corners, bench.one_step))
    return Finding(corners - gradient, len(bench.labels),
                   f"{corners:.1%} against {NOISE_DRAWS} random corners, {gradient:.1%} against FGSM")


def planted(bench: Bench) -> Finding:
    """Share of planted examples that PGD reaches: the boundary moved to where the best random corner just crosses it.

    An active test after Zimmermann et al. 2022: an attack that does not get as far as a point known to lie in the ball
    says nothing about robustness.
    """
    found = bench.loss(bench.climb[0].strongest) >= bench.loss(bench.corners.strongest)
    return Finding(float(np.mean(found | bench.climb[0].broken)), len(bench.labels),
                   f"each at the strongest of {NOISE_DRAWS} random corners")


def analytic(bench: Bench) -> Finding | None:
    """Samples on which FGSM or PGD misses what the closed form of a linear model on the same inputs allows."""
    return _on_linear_model(bench, lambda broken, breakable: breakable & ~broken)


def certificate(bench: Bench) -> Finding | None:
    """Samples of a linear model that are broken although its closed form certifies them."""
    return _on_linear_model(bench, lambda broken, breakable: broken & ~breakable)


def _on_linear_model(bench: Bench, wrong: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Finding | None:
    if bench.threat.norm != "linf":
        return None
    target, labels, breakable = linear_problem(bench.batch, bench.threat, bench.target.grids)
    found = [pgd(target, bench.batch, labels, bench.threat, steps=bench.steps),
             attack("fgsm", target, bench.batch, labels, [bench.threat])[0]]
    faults = np.logical_or.reduce([wrong(one.broken, breakable) for one in found])
    return Finding(float(faults.sum()), len(labels), "a linear model with the same inputs and budget, closed form")


def black_box_only(bench: Bench) -> Finding:
    """Share of samples that attacks without gradients break after those with gradients have failed."""
    broken = np.zeros(len(bench.labels), bool)
    for loss in ("cross-entropy", "margin"):
        broken |= pgd(bench.target, bench.batch, bench.labels, bench.threat, steps=bench.steps, loss=loss,
                      survivors_only=True).broken
    before, rows = broken.copy(), np.flatnonzero(~broken)
    for name, parameters in (("square", {"queries": BLACK_BOX_QUERIES}), ("corners", {"draws": NOISE_DRAWS})):
        if len(rows):
            found = attack(name, bench.target, {key: values[rows] for key, values in bench.batch.items()},
                           bench.labels[rows], [bench.threat.take(rows)], sample_ids=rows, **parameters)[0]
            broken[rows] |= found.broken
    return Finding(float(np.mean(broken & ~before)), len(bench.labels),
                   f"square with {BLACK_BOX_QUERIES} queries, {NOISE_DRAWS} random corners")


def double_steps(bench: Bench) -> Finding:
    """Accuracy that twice as many steps take away."""
    gain = np.mean(bench.twice.broken) - np.mean(bench.climb[0].broken)
    return Finding(float(gain), len(bench.labels))


def double_steps_loss(bench: Bench) -> Finding:
    """Relative change of the mean loss with twice as many steps."""
    once, twice = (float(np.mean(bench.loss(found.strongest))) for found in (bench.climb[0], bench.twice))
    return Finding((twice - once) / max(once, 1e-12), len(bench.labels))


def double_restarts(bench: Bench) -> Finding:
    """Accuracy that a second, random start takes away."""
    rows = np.flatnonzero(~bench.climb[0].broken)
    if not len(rows):
        return Finding(0.0, len(bench.labels))
    again = pgd(bench.target, {name: values[rows] for name, values in bench.batch.items()}, bench.labels[rows],
                bench.threat.take(rows), steps=bench.steps, random_start=True, sample_ids=rows, survivors_only=True)
    return Finding(float(again.broken.sum() / len(bench.labels)), len(bench.labels))


def loss_falls(bench: Bench) -> Finding:
    """Share of (sample, window of steps) in which PGD's loss fell; one trajectory, seen after 0, 1, 2, 4, ... steps."""
    losses = bench.climb[1]
    seen = [0, *(1 << power for power in range(bench.steps.bit_length()))]
    gains = np.diff(losses[seen], axis=0)
    return Finding(float(np.mean(gains < -1e-6)), len(bench.labels))


def repeat(bench: Bench) -> Finding:
    """Verdicts that differ when half of the samples is attacked again, alone."""
    half = np.arange(0, len(bench.labels), 2)
    part = pgd(bench.target, {name: values[half] for name, values in bench.batch.items()}, bench.labels[half],
               bench.threat.take(half), steps=bench.steps)
    return Finding(float(np.sum(bench.climb[0].broken[half] != part.broken)), len(half))


def saturated_loss(bench: Bench) -> Finding:
    """Share of samples whose probability is 1 in float32, so that a float32 cross-entropy has no gradient."""
    loss = loss_and_slope("cross-entropy", bench.target.logits(bench.batch), bench.labels)[0]
    return Finding(float(np.mean(np.exp(-loss).astype(np.float32) == 1.0)), len(bench.labels))


def softmax_output(bench: Bench) -> Finding:
    """1 if the outputs look like probabilities instead of logits."""
    try:
        refuse_probabilities(np.asarray(bench.target.logits(bench.batch)), bench.target.name)
    except TinyfuseError:
        return Finding(1.0, len(bench.labels))
    return Finding(0.0, len(bench.labels))


def bad_gradient(bench: Bench) -> Finding:
    """Samples with a gradient that is NaN, infinite or missing."""
    found = bench.target.gradient(bench.batch, bench.labels, bench.threat.modalities)
    bad = np.zeros(len(bench.labels), bool)
    for values in found.wrt.values():
        bad |= ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
    return Finding(float(bad.sum()), len(bench.labels))


def audited(bench: Bench) -> Finding:
    """Adversarial inputs that leave the threat; all others of a sweep are audited too, and one ends its attack."""
    points = [point for found in (bench.climb[0], bench.twice, bench.one_step, bench.corners)
              for point in (found.last, found.strongest)]
    return Finding(float(sum(_violations(point, bench) for point in points)), len(points) * len(bench.labels))


def _violations(point: Batch, bench: Bench) -> int:
    def allowed(rows: np.ndarray) -> bool:
        try:
            audit({name: values[rows] for name, values in point.items()},
                  {name: values[rows] for name, values in bench.batch.items()}, bench.threat.take(rows))
        except TinyfuseError:
            return False
        return True

    everything = np.arange(len(bench.labels))
    return 0 if allowed(everything) else sum(not allowed(everything[row:row + 1]) for row in everything)


def label_source(bench: Bench) -> Finding:
    """1 if attacks climb away from the true labels; a model's own answers would leak into the attack."""
    return Finding(float(np.array_equal(bench.labels, bench.truth)), len(bench.labels))


def step_below_code(bench: Bench) -> Finding | None:
    """1 if an attack took steps below half a code on inputs that are rounded, so that it could not move."""
    if not bench.threat.lattice or bench.shortest_step is None:
        return None
    return Finding(float(bench.shortest_step < 0.5), len(bench.labels), f"shortest step {bench.shortest_step:g} codes")


def padding_share(bench: Bench) -> Finding | None:
    """Share of the perturbation's L1 size in coordinates that are constant padding in every sample."""
    if not any(mask.any() for name, mask in bench.padding.items() if name in bench.threat.modalities):
        return None
    spent = {name: np.abs(bench.climb[0].last[name] - bench.batch[name]) for name in bench.threat.modalities}
    wasted = sum(float((change * bench.padding[name]).sum()) for name, change in spent.items() if name in bench.padding)
    return Finding(wasted / max(sum(float(change.sum()) for change in spent.values()), 1e-12), len(bench.labels))


def _zero_gradient(modality: str) -> Callable[[Bench], Finding | None]:
    def share(bench: Bench) -> Finding | None:
        if modality not in bench.threat.epsilon:
            return None
        gradient = bench.target.gradient(bench.batch, bench.labels, (modality,))
        alone = replace(bench.threat, epsilon={modality: bench.threat.epsilon[modality]},
                        mask={name: mask for name, mask in (bench.threat.mask or {}).items() if name == modality})
        return Finding(float(zero_gradient(gradient.wrt, alone).mean()), len(bench.labels))

    return share


PROBES: dict[str, Callable[[Bench], Finding | None]] = {
    "zero-budget": zero_budget, "fgsm-equals-pgd1": fgsm_equals_one_step, "unbounded": unbounded, "noise": noise,
    "black-box-only": black_box_only, "softmax-output": softmax_output, "bad-gradient": bad_gradient,
    "double-steps": double_steps, "double-steps-loss": double_steps_loss, "double-restarts": double_restarts,
    "loss-falls": loss_falls, "repeat": repeat, "planted": planted, "analytic": analytic, "certificate": certificate,
    "audit": audited, "label-source": label_source, "step-below-code": step_below_code,
    "saturated-loss": saturated_loss, "padding-share": padding_share,
    "zero-gradient-image": _zero_gradient("image"), "zero-gradient-audio": _zero_gradient("audio")}
"""Name in the rows -> experiment."""
