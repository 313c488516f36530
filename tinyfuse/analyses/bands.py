"""Which bands and frames an attack needs, and which ones the network needs (Li et al. 2021: masks and occlusion)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tinyfuse.analyses.analysis import Advance, Analysis, Finding, Quantity, register
from tinyfuse.analyses.axis_blocks import blocks_of, chosen_axes, stripes_of
from tinyfuse.analyses.budget_search import InOneNorm, find_smallest
from tinyfuse.analyses.potency import RANGES, SMALLEST
from tinyfuse.analyses.subject import AnalysisSubject
from tinyfuse.attacks.attack import at_least
from tinyfuse.core.statistics import paired_difference, wilson
from tinyfuse.data.samples import Input, Samples

Place = tuple[Input, str, str, np.ndarray]
"""(input, axis, name of the block, its mask)."""


@register
@dataclass(frozen=True)
class Bands(InOneNorm):
    """The smallest budget when an attack may change only one block of an input: a band, some frames, some rows.

    ``blocks`` of each axis; ``axes``: names of those that are cut, all by default. The attack is PGD of
    ``steps`` steps in ``norm`` up to ``largest``, see the analysis potency.
    """

    name = "bands"
    title = "Attacks on one block of bands or frames"
    needs = ("axes",)
    least = at_least(blocks=1, steps=1, levels=2, largest=0)
    quantities = (
        Quantity("smallest budget in a block", "median smallest ε", "ranges", f"{SMALLEST}{RANGES}, when only this "
                 "block of the input may change", ("input", "axis", "block")),
        Quantity("unbroken in a block", "unbroken at the largest ε", "share", "share of all samples that nothing up to "
                 "the largest budget broke, when only this block may change"),
    )
    axes: tuple[str, ...] = ()
    blocks: int = 3

    def work(self, subject: AnalysisSubject, samples: Samples) -> int:
        return len(list(self._places(subject)))

    def _places(self, subject: AnalysisSubject) -> Iterator[Place]:
        for one in subject.inputs:
            for axis in chosen_axes(one, self.axes, subject.inputs):
                for block, mask in blocks_of(one, axis, self.blocks).items():
                    yield one, axis, block, mask

    def run(self, subject: AnalysisSubject, samples: Samples, advance: Advance) -> Iterable[Finding]:
        search = self.search()
        for one, axis, block, mask in self._places(subject):
            found, of = (find_smallest(subject, samples, (one.name,), search, {one.name: mask}),
                         {"input": one.name, "axis": axis, "block": block})
            middle = found.median()
            if middle is not None:
                yield Finding("smallest budget in a block", of, middle.value, middle.samples, middle.low, middle.high,
                              found.epsilon)
            yield Finding("unbroken in a block", of, float(np.mean(np.isinf(found.epsilon))), len(samples))
            advance(note=f"{one.name} {axis} {block}")


@register
@dataclass(frozen=True)
class Occlusion(Analysis):
    """Accuracy when a block of an input falls silent: its values become the smallest ones of the sample.

    ``blocks`` of each axis (three: first, middle and last), and every other block of each of the widths ``stripes``.
    ``axes``: names of those that are cut, all by default.
    """

    name = "occlusion"
    title = "Accuracy when bands or frames fall silent"
    needs = ("axes",)
    least = at_least(blocks=1)
    quantities = (
        Quantity("accuracy occluded", "accuracy", "share", "share of samples that are right when this block of the "
                 "input holds the sample's smallest value", ("input", "axis", "block")),
        Quantity("loss by occlusion", "accuracy lost", "share", "accuracy of the clean samples minus that, on the same "
                 "samples; interval by bootstrap"),
    )
    axes: tuple[str, ...] = ()
    blocks: int = 3
    stripes: tuple[int, ...] = (1, 4)

    def run(self, subject: AnalysisSubject, samples: Samples, advance: Advance) -> Iterable[Finding]:
        clean = subject.predict(samples.inputs) == samples.label
        for one in subject.inputs:
            for axis in chosen_axes(one, self.axes, subject.inputs):
                cut = {**blocks_of(one, axis, self.blocks), **stripes_of(one, axis, self.stripes)}
                for block, mask in cut.items():
                    changed = {**samples.inputs, one.name: occluded(samples.inputs[one.name], mask, one)}
                    right = subject.predict(changed) == samples.label
                    yield from _occlusion(clean, right, {"input": one.name, "axis": axis, "block": block})


def _occlusion(clean: np.ndarray, right: np.ndarray, of: dict[str, str]) -> Sequence[Finding]:
    n, lost = len(clean), paired_difference(right, clean)
    return [Finding("accuracy occluded", of, float(right.mean()), n, *wilson(int(right.sum()), n)),
            Finding("loss by occlusion", of, lost.value, n, lost.low, lost.high)]


def occluded(values: np.ndarray, mask: np.ndarray, one: Input) -> np.ndarray:
    """Return ``values`` float32 [n, ...] with the smallest value of each sample, padding apart, where ``mask`` is 1."""
    information = np.where(one.valid_mask() > 0, values, np.inf)
    silence = information.min(axis=tuple(range(1, values.ndim)), keepdims=True)
    return np.asarray(np.where(mask > 0, silence, values), np.float32)
