"""The largest budget in whole codes that is certified for each sample, by bisection."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tinyfuse.analyses.certificates.ball import Ball
from tinyfuse.analyses.certificates.certify import Certifier
from tinyfuse.attacks.adversarial import misclassified
from tinyfuse.attacks.minimal import codes_threat, halvings
from tinyfuse.data.samples import Batch


def certified_radii(certifier: Certifier, batch: Batch, labels: np.ndarray, attacked: tuple[str, ...], largest: int,
                    mask: Mapping[str, np.ndarray] | None = None, *,
                    tick: Callable[..., None] = lambda steps=1: None) -> np.ndarray:
    """Return int [n]: no change of up to so many codes of each input ``attacked`` changes the class; -1: it is wrong.

    What is returned is proved at this very budget, and with it at every smaller one. Boxes grow with the budget, so
    that intervals certify up to one budget; lines do not always, and a larger certified budget may be missed.
    ``batch``: whole codes float32. ``tick`` is called once for each budget that some samples are tried at.
    """
    target = certifier.target
    lower = np.where(misclassified(target.logits(batch), labels), -1, 0)
    upper = np.where(lower < 0, 0, largest + 1)
    for k, same in halvings(lower, upper):
        clean = {name: values[same] for name, values in batch.items()}
        ball = Ball.of(codes_threat(target, attacked, k, mask), clean, target.grids or {})
        safe = certifier.proved(ball, labels[same]) > 0
        lower[same[safe]], upper[same[~safe]] = k, k
        tick()
    return lower
