"""A ReLU that never hands anything on gets a scale with which every executor can add it to something."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinyfuse.data import Input, Samples
from tinyfuse.integer.compare import compare
from tinyfuse.integer.model import load_model, random_codes
from tinyfuse.nn.network import Network
from tinyfuse.quantize.convert import baseline, convert
from tinyfuse.quantize.dead_outputs import NO_RANGE, with_ranges
from tinyfuse.quantize.recipe import read_recipe


def test_a_dead_relu_is_added_and_subtracted_alike_everywhere(tmp_path: Path) -> None:
    from tf_keras import Input as Tensor
    from tf_keras import Model, initializers, layers, utils

    utils.set_random_seed(1)
    x = Tensor((6,), name="mic")
    live = layers.Dense(5, activation="relu", name="live", bias_initializer="ones")(x)
    dead = layers.ReLU(name="dead")(layers.Dense(5, name="low", bias_initializer=initializers.Constant(-9.0))(x))
    model = Model({"mic": x}, layers.Dense(3, name="head")(layers.Subtract(name="less")([live, dead])), name="dead")
    samples = Samples({"mic": np.random.default_rng(0).random((30, 6), np.float32)}, np.arange(30) % 3, np.arange(30))
    network = Network("dead", model, (Input("mic", (6,)),), ("a", "b", "c"), {"sha256": "0" * 64}, Path("dead.keras"))
    base = baseline(network, samples)
    assert with_ranges(base.data) is base.data  # nothing is left to do
    (tmp_path / "dead.tflite").write_bytes(convert(base, read_recipe("w8")).data)
    found = load_model(tmp_path / "dead.tflite")
    assert min(float(tensor.scale[0]) for tensor in found.graph.tensors if len(tensor.scale)) > NO_RANGE
    result = compare(found, ["twin", "tflm", "litert"], random_codes(found, 8, seed=1))
    assert result.differences[0].differing == 0
