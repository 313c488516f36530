"""What one part alone does to the network at each width, on the integers: outputs, margins, and under attack.

Everything else has :data:`REFERENCE` bits. The adversary is white-box on the very integers that it attacks (PGD on the
twin, threat model G): attacks on the float network, or on the reference, would miss what a width does to gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinyfuse.attacks import PGD, Threat, code_problem
from tinyfuse.attacks.losses import cross_entropy, margin
from tinyfuse.attacks.targets.anomaly import IntegerTarget, twin_of
from tinyfuse.core.console import progress
from tinyfuse.core.files import sha256_hex
from tinyfuse.core.results import Row
from tinyfuse.data import Input, Samples
from tinyfuse.integer.model import load_model
from tinyfuse.quantize.recipe import Recipe
from tinyfuse.search.groups import Unit, recipe_of
from tinyfuse.search.selection_study import SelectionStudy

REFERENCE = 8
Place = tuple[str, int]
"""Part and bits; "" is the whole network at the reference width."""


def sensitivities(study: SelectionStudy) -> dict[Place, Row]:
    """Measure the criteria of every place: rows by part and width."""
    settings = study.settings
    asked: dict[str, Any] = {
        "n": settings.sensitivity_samples, "attacked_samples": settings.attacked_samples,
        "steps": settings.sensitivity_steps, "epsilon": settings.epsilon}
    places = [("", REFERENCE), *((part.name, bits) for part in study.parts for bits in settings.widths
                                 if bits != REFERENCE)]
    made = {place: study.convert(_alone(study, *place)).data for place in places}
    keys = {study.key("sensitivity", file=sha256_hex(data), part=part, bits=bits, **asked): (part, bits)
            for (part, bits), data in made.items()}

    def measure(missing: Mapping[str, Place]) -> Iterator[tuple[str, Row]]:
        samples, attacked = (study.judged("train", int(asked[name])) for name in ("n", "attacked_samples"))
        judge = partial(measured, samples=samples, wanted=study.logits(samples), attacked=attacked,
                        inputs=study.network.inputs, steps=settings.sensitivity_steps, budget=study.budget,
                        known=study.threshold_samples)
        tasks = {key: (made[place], " ".join(map(str, place))) for key, place in missing.items()}
        with progress("sensitivity", len(tasks)) as advance:
            for key, found in study.each(judge, tasks):
                yield key, {"unit": missing[key][0], "bits": missing[key][1], **asked, "n": len(samples),
                            "attacked_samples": len(attacked), **found}
                advance(note=tasks[key][1])

    return study.rows("sensitivity", keys, measure)


def _alone(study: SelectionStudy, part: str, bits: int) -> Recipe:
    units = [Unit(other.name, (other,)) for other in study.parts]
    widths = {unit.name: bits if unit.name == part else REFERENCE for unit in units}
    return recipe_of("alone", units, widths, study.settings.methods)


def measured(data: bytes, name: str, *, samples: Samples, wanted: np.ndarray, attacked: Samples,
             inputs: Sequence[Input], steps: int, budget: Mapping[str, float],
             known: Samples | None = None) -> dict[str, Any]:
    """Measure the criteria of the ``.tflite`` in ``data``, each larger for a worse network.

    ``wanted``: the float network's logits float [n, k] on ``samples``; those of an autoencoder are its verdict, whose
    threshold is chosen on the samples ``known``. ``mse``: mean squared difference of the
    logits from these. ``kl``: mean Kullback-Leibler divergence of the softmax from theirs, in nats. ``cosine``: mean
    of 1 - cos of the two. ``margin``: mean of the runner-up's logit minus the label's. ``attacked_loss``: by input
    the mean cross-entropy in nats of the strongest inputs that PGD finds from the samples ``attacked``, with so many
    ``steps`` at its L-inf ``budget`` on that input alone.
    """
    model = load_model(data, name=name)
    target = twin_of(model, known)
    codes = model.codes_of(samples.inputs)
    logits = target.logits({key: values.astype(np.float32) for key, values in codes.items()})
    return {"mse": float(np.mean((logits - wanted)**2)), "kl": _kl(wanted, logits), "cosine": _cosine(wanted, logits),
            "margin": float(margin(logits, samples.label)[0].mean()),
            "attacked_loss": {one.name: _attacked_loss(target, attacked, Threat.of(
                inputs, {one.name: budget[one.name]}), steps) for one in inputs}}


def _kl(wanted: np.ndarray, logits: np.ndarray) -> float:
    from scipy.special import log_softmax

    own, other = log_softmax(wanted.astype(np.float64), axis=1), log_softmax(logits, axis=1)
    return float(np.mean((np.exp(own) * (own - other)).sum(axis=1)))


def _cosine(wanted: np.ndarray, logits: np.ndarray) -> float:
    norms = np.linalg.norm(wanted, axis=1) * np.linalg.norm(logits, axis=1)
    return float(np.mean(1 - (wanted * logits).sum(axis=1) / np.where(norms > 0, norms, 1)))


def _attacked_loss(target: IntegerTarget, samples: Samples, threat: Threat, steps: int) -> float:
    threat, batch = code_problem(threat, samples.only(target.inputs).inputs, target.grids or {}, "codes")
    found = PGD(steps=steps).run(target, batch, samples.label, threat)
    return float(cross_entropy(target.logits({**batch, **found.strongest}), samples.label)[0].mean())
