"""The networks of MLPerf Tiny have the size of their references, and become integers and C at every width."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emitted import COMPILER, differing
from mlperf_tiny import lively

from tinyfuse.core.errors import UsageError
from tinyfuse.data.samples import Input, Samples
from tinyfuse.integer.compare import compare
from tinyfuse.integer.model import load_model, random_codes
from tinyfuse.nn import zoo
from tinyfuse.nn.network import Network
from tinyfuse.nn.zoo.mlperf_tiny import MLPERF_TINY
from tinyfuse.quantize.convert import Baseline, baseline, convert
from tinyfuse.quantize.readback import check_written
from tinyfuse.quantize.recipe import read_recipe

REFERENCES = {"image-classification": ((32, 32, 3), 10, 78_666), "keyword-spotting": ((49, 10, 1), 12, 24_908),
              "visual-wake-words": ((96, 96, 3), 2, 221_794), "anomaly-detection": ((640,), 1, 269_992),
              "streaming-wake-word": ((30, 1, 40), 3, 47_707)}
"""Input shape, classes and parameters (batch norms' statistics included) of mlcommons/tiny, benchmark/training."""
SMALLER = {"image-classification": (16, 16, 3), "visual-wake-words": (32, 32, 3)}
"""Inputs with which calibration takes less time; the layers are the same."""


@functools.cache
def integers(name: str) -> Baseline:
    """The int8 graph of a network with random weights, calibrated on random samples."""
    import tf_keras

    shape, classes, _ = REFERENCES[name]
    sensor = Input("sensor", SMALLER.get(name, shape), -1.0, 1.0)
    model, rng = zoo.build(name, (sensor,), classes), np.random.default_rng(1)
    lively(tf_keras, model, rng)
    network = Network(name, model, (sensor,), tuple(map(str, range(classes))), {"sha256": "0" * 64}, Path("net.keras"))
    values = rng.uniform(-1, 1, (20, *sensor.shape)).astype(np.float32)
    return baseline(network, Samples({"sensor": values}, np.arange(20) % classes, np.arange(20)))


def written(name: str, recipe: str) -> Any:
    conversion = convert(integers(name), read_recipe(recipe))
    check_written(conversion)
    return load_model(conversion.data, name=f"{name}__{recipe}")


@pytest.mark.parametrize("name", MLPERF_TINY)
def test_has_the_parameters_of_the_reference(name: str) -> None:
    shape, classes, parameters = REFERENCES[name]
    model = zoo.build(name, (Input("sensor", shape),), classes)
    assert model.count_params() == parameters
    found = np.asarray(model({"sensor": np.random.default_rng(0).random((2, *shape), np.float32)}, training=False))
    assert found.shape == (2, 640 if name == "anomaly-detection" else classes) and np.isfinite(found).all()
    assert not np.allclose(found.sum(axis=1), 1.0)  # logits: no softmax at the end


@pytest.mark.parametrize("recipe", ["w4", "w6", "w8", "w9"])
@pytest.mark.parametrize("name", MLPERF_TINY)
def test_every_tensor_equals_that_of_tflm(name: str, recipe: str) -> None:
    model = written(name, recipe)
    difference = compare(model, ["twin", "tflm"], random_codes(model, 2, seed=1)).differences[0]
    assert difference.differing == 0 and difference.values > 4000


@pytest.mark.skipif(not COMPILER, reason="no C compiler (gcc or cc) on PATH")
@pytest.mark.parametrize(("name", "recipe"), [("keyword-spotting", "w9"), ("anomaly-detection", "w9"),
                                              ("streaming-wake-word", "w6")])
def test_the_c_code_computes_the_same(name: str, recipe: str, tmp_path: Path) -> None:
    wrong = differing(written(name, recipe), "ram", tmp_path / "net", samples=2)
    assert set(wrong.values()) == {0}, wrong


def test_several_inputs_are_refused() -> None:
    with pytest.raises(UsageError, match="look at one input; the data has camera, mic"):
        zoo.build("keyword-spotting", (Input("camera", (9, 9, 1)), Input("mic", (49, 10, 1))), 2)


def test_a_map_that_is_too_short_is_refused() -> None:
    with pytest.raises(UsageError, match=r"network 'streaming-wake-word' cannot take the inputs mic \[20, 1, 40\]"):
        zoo.build("streaming-wake-word", (Input("mic", (20, 1, 40)),), 3)
