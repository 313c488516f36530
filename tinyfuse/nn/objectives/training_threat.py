"""The adversary of a training: a ball around each sample, and steps in it as TensorFlow operations.

The same words as :class:`tinyfuse.threats.threat.Threat`, whose numpy arithmetic a compiled training step cannot run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data.samples import Input
from tinyfuse.threats.masks import masks_of

NORMS = ("linf", "l2", "l2-joint")
FLOOR = 1e-30  # of squares: gradients of samples that the network is sure of have lengths of 1e-6 and less
Tensors = Mapping[str, Any]
Budget = Mapping[str, float] | float


def check_norm(norm: str, what: str) -> None:
    """Raise UsageError, with the name ``what`` of a part of the objective, unless its adversary has such a ``norm``."""
    if norm not in NORMS:
        raise UsageError(f"{what}: unknown norm '{norm}'{nearest(norm, NORMS)}; choose one of {', '.join(NORMS)}")


def budgets(budget: Budget, inputs: Sequence[Input], norm: str, what: str) -> dict[str, float]:
    """Return epsilon by input from one number for all or a table of some; UsageError for one that is not legal."""
    names = [one.name for one in inputs]
    given = dict.fromkeys(names, float(budget)) if isinstance(budget, (int, float)) else dict(budget)
    for name, value in given.items():
        if name not in names:
            raise UsageError(f"{what}: budget for '{name}'{nearest(name, names)}; the network's inputs are "
                             f"{', '.join(names)}")
        found = next(one for one in inputs if one.name == name)
        span = found.span * (1.0 if norm == "linf" else math.sqrt(math.prod(found.shape)))  # the box's largest change
        if not (math.isfinite(value) and value >= 0):
            raise UsageError(f"{what}: epsilon of '{name}' is {value}; give a finite number >= 0")
        if value >= span:
            raise UsageError(f"{what}: epsilon {value} of '{name}' covers its whole range of {span:g}; give less")
    if not given:
        raise UsageError(f"{what}: give an epsilon for at least one of {', '.join(names)}")
    return {name: given[name] for name in names if name in given}


@dataclass(frozen=True, eq=False)
class TrainingThreat:
    """What the adversary of training may do: ``norm`` and ``budget`` (epsilon by input) as in attacks.

    "l2-joint" has one ball for all attacked inputs, in units of their budgets: || (delta_m / epsilon_m)_m ||_2 <= 1.
    ``low``, ``high``, ``mask`` (1 = attackable): by input. ``sizes`` of methods are factors of the budget, scalars or
    [n], so that a sample whose factor is 0 stays as it is.
    """

    norm: str
    budget: Mapping[str, float]
    low: Mapping[str, float]
    high: Mapping[str, float]
    mask: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, inputs: Sequence[Input], budget: Budget, norm: str, masks: Sequence[str], what: str) -> TrainingThreat:
        """Build the threat of the part ``what`` on ``inputs``; ``masks`` are texts such as ``mic=valid``."""
        check_norm(norm, what)
        given = budgets(budget, inputs, norm, what)
        found = masks_of(masks, inputs)
        for name in found:
            if name not in given:
                raise UsageError(f"{what}: mask for '{name}', which has no budget")
        return cls(norm, given, {one.name: one.low for one in inputs}, {one.name: one.high for one in inputs}, found)

    @property
    def attacked(self) -> tuple[str, ...]:
        """Names of the attacked inputs."""
        return tuple(self.budget)

    def random_start(self, clean: Tensors, seed: Any, sizes: Tensors) -> dict[str, Any]:
        """Move ``clean`` to a uniformly random point of the ball, clipped to the box; see :meth:`draw`."""
        return self._moved(clean, self.draw(clean, seed, sizes))

    def draw(self, clean: Tensors, seed: Any, sizes: Tensors) -> dict[str, Any]:
        """Draw uniformly random changes of the ball, by attacked input."""
        random = tensorflow().random
        if self.norm == "linf":
            return {name: self._radius(name, clean, sizes) * self._masked(name, random.stateless_uniform(
                clean[name].shape, _other(seed, place), -1.0, 1.0)) for place, name in enumerate(self.attacked)}
        noise = {name: self._masked(name, random.stateless_normal(clean[name].shape, _other(seed, place)))
                 for place, name in enumerate(self.attacked)}
        lengths = self._lengths(noise)
        cut = {}
        for place, name in enumerate(self.attacked):
            count = self._coordinates(name, clean)
            radius = random.stateless_uniform([clean[name].shape[0]], _other(seed, 100 + (0 if self._joint else place)))
            share = _column(radius ** (1.0 / count), noise[name]) / lengths[name]
            cut[name] = self._radius(name, clean, sizes) * noise[name] * share
        return cut

    def ascend(self, point: Tensors, gradient: Tensors, lengths: Tensors, clean: Tensors) -> dict[str, Any]:
        """Move ``point`` by a step along the steepest direction of ``gradient``; ``lengths`` are factors of the budget.

        L2: gradients are measured in units of the budgets, so that the direction is the steepest in the ball. A joint
        step goes to the inputs alone whose length is above 0.
        """
        moves = {name: tensorflow().cast(_column(lengths[name], clean[name]) > 0, "float32") for name in self.attacked}
        masked = {name: moves[name] * self._masked(name, gradient[name]) for name in self.attacked}
        return {**point, **{name: point[name] + self._radius(name, clean, lengths) * direction
                            for name, direction in self._directions(masked).items()}}

    def project(self, point: Tensors, clean: Tensors, sizes: Tensors) -> dict[str, Any]:
        """Bring ``point`` into the ball around ``clean``, then into the box."""
        tf = tensorflow()
        change = {name: point[name] - clean[name] for name in self.attacked}
        if self.norm == "linf":
            radii = {name: self._radius(name, clean, sizes) for name in self.attacked}
            return self._moved(clean, {name: tf.clip_by_value(change[name], -radii[name], radii[name])
                                       for name in self.attacked})
        units = {name: tf.math.divide_no_nan(change[name], self._radius(name, clean, sizes)) for name in self.attacked}
        lengths = self._lengths(units)
        return self._moved(clean, {name: change[name] / tf.maximum(lengths[name], 1.0) for name in self.attacked})

    def boxed(self, point: Tensors) -> dict[str, Any]:
        """Clip the attacked inputs of ``point`` to the box alone."""
        clip = tensorflow().clip_by_value
        return {**point, **{name: clip(point[name], self.low[name], self.high[name]) for name in self.attacked}}

    @property
    def _joint(self) -> bool:
        return self.norm == "l2-joint"

    def _moved(self, clean: Tensors, change: Tensors) -> dict[str, Any]:
        return self.boxed({**clean, **{name: clean[name] + change[name] for name in self.attacked}})

    def _radius(self, name: str, clean: Tensors, sizes: Tensors) -> Any:
        return _column(sizes[name] * tensorflow().constant(self.budget[name], "float32"), clean[name])

    def _masked(self, name: str, values: Any) -> Any:
        return values * self.mask[name] if name in self.mask else values

    def _coordinates(self, name: str, clean: Tensors) -> float:
        counts = {one: float(self.mask[one].sum()) if one in self.mask else float(math.prod(clean[one].shape[1:]))
                  for one in self.attacked}
        return sum(counts.values()) if self._joint else counts[name]

    def _directions(self, gradient: Tensors) -> dict[str, Any]:
        tf = tensorflow()
        if self.norm == "linf":
            return {name: tf.sign(values) for name, values in gradient.items()}
        units = {name: values * (self.budget[name] if self._joint else 1.0) for name, values in gradient.items()}
        lengths = self._lengths(units)
        return {name: values / lengths[name] for name, values in units.items()}

    def _lengths(self, values: Tensors) -> dict[str, Any]:
        """Compute L2 norms [n, 1, ...] by input, above 0; joint ones are the same for all inputs."""
        tf = tensorflow()
        squares = {name: tf.reduce_sum(tf.square(one), list(range(1, len(one.shape)))) for name, one in values.items()}
        if self._joint:
            squares = dict.fromkeys(squares, tf.add_n(list(squares.values())))
        return {name: _column(tf.sqrt(tf.maximum(one, FLOOR)), values[name]) for name, one in squares.items()}


def pgd(loss: Callable[[Tensors], Any], clean: Tensors, threat: TrainingThreat, steps: int, length: float,
        sizes: Tensors, start: Tensors) -> dict[str, Any]:
    """Return the last of ``steps`` steps of ``length`` (a factor of the budget) up the scalar ``loss``."""
    tf = tensorflow()
    point = dict(start)
    for _ in range(steps):
        point = threat.project(climbed(loss, point, threat, {name: length * sizes[name] for name in threat.attacked},
                                       clean), clean, sizes)
    return {name: tf.stop_gradient(value) for name, value in point.items()}


def climbed(loss: Callable[[Tensors], Any], point: Tensors, threat: TrainingThreat, lengths: Tensors,
            clean: Tensors) -> dict[str, Any]:
    """Return ``point`` after one step up ``loss``, not projected."""
    tf = tensorflow()
    varying = {name: point[name] for name in threat.attacked}
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(list(varying.values()))
        value = loss({**point, **varying})
    gradients = tape.gradient(value, varying, unconnected_gradients="zero")
    return threat.ascend(point, gradients, lengths, clean)


def _column(values: Any, like: Any) -> Any:
    """Give ``values``, a scalar or [n], the rank of ``like`` [n, ...]."""
    tf = tensorflow()
    values = tf.convert_to_tensor(values)
    return values if values.shape.rank == 0 else tf.reshape(values, [-1, *([1] * (len(like.shape) - 1))])


def _other(seed: Any, place: int) -> Any:
    return tensorflow().random.experimental.stateless_fold_in(seed, place)
