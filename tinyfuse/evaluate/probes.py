"""Small experiments on one target whose outcome says whether its robustness figures can be believed.

Each is a row that the checks read (see checks.py): attacks at their limits, repeated, doubled, or replaced by noise.
They run on few samples, in the units of the target: real values for a float network, codes (G) for an integer one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from tinyfuse.attacks import (
    Batch,
    DifferentiableTarget,
    Threat,
    attack,
    audit,
    loss_and_slope,
    misclassified,
    pgd,
    refuse_probabilities,
)
from tinyfuse.attacks.steps import zero_gradient
from tinyfuse.errors import TinyfuseError

NOISE_DRAWS = 20
BLACK_BOX_QUERIES = 100


@dataclass(frozen=True, eq=False)
class Bench:
    """A target with a small batch, its labels, and the threat on all its modalities at the largest budget."""

    target: DifferentiableTarget
    batch: Batch = field(repr=False)
    labels: np.ndarray = field(repr=False)
    threat: Threat
    steps: int
    padding: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)

    def correct(self, point: Batch) -> np.ndarray:
        """Bool [n]: ``point`` is still classified correctly."""
        return ~misclassified(self.target.logits(point), self.labels)


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
    once = attack("fgsm", bench.target, bench.batch, bench.labels, [bench.threat])[0]
    looped = pgd(bench.target, bench.batch, bench.labels, bench.threat, steps=1, step_size=dict(bench.threat.epsilon))
    differing = sum(int(np.sum(once.last[name] != looped.last[name])) for name in bench.threat.modalities)
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
    found = attack("corners", bench.target, bench.batch, bench.labels, [bench.threat], draws=NOISE_DRAWS)[0]
    gradient = attack("fgsm", bench.target, bench.batch, bench.labels, [bench.threat])[0]
    return Finding(float(np.mean(~found.broken) - np.mean(~gradient.broken)), len(bench.labels),
                   f"{np.mean(~found.broken):.1%} against {NOISE_DRAWS} random corners, "
                   f"{np.mean(~gradient.broken):.1%} against FGSM")


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
    once, twice = (pgd(bench.target, bench.batch, bench.labels, bench.threat, steps=steps, survivors_only=True).broken
                   for steps in (bench.steps, 2 * bench.steps))
    return Finding(float(np.mean(twice) - np.mean(once)), len(bench.labels))


def double_restarts(bench: Bench) -> Finding:
    """Accuracy that a second, random start takes away."""
    once, twice = (pgd(bench.target, bench.batch, bench.labels, bench.threat, steps=bench.steps, restarts=restarts,
                       survivors_only=True).broken for restarts in (1, 2))
    return Finding(float(np.mean(twice) - np.mean(once)), len(bench.labels))


def loss_falls(bench: Bench) -> Finding:
    """Share of (sample, window of steps) in which PGD's loss fell; one trajectory, seen after 1, 2, 4, ... steps."""
    size = {name: max(2.5 * epsilon / bench.steps, min(1.0, epsilon) if bench.threat.lattice else 0.0)
            for name, epsilon in bench.threat.epsilon.items()}
    losses = [loss_and_slope("cross-entropy", bench.target.logits(bench.batch), bench.labels)[0]]
    length = 1
    while length <= bench.steps:
        found = pgd(bench.target, bench.batch, bench.labels, bench.threat, steps=length, step_size=size)
        losses.append(loss_and_slope("cross-entropy", bench.target.logits(found.last), bench.labels)[0])
        length *= 2
    gains = np.diff(np.stack(losses), axis=0)
    return Finding(float(np.mean(gains < -1e-6)), len(bench.labels))


def repeat(bench: Bench) -> Finding:
    """Verdicts that differ when half of the samples is attacked alone."""
    half = np.arange(0, len(bench.labels), 2)
    whole, part = (pgd(bench.target, {name: values[rows] for name, values in bench.batch.items()}, bench.labels[rows],
                       bench.threat.take(rows), steps=bench.steps) for rows in (np.arange(len(bench.labels)), half))
    return Finding(float(np.sum(whole.broken[half] != part.broken)), len(half))


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
    """Adversarial inputs that leave the threat; every other input of a sweep is audited too, and one would end it."""
    violations, seen = 0, 0
    for name, parameters in (("fgsm", {}), ("pgd", {"steps": bench.steps}), ("corners", {"draws": 1})):
        found = attack(name, bench.target, bench.batch, bench.labels, [bench.threat], **parameters)[0]
        for point in (found.last, found.strongest):
            seen += len(bench.labels)
            try:
                audit(point, bench.batch, bench.threat)
            except TinyfuseError:
                violations += 1
    return Finding(float(violations), seen)


def label_source(bench: Bench) -> Finding:
    """1: attacks climb away from the true labels; a model's own answers would leak into the attack."""
    return Finding(1.0, len(bench.labels))


def step_below_code(bench: Bench) -> Finding | None:
    """1 if PGD's step is below half a code on inputs that are rounded, so that it could not move them."""
    if not bench.threat.lattice:
        return None
    found = pgd(bench.target, bench.batch, bench.labels, bench.threat, steps=bench.steps)
    sizes = [float(found.parameters[f"step_size_{name}"]) for name in bench.threat.modalities]
    return Finding(float(any(size < 0.5 and bench.threat.epsilon[name] >= 1
                             for size, name in zip(sizes, bench.threat.modalities, strict=True))), len(bench.labels))


def padding_share(bench: Bench) -> Finding | None:
    """Share of the perturbation's L1 size in coordinates that are constant padding in every sample."""
    if not any(mask.any() for name, mask in bench.padding.items() if name in bench.threat.modalities):
        return None
    found = pgd(bench.target, bench.batch, bench.labels, bench.threat, steps=bench.steps)
    spent = {name: np.abs(found.last[name] - bench.batch[name]) for name in bench.threat.modalities}
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
    "double-steps": double_steps, "double-restarts": double_restarts, "loss-falls": loss_falls, "repeat": repeat,
    "audit": audited, "label-source": label_source, "step-below-code": step_below_code,
    "saturated-loss": saturated_loss, "padding-share": padding_share,
    "zero-gradient-image": _zero_gradient("image"), "zero-gradient-audio": _zero_gradient("audio")}
"""Name in the rows -> experiment."""

OPTIONAL = frozenset({"padding-share", "step-below-code", "zero-gradient-image", "zero-gradient-audio"})
"""Probes that do not apply to every target."""
