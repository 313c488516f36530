"""A tiny network of four sensors: a stream of sound, whole recordings, a camera, and codes without a front end."""

from __future__ import annotations

from typing import Any

import numpy as np
from one_operator import Spec, Step, build

from tinyfuse.frontend.front_end import read_front_end
from tinyfuse.integer.model import IntegerModel, load_model

SOUND: dict[str, Any] = {"rate": 8000, "length": 1000}
TABLES: dict[str, dict[str, Any]] = {
    "mic": {"kind": "mfcc", **SOUND, "window": 100, "hop": 40, "fft": 128, "bands": 10, "coefficients": 6},
    "clip": {"kind": "waveform", **SOUND, "length": 400},
    "camera": {"kind": "picture", "size": [8, 10], "colour": "rgb", "crop": "pad", "input_shape": [300]},
    "gas": {"kind": "array", "size": [7]}}


def mixed_model() -> tuple[IntegerModel, dict[str, Any]]:
    """Four inputs, each through a dense layer, added; SOFTMAX divides among three classes, as codes of int16."""
    rng, sums = np.random.default_rng(4), []
    specs: list[Spec] = []
    steps: list[Step] = []
    origin: dict[str, Any] = {"front_ends": {}, "fitted": {}, "classes": ['a"b', "two", "3"]}
    for name, table in TABLES.items():
        one = read_front_end(table, "test")
        size, first = int(np.prod(one.shape)), len(specs)
        specs += [Spec([1, size], scale=[1 / 255], zero_point=[-128], name=name),
                  Spec([3, size], scale=[0.05], data=rng.integers(-127, 128, (3, size))), Spec([1, 3], scale=[0.5])]
        steps.append(Step("FULLY_CONNECTED", [first, first + 1], [first + 2], "FullyConnectedOptions"))
        sums.append(first + 2)
        origin["front_ends"][name] = one.table()
        if name != "camera":
            origin["fitted"][name] = {"mean": [0.1] * one.values_shape[-1], "std": [9.0] * one.values_shape[-1],
                                      "low": -2.0, "high": 2.0}
    inputs, total = [place - 2 for place in sums], sums[0]
    for place in sums[1:]:
        specs.append(Spec([1, 3], scale=[0.5]))
        steps.append(Step("ADD", [total, place], [len(specs) - 1], "AddOptions"))
        total = len(specs) - 1
    specs.append(Spec([1, 3], scale=[1 / 256], zero_point=[-128], name="share"))
    steps.append(Step("SOFTMAX", [total], [len(specs) - 1], "SoftmaxOptions", {"beta": 1.0}))
    specs.append(Spec([1, 3], np.int16, scale=[1 / 32768], name="shares"))
    steps.append(Step("QUANTIZE", [len(specs) - 2], [len(specs) - 1]))
    return load_model(build(specs, steps, inputs, [len(specs) - 1])), origin
