"""Projected gradient descent, with momentum and restarts; the loop that every iterated gradient attack here shares."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial, Parameter, Strongest, misclassified
from tinyfuse.attacks.guards import check_request
from tinyfuse.attacks.losses import check_loss
from tinyfuse.attacks.oracle import Ask, Asking, Oracle, answered, taken
from tinyfuse.attacks.steps import ascend, floored, step_sizes, zero_gradient
from tinyfuse.attacks.target import Batch, DifferentiableTarget, Gradient
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.threats.norms import GRADIENT_FLOOR
from tinyfuse.threats.random_starts import random_starts
from tinyfuse.threats.threat import Threat


def pgd(target: DifferentiableTarget, batch: Batch, labels: np.ndarray, threat: Threat, *, steps: int = 20,
        step_size: float | Mapping[str, float] | None = None, random_start: bool = False, restarts: int = 1,
        seed: int = 0, sample_ids: np.ndarray | None = None, loss: str = "cross-entropy",
        momentum: float | None = None, survivors_only: bool = False,
        gradient_floor: float = GRADIENT_FLOOR) -> Adversarial:
    """Return the last and the strongest iterate of ``steps`` steps up ``loss``, projected after each.

    ``batch``: float32 [n, 28, 28, 1] per input; ``labels``: true classes, int [n]. ``step_size`` is one number or
    one per attacked modality, by default 2.5 epsilon / steps (on a lattice at least one code). Numerically
    CleverHans 4.0's ``projected_gradient_descent``; ``gradient_floor`` = 0 lifts its lower bound on ||g||^2.

    ``restarts`` runs in all; the first starts at the clean point unless ``random_start``, the others at points that
    depend only on ``seed``, the sample's entry in ``sample_ids`` (int [n], default 0..n-1) and the restart.
    ``momentum`` is the decay of Dong et al. 2018 (MIM; gradients are divided by their mean size per sample and
    modality). ``survivors_only``: a sample leaves once an iterate is misclassified, and restarts run on the others;
    "misclassified by any iterate" stays exact, and ``last`` is ``strongest``.

    Raises:
        UsageError: a threat that does not fit the target or the batch, or bad parameters.
        TinyfuseError: NaN or infinite gradients or logits, or probabilities instead of logits.
    """
    check_request(target, batch, labels, [threat])
    labels = np.asarray(labels)
    asking = climbing(batch, labels, threat, steps=steps, step_size=step_size, random_start=random_start,
                      restarts=restarts, seed=seed, sample_ids=sample_ids, loss=loss, momentum=momentum,
                      survivors_only=survivors_only, gradient_floor=gradient_floor)
    return answered(asking, Oracle(target, batch, labels, threat.modalities))


def climbing(batch: Batch, labels: np.ndarray, threat: Threat, *, steps: int = 20,
             step_size: float | Mapping[str, float] | None = None, random_start: bool = False, restarts: int = 1,
             seed: int = 0, sample_ids: np.ndarray | None = None, loss: str = "cross-entropy",
             momentum: float | None = None, survivors_only: bool = False, gradient_floor: float = GRADIENT_FLOOR,
             places: np.ndarray | None = None, first: Gradient | None = None) -> Asking:
    """:func:`pgd` as a generator.

    ``places`` (int [n], default 0..n-1): where the samples are in the batch that it asks about. ``first``: gradients
    of ``loss`` at ``batch``, where they are known already.
    """
    check_loss(loss)
    _check_counts(steps, restarts)
    sizes, ids = _step_sizes(threat, steps, step_size), _sample_ids(sample_ids, len(labels))
    every = np.arange(len(labels))
    run = _Run(every if places is None else places, batch, labels, threat, loss, momentum, sizes, steps,
               gradient_floor, survivors_only)
    queries = 0
    if first is None:
        first, queries = (yield Ask(batch, run.places, loss)), len(labels)
    best = Strongest(batch, labels, threat.modalities)
    last, last_logits = dict(batch), np.zeros((0, 0))
    rows = every
    for restart in range(restarts):
        rows = np.flatnonzero(~best.wrong) if survivors_only else rows
        if not len(rows):
            break
        random = random_start or restart > 0
        start = random_starts(batch, threat, seed=seed, sample_ids=ids, restart=restart) if random else batch
        end, logits, spent = yield from run.climb(rows, start, best, None if random else first)
        queries += spent
        if restart == 0:
            last, last_logits = end, logits
    broken, broken_last = yield from run.judge(last, last_logits, best)
    parameters: dict[str, Parameter] = {
        "steps": steps, **{f"step_size_{name}": size for name, size in sizes.items()}, "loss": loss,
        "random_start": random_start, "restarts": restarts,
        **({"seed": seed} if random_start or restarts > 1 else {}),
        **({} if momentum is None else {"momentum": momentum}), "gradient_floor": gradient_floor}
    return Adversarial(attack="pgd" if momentum is None else "mim", threat=threat, parameters=parameters,
                       last=best.point if survivors_only else last, strongest=best.point, broken=broken,
                       broken_last=broken_last, zero_gradient=zero_gradient(first.wrt, threat),
                       floored=floored(first.wrt, threat, gradient_floor), queries=queries)


def mim(target: DifferentiableTarget, batch: Batch, labels: np.ndarray, threat: Threat, *, momentum: float = 1.0,
        **parameters: object) -> Adversarial:
    """The momentum iterative method (Dong et al. 2018): :func:`pgd` with ``momentum``."""
    return pgd(target, batch, labels, threat, momentum=momentum, **parameters)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class _Run:
    """What stays the same over all steps and restarts of one attack."""

    places: np.ndarray
    clean: Batch
    labels: np.ndarray
    threat: Threat
    loss: str
    momentum: float | None
    sizes: dict[str, float]
    steps: int
    floor: float
    survivors_only: bool

    def climb(self, rows: np.ndarray, start: Batch, best: Strongest,
              first: Gradient | None) -> Generator[Ask, Any, tuple[dict[str, np.ndarray], np.ndarray, int]]:
        """Run all steps for ``rows`` from ``start``, offering each iterate to ``best``.

        ``first`` is the gradient at ``start`` where it is known already (and the clean point is no iterate). Returns
        the last iterate of the whole batch, its logits (of the samples that stayed) and the number of gradients.
        """
        last = {**start, **{name: np.array(start[name]) for name in self.threat.modalities}}
        spent, gathered = 0, _Momentum(self.momentum)
        threat, clean, point = self._rows(rows, start)
        for step in range(self.steps):
            if step == 0 and first is not None:
                gradient = taken(first, rows)
            else:
                seen = threat.realise(point, clean)
                gradient, spent = (yield Ask(seen, self.places[rows], self.loss)), spent + len(rows)
                wrong = best.offer(rows, seen, gradient.logits)
                if self.survivors_only and wrong.any():
                    rows, gradient = rows[~wrong], taken(gradient, ~wrong)
                    threat, clean = threat.take(~wrong), {name: clean[name][~wrong] for name in clean}
                    point = {name: point[name][~wrong] for name in point}
                    gathered.keep(~wrong)
                    if not len(rows):
                        break
            direction = gathered.add(threat.masked(gradient.wrt))
            point = threat.project(ascend(point, direction, threat, self.sizes, self.floor), clean)
        seen = threat.realise(point, clean)
        for name in self.threat.modalities:
            last[name][rows] = seen[name]
        logits = np.zeros((0, 0))
        if len(rows):
            logits = yield Ask(seen, self.places[rows])
            best.offer(rows, seen, logits)
        return last, logits, spent

    def judge(self, last: Batch, last_logits: np.ndarray,
              best: Strongest) -> Generator[Ask, Any, tuple[np.ndarray, np.ndarray]]:
        """Return (broken, broken_last) as the target's forward pass sees them.

        A backward pass may round its logits differently, so the flags come from the forward pass: whoever evaluates
        the returned inputs again finds the same flags. What the last iterate broke counts as broken in ``best``.
        """
        broken = misclassified((yield Ask(best.point, self.places)), self.labels)
        if self.survivors_only:
            return broken, broken
        broken_last = misclassified(last_logits, self.labels)
        missed = broken_last & ~broken
        best.replace(np.flatnonzero(missed), last, missed)
        return broken | broken_last, broken_last

    def _rows(self, rows: np.ndarray, start: Batch) -> tuple[Threat, dict[str, np.ndarray], dict[str, np.ndarray]]:
        names = self.threat.modalities
        return (self.threat.take(rows), {name: self.clean[name][rows] for name in names},
                {name: start[name][rows] for name in names})


class _Momentum:
    """The accumulated gradient of MIM; without a decay, the gradient itself."""

    def __init__(self, decay: float | None) -> None:
        self._decay = decay
        self._sum: dict[str, np.ndarray] = {}

    def add(self, gradient: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return decay * sum + gradient / mean |gradient| (per sample), and keep it."""
        if self._decay is None:
            return gradient
        for name, values in gradient.items():
            mean = np.abs(values).mean(axis=tuple(range(1, values.ndim)), keepdims=True)
            scaled = np.divide(values, mean, out=np.zeros_like(values), where=mean > 0)
            self._sum[name] = np.float32(self._decay) * self._sum.get(name, np.float32(0)) + scaled
        return dict(self._sum)

    def keep(self, rows: np.ndarray) -> None:
        """Forget all samples but ``rows``."""
        self._sum = {name: values[rows] for name, values in self._sum.items()}


