"""Networks with the topologies of MLPerf Tiny: every tensor as TFLite Micro computes it."""

from __future__ import annotations

import numpy as np
import pytest
from mlperf_tiny import NETWORKS, converted
from one_operator import differing, twin_of

from tinyfuse.core.backend import tensorflow
from tinyfuse.integer.twin import Twin


def inputs_of(twin: Twin, n: int) -> tuple[str, np.ndarray]:
    """The input's name and ``n`` samples: two saturated, one uniform, the rest normal as in the calibration."""
    name, index = next(iter(twin.inputs.items()))
    tensor, rng = twin.graph.tensors[index], np.random.default_rng(1)
    values = rng.normal(size=(n, *tensor.shape[1:])).astype(np.float32)
    if tensor.dtype == np.float32:
        values[0], values[1] = -1e6, 1e6
        return name, values
    info = np.iinfo(tensor.dtype)
    codes = np.clip(np.rint(values / tensor.scale[0]) + tensor.zero_point[0], info.min, info.max).astype(tensor.dtype)
    codes[0], codes[1], codes[2] = info.min, info.max, rng.integers(info.min, info.max + 1, codes.shape[1:])
    return name, codes


CASES = [*((name, "int8") for name in NETWORKS), ("keyword_spotting", "int16"), ("image_classification", "int16"),
         ("visual_wake_words", "float32")]


@pytest.mark.parametrize("name, ends", CASES)
def test_every_tensor_equals_that_of_tflm(name: str, ends: str) -> None:
    _, data = converted(name, ends)
    twin = twin_of(data)
    operators = [operator.name for operator in twin.graph.operators]
    assert (operators[0] == "QUANTIZE" and operators[-1] == "DEQUANTIZE") == (ends == "float32")
    assert differing(data, [inputs_of(twin, 6)[1]]) == 0


@pytest.mark.parametrize("name, ends", CASES)
def test_gradient_is_that_of_the_float_network_but_for_rounding(name: str, ends: str) -> None:
    tf = tensorflow()
    model, data = converted(name, ends)
    twin = twin_of(data)
    key, codes = inputs_of(twin, 8)
    weight = np.random.default_rng(2).normal(size=model.output_shape[1:]).astype(np.float32)
    found = twin.gradient({key: codes}, lambda out, rows: np.broadcast_to(weight, out.shape), [key])[1][key]
    tensor = twin.graph.tensors[twin.inputs[key]]
    real = codes if ends == "float32" else (codes.astype(np.float32) - tensor.zero_point[0]) * tensor.scale[0]
    x = tf.constant(real, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(model(x, training=False) * weight)
    theirs = tape.gradient(loss, x).numpy()
    assert np.isfinite(found).all()
    for a, b in zip(found[3:], theirs[3:], strict=True):  # the first three saturate in the integers only
        assert a.ravel() @ b.ravel() > 0.7 * np.linalg.norm(a) * np.linalg.norm(b) > 0
