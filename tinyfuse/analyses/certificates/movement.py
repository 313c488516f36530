"""How far the codes of a ``.tflite`` move: a sound Lipschitz constant of the integers, and L2 radii that it certifies.

Let f be the network of the file's weights and clamps in real arithmetic. At any codes x' the codes of a tensor lie
within sum_m a_m |x'_m - x_m| + r of what f has at x, in L2: an operator multiplies both by its norm, which torus
spectra bound (Sedghi et al. 2019), and its rounding adds slack * sqrt(n) to r; clamps move nothing further apart. Two
codes of the logits then differ by at most sqrt(2) times that from their difference at x. It is global, so that it says
much only of networks that were trained for it (objective ``aol``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinyfuse.analyses.certificates.affine import Affine
from tinyfuse.analyses.certificates.ball import Ball
from tinyfuse.analyses.certificates.linear import LinearBounds
from tinyfuse.analyses.certificates.linear_maps import MAPS
from tinyfuse.analyses.certificates.margins import Margins
from tinyfuse.analyses.spectral_norms import ROUNDING, convolution_norm, dense_norm
from tinyfuse.core.errors import ModelError

_LOST = 1e-6  # codes: more than float64 loses of f
_MOVED = ("RESHAPE", "TRANSPOSE", "CONCATENATION", "PACK", "PAD", "PADV2", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH")


@dataclass(frozen=True)
class Reach:
    """How far codes lie from f at another point: ``rates`` times the change, by input, and ``rounding``."""

    rates: Mapping[str, float]
    rounding: float

    def through(self, norm: float) -> Reach:
        """Return it behind a linear map."""
        return Reach({name: rate * norm for name, rate in self.rates.items()}, self.rounding * norm)


class Movement:
    """The constants of a model, up to its logits. ModelError names an operator without a known norm."""

    def __init__(self, linear: LinearBounds, margins: Margins) -> None:
        self.linear, self.margins, intervals = linear, margins, linear.intervals
        names = {index: name for name, index in intervals.twin.inputs.items()}
        reached = {index: Reach({name: 1.0}, 0.0) for index, name in names.items()}
        for index in intervals.order:
            before = [reached[source] for source in intervals.inputs_of[index]]
            reached[index] = self._behind(index, before)
        self.logits = reached[margins.logits]
        self.ends = intervals.propagate(intervals.columns({
            port: self._range(index) for index, port in names.items()}))

    def _range(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        tensor = self.linear.intervals.graph.tensors[index]
        limits = np.iinfo(tensor.dtype)
        return np.full((1, *tensor.shape[1:]), limits.min), np.full((1, *tensor.shape[1:]), limits.max)

    def _behind(self, index: int, before: Sequence[Reach]) -> Reach:
        affine, site = self.linear.affine[index], self.linear.intervals.sites[index]
        if affine is None:
            raise ModelError(f"{site.operator.name} has no known norm")
        found = self._norms(index, affine)
        parts = [reach.through(norm * ROUNDING) for reach, norm in zip(before, found, strict=True)]
        inputs = sorted({name for part in parts for name in part.rates})
        # Moved side by side the squares add up; added, the lengths do.
        joined = math.hypot if site.operator.name in _MOVED else lambda *values: sum(values)
        rates = {name: joined(*(part.rates.get(name, 0.0) for part in parts)) * ROUNDING for name in inputs}
        own = float(np.linalg.norm(np.broadcast_to(affine.slack, site.target.shape[1:])))
        return Reach(rates, joined(*(part.rounding for part in parts)) * ROUNDING + own * ROUNDING)

    def _norms(self, index: int, affine: Affine) -> list[float]:
        """The norm of the linear map from each input."""
        site = self.linear.intervals.sites[index]
        name, node, count = site.operator.name, site.node, len(affine.back)
        if name in _MOVED:
            return [1.0] * count
        if name in ("ADD", "SUB"):
            sent = [back(np.ones((1, *site.target.shape[1:]))) for back in affine.back]
            if all(one.size == math.prod(site.target.shape[1:]) for one in sent):
                return [float(np.abs(one).max()) for one in sent]
        if name == "MEAN":
            return [float(np.abs(affine.back[0](np.ones((1, *site.target.shape[1:])))).max()) * math.sqrt(node.count)]
        if name in ("CONV_2D", "FULLY_CONNECTED") and not node.wide_sums:
            kernel = MAPS[name](node).weights * np.asarray(node.codes_per_sum, np.float64)
            return [dense_norm(kernel) if kernel.ndim == 2 else
                    convolution_norm(kernel, tuple(node.input_shape[:2]), tuple(node.stride))]
        raise ModelError(f"{name} has no known norm")

    def rate(self, ball: Ball) -> float:
        """Return how far the logits move at most per budget of ``ball``, roundings apart, in codes."""
        steps = [rate * ball.lengths.get(name, 0.0) for name, rate in self.logits.rates.items()]
        return math.hypot(*steps) if ball.joint else sum(steps)

    def bound(self, ball: Ball, labels: np.ndarray) -> np.ndarray:
        """Bound the differences of codes [n, classes - 1] in the balls from below."""
        return np.asarray(self.leads(ball, labels) - math.sqrt(2) * (self.rate(ball) + self.logits.rounding) - _LOST)

    def radii(self, ball: Ball, labels: np.ndarray) -> np.ndarray:
        """Return float64 [n]: no change of up to so many budgets of ``ball`` changes the class; 0: none is proved."""
        enough = self.leads(ball, labels) - self.margins.needed(labels) + 1.0 - 2 * _LOST
        room = enough.min(axis=1) / math.sqrt(2) - self.logits.rounding
        return np.asarray(np.maximum(room, 0.0) / max(self.rate(ball), 1e-300))

    def leads(self, ball: Ball, labels: np.ndarray) -> np.ndarray:
        """Return the differences [n, classes - 1] of the logits of f at the clean codes."""
        intervals = self.linear.intervals
        values = {index: ball.clean[name].astype(np.float64) for name, index in intervals.twin.inputs.items()}
        for index in intervals.order:
            affine = self.linear.affine[index]
            assert affine is not None
            real = affine.forth(*(values[source] for source in intervals.inputs_of[index]))
            values[index] = np.clip(real, *self.ends[index])
        logits = values[self.margins.logits].reshape(len(labels), -1)
        return self.margins.by_box(logits, logits, labels)


def movement_of(linear: LinearBounds, margins: Margins) -> Movement | None:
    """Return the constants of a model, or None where an operator has no known norm."""
    try:
        return Movement(linear, margins)
    except ModelError:
        return None