def _check_counts(steps: int, restarts: int) -> None:
    for name, value in (("steps", steps), ("restarts", restarts)):
        if value < 1:
            raise UsageError(f"pgd: {name} is {value}; give at least 1")


def _step_sizes(threat: Threat, steps: int,
                step_size: float | Mapping[str, float] | None) -> dict[str, float]:
    if step_size is None:
        return step_sizes(threat, steps)
    if not isinstance(step_size, Mapping):
        step_size = dict.fromkeys(threat.modalities, step_size)
    for name in step_size:
        if name not in threat.epsilon:
            raise UsageError(f"pgd: step size for '{name}'{nearest(name, threat.epsilon)}, which is not "
                             f"attacked; attacked here: {', '.join(threat.modalities)}")
    for name in threat.modalities:
        size = step_size.get(name, -1.0)
        if not 0 <= size < float("inf"):
            raise UsageError(f"pgd: step size for '{name}' is {step_size.get(name, 'missing')}; "
                             "give a finite number >= 0 for every attacked modality")
    return {name: float(step_size[name]) for name in threat.modalities}


def _sample_ids(sample_ids: np.ndarray | None, count: int) -> np.ndarray:
    ids = np.arange(count) if sample_ids is None else np.asarray(sample_ids)
    if ids.shape != (count,) or ids.dtype.kind not in "iu":
        raise UsageError(f"pgd: sample_ids are {ids.dtype} of shape {ids.shape}; "
                         f"give {count} integers, one per sample")
    return ids
