"""Randomised smoothing of a ``.tflite``: what it answers under Gaussian noise on its real inputs (Cohen et al. 2019).

The smoothed classifier answers the class that is most likely under noise. If that class has probability p at least,
with confidence 1 - alpha, no change d of the inputs with sqrt(sum_m |d_m|^2 / sigma_m^2) below Phi^-1(p) changes it,
sigma_m being the noise of input m; for one sigma that is an L2 radius sigma Phi^-1(p). Inputs without noise must not
change. It holds for any function, rounding of the inputs included, for the noise is added before it.
It is about the smoothed classifier, n passes of the model for each answer, not about the model itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.core.errors import UsageError
from tinyfuse.data.samples import Batch
from tinyfuse.threats.random_draws import generator

ABSTAINS = -1
ALPHA = 0.001
"""How probable it is at most that the radius of a sample is wrong."""
Predict = Callable[[Batch], np.ndarray]


@dataclass(frozen=True, eq=False)
class Smoothed:
    """Of n samples the ``answer`` int [n], :data:`ABSTAINS` where none is likely enough, and its ``radius`` float [n].

    The radius is in units of the noise: for one input, times its sigma it is an L2 length; 0 where it abstains.
    """

    answer: np.ndarray = field(repr=False)
    radius: np.ndarray = field(repr=False)


def least_probability(hits: np.ndarray, n: int, alpha: float) -> np.ndarray:
    """Return the one-sided lower Clopper-Pearson bound of a probability seen ``hits`` times in ``n``."""
    from scipy.stats import beta

    hits = np.asarray(hits)
    return np.where(hits > 0, beta.ppf(alpha, np.maximum(hits, 1), n - hits + 1), 0.0)


def smoothed(predict: Predict, inputs: Batch, sigma: Mapping[str, float], *, n0: int = 100, n: int = 1000,
             alpha: float = ALPHA, seed: int = 0, tick: Callable[[], None] = lambda: None) -> Smoothed:
    """Smooth ``predict``, real inputs by name to classes int [m], on the samples of ``inputs`` [n, ...].

    ``sigma``: standard deviation of the noise by input, in its units. The class is chosen on ``n0`` draws, and its
    probability bounded on ``n`` other ones. The noise of a sample depends on (seed, its place, input) alone.
    """
    from scipy.stats import norm

    _check(inputs, sigma, n0, n, alpha)
    count = len(next(iter(inputs.values())))
    answer, radius = np.full(count, ABSTAINS), np.zeros(count)
    for place in range(count):
        noise = {name: generator(seed, place, name, 0) for name in sigma}
        guess = int(np.bincount(_answers(predict, inputs, sigma, place, n0, noise)).argmax())
        hits = int((_answers(predict, inputs, sigma, place, n, noise) == guess).sum())
        least = float(least_probability(np.asarray(hits), n, alpha))
        if least > 0.5:
            answer[place], radius[place] = guess, norm.ppf(least)
        tick()
    return Smoothed(answer, radius)


def of_twin(target: TwinTarget) -> Predict:
    """Return what the device answers for real inputs: they are rounded to codes first."""
    return lambda inputs: target.logits({name: codes.astype(np.float32) for name, codes in
                                         target.model.codes_of(inputs).items()}).argmax(axis=1)


def _answers(predict: Predict, inputs: Batch, sigma: Mapping[str, float], place: int, n: int,
             noise: Mapping[str, np.random.Generator]) -> np.ndarray:
    """Classes int [n] of one sample with ``n`` draws of noise."""
    given = {name: np.broadcast_to(values[place], (n, *values.shape[1:])) for name, values in inputs.items()}
    moved = {name: (given[name] + size * noise[name].standard_normal(given[name].shape)).astype(np.float32)
             for name, size in sigma.items()}
    return predict({**given, **moved})


def _check(inputs: Batch, sigma: Mapping[str, float], n0: int, n: int, alpha: float) -> None:
    unknown = [name for name in sigma if name not in inputs]
    if unknown or not sigma or min(sigma.values()) <= 0 or min(n0, n) < 1 or not 0 < alpha < 1:
        raise UsageError(f"smoothing with noise {dict(sigma)}, {n0} and {n} draws, alpha {alpha}: give noise above 0 "
                         f"for some of the inputs {', '.join(inputs)}, 1 draw or more, and alpha between 0 and 1")
