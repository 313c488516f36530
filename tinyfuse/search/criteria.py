"""From measured sensitivities to the costs that an allocation minimises: one number for each unit and width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinyfuse.core.results import Row
from tinyfuse.search.groups import Unit
from tinyfuse.search.sensitivity import REFERENCE, Place

CRITERIA: Mapping[str, str] = {
    "robust": "rise of the cross-entropy under PGD on the integers, sum over the attacked inputs, nats",
    "kl": "rise of the Kullback-Leibler divergence from the float network's softmax, nats",
    "mse": "rise of the mean squared error of the logits (as in Model Compression Toolkit)",
    "cosine": "rise of 1 - cosine between the logits and the float network's",
    "margin": "loss of the clean margin, in units of the logits",
    "hessian": "mean Hessian trace x squared rounding error (HAWQ-V2)",
}
"""What each costs, by name."""
TIE_BREAK = 1e-3
"""Weight of the mean squared error beside a criterion that cannot tell widths apart."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was measured: rows of ``sensitivity`` and squared rounding ``errors`` by part and width, and of
    ``curvature`` by part.
    """

    sensitivity: Mapping[Place, Row]
    curvature: Mapping[str, Row]
    errors: Mapping[Place, float]


def cost_table(criterion: str, units: Sequence[Unit], widths: Sequence[int], evidence: Evidence) -> np.ndarray:
    """Tabulate the cost float [u, w] of ``criterion``, at least 0 and never rising with the width.

    A unit costs the sum of its parts. That fewer bits seem to help is noise, or gradients that lead an attack astray,
    until a candidate is measured as a whole: such a gain counts as 0, and a width costs at least what wider ones do.
    """
    table = np.array([[sum(_part_cost(criterion, part.name, bits, evidence) for part in unit.parts)
                       for bits in widths] for unit in units], float)
    order = np.argsort(widths)[::-1]
    table[:, order] = np.maximum.accumulate(np.maximum(table[:, order], 0), axis=1)
    return table


def with_tie_break(cost: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Add to ``cost`` a little of ``other``, both float [u, w], so that equal costs are told apart."""
    peak, other_peak = cost.max(), other.max()
    if other_peak <= 0:
        return cost
    return np.asarray(cost + other / other_peak * (TIE_BREAK * (peak if peak > 0 else 1)))


def _part_cost(criterion: str, part: str, bits: int, evidence: Evidence) -> float:
    """Cost of one part at one width as measured; all but "hessian" against the reference width."""
    if criterion == "hessian":
        # A network in a minimum has no negative curvature; what is measured below 0 is the noise of the trace.
        trace = evidence.curvature[part]
        return max(float(trace["trace"]), 0.0) / int(trace["weights"]) * evidence.errors[part, bits]
    if bits == REFERENCE:
        return 0.0
    row, reference = evidence.sensitivity[part, bits], evidence.sensitivity["", REFERENCE]
    if criterion == "robust":
        return sum(float(loss) - float(reference["attacked_loss"][name]) for name, loss in row["attacked_loss"].items())
    return float(row[criterion]) - float(reference[criterion])
