"""How curved the loss is along each part's weights: Hessian traces by Hutchinson's method (HAWQ-V2).

Tr(H) = E[v' H v] for v of independent signs (Hutchinson 1990); Dong et al. 2020, "HAWQ-V2", section 3.2. One product
with the Hessian over all kernels at a time serves every layer: the terms between layers have mean 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.data import Pairs
from tinyfuse.nn.batch_norm_folding import folded
from tinyfuse.search.groups import Part


@dataclass(frozen=True)
class Trace:
    """Trace of the Hessian of the mean cross-entropy over one part's folded weights, and its standard error."""

    trace: float
    standard_error: float
    probes: int


def traces(model: Any, parts: Sequence[Part], pairs: Pairs, *, probes: int, seed: int = 0,
           tick: Callable[[], None] = lambda: None) -> dict[str, Trace]:
    """By part name the trace on ``pairs`` of the ``tf_keras`` network ``model``, in its deployed, folded form.

    ``probes`` sign vectors are drawn with ``seed``; ``tick`` is called after each.
    """
    network = folded(model)
    names = list({part.layer.name: None for part in parts})
    kernels = [network.get_layer(name).kernel for name in names]
    product = _product(network, kernels, pairs)
    generator = np.random.default_rng(seed)
    found: dict[str, list[float]] = {part.name: [] for part in parts}
    for _ in range(probes):
        signs = [(generator.integers(0, 2, kernel.shape) * 2.0 - 1).astype(np.float32) for kernel in kernels]
        terms = {name: sign * np.asarray(curved, np.float64)
                 for name, sign, curved in zip(names, signs, product(signs), strict=True)}
        for part in parts:
            found[part.name].append(float(terms[part.layer.name][..., part.start:part.stop, :].sum()))
        tick()
    return {name: Trace(float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(probes)), probes)
            for name, values in found.items()}


def _product(model: Any, kernels: list[Any], pairs: Pairs) -> Callable[[list[np.ndarray]], list[Any]]:
    """H v over all kernels."""
    tf = tensorflow()
    inputs = {name: tf.constant(values) for name, values in pairs.inputs().items()}
    labels = tf.constant(pairs.label)

    def product(vectors: list[Any]) -> list[Any]:
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(inputs, training=False))
                loss = tf.reduce_mean(losses)
            slopes = inner.gradient(loss, kernels)
            along = tf.add_n([tf.reduce_sum(slope * vector) for slope, vector in zip(slopes, vectors, strict=True)])
        return list(outer.gradient(along, kernels))

    return tf.function(product)  # type: ignore[no-any-return]
