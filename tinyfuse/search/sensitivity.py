"""What one part alone does to the network at each width, on the integers: outputs, margins, and under attack.

Everything else has :data:`REFERENCE` bits. The adversary is white-box on the very integers that it attacks (PGD on the
twin, threat model G): attacks on the float network, or on the reference, would miss what a width does to gradients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyfuse.attacks import Batch, Threat, TwinTarget, code_problem, pgd
from tinyfuse.attacks.losses import cross_entropy, margin
from tinyfuse.integer.interpreters import load

REFERENCE = 8


@dataclass(frozen=True, eq=False)
class Question:
    """Calibration pairs (``inputs`` float32 [n, ...] by name, ``labels`` int [n]) and what to measure on them.

    ``logits`` float [n, k] are the float network's. The ``attacked`` pairs, with labels ``attacked_labels``, are
    attacked in each of ``modes`` with ``steps`` steps of PGD at L-inf ``epsilon``.
    """

    inputs: Mapping[str, np.ndarray] = field(repr=False)
    labels: np.ndarray = field(repr=False)
    logits: np.ndarray = field(repr=False)
    attacked: Mapping[str, np.ndarray] = field(repr=False)
    attacked_labels: np.ndarray = field(repr=False)
    modes: Sequence[str]
    steps: int
    epsilon: float


def measured(data: bytes, name: str, question: Question) -> dict[str, float]:
    """The criteria of the ``.tflite`` in ``data``, each larger for a worse network.

    ``mse``: mean squared difference of its logits from the float network's. ``kl``: mean Kullback-Leibler divergence
    of its softmax from the float network's, in nats. ``cosine``: mean of 1 - cos of the two. ``margin``: mean of the
    runner-up's logit minus the label's. ``attacked_image``, ``attacked_audio``: mean cross-entropy in nats of the
    strongest inputs that PGD finds for each modality alone.
    """
    target = TwinTarget(load(data, name=name))
    grids = target.grids or {}
    batch = {key: grid.quantise(question.inputs[key]).astype(np.float32) for key, grid in grids.items()}
    logits = target.logits(batch)
    found = {"mse": float(np.mean((logits - question.logits)**2)), "kl": _kl(question.logits, logits),
             "cosine": _cosine(question.logits, logits), "margin": float(margin(logits, question.labels)[0].mean())}
    for mode in question.modes:
        found[f"attacked_{mode}"] = _attacked(target, mode, question)
    return found


def _kl(wanted: np.ndarray, logits: np.ndarray) -> float:
    from scipy.special import log_softmax

    own, other = log_softmax(wanted.astype(np.float64), axis=1), log_softmax(logits, axis=1)
    return float(np.mean((np.exp(own) * (own - other)).sum(axis=1)))


def _cosine(wanted: np.ndarray, logits: np.ndarray) -> float:
    norms = np.linalg.norm(wanted, axis=1) * np.linalg.norm(logits, axis=1)
    return float(np.mean(1 - (wanted * logits).sum(axis=1) / np.where(norms > 0, norms, 1)))


def _attacked(target: TwinTarget, mode: str, question: Question) -> float:
    labels = question.attacked_labels
    clean: Batch = {key: values for key, values in question.attacked.items() if key in target.inputs}
    threat, batch = code_problem(Threat("linf", {mode: question.epsilon}), clean, target.grids or {}, "codes")
    found = pgd(target, batch, labels, threat, steps=question.steps)
    return float(cross_entropy(target.logits({**batch, **found.strongest}), labels)[0].mean())
