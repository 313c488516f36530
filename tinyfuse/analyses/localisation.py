"""Weakly supervised localisation with a truth, and its failure under attack (Tian and Xu 2021, section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from tinyfuse.analyses.analysis import Advance, Analysis, Finding, Quantity, register
from tinyfuse.analyses.attention_map import (
    INSIDE,
    Map,
    TwinMap,
    keras_map,
    map_of_keras,
    mass_inside,
    pointing,
    truth_on_grid,
    twin_map,
    with_truth,
)
from tinyfuse.analyses.subject import BATCH, AnalysisSubject
from tinyfuse.attacks.attack import at_least
from tinyfuse.attacks.pgd import PGD
from tinyfuse.attacks.target import DifferentiableTarget
from tinyfuse.core.errors import UsageError
from tinyfuse.core.statistics import wilson
from tinyfuse.data.samples import Batch, Samples
from tinyfuse.threats.code_threats import code_problem
from tinyfuse.threats.modes import modes_of
from tinyfuse.threats.threat import Threat

ATTACKED = "attacked input"


@register
@dataclass(frozen=True)
class Localisation(Analysis):
    """Does the network look where the labelled thing is, and can its map be moved while the class stays right?

    PGD of ``steps`` steps raises -log of the share of the map inside the true region, with the L-inf budget
    ``epsilon`` in ranges of the values of each attacked input (on codes: threat model G).
    """

    name = "localisation"
    title = "Where the network looks, and how its map is fooled"
    needs = ("map",)
    least = at_least(steps=1, epsilon=0)
    quantities = (
        Quantity("pointing accuracy", "pointing accuracy", "share", "share of samples whose map is largest inside "
                 "the true region", (ATTACKED,)),
        Quantity("mass inside", "share of the map inside", "share", "share of the map that lies in the true region, "
                 "mean over samples", (ATTACKED,)),
        Quantity("accuracy of the class", "accuracy", "share", "share of samples whose class is right on the same "
                 "inputs", (ATTACKED,)),
        Quantity("fooled maps", "fooled maps", "share", "share of samples whose map pointed into the true region when "
                 "clean, points outside under attack, and whose class is still right", (ATTACKED,)),
    )
    epsilon: float = 0.1
    steps: int = 20

    def work(self, subject: AnalysisSubject, samples: Samples) -> int:
        return 1 + len(modes_of(subject.input_names))

    def run(self, subject: AnalysisSubject, samples: Samples, advance: Advance) -> Iterable[Finding]:
        look, target = _map(subject)
        clean = subject.given(samples.inputs)
        share = look(clean)
        truth = _truth(subject, samples, share.shape[1])
        pointed = pointing(share, truth)
        yield from _findings("none", share, truth, subject.predict(samples.inputs) == samples.label)
        advance()
        for mode, attacked in modes_of(subject.input_names).items():
            point = self._moved(subject, samples, with_truth(clean, truth), target, attacked)
            share, right = look(point), subject.target.logits(point).argmax(axis=1) == samples.label
            yield from _findings(mode, share, truth, right)
            fooled = pointed & ~pointing(share, truth) & right
            yield _share("fooled maps", mode, fooled)
            advance(note=mode)

    def _moved(self, subject: AnalysisSubject, samples: Samples, batch: Batch, target: DifferentiableTarget,
               attacked: tuple[str, ...]) -> Batch:
        spans = {one.name: one.span for one in subject.inputs}
        threat = Threat.of(subject.inputs, {name: self.epsilon * spans[name] for name in attacked})
        if subject.twin is not None:
            threat, _ = code_problem(threat, samples.inputs, subject.twin.model.grids, "codes")
        inside = np.full(len(samples), INSIDE)
        return PGD(steps=self.steps).run(target, batch, inside, threat).strongest


def _map(subject: AnalysisSubject) -> tuple[Map, DifferentiableTarget]:
    if subject.twin is not None:
        tensor = twin_map(subject.twin)
        assert tensor is not None
        target = TwinMap(subject.twin, tensor)
        return target.look, target
    assert subject.network is not None
    model = subject.network.model
    return map_of_keras(model, keras_map(model), BATCH)


def _truth(subject: AnalysisSubject, samples: Samples, places: int) -> np.ndarray:
    known = [name for name in subject.input_names if name in samples.regions]
    if not known:
        raise UsageError("localisation needs data that say where the labelled thing is; give such as --data composed")
    return truth_on_grid(samples.regions[known[0]], places)


def _findings(mode: str, share: np.ndarray, truth: np.ndarray, right: np.ndarray) -> Iterator[Finding]:
    inside = mass_inside(share, truth)
    yield _share("pointing accuracy", mode, pointing(share, truth))
    yield Finding("mass inside", {ATTACKED: mode}, float(inside.mean()), len(inside), each=inside)
    yield _share("accuracy of the class", mode, right)


def _share(quantity: str, mode: str, verdict: np.ndarray) -> Finding:
    count = int(verdict.sum())
    return Finding(quantity, {ATTACKED: mode}, count / len(verdict), len(verdict), *wilson(count, len(verdict)))
