"""Random noise of the full budget: what an attack has to beat."""

from __future__ import annotations

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial
from tinyfuse.attacks.noise import check_kind, move
from tinyfuse.attacks.query_search import Search, check_numbers
from tinyfuse.attacks.target import Batch, Target
from tinyfuse.threats.threat import Threat


def corners(target: Target, batch: Batch, labels: np.ndarray, threat: Threat, *, draws: int = 100,
            kind: str = "signs", seed: int = 0, sample_ids: np.ndarray | None = None) -> Adversarial:
    """Try ``draws`` random points per sample: x + epsilon * s with random signs s, that is corners of the L-inf ball.

    ``batch``: float32 [n, h, w, c] per input; ``labels``: true classes, int [n]. L2: random signs scaled to the whole
    length. ``kind`` = "uniform" draws from the inside of the ball instead, "gaussian" from a normal distribution of
    that size. All attacked modalities move at once. A sample leaves once a point is misclassified. The points depend
    on ``seed``, the sample's entry in ``sample_ids`` (int [n], default 0..n-1) and the modality alone.

    Raises:
        UsageError: a threat that does not fit the target or the batch, or bad parameters.
        TinyfuseError: NaN or infinite logits, or probabilities instead of logits.
    """
    check_numbers("corners", {"draws": (draws, 1)})
    check_kind("corners", kind)
    search = Search("corners", target, batch, labels, threat, seed=seed, sample_ids=sample_ids)
    streams = {name: search.streams(name) for name in threat.modalities}
    masks = {name: threat.attackable(name, values.shape[1:]) for name, values in search.clean.items()}
    for _ in range(draws):
        rows = search.unbroken()
        if not len(rows):
            break
        point = {name: search.clean[name][rows] + move(kind, threat.norm, streams[name], rows, masks[name], epsilon,
                                                       whole=threat.lattice)
                 for name, epsilon in threat.epsilon.items()}
        search.ask(search.legal(point, rows)[1], rows)
    return search.outcome(draws=draws, kind=kind)
