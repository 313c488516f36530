"""Radii within which no attack can change a decision, by an orthogonal head, and weights that enlarge them.

With scores s_k^m of class k in branch m, their Lipschitz constants tau_k^m and weights a_k^m (Yang et al. 2024, eq 10):
r = min over j != y of [sum_m (a_y^m s_y^m - a_j^m s_j^m) + b_y - b_j] / sqrt(sum_m t_m^2), t_m = |a_y^m| tau_y^m +
|a_j^m| tau_j^m, for an L2 ball around all inputs together, and with t_m as the denominator for attacks on branch m
alone (eq 7). The minimum is over all other classes, as the nearest one need not be the second best. A radius is
an estimate where the constants are the steepest gradients of some samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

JOINT, LEAST, BALANCED = "joint", "least", "balanced"
AIMS = (JOINT, LEAST, BALANCED)
WIDEST = 2.0  # largest ratio of the vulnerabilities of two branches that is balanced
SMALLEST = 0.01  # of the size of a weight
SHARP = 32.0  # order of the norm that stands for the largest of some numbers
SEARCHES, ITERATIONS = 5, 300
FLAT = 1e-6  # least Lipschitz constant, as a share of the largest: a dead branch has none


def joint_radii(ahead: np.ndarray, slopes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Compute the radii [n] for attacks on all branches together.

    ``ahead``: by how much the logit of the label leads that of each class, [n, classes]. ``slopes``: Lipschitz
    constants [branches, classes, classes] of the difference of two logits in each branch (eq 5; eq 10 bounds them).
    """
    return _least(ahead, np.sqrt(np.square(slopes).sum(axis=0)), labels)[0]


