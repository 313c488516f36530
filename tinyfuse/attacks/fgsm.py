"""Fast gradient method: one gradient serves every budget and every subset of modalities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial, misclassified
from tinyfuse.attacks.guards import check_request, checked_gradient
from tinyfuse.attacks.losses import check_loss
from tinyfuse.attacks.oracle import Ask, Asking, Oracle, answered
from tinyfuse.attacks.steps import ascend, floored, zero_gradient
from tinyfuse.attacks.target import Batch, DifferentiableTarget, Gradient
from tinyfuse.threats.norms import GRADIENT_FLOOR
from tinyfuse.threats.threat import Threat


def fgsm(target: DifferentiableTarget, batch: Batch, labels: np.ndarray, threats: Sequence[Threat], *,
         loss: str = "cross-entropy", gradient_floor: float = GRADIENT_FLOOR) -> list[Adversarial]:
    """Return one Adversarial per threat: clip(x + epsilon * sign(g)), or x + epsilon * g / ||g|| for L2.

    ``batch``: float32 [n, 28, 28, 1] per input; ``labels``: true classes, int [n]. g is the gradient of ``loss``,
    computed once for the union of the attacked modalities. Numerically CleverHans 4.0's ``fast_gradient_method``;
    ``gradient_floor`` = 0 lifts its lower bound on ||g||^2.

    Raises:
        UsageError: a threat that does not fit the target or the batch, or labels of the wrong kind.
        TinyfuseError: NaN or infinite gradients or logits, or probabilities instead of logits.
    """
    check_request(target, batch, labels, threats)
    if not threats:
        return []
    labels = np.asarray(labels)
    wrt = tuple(dict.fromkeys(name for threat in threats for name in threat.modalities))
    check_loss(loss)
    gradient = checked_gradient(target, batch, labels, wrt, loss)
    return [answered(one_step(batch, labels, threat, gradient, loss=loss, gradient_floor=gradient_floor),
                     Oracle(target, batch, labels, threat.modalities)) for threat in threats]


def one_step(batch: Batch, labels: np.ndarray, threat: Threat, gradient: Gradient, *, loss: str = "cross-entropy",
             gradient_floor: float = GRADIENT_FLOOR, places: np.ndarray | None = None) -> Asking:
    """The fast gradient method for one ``threat`` as a generator, given the ``gradient`` at ``batch``.

    ``places`` (int [n], default 0..n-1): where the samples are in the batch that it asks about.
    """
    point = threat.realise(ascend(batch, gradient.wrt, threat, threat.epsilon, gradient_floor), batch)
    logits = yield Ask(point, np.arange(len(labels)) if places is None else places)
    broken = misclassified(logits, labels)
    return Adversarial(attack="fgsm", threat=threat, last=point,
                       parameters={"loss": loss, "gradient_floor": gradient_floor}, strongest=point, broken=broken,
                       broken_last=broken, zero_gradient=zero_gradient(gradient.wrt, threat),
                       floored=floored(gradient.wrt, threat, gradient_floor), queries=len(labels))
