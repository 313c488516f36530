"""Mixup where it helps: between dense classes whose regions are not convex (Li et al. 2022, equation 9).

At the start of each epoch the density rho and the convexity kappa of every class are measured anew. Two samples of
different classes are mixed where both classes have kappa below and rho above a threshold; all others train as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.nn.density import convexity, density
from tinyfuse.nn.objectives.mixup import beta, check_mixed_once, mixed
from tinyfuse.nn.objectives.objective import Targets, Work
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.predict import in_batches


@dataclass(frozen=True)
class DensityMixup:
    """Settings: classes of which ``convexity`` is not below, or ``density`` not above, what is given are never mixed.

    Where a threshold is left out it is the median over the classes. Density counts per sample, rho / n. Both are
    measured on at most ``samples`` training samples, with ``pairs`` lines in each class: density on what the last
    layer reads, convexity at the outputs of the layers ``at``, by default at the inputs. (What a linear layer reads has
    convexity 1 in every network.) The share of the first sample is drawn from Beta(``alpha``, ``alpha``), once for each
    batch; the paper does not say how.
    """

    name: ClassVar[str] = "density-mixup"
    alpha: float = 1.0
    convexity: float | None = None
    density: float | None = None
    at: tuple[str, ...] = ()
    samples: int = 1000
    pairs: int = 200

    def __post_init__(self) -> None:
        if not 0 < self.alpha < float("inf"):
            raise UsageError(f"density-mixup: alpha is {self.alpha}; give a number above 0")
        if self.samples < 2 or self.pairs < 1:
            raise UsageError(f"density-mixup: samples {self.samples}, pairs {self.pairs}: give at least 2 samples and "
                             "one pair")

    def attach(self, run: Run) -> Work:
        """Return the part at work; see :class:`tinyfuse.nn.objectives.objective.Part`."""
        check_mixed_once(run)
        return DensityMixupWork(self, run)


class DensityMixupWork(Work):
    """Keeps the classes that may be mixed, and mixes their samples in each batch."""

    def __init__(self, settings: DensityMixup, run: Run) -> None:
        self.settings, self.run = settings, run
        self.measured = ClassMeasures(run, settings.at)
        self.allowed = tensorflow().Variable(np.zeros(len(run.dataset.classes), bool), trainable=False)

    def epoch_start(self, epoch: int) -> None:
        """Measure every class on the weights as they are."""
        seed = int(np.random.SeedSequence([self.run.seed, epoch]).generate_state(1)[0])
        densities, convexities = self.measured(self.settings.samples, self.settings.pairs, seed)
        self.allowed.assign(classes_to_mix(densities, convexities, self.settings.density, self.settings.convexity))

    def batch(self, batch: Mapping[str, Any], targets: Targets, seed: Any) -> tuple[Mapping[str, Any], Targets]:
        """Mix the samples of ``batch`` whose partner is of another class and may be mixed as well."""
        tf = tensorflow()
        fold, labels = tf.random.experimental.stateless_fold_in, targets.labels
        order = partners(tf.gather(self.allowed, labels), fold(seed, 0))
        apart = tf.not_equal(labels, tf.gather(labels, order))
        return mixed(batch, targets, order, tf.where(apart, beta(self.settings.alpha, fold(seed, 1)), 1.0))

    def epoch_end(self, epoch: int) -> str | None:
        """Name the classes that were mixed."""
        names = [name for name, allowed in zip(self.run.dataset.classes, self.allowed.numpy(), strict=True) if allowed]
        return ("density-mixup mixed the classes " + ", ".join(names) if len(names) > 1 else
                "density-mixup mixed nothing: fewer than two classes are dense and not convex; change its thresholds, "
                "or measure convexity at other layers")


class ClassMeasures:
    """Measures density per sample and convexity of every class of the training part."""

    def __init__(self, run: Run, at: tuple[str, ...]) -> None:
        import tf_keras

        self.run, model = run, run.model
        read = model.output._keras_history.layer.input
        named = {one.name: model.input[one.name] for one in run.inputs} if not at else _outputs(model, at)
        self._look = tf_keras.Model(model.input, [read if isinstance(read, (list, tuple)) else [read], named])
        try:
            self._finish = tf_keras.Model(named, model.output) if at else model
        except ValueError as error:  # Keras: the graph is disconnected
            raise UsageError(f"density-mixup: the layers {', '.join(at)} do not cut '{model.name}' in two: its output "
                             "depends on its inputs on another way too; name the layers of one depth, one for each "
                             "branch") from error

    def __call__(self, samples: int, pairs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return density per sample and convexity, float64 [classes], on ``samples`` samples and ``pairs`` lines."""
        train = self.run.dataset.train
        chosen = train.balanced(min(samples, len(train)), seed=seed)
        inputs = {name: chosen.inputs[name] for name in self.run.model.input_shape}
        read, named = in_batches(self._look.predict_on_batch, inputs)
        features = np.concatenate([one.reshape(len(one), -1) for one in read], axis=1)
        rows = [np.flatnonzero(chosen.label == label) for label in range(len(self.run.dataset.classes))]
        densities = [density(features[row]) / max(len(row), 1) for row in rows]
        convexities = [convexity(self._classify, {name: values[row] for name, values in named.items()}, label,
                                 pairs=pairs, seed=seed) if len(row) else np.nan for label, row in enumerate(rows)]
        return np.array(densities), np.array(convexities)

    def _classify(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        ignored = {name: np.zeros((len(next(iter(values.values()))), *shape[1:]), np.float32)
                   for name, shape in self._finish.input_shape.items() if name not in values}
        return np.asarray(in_batches(self._finish.predict_on_batch, {**ignored, **values}).argmax(1))


def _outputs(model: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Find by name the outputs of layers, also of those that quantisation-aware training has wrapped."""
    known = {getattr(layer, "layer", layer).name: layer.output for layer in model.layers}
    for name in names:
        if name not in known:
            raise UsageError(f"density-mixup: '{model.name}' has no layer '{name}'{nearest(name, known)}")
    return {name: known[name] for name in names}


def classes_to_mix(densities: np.ndarray, convexities: np.ndarray, least_density: float | None,
                   most_convexity: float | None) -> np.ndarray:
    """Return, bool [classes], which are above ``least_density`` and below ``most_convexity``; None: the median.

    A class whose density or convexity is not known (nan) is none of them.
    """
    known = np.asarray(~(np.isnan(densities) | np.isnan(convexities)))
    if not known.any():
        return known
    least = np.median(densities[known]) if least_density is None else least_density
    most = np.median(convexities[known]) if most_convexity is None else most_convexity
    return np.asarray(known & (densities > least) & (convexities < most))


def partners(allowed: Any, seed: Any) -> Any:
    """Draw by sample, int32 [n], its partner: those ``allowed`` (bool [n]) in another order, the others themselves."""
    tf = tensorflow()
    places = tf.cast(tf.where(allowed)[:, 0], "int32")
    order = tf.argsort(tf.random.stateless_uniform(tf.shape(places), seed))
    return tf.tensor_scatter_nd_update(tf.range(tf.size(allowed)), places[:, tf.newaxis], tf.gather(places, order))
