"""AOL: kernels whose layers never move further than their inputs in L2, almost orthogonal (Prach and Lampert 2022).

A kernel W of a dense layer is scaled to W D, D = diag(sum_j |W^T W|_ij)^(-1/2) over its inputs: then D W^T W D is at
most the identity, so that no change of the input grows. For a convolution W^T W is its correlation with itself, summed
over all shifts; one with stride s is one without on the s * s phases of its input. Where a layer has fewer outputs than
inputs, D scales these instead. The scaled kernels are what the network has, so that it is exported as it is.

The loss is the cross-entropy of (z - sqrt(2) budget at the label) / temperature: two logits of a network that moves by
at most d differ by at most sqrt(2) d more, so that a lead of sqrt(2) budget is a proof.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.data.samples import Samples
from tinyfuse.nn.objectives.objective import Step, Targets, Work
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.predict import predict

SCALED = ("Conv2D", "Dense")
STEADY = ("InputLayer", "ReLU", "Flatten", "Reshape", "Permute", "Concatenate", "GlobalAveragePooling2D",
          "ZeroPadding2D", "Cropping2D")
"""Layers that never move further than their inputs as they are."""
_LEAST = 1e-12
SCORED_SAMPLES = 2000


@dataclass(frozen=True)
class Aol:
    """Settings: the L2 ``budget`` of all inputs together that samples should be certified at, and a ``temperature``."""

    name: ClassVar[str] = "aol"
    budget: float = 0.5
    temperature: float = 0.25

    def __post_init__(self) -> None:
        if not (0 <= self.budget < float("inf") and 0 < self.temperature < float("inf")):
            raise UsageError(f"aol: budget {self.budget}, temperature {self.temperature}: give a length of at least 0 "
                             "and a temperature above 0")

    def attach(self, run: Run) -> Work:
        """Return the part at work; UsageError for a layer that may move further than its inputs."""
        return AolWork(self, run)


class AolWork(Work):
    """Trains a free kernel for each layer; before each step the layers get these kernels, scaled."""

    def __init__(self, settings: Aol, run: Run) -> None:
        self.settings, self.run = settings, run
        self.layers = [layer for layer in run.model.layers if type(layer).__name__ in SCALED]
        for layer in run.model.layers:
            _check(layer)
        self.variables = [tensorflow().Variable(layer.kernel, name=f"{layer.name}_free") for layer in self.layers]

    def batch(self, batch: Mapping[str, Any], targets: Targets, seed: Any) -> tuple[Mapping[str, Any], Targets]:
        """Scale the kernels for this step."""
        self.publish()
        return batch, targets

    def base(self, step: Step) -> Any:
        """Compute the mean cross-entropy with an offset at the label."""
        tf, settings = tensorflow(), self.settings
        offset, classes = math.sqrt(2) * settings.budget, step.logits.shape[1]

        def losses(labels: Any) -> Any:
            behind = (step.logits - offset * tf.one_hot(labels, classes)) / settings.temperature
            return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, behind) * settings.temperature

        return step.targets.mean(losses)

    def change(self, gradients: Sequence[Any], variables: Sequence[Any], step: Step) -> Sequence[Any]:
        """Move the gradients of scaled kernels to the free ones."""
        tf, found = tensorflow(), list(gradients)
        places = {id(variable): place for place, variable in enumerate(variables)}
        for layer, free in zip(self.layers, self.variables, strict=True):
            place = places[id(layer.kernel)]
            with tf.GradientTape() as tape:
                scaled = of_layer(layer, free)
            found[places[id(free)]] = tape.gradient(scaled, free, output_gradients=found[place])
            found[place] = tf.zeros_like(found[place])
        return found

    def publish(self) -> None:
        """Give the layers the scaled kernels."""
        for layer, free in zip(self.layers, self.variables, strict=True):
            layer.kernel.assign(of_layer(layer, free))

    def score(self, samples: Samples) -> float:
        """Return the share of at most 2,000 fixed samples that lead by enough for the budget."""
        drawn = samples.balanced(min(SCORED_SAMPLES, len(samples)), seed=0)
        logits = predict(self.run.model, drawn)
        rows = np.arange(len(drawn))
        own = logits[rows, drawn.label].copy()
        logits[rows, drawn.label] = -np.inf
        return float((own - logits.max(axis=1) > math.sqrt(2) * self.settings.budget).mean())


def of_layer(layer: Any, kernel: Any) -> Any:
    """Scale the free ``kernel`` of a layer."""
    return scaled_kernel(kernel, tuple(getattr(layer, "strides", (1, 1))))


def scaled_kernel(kernel: Any, strides: tuple[int, int] = (1, 1)) -> Any:
    """Scale a kernel [i, o] or [kh, kw, i, o], a tensor, so that its layer has a norm of at most 1."""
    tf = tensorflow()
    if len(kernel.shape) == 2:
        return tf.reshape(scaled_kernel(tf.reshape(kernel, (1, 1, *kernel.shape))), kernel.shape)
    (height, width, inputs, outputs), (down, across) = kernel.shape, strides
    tall, wide = -(-height // down), -(-width // across)
    padded = tf.pad(kernel, [(0, tall * down - height), (0, wide * across - width), (0, 0), (0, 0)])
    parts = tf.transpose(tf.reshape(padded, (tall, down, wide, across, inputs, outputs)), (0, 2, 1, 3, 4, 5))
    phases = tf.reshape(parts, (tall, wide, down * across * inputs, outputs))
    few_outputs = outputs < phases.shape[2]
    sums = _correlation(tf.transpose(phases, (0, 1, 3, 2)) if few_outputs else phases)
    scale = tf.math.rsqrt(tf.maximum(sums, _LEAST))
    scaled = tf.reshape(phases * (scale if few_outputs else scale[:, None]), parts.shape)
    whole = tf.reshape(tf.transpose(scaled, (0, 2, 1, 3, 4, 5)), padded.shape)
    return whole[:height, :width]


def _correlation(kernel: Any) -> Any:
    """Sum the absolute correlation of ``kernel`` [kh, kw, i, o] with itself over all shifts and inputs: [i]."""
    tf = tensorflow()
    height, width = kernel.shape[:2]
    images = tf.transpose(kernel, (2, 0, 1, 3))  # each input's part is an image of the outputs
    filters = tf.transpose(kernel, (0, 1, 3, 2))
    padded = tf.pad(images, [(0, 0), (height - 1, height - 1), (width - 1, width - 1), (0, 0)])
    return tf.reduce_sum(tf.abs(tf.nn.conv2d(padded, filters, 1, "VALID")), (1, 2, 3))


def _check(layer: Any) -> None:
    kind, activation = type(layer).__name__, getattr(getattr(layer, "activation", None), "__name__", "linear")
    plain = tuple(getattr(layer, "dilation_rate", (1, 1))) == (1, 1) and getattr(layer, "groups", 1) == 1
    relu = kind != "ReLU" or (not layer.threshold and not layer.negative_slope)
    if kind not in (*SCALED, *STEADY) or activation not in ("linear", "relu") or not (plain and relu):
        raise UsageError(f"aol: layer '{layer.name}' ({kind}) may move further than its inputs; it trains networks of "
                         f"{', '.join(SCALED)} with ReLU and {', '.join(STEADY)}, such as lipschitz-late")