def _least(ahead: np.ndarray, slopes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least radius [n] over all classes but the label, and its class."""
    rows = np.arange(len(labels))
    ratios = ahead / np.maximum(slopes[labels], np.finfo(float).tiny)
    ratios[rows, labels] = np.inf
    nearest = ratios.argmin(axis=1)
    return ratios[rows, nearest], nearest


@dataclass(frozen=True, eq=False)
class Scored:
    """Samples as an orthogonal head sees them, float64: ``scores`` [branches, n, classes] and ``labels`` [n].

    ``slopes``: Lipschitz constants [branches, classes] of the scores. ``bias``: [classes].
    """

    scores: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    slopes: np.ndarray = field(repr=False)
    bias: np.ndarray = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "slopes", np.maximum(self.slopes, FLAT * max(self.slopes.max(), FLAT)))

    def ahead(self, weights: np.ndarray) -> np.ndarray:
        """Compute by how much the label's logit leads that of each class, [n, classes]."""
        logits = np.einsum("mk,mnk->nk", weights, self.scores) + self.bias
        return np.asarray(logits[np.arange(len(logits)), self.labels][:, None] - logits)

    def pair_slopes(self, weights: np.ndarray) -> np.ndarray:
        """Compute |a_y| tau_y + |a_j| tau_j, [branches, classes, classes]."""
        own = np.abs(weights) * self.slopes
        return np.asarray(own[:, :, None] + own[:, None, :])

    def radii(self, weights: np.ndarray) -> np.ndarray:
        """Compute the radii [1 + branches, n]: for attacks on all inputs, then for those on each branch alone."""
        ahead, slopes = self.ahead(weights), self.pair_slopes(weights)
        return np.stack([joint_radii(ahead, slopes, self.labels),
                         *(_least(ahead, one, self.labels)[0] for one in slopes)])

    def vulnerability(self, weights: np.ndarray) -> np.ndarray:
        """Compute by branch the mean of |a_y| tau_y + |a_j| tau_j over samples and classes j != y, [branches]."""
        return np.asarray((np.abs(weights) * self.slopes) @ self._shares)

    @property
    def _shares(self) -> np.ndarray:
        """How often a class stands in a pair of a label and another class, [classes]."""
        classes = len(self.bias)
        own = np.bincount(self.labels, minlength=classes) / len(self.labels)
        return np.asarray(own + (1 - own) / (classes - 1))

    def mean_radius(self, weights: np.ndarray, order: float = 2.0) -> tuple[float, np.ndarray]:
        """Compute the mean joint radius and its gradient [branches, classes].

        ``order``: of the norm over branches in the denominator. 2 is that of joint attacks; a high one comes close to
        the largest term, which gives the least radius for attacks on one branch alone.
        """
        slopes, label, rows = self.pair_slopes(weights), self.labels, np.arange(len(self.labels))
        top = slopes.max(axis=0)
        norm = top * ((slopes / top) ** order).sum(axis=0) ** (1 / order)
        radii, other = _least(self.ahead(weights), norm, label)
        shares, steep = (slopes / norm) ** (order - 1), norm[label, other]
        signed, gradient = np.sign(weights) * self.slopes, np.zeros_like(weights)
        for branch, scores in enumerate(self.scores):
            loss = radii / steep * shares[branch, label, other]
            for classes, sign in ((label, 1), (other, -1)):
                each = sign * scores[rows, classes] / steep - loss * signed[branch, classes]
                gradient[branch] += np.bincount(classes, each, minlength=weights.shape[1])
        return float(radii.mean()), gradient / len(label)


def enlarge(scored: Scored, weights: np.ndarray, aim: str = JOINT) -> np.ndarray:
    """Return the weights [branches, classes], as long as ``weights``, of the largest mean radius: CRMT's second step.

    ``aim``: which radius. "joint" is the paper's; it may shrink the radius for attacks on a branch alone. "least" is
    the least of half the budget for joint attacks, as in the paper's evaluation, and the whole one for each branch
    alone: with equal budgets it would always be the joint one, and with these, up to four branches, it is that of the
    branch where an attack does most. "balanced" is the joint one with no branch more than twice as vulnerable as
    another. The length is kept, as shorter weights would enlarge radii through the biases alone. A weight keeps its
    sign and at least 1 % of its size, so that no branch is silenced for a class and none votes against one.
    """
    from scipy.optimize import minimize

    best = _balanced(scored, weights) if aim == BALANCED else np.asarray(weights, np.float64)
    length, order = float(np.linalg.norm(weights)), SHARP if aim == LEAST else 2.0

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        scale, unit = length / np.linalg.norm(point), point / np.linalg.norm(point)
        radius, gradient = scored.mean_radius(scale * point.reshape(best.shape), order)
        along = gradient.ravel() @ unit
        return -radius, -scale * (gradient.ravel() - along * unit)

    limits = [tuple(sorted((SMALLEST * one, np.copysign(np.inf, one)))) for one in best.ravel()]
    for _ in range(SEARCHES):  # the nearest class changes along the way, where the curvature found so far is void
        found = minimize(loss, best.ravel(), jac=True, method="SLSQP", bounds=limits,
                         constraints=_rules(scored, best.shape) if aim == BALANCED else [],
                         options={"maxiter": ITERATIONS, "ftol": 1e-9}).x.reshape(best.shape)
        gain = loss(best.ravel())[0] - loss(found.ravel())[0] if np.isfinite(found).all() else 0.0
        if not gain > 0 or (aim == BALANCED and not _is_balanced(scored, found)):
            break
        best = found
    return np.asarray(best * length / np.linalg.norm(best))


def _rules(scored: Scored, shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """Make the constraints that no branch is more than WIDEST times as vulnerable as another one."""
    pairs = [(one, other) for one in range(shape[0]) for other in range(shape[0]) if one != other]

    def slack(point: np.ndarray) -> np.ndarray:
        found = scored.vulnerability(point.reshape(shape))
        return np.array([WIDEST * found[one] - found[other] for one, other in pairs])

    return [{"type": "ineq", "fun": slack}] if pairs else []


def _is_balanced(scored: Scored, weights: np.ndarray) -> bool:
    sizes = scored.vulnerability(weights)
    return bool(sizes.max() <= (1 + 1e-6) * WIDEST * sizes.min())


def _balanced(scored: Scored, weights: np.ndarray) -> np.ndarray:
    """Scale ``weights`` by branch until no branch is more than WIDEST times as vulnerable as another."""
    sizes = np.log(np.maximum(scored.vulnerability(weights), np.finfo(float).tiny))
    middle, half = (sizes.max() + sizes.min()) / 2, np.log(WIDEST) / 2
    return np.asarray(weights * np.exp(np.clip(sizes, middle - half, middle + half) - sizes)[:, None])
