"""Projected gradient ascent: the fast gradient step, repeated, with a projection after each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial, Parameter, Strongest, misclassified
from tinyfuse.attacks.guards import check_request, checked_gradient, checked_logits
from tinyfuse.attacks.norms import GRADIENT_FLOOR
from tinyfuse.attacks.starts import random_starts
from tinyfuse.attacks.steps import ascend, floored, zero_gradient
from tinyfuse.attacks.target import Batch, DifferentiableTarget
from tinyfuse.attacks.threat import Threat
from tinyfuse.errors import UsageError, nearest


def pgd(target: DifferentiableTarget, batch: Batch, labels: np.ndarray, threat: Threat, *, steps: int,
        step_size: float | Mapping[str, float] | None = None, random_start: bool = False, seed: int = 0,
        sample_ids: np.ndarray | None = None, gradient_floor: float = GRADIENT_FLOOR) -> Adversarial:
    """Return the outcome of ``steps`` steps of ``step_size`` under ``threat`` (Madry et al. 2018).

    ``batch``: float32 [n, 28, 28, 1] per input; ``labels``: true classes, int [n]. ``step_size`` is in the
    units of the input, one number for all attacked modalities or one per modality; default 2.5 * epsilon /
    steps of each. The last iterate is CleverHans 4.0's ``projected_gradient_descent``, which in addition
    refuses steps longer than epsilon; here such a step is allowed and the projection undoes the excess. A
    random start depends on ``seed`` and ``sample_ids`` (int [n], default 0..n-1) only. Costs ``steps``
    gradients and two forward passes, one gradient more with a random start.

    Raises:
        UsageError: a threat that does not fit the target or the batch, no steps, bad step size or labels.
        TinyfuseError: NaN or infinite gradients or logits, or probabilities instead of logits.
    """
    check_request(target, batch, labels, [threat])
    labels, sizes = np.asarray(labels), _step_sizes(threat, steps, step_size)
    ids = _sample_ids(sample_ids, len(labels))
    first = gradient = checked_gradient(target, batch, labels, threat.modalities)
    point = random_starts(batch, threat, seed=seed, sample_ids=ids) if random_start else dict(batch)
    best = Strongest(batch, labels, threat.modalities)
    for step in range(steps):
        if step > 0 or random_start:
            gradient = checked_gradient(target, point, labels, threat.modalities)
            best.offer(point, gradient.logits)
        point = threat.project(ascend(point, gradient.wrt, threat, sizes, gradient_floor), batch)
    broken, broken_last = _judge(target, labels, point, best)
    parameters: dict[str, Parameter] = {
        "steps": steps, **{f"step_size_{name}": size for name, size in sizes.items()},
        "random_start": random_start, **({"seed": seed} if random_start else {}),
        "gradient_floor": gradient_floor}
    return Adversarial(attack="pgd", threat=threat, parameters=parameters, last=point, strongest=best.point,
                       broken=broken, broken_last=broken_last, zero_gradient=zero_gradient(first.wrt, threat),
                       floored=floored(first.wrt, threat, gradient_floor))


def _judge(target: DifferentiableTarget, labels: np.ndarray, last: Batch,
           best: Strongest) -> tuple[np.ndarray, np.ndarray]:
    """Return (broken, broken_last) as ``target.logits`` sees them, and let ``best`` hold what broke.

    A backward pass may round its logits differently from a forward pass, so the flags come from the latter:
    whoever evaluates the returned inputs again finds the same flags.
    """
    logits = checked_logits(target, last, labels)
    best.offer(last, logits)
    broken_last = misclassified(logits, labels)
    broken = misclassified(checked_logits(target, best.point, labels), labels)
    best.replace(broken_last & ~broken, last)
    return broken | broken_last, broken_last


def _step_sizes(threat: Threat, steps: int,
                step_size: float | Mapping[str, float] | None) -> dict[str, float]:
    if steps < 1:
        raise UsageError(f"pgd: steps is {steps}; give at least 1")
    if step_size is None:
        return {name: 2.5 * epsilon / steps for name, epsilon in threat.epsilon.items()}
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
