"""From measured sensitivities to the costs that an allocation minimises: one number for each unit and width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinyfuse.core.results import Row
from tinyfuse.search.groups import Unit
from tinyfuse.search.measure import Place
from tinyfuse.search.sensitivity import REFERENCE

CRITERIA: Mapping[str, str] = {
    "robust": "rise of the cross-entropy under PGD on the integers, sum over the attacked modalities, nats",
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
    """What measure.py returned: sensitivity rows by part and width, Hessian rows by part, and the squared rounding
    errors of weights by part and width.
    """

    sensitivity: Mapping[Place, Row]
    curvature: Mapping[str, Row]
    errors: Mapping[Place, float]


def cost_table(criterion: str, units: Sequence[Unit], widths: Sequence[int], evidence: Evidence) -> np.ndarray:
    """Cost float [u, w] of ``criterion``, at least 0 and never rising with the width.

    A unit costs the sum of its parts. That fewer bits seem to help is noise, or gradients that lead an attack astray,
    until a candidate is measured as a whole: such a gain counts as 0, and a width costs at least what wider ones do.
    """
    table = np.zeros((len(units), len(widths)))
    for row, unit in enumerate(units):
        for part in unit.parts:
            table[row] += [part_cost(criterion, part.name, bits, evidence) for bits in widths]
    order = np.argsort(widths)[::-1]
    table[:, order] = np.maximum.accumulate(np.maximum(table[:, order], 0), axis=1)
    return table


def with_tie_break(cost: np.ndarray, other: np.ndarray) -> np.ndarray:
    """``cost`` with a little of ``other``, both float [u, w], so that equal costs are told apart."""
    peaks = cost.max(), other.max()
    if peaks[1] <= 0:
        return cost
    return np.asarray(cost + other / peaks[1] * (TIE_BREAK * (peaks[0] if peaks[0] > 0 else 1)))


def part_cost(criterion: str, part: str, bits: int, evidence: Evidence) -> float:
    """Cost of one part at one width as measured; all but "hessian" against the reference width."""
    if criterion == "hessian":
        # A network in a minimum has no negative curvature; what is measured below 0 is the noise of the trace.
        trace = evidence.curvature[part]
        return max(float(trace["trace"]), 0.0) / int(trace["weights"]) * evidence.errors[part, bits]
    if bits == REFERENCE:
        return 0.0
    row, reference = evidence.sensitivity[part, bits], evidence.sensitivity["", REFERENCE]
    if criterion == "robust":
        return sum(float(row[name]) - float(reference[name]) for name in ("attacked_image", "attacked_audio")
                   if row[name] is not None)
    return float(row[criterion]) - float(reference[criterion])
