"""Instructions for each multiply-accumulate of single layers on emulated cores: depthwise ones and int16 activations.

    python benchmarks/firmware_layers.py [--core m4,m55] [--only NAME]

Each layer is converted by TensorFlow's converter as a network of its own, with random weights, and planned for RAM. Its
output codes on random inputs are compared with TFLite Micro's; exit code 3 if one differs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyfuse.cli import options
from tinyfuse.core.backend import stderr_silenced, tensorflow
from tinyfuse.core.errors import ParityError
from tinyfuse.firmware.cores import cores_of
from tinyfuse.firmware.measure import measure, setups
from tinyfuse.firmware.program import program_of
from tinyfuse.integer.model import load_model, random_codes

Layer = tuple[tuple[int, ...], str, Callable[[Any], Any]]
LAYERS: dict[str, Layer] = {
    "depthwise 3x3, 24 columns": ((24, 24, 64), "int8", lambda layers: layers.DepthwiseConv2D(
        3, padding="same", activation="relu")),
    "depthwise 3x3, 48 columns": ((48, 48, 16), "int8", lambda layers: layers.DepthwiseConv2D(
        3, padding="same", activation="relu")),
    "int16, 3x3, 32 channels": ((16, 16, 32), "int16", lambda layers: layers.Conv2D(
        32, 3, padding="same", activation="relu")),
    "int16, 1x1, 64 channels": ((16, 16, 64), "int16", lambda layers: layers.Conv2D(64, 1, activation="relu"))}
"""Shape of the input, type of activations, and the layer."""


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core", default="m4,m55")
    parser.add_argument("--only", choices=list(LAYERS), metavar="NAME", help=", ".join(LAYERS))
    return options.guarded(run, parser.parse_args())


def run(args: argparse.Namespace) -> int:
    """Measure each layer and print a table."""
    chosen = setups(cores_of(args.core))
    print("| layer | " + " | ".join(chosen) + " |\n|" + " --- |" * (1 + len(chosen)))
    differing = 0
    for name, (shape, kind, build) in LAYERS.items():
        if args.only in (None, name):
            model = load_model(_converted(shape, kind, build), name="layer")
            costs = measure(model, random_codes(model, 2, seed=1), list(chosen.values()), "ram")
            macs = sum(layer.macs for layer in program_of(model, "net").weighted)
            print(f"| {name} | " + " | ".join(f"{cost.instructions / macs:.2f}" for cost in costs.values()) + " |")
            differing += sum(cost.differing for cost in costs.values())
    if differing:
        raise ParityError(f"{differing} codes differ from TFLite Micro's")
    return 0


def _converted(shape: tuple[int, ...], kind: str, build: Callable[[Any], Any]) -> bytes:
    tf = tensorflow()
    from tf_keras import Input, Model, layers, utils

    utils.set_random_seed(0)
    image = Input(shape, name="image")
    converter = tf.lite.TFLiteConverter.from_keras_model(Model(image, build(layers)(image)))
    samples = np.random.default_rng(0).normal(size=(8, 1, *shape)).astype(np.float32)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample] for sample in samples)
    names = tf.lite.OpsSet
    converter.target_spec.supported_ops = [
        names.TFLITE_BUILTINS_INT8 if kind == "int8" else
        names.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
    converter.inference_input_type = converter.inference_output_type = getattr(tf, kind)
    with stderr_silenced():
        data: bytes = converter.convert()
    return data


if __name__ == "__main__":
    raise SystemExit(main())
