"""Each input heard alone: probe rows of a model that say whether it still listens to all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinyfuse.attacks.target import Target
from tinyfuse.checks.alone import ALONE, CHANCE, MOST_SAMPLES, REFERENCES, hear_each
from tinyfuse.checks.collapse import Heard, verdict
from tinyfuse.core.results import row_key
from tinyfuse.data.dataset import Dataset
from tinyfuse.data.samples import Batch, Samples
from tinyfuse.nn.network import Network
from tinyfuse.nn.predict import predict
from tinyfuse.study.rows import SAMPLE_SEED, OutcomeLog, Subject


def probe_alone(log: OutcomeLog, subject: Subject, target: Target, samples: Samples) -> None:
    """Append the probe rows of ``subject`` on ``samples``, at most :data:`MOST_SAMPLES` of them, unless they are there.

    Nothing is written for a model of one input.
    """
    names, train = list(subject.inputs), log.scope.dataset.train
    if len(names) < 2:
        return
    heard = samples if len(samples) <= MOST_SAMPLES else samples.balanced(MOST_SAMPLES, seed=SAMPLE_SEED)
    settings = {"n": len(heard), "part": log.scope.part, "data": log.scope.dataset.checksum, "references": REFERENCES}

    def key(name: str) -> str:
        return row_key({"kind": "probe", **vars(subject), "seed": log.scope.seed, "name": name,
                        "settings": settings})

    if log.store.has(key(f"{ALONE}-{CHANCE}")):  # the last one
        return
    references = train.balanced(REFERENCES, seed=SAMPLE_SEED).only(tuple(names)).inputs
    means = {name: values[0] for name, values in _given(target, {
        name: mean[np.newaxis] for name, mean in train.means(names).items()}).items()}
    found = hear_each(target.logits, _given(target, heard.only(tuple(names)).inputs), heard.label, means,
                      _given(target, references))
    for name, one in found:
        log.store.append({
            "kind": "probe", "key": key(name), "model": subject.model, "precision": subject.precision,
            "executor": subject.executor, "name": name, "value": one.value, "n": one.n,
            "detail": one.detail, "seed": log.scope.seed, "data_checksum": log.scope.dataset.checksum})


def collapse_of(network: Network, dataset: Dataset) -> str | None:
    """Say in a sentence if a freshly trained ``network`` does not listen to one of its inputs; validation samples."""
    names, samples = network.input_names, dataset.validation.balanced(MOST_SAMPLES, seed=SAMPLE_SEED)
    if len(names) < 2 or network.model.output_shape[-1] != len(dataset.classes) or not len(samples):
        return None

    def logits(batch: Batch) -> np.ndarray:
        return predict(network.model, replace(samples, inputs={**samples.inputs, **batch}))

    found = hear_each(logits, samples.only(names).inputs, samples.label, dataset.train.means(names),
                      dataset.train.balanced(REFERENCES, seed=SAMPLE_SEED).only(names).inputs)
    answer = verdict({name: Heard(one.value, one.n) for name, one in found})
    return None if answer is None else f"{network.name}: {answer.text} (check Co, validation samples)"


def _given(target: Target, inputs: Batch) -> dict[str, np.ndarray]:
    """Turn real inputs into what ``target`` takes: themselves, or codes as float32."""
    grids = target.grids
    if grids is None:
        return {name: np.asarray(values) for name, values in inputs.items()}
    return {name: grids[name].quantise(np.asarray(values)).astype(np.float32) for name, values in inputs.items()}
