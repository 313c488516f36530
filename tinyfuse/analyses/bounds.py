"""How far a sample is at least from another class: equations 5, 7 and 10 of Yang et al. 2024 (CRMT), in L2.

For a sample of class y the numerator is z_y - z_k. Equation 5 divides it by sqrt(sum_m (c_k^m tau_k^m)^2): all inputs
change, the length of the whole change counts. Equation 7 divides by the term of one branch: its inputs alone change.
Equation 10 replaces the term by a_y^m tau_y^m + a_k^m tau_k^m, with the length a_k^m of the head's row and tau_k^m the
constant of the score along it; by the triangle inequality it is never larger. It holds for any head, orthogonal or not.
The radius is the smallest over all other classes k: the class with the next logit need not be the nearest.

With constants that are proven (:mod:`tinyfuse.analyses.lipschitz`) it is a certificate. With the steepest gradient on
samples, a lower bound of the constant, it is an estimate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinyfuse.analyses.analysis import Advance, Analysis, Finding, Quantity, Status, register
from tinyfuse.analyses.head import Head, chunks
from tinyfuse.analyses.lipschitz import UnboundedError, branch_constants
from tinyfuse.analyses.margins import integration_factors, own_steepness, steepness, training_slopes
from tinyfuse.analyses.subject import AnalysisSubject
from tinyfuse.attacks.attack import at_least
from tinyfuse.data.samples import Samples
from tinyfuse.nn.objectives.crmt_weights import joint_radii

ALL = "all inputs"
HUGE = 1e200
"""What a quotient by 0 is taken for."""


def radii(logits: np.ndarray, labels: np.ndarray, terms: Sequence[np.ndarray]) -> np.ndarray:
    """Compute the radius float64 [n] from ``logits`` [n, classes] and ``terms`` [classes, classes], one a branch.

    Entry (y, k) of a term says how fast this branch moves z_y - z_k. 0 where another class is ahead, inf where no
    branch moves anything.
    """
    found = joint_radii(logits[np.arange(len(labels)), labels][:, None] - logits, np.stack(terms), labels)
    return np.where(found > HUGE, np.inf, np.maximum(found, 0.0))


def row_terms(own: np.ndarray) -> np.ndarray:
    """Compute the terms of equation 10 from how fast each score moves, ``own`` [classes]."""
    return np.asarray(own[:, None] + own[None, :])


@dataclass(frozen=True, eq=False)
class Terms:
    """How fast each branch moves the difference of two logits, by branch [classes, classes]; ``status`` of that.

    ``exact``: of equations 5 and 7; ``by_rows``: of equation 10; ``n``: the samples behind an estimate.
    """

    exact: Mapping[str, np.ndarray]
    by_rows: Mapping[str, np.ndarray]
    status: Status
    n: int


def certified_terms(head: Head, constants: Mapping[str, float]) -> Terms:
    """Turn a sound constant of each branch's features into sound terms."""
    lengths = {branch: np.linalg.norm(kernel, axis=0) for branch, kernel in head.kernel.items()}
    return Terms({branch: constants[branch] * integration_factors(kernel) for branch, kernel in head.kernel.items()},
                 {branch: row_terms(constants[branch] * own) for branch, own in lengths.items()}, "certified", 0)


def estimated_terms(products: Mapping[str, np.ndarray]) -> Terms:
    """Turn products of gradients on samples (see :meth:`Head.slope_products`) into estimated terms."""
    return Terms({branch: steepness(found) for branch, found in products.items()},
                 {branch: row_terms(own_steepness(found)) for branch, found in products.items()}, "estimate",
                 len(next(iter(products.values()))))


@register
@dataclass(frozen=True)
class Bounds(Analysis):
    """The L2 change that each sample withstands at least, by equations 5, 7 and 10, estimated and certified.

    ``slope_samples``: training samples whose gradients estimate the Lipschitz constants.
    """

    name = "bounds"
    title = "Bounds of the smallest change that is an error"
    needs = ("apart",)
    least = at_least(slope_samples=1)
    quantities = (
        Quantity("radius", "radius", "L2", "no smaller L2 change of the attacked inputs changes the class, median over "
                 "samples (0 where the class is wrong); equation 5: all inputs, 7: one branch, 10: all inputs, by rows "
                 "of the head. An estimate is no bound: the steepest gradient of samples is not the steepest of all",
                 ("equation", "attacked", "constants")),
        Quantity("Lipschitz constant", "Lipschitz constant L of the features", "", "proven: the features of a branch "
                 "move at most L times as far as its inputs", ("branch",)),
        Quantity("no constant", "layer without a known constant", "", "nothing can be certified because of it",
                 ("layer",)),
    )
    slope_samples: int = 200

    def work(self, subject: AnalysisSubject, samples: Samples) -> int:
        return chunks(len(samples)) + chunks(min(self.slope_samples, len(subject.dataset.train)))

    def run(self, subject: AnalysisSubject, samples: Samples, advance: Advance) -> Iterator[Finding]:
        head = subject.head
        assert head is not None
        scores = head.scores(head.features(samples.inputs, advance))
        logits = np.asarray(sum(scores.values()) + head.bias)
        terms = [estimated_terms(training_slopes(subject, head, self.slope_samples, advance))]
        if subject.network is not None:
            try:
                constants = branch_constants(subject.network.model)
            except UnboundedError as error:
                yield Finding("no constant", {"layer": str(error)}, None, 0)
            else:
                terms.append(certified_terms(head, constants))
                for branch, constant in constants.items():
                    yield Finding("Lipschitz constant", {"branch": branch}, constant, 0, status="certified")
        for one in terms:
            yield from _radius_findings(one, logits, samples.label)


def _radius_findings(terms: Terms, logits: np.ndarray, labels: np.ndarray) -> Iterator[Finding]:
    constants = "proven" if terms.status == "certified" else f"of {terms.n} gradients"
    wanted = [("5", ALL, list(terms.exact.values())), ("10", ALL, list(terms.by_rows.values())),
              *(("7", branch, [term]) for branch, term in terms.exact.items())]
    for equation, attacked, used in wanted:
        found = radii(logits, labels, used)
        of = {"equation": equation, "attacked": attacked, "constants": constants}
        yield Finding("radius", of, float(np.median(found)), len(found), each=found, status=terms.status)
