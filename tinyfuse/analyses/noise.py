"""Accuracy under random noise on each input, as a curve and as the two figures of MultiBench (Liang et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tinyfuse.analyses.analysis import Advance, Analysis, Finding, Quantity, register
from tinyfuse.analyses.subject import AnalysisSubject
from tinyfuse.attacks.attack import at_least
from tinyfuse.core.errors import UsageError
from tinyfuse.core.statistics import wilson
from tinyfuse.data.samples import Input, Samples
from tinyfuse.threats.modes import ALL, modes_of
from tinyfuse.threats.random_draws import Streams

LEVELS = tuple(round(0.1 * step, 1) for step in range(10))


@register
@dataclass(frozen=True)
class Noise(Analysis):
    """Accuracy with Gaussian noise of each of the standard deviations ``levels`` (in ranges of the input's values).

    Every sample gets noise, then its values are brought back into their range; each input alone, and all of them.
    ``reference``: accuracies of another network, such as late fusion, at the same levels with noise on all inputs; with
    it the effective robustness is told.
    """

    name = "noise"
    title = "Accuracy under noise"
    least = at_least(seed=0)
    quantities = (
        Quantity("accuracy under noise", "accuracy", "share", "share of samples that are right with Gaussian noise of "
                 "this standard deviation, in ranges of the input's values"),
        Quantity("relative robustness", "area under the curve", "", "area under the accuracy over the noise by "
                 "trapezoids, as it is: scaled between methods it would depend on who is compared", ("input",)),
        Quantity("effective robustness", "effective robustness", "", "sum over the levels of the accuracy minus that "
                 "of the reference network moved to the same clean accuracy", ("input",)),
    )
    levels: tuple[float, ...] = LEVELS
    reference: tuple[float, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.levels) < 2 or self.levels[0] != 0 or any(np.diff(self.levels) <= 0) or self.levels[-1] == np.inf:
            raise UsageError(f"noise: levels {list(self.levels)}; give rising levels that begin with 0, such as "
                             "0, 0.1, 0.2")
        if self.reference and len(self.reference) != len(self.levels):
            raise UsageError(f"noise: {len(self.reference)} accuracies of the reference for {len(self.levels)} levels; "
                             "give one for each")

    def work(self, subject: AnalysisSubject, samples: Samples) -> int:
        return len(modes_of(subject.input_names)) * len(self.levels)

    def run(self, subject: AnalysisSubject, samples: Samples, advance: Advance) -> Iterable[Finding]:
        n, modes = len(samples), modes_of(subject.input_names)
        unit = {one.name: _unit_noise(samples.inputs[one.name], one, self.seed) for one in subject.inputs}
        for mode, names in modes.items():
            curve = []
            for level in self.levels:
                changed = {**samples.inputs, **{one.name: noisy(samples.inputs[one.name], unit[one.name], level, one)
                                                for one in subject.inputs if one.name in names}}
                right = int((subject.predict(changed) == samples.label).sum())
                yield Finding("accuracy under noise", {"input": mode, "level": f"{level:g}"}, right / n, n,
                              *wilson(right, n))
                curve.append(right / n)
                advance(note=f"{mode} {level:g}")
            yield Finding("relative robustness", {"input": mode}, relative_robustness(self.levels, curve), n)
            if self.reference and mode in (ALL, *(names if len(modes) == 1 else ())):
                yield Finding("effective robustness", {"input": mode}, effective_robustness(curve, self.reference), n)


def _unit_noise(values: np.ndarray, one: Input, seed: int) -> np.ndarray:
    """Draw standard normal noise, one stream for each sample; padding gets none."""
    rows = np.arange(len(values))
    drawn = Streams(seed, rows, f"noise {one.name}").normal(rows, values.shape[1:])
    return np.asarray(drawn * one.valid_mask(), np.float32)


def noisy(values: np.ndarray, unit: np.ndarray, level: float, one: Input) -> np.ndarray:
    """Add ``level`` ranges of ``unit`` noise to ``values`` and bring them back into the range of ``one``."""
    return np.asarray(np.clip(values + np.float32(level * one.span) * unit, one.low, one.high), np.float32)


def relative_robustness(levels: Sequence[float], accuracy: Sequence[float]) -> float:
    """Compute the area under ``accuracy`` over the noise ``levels`` by trapezoids."""
    return float(np.trapezoid(accuracy, levels))


def effective_robustness(accuracy: Sequence[float], reference: Sequence[float]) -> float:
    """Sum over levels how far ``accuracy`` lies above a ``reference`` that is moved to the same clean accuracy."""
    own, other = np.asarray(accuracy), np.asarray(reference)
    return float(np.sum(own - (other + own[0] - other[0])))
