"""The other measurements of a selection as rows: curvature, rounding errors, trials."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinyfuse.attacks import PGD, Batch, Profile, Threat, code_problem, misclassified
from tinyfuse.attacks.profiles import STANDARD
from tinyfuse.attacks.suite import Cell, run_suite
from tinyfuse.attacks.targets.anomaly import IntegerTarget, twin_of
from tinyfuse.core.backend import compiled, tensorflow
from tinyfuse.core.console import progress
from tinyfuse.core.files import sha256_hex
from tinyfuse.core.results import Row, pack_survivors
from tinyfuse.data import Input, Samples
from tinyfuse.integer.model import load_model
from tinyfuse.nn.batch_norm_folding import folded
from tinyfuse.nn.kernels import attribute, columns
from tinyfuse.nn.objectives.reconstruction import auc
from tinyfuse.quantize.recipe import Recipe, uniform
from tinyfuse.search import costs
from tinyfuse.search.groups import Part
from tinyfuse.search.selection_study import PART, SelectionStudy
from tinyfuse.search.sensitivity import Place
from tinyfuse.threats.modes import modes_of

AUC_STEPS = 10


def rounding_errors(study: SelectionStudy) -> dict[Place, float]:
    """Sum (rounded - float)^2 over the weights of each part at each width."""
    found = {}
    for bits in study.settings.widths:
        made = study.convert(uniform(bits, study.settings.methods))
        for part in study.parts:
            error = made.codes[part.layer.name].real - part.layer.kernel
            found[part.name, bits] = float((error[..., part.start:part.stop]**2).sum())
    return found


def curvature(study: SelectionStudy) -> dict[str, Row]:
    """Measure the trace of the Hessian of each part: rows by its name."""
    count, probes = study.settings.hessian_samples, study.settings.hessian_probes

    def measure(missing: Mapping[str, str]) -> Iterator[tuple[str, Row]]:
        samples = study.judged("train", count)
        with progress("curvature", probes) as advance:
            found = traces(study.network.model, study.parts, samples, probes=probes, tick=advance,
                           judged=study.judged_model)
        weights = {part.name: part.weights for part in study.parts}
        for key, name in missing.items():
            trace, standard_error = found[name]
            yield key, {"unit": name, "trace": trace, "standard_error": standard_error, "probes": probes,
                        "weights": weights[name], "n": len(samples)}

    keys = {study.key("hessian", part=part.name, n=count, probes=probes): part.name for part in study.parts}
    return study.rows("hessian", keys, measure)


def traces(model: Any, parts: Sequence[Part], samples: Samples, *, probes: int, seed: int = 0,
           tick: Callable[[], None] = lambda: None,
           judged: Callable[[Any], Any] = lambda model: model) -> dict[str, tuple[float, float]]:
    """Estimate by part the trace of the Hessian of the mean cross-entropy over its weights, and its standard error.

    Hutchinson's method: Tr(H) = E[v' H v] for v of independent signs (Hutchinson 1990; Dong et al. 2020, "HAWQ-V2",
    section 3.2). One product with the Hessian over all kernels at a time serves every layer: the terms between layers
    have mean 0. On ``samples`` of the ``tf_keras`` network ``model`` in its deployed, folded form. ``probes`` sign
    vectors are drawn with ``seed``; ``tick`` is called after each. ``judged`` wraps an autoencoder into its verdict.
    """
    network = folded(model)
    names = list({part.layer.name: None for part in parts})
    kinds = {name: type(network.get_layer(name)).__name__ for name in names}
    kernels = [getattr(network.get_layer(name), attribute(kinds[name])) for name in names]
    product = _hessian_product(judged(network), kernels, samples)
    generator = np.random.default_rng(seed)
    found: dict[str, list[float]] = {part.name: [] for part in parts}
    for _ in range(probes):
        signs = [(generator.integers(0, 2, kernel.shape) * 2.0 - 1).astype(np.float32) for kernel in kernels]
        terms = {name: columns(kinds[name], sign * np.asarray(curved, np.float64))
                 for name, sign, curved in zip(names, signs, product(signs), strict=True)}
        for part in parts:
            found[part.name].append(float(terms[part.layer.name][..., part.start:part.stop, :].sum()))
        tick()
    return {name: (float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(probes)))
            for name, values in found.items()}


def _hessian_product(model: Any, kernels: list[Any], samples: Samples) -> Callable[[list[np.ndarray]], list[Any]]:
    """Make the function v -> H v over all kernels."""
    tf = tensorflow()
    inputs = {name: tf.constant(values) for name, values in samples.only(tuple(model.input_shape)).inputs.items()}
    labels = tf.constant(samples.label)

    def product(vectors: list[Any]) -> list[Any]:
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(inputs, training=False))
                loss = tf.reduce_mean(losses)
            slopes = inner.gradient(loss, kernels)
            along = tf.add_n([tf.reduce_sum(slope * vector) for slope, vector in zip(slopes, vectors, strict=True)])
        return list(outer.gradient(along, kernels))

    return compiled(product)  # type: ignore[no-any-return]


def trials(study: SelectionStudy, recipes: Sequence[Recipe], tick: Callable[[str], None], *, part: str = PART,
           count: int | None = None) -> dict[str, Row]:
    """Judge ``recipes`` on ``count`` (default: the settings') samples of ``part``: rows by name of the recipe."""
    settings = study.settings
    samples = study.judged(part, count or settings.trial_samples)
    suite, epsilon = STANDARD.with_steps(settings.trial_steps), settings.epsilon
    made = {each.name: study.convert(each) for each in recipes}
    tables = {each.name: json.dumps(each.to_table(), sort_keys=True) for each in recipes}

    def measure(missing: Mapping[str, str]) -> Iterator[tuple[str, Row]]:
        judge = partial(run_trial, samples=samples, inputs=study.network.inputs, suite=suite, budget=study.budget,
                        known=study.threshold_samples)
        for key, found in study.each(judge, {key: (made[name].data, name) for key, name in missing.items()}):
            name = missing[key]
            tick(name)
            needs = costs.needs(made[name])
            yield key, {"precision": name, "recipe": tables[name], "packed_bytes": needs["flash"],
                        "stored_bytes": len(made[name].data), "macs": needs["macs"], "part": part,
                        "profile": STANDARD.name, "steps": settings.trial_steps, "epsilon": epsilon, **found}

    keys = {study.key("trial", file=sha256_hex(made[name].data), recipe=table, n=len(samples), part=part,
                      suite=repr(suite), epsilon=epsilon): name for name, table in tables.items()}
    return study.rows("trial", keys, measure)


def run_trial(data: bytes, name: str, *, samples: Samples, inputs: Sequence[Input], suite: Profile,
              budget: Mapping[str, float], known: Samples | None = None) -> dict[str, Any]:
    """Judge the ``.tflite`` in ``data`` on its twin, clean and attacked by ``suite`` in every mode (threat model G).

    With samples ``known`` for its threshold, it is an autoencoder. Returns the measured fields of
    :class:`tinyfuse.core.schema.TrialRow`.

    Raises:
        ModelError: it is not one that the twin computes exactly.
    """
    began = time.monotonic()
    model = load_model(data, name=name)
    target, labels, real = twin_of(model, known), samples.label, samples.only(tuple(model.grids)).inputs
    cells: list[Cell] = []
    batch: Batch = {}
    for mode, names in modes_of([one.name for one in inputs]).items():
        wanted = Threat.of(inputs, {name: budget[name] for name in names})
        threat, batch = code_problem(wanted, real, model.grids, "codes")
        cells.append(Cell(mode, max(budget.values()), threat))
    outcomes = run_suite(target, batch, labels, cells, suite, by_attack=False)
    survivors = {"clean": ~misclassified(target.logits(batch), labels),
                 **{outcome.cell.mode: ~outcome.broken for outcome in outcomes}}
    curves = {} if known is None else _aucs(target, batch, labels, cells)
    return {"survivors": {what: pack_survivors(correct) for what, correct in survivors.items()}, "n": len(labels),
            "auc": curves, "ram_bytes": costs.arena_bytes(model), "seconds": round(time.monotonic() - began, 3)}


def _aucs(target: IntegerTarget, batch: Batch, labels: np.ndarray, cells: Sequence[Cell]) -> dict[str, float]:
    """Tell how well errors put anomalies and normal samples in order: clean, and by mode after PGD on every sample.

    A suite stops where a verdict falls; for the order of all errors each of them is driven as far as it goes.
    """
    found = {"clean": auc(target.logits(batch)[:, 1], labels)}
    for cell in cells:
        attacked = PGD(steps=AUC_STEPS).run(target, batch, labels, cell.threat).strongest
        found[cell.mode] = auc(target.logits({**batch, **attacked})[:, 1], labels)
    return found
