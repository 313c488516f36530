"""The twin as a target: what decides the class, and what it refuses."""

from __future__ import annotations

import numpy as np
from one_operator import Spec, Step, build

from tinyfuse.attacks import TwinTarget
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import load_model


def test_a_final_softmax_decides_the_class() -> None:
    """Its codes tie where close logits do not, and the device then reports the first of them."""
    data = build([Spec([1, 10], scale=[0.004], name="logits"), Spec([1, 10], scale=[1 / 256], zero_point=[-128])],
                 [Step("SOFTMAX", [0], [1], "SoftmaxOptions", {"beta": 1.0})], [0], [1])
    model = load_model(data, name="tied")
    codes = np.random.default_rng(0).integers(-128, 128, (300, 10)).astype(np.int32)
    device = open_executor(model, "tflm").run({"logits": codes}).argmax(axis=1)
    target = TwinTarget(model)
    batch = {"logits": codes.astype(np.float32)}
    found = target.logits(batch)
    assert np.array_equal(found.argmax(axis=1), device)
    assert np.any(codes.argmax(axis=1) != device), "no tie: the test asks nothing"
    assert np.allclose(found, 0.004 * codes, rtol=0, atol=0.05)
    gradient = target.gradient(batch, device, ("logits",))
    assert np.array_equal(gradient.logits, found)
