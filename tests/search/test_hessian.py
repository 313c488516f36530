"""Hutchinson's traces against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.data import Dataset, Samples
from tinyfuse.quantize.folded_layers import folded_layers
from tinyfuse.search.groups import parts_of
from tinyfuse.search.measure import traces

PROBES = 200


def regression() -> Any:
    """Softmax regression on both inputs, batch norm after one of the two dense layers."""
    tensorflow()
    from tf_keras import Input, Model, layers

    inputs = {name: Input((28, 28, 1), name=name) for name in ("image", "audio")}
    flat = {name: layers.AveragePooling2D(7, name=f"{name}_pool")(value) for name, value in inputs.items()}
    image = layers.Dense(10, name="image_head")(layers.Flatten(name="image_flatten")(flat["image"]))
    image = layers.BatchNormalization(name="image_head_bn")(image)
    audio = layers.Dense(10, name="audio_head")(layers.Flatten(name="audio_flatten")(flat["audio"]))
    model = Model(inputs, layers.Add(name="logits")([image, audio]))
    generator = np.random.default_rng(5)
    model.get_layer("image_head_bn").set_weights([generator.uniform(0.5, 2, 10), generator.normal(size=10),
                                                  generator.normal(size=10), generator.uniform(0.5, 2, 10)])
    return model


def exact(model: Any, samples: Samples) -> dict[str, float]:
    """Of softmax regression: the mean over samples of |x|^2 times the sum of p (1 - p)."""
    logits = np.asarray(model(samples.inputs, training=False), np.float64)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    found = {}
    for name, values in samples.inputs.items():
        pooled = values.reshape(len(values), 4, 7, 4, 7).mean(axis=(2, 4)).reshape(len(values), -1)
        found[f"{name}_head"] = float(np.mean((pooled**2).sum(axis=1) * (odds * (1 - odds)).sum(axis=1)))
    return found


def test_softmax_regression_has_a_closed_form_in_folded_weights(tiny_dataset: Dataset) -> None:
    model, samples = regression(), tiny_dataset.train.balanced(60, seed=0)
    found = traces(model, parts_of(folded_layers(model)), samples, probes=PROBES)
    for name, wanted in exact(model, samples).items():
        trace, standard_error = found[name]
        assert abs(trace - wanted) < 5 * standard_error
        assert standard_error < 0.2 * wanted


def test_the_same_seed_gives_the_same_traces(tiny_dataset: Dataset) -> None:
    model, samples = regression(), tiny_dataset.train.balanced(20, seed=0)
    parts = parts_of(folded_layers(model))
    one, again = (traces(model, parts, samples, probes=3, seed=4) for _ in range(2))
    assert one == again != traces(model, parts, samples, probes=3, seed=5)
