"""Margins, integration factors and vulnerability of each branch (Yang et al. 2024, CRMT, section 3 and equation 2).

With the head z_k = sum over branches m of W_k^m phi^m + b_k, for a sample of class y and another class k:
c_k^m = ||W_y^m - W_k^m|| is the integration factor, zeta_k^m = (W_y^m - W_k^m) phi^m / c_k^m the margin, tau_k^m the
Lipschitz constant of zeta_k^m, and eta_k^m = c_k^m tau_k^m the vulnerability indicator.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from tinyfuse.analyses.analysis import Advance, Analysis, Finding, Quantity, register
from tinyfuse.analyses.head import Head, chunks
from tinyfuse.analyses.subject import AnalysisSubject
from tinyfuse.attacks.attack import at_least
from tinyfuse.data.samples import Samples

SLOPE_SEED = 0


def integration_factors(kernel: np.ndarray) -> np.ndarray:
    """Compute ||W_j - W_k||, float64 [classes, classes], of a ``kernel`` [d, classes]."""
    return np.asarray(np.linalg.norm(kernel[:, :, None] - kernel[:, None, :], axis=0))


def representation_margins(scores: np.ndarray, kernel: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Compute the margins zeta [n, classes] of one branch from its ``scores`` [n, classes]; NaN at the label.

    It is the signed distance in feature space to where this branch alone would score both classes alike.
    """
    rows = np.arange(len(labels))
    ahead = scores[rows, labels][:, None] - scores
    factors = integration_factors(kernel)[labels]
    found = np.divide(ahead, factors, out=np.full_like(ahead, np.nan), where=factors > 0)
    found[rows, labels] = np.nan
    return np.asarray(found)


def steepness(products: np.ndarray) -> np.ndarray:
    """Compute the largest ||d(s_j - s_k)/dx|| over samples, [classes, classes], from ``products`` [n, k, k]."""
    own = np.diagonal(products, axis1=1, axis2=2)
    squares = own[:, :, None] + own[:, None, :] - 2 * products
    return np.asarray(np.sqrt(np.maximum(squares, 0).max(axis=0)))


def own_steepness(products: np.ndarray) -> np.ndarray:
    """Compute the largest ||ds_k/dx|| over samples, [classes], from ``products`` [n, classes, classes]."""
    return np.asarray(np.sqrt(np.maximum(np.diagonal(products, axis1=1, axis2=2), 0).max(axis=0)))


def off_orthogonal(kernel: np.ndarray) -> float:
    """Compute the largest entry of |W W^T - I| for the columns W_k of ``kernel`` [d, classes] at length 1."""
    unit = kernel / np.maximum(np.linalg.norm(kernel, axis=0), np.finfo(float).tiny)
    return float(np.abs(unit.T @ unit - np.eye(kernel.shape[1])).max())


def training_slopes(subject: AnalysisSubject, head: Head, count: int, advance: Advance) -> dict[str, np.ndarray]:
    """Compute :meth:`Head.slope_products` on ``count`` training samples, classes as equal as possible."""
    drawn = subject.dataset.train.balanced(count, seed=SLOPE_SEED)
    return head.slope_products(drawn.inputs, advance)


@register
@dataclass(frozen=True)
class Margins(Analysis):
    """Which branch separates the classes by how much, and which one a small change of its input moves most.

    ``slope_samples``: training samples whose gradients estimate the Lipschitz constants.
    """

    name = "margins"
    title = "Margins and vulnerability of each branch"
    needs = ("apart",)
    least = at_least(slope_samples=1)
    quantities = (
        Quantity("margin", "margin ζ to the nearest class", "", "distance of the features of a branch to the plane "
                           "where it alone would score the right class like the nearest other one; mean over samples, "
                           "negative on the wrong side", ("branch",)),
        Quantity("branch accuracy", "right by this branch alone", "", "share of samples whose right class scores "
                                    "highest in this branch, the bias left out", ("branch",)),
        Quantity("integration factor", "integration factor c", "", "length of the difference of the head's rows of two "
                                       "classes: how much the branch counts between them"),
        Quantity("vulnerability", "vulnerability η", "1 / unit of the input", "how much the difference of two logits "
                                  "moves for a small change of the branch's inputs: c times the Lipschitz constant of "
                                  "ζ, estimated by the steepest gradient on training samples"),
        Quantity("vulnerability ratio", "ratio of vulnerabilities", "", "η of one branch divided by that of another: "
                                        "1 is balanced; over all pairs of classes the geometric mean",
                 ("branch", "to")),
        Quantity("off orthogonal", "head off orthogonal", "", "largest entry of |WWᵀ − I| for the head's rows at "
                                   "length 1; 0 for an orthogonal head"),
    )
    slope_samples: int = 200

    def work(self, subject: AnalysisSubject, samples: Samples) -> int:
        return chunks(len(samples)) + chunks(min(self.slope_samples, len(subject.dataset.train)))

    def run(self, subject: AnalysisSubject, samples: Samples, advance: Advance) -> Iterable[Finding]:
        head = subject.head
        assert head is not None
        scores = head.scores(head.features(samples.inputs, advance))
        for branch, kernel in head.kernel.items():
            yield from _margin_findings(subject, branch, scores[branch], kernel, samples.label)
            yield Finding("off orthogonal", {"branch": branch}, off_orthogonal(kernel), len(samples))
        products = training_slopes(subject, head, self.slope_samples, advance)
        count = len(next(iter(products.values())))
        eta = {branch: steepness(found) for branch, found in products.items()}
        for (j, one), (k, other) in combinations(enumerate(subject.classes), 2):
            for branch, kernel in head.kernel.items():
                of = {"branch": branch, "class": one, "against": other}
                yield Finding("integration factor", of, integration_factors(kernel)[j, k], len(samples))
                yield Finding("vulnerability", of, eta[branch][j, k], count, status="estimate")
        yield from _ratios(eta, subject.classes, count)


def _margin_findings(subject: AnalysisSubject, branch: str, scores: np.ndarray, kernel: np.ndarray,
                     labels: np.ndarray) -> Iterator[Finding]:
    zeta = representation_margins(scores, kernel, labels)
    nearest = np.nanmin(zeta, axis=1)
    right = scores.argmax(axis=1) == labels
    yield Finding("margin", {"branch": branch}, nearest.mean(), len(labels), each=nearest)
    yield Finding("branch accuracy", {"branch": branch}, right.mean(), len(labels))
    for index, name in enumerate(subject.classes):
        mine = nearest[labels == index]
        if len(mine):
            yield Finding("margin", {"branch": branch, "class": name}, mine.mean(), len(mine))


def _ratios(eta: dict[str, np.ndarray], classes: Any, count: int) -> Iterator[Finding]:
    pairs = list(combinations(range(len(classes)), 2))
    for one, other in combinations(eta, 2):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = eta[one] / eta[other]
        every = np.array([ratio[pair] for pair in pairs])
        usable = every[np.isfinite(every) & (every > 0)]
        mean = float(np.exp(np.log(usable).mean())) if len(usable) else None
        yield Finding("vulnerability ratio", {"branch": one, "to": other}, mean, count, status="estimate")
        for (j, k), value in zip(pairs, every, strict=True):
            yield Finding("vulnerability ratio", {"branch": one, "to": other, "class": classes[j],
                                                  "against": classes[k]}, value, count, status="estimate")
