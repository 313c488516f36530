"""Each input heard alone: probe rows of a model that say whether it still listens to all of them."""

from __future__ import annotations

import numpy as np

from tinyfuse.attacks.target import Target
from tinyfuse.checks.alone import MOST_SAMPLES, REFERENCES, hear_each, training_means
from tinyfuse.checks.collapse import PROBE
from tinyfuse.core.results import row_key
from tinyfuse.data.samples import Batch, Samples
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
        return row_key({"kind": "probe", **vars(subject), "seed": log.scope.seed, "name": f"{PROBE}-{name}",
                        "settings": settings})

    if all(log.store.has(key(name)) for name in names):
        return
    references = train.balanced(REFERENCES, seed=SAMPLE_SEED).only(tuple(names)).inputs
    means = {name: values[0] for name, values in _given(target, {
        name: mean[np.newaxis] for name, mean in training_means(train, names).items()}).items()}
    found = hear_each(target.logits, _given(target, heard.only(tuple(names)).inputs), heard.label, means,
                      _given(target, references))
    for name, one in found:
        log.store.append({
            "kind": "probe", "key": key(name), "model": subject.model, "precision": subject.precision,
            "executor": subject.executor, "name": f"{PROBE}-{name}", "value": one.value, "n": one.n,
            "detail": one.detail, "seed": log.scope.seed, "data_checksum": log.scope.dataset.checksum})


def _given(target: Target, inputs: Batch) -> dict[str, np.ndarray]:
    """Turn real inputs into what ``target`` takes: themselves, or codes as float32."""
    grids = target.grids
    if grids is None:
        return {name: np.asarray(values) for name, values in inputs.items()}
    return {name: grids[name].quantise(np.asarray(values)).astype(np.float32) for name, values in inputs.items()}
