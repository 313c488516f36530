"""A user's own networks and data through every verb: each step's command, exit code and last line.

    python benchmarks/own_networks.py [--out runs/own] [--only keras2] [--markdown]

Scenarios: an int8 ``.tflite`` of two sensors with the edges that converters write; networks of tf_keras, Keras 3,
SavedModel, H5 and a float ``.tflite``; layers and shapes that people use; folders of recordings and pictures; files
that cannot be taken. Weights are random or trained for two epochs on random data: the steps count, not the figures.
Exit code 1: a step ended otherwise than it should.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.cli import main as cli
from tinyfuse.core.backend import stderr_silenced, tensorflow

CLASSES, SAMPLES = 4, 240
Words = tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """One command and the exit code that it has to end with."""

    words: Words
    code: int = 0


@dataclass(frozen=True)
class Outcome:
    """What became of a step: ``ok`` if it ended as it should, ``said`` is its last line."""

    scenario: str
    words: Words
    code: int
    ok: bool
    said: str


def main() -> int:
    """Parse the options, run every scenario, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/own"), metavar="DIR")
    parser.add_argument("--only", choices=SCENARIOS, metavar="NAME")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if any(args.out.iterdir()):
        parser.error(f"{args.out} is not empty; give another --out")
    os.chdir(args.out)
    sys.path.insert(0, str(Path.cwd()))
    _write_files()
    outcomes = [outcome for name in ([args.only] if args.only else SCENARIOS) for outcome in _run(name)]
    lines = [("| scenario | command | exit code | last line |", "| --- | --- | ---: | --- |")] if args.markdown else []
    for line in lines:
        print("\n".join(line))
    for one in outcomes:
        words = " ".join(one.words)
        print(f"| {one.scenario} | `{words}` | {one.code} | {one.said} |" if args.markdown else
              f"{'ok   ' if one.ok else 'WRONG'} {one.scenario:12} exit {one.code}  {words}\n      {one.said}")
    return 0 if all(one.ok for one in outcomes) else 1


def _run(name: str) -> Iterator[Outcome]:
    """Make the files of a scenario, then run its steps one after the other."""
    print(f"{name} ...", file=sys.stderr)
    with stderr_silenced(), contextlib.redirect_stdout(io.StringIO()):
        steps = SCENARIOS[name]()
    for step in steps:
        out, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            try:
                code = cli.main(list(step.words))
            except SystemExit as ended:
                code = int(ended.code or 0) if not isinstance(ended.code, str) else 1
        text = (out if code == 0 and out.getvalue().strip() else error).getvalue().strip().splitlines()
        yield Outcome(name, step.words, code, code == step.code, text[-1][:200] if text else "")


def _write_files() -> None:
    """``own.npz``: camera 32x32x3 in [0, 1] and signed MFCC 49x10, both of which show the class; ``builder.py``."""
    rng = np.random.default_rng(0)
    label = np.arange(SAMPLES) % CLASSES
    camera = 0.6 * rng.random((CLASSES, 32, 32, 3))[label] + 0.4 * rng.random((SAMPLES, 32, 32, 3))
    mfcc = rng.normal(0, 2, (CLASSES, 49, 10))[label] + rng.normal(0, 1, (SAMPLES, 49, 10))
    np.savez("own.npz", camera=camera.astype(np.float32), mfcc=mfcc.astype(np.float32), label=label,
             group=np.arange(SAMPLES) // 4)
    Path("builder.py").write_text(
        "import tf_keras as keras\n\n\ndef build(dataset):\n"
        "    inputs = {one.name: keras.Input(one.shape, name=one.name) for one in dataset.inputs}\n"
        "    flat = [keras.layers.Flatten()(one) for one in inputs.values()]\n"
        "    x = keras.layers.Dense(16, activation='relu', name='hidden')(keras.layers.Concatenate()(flat))\n"
        "    return keras.Model(inputs, keras.layers.Dense(len(dataset.classes), name='head')(x))\n")


def fusion(keras: Any, *, softmax: bool = False, name: str = "own") -> Any:
    """Two branches with the layers that people use, dropout among them, joined by a dense layer."""
    layers = keras.layers
    camera, mfcc = keras.Input((32, 32, 3), name="camera"), keras.Input((49, 10), name="mfcc")
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="cam_conv")(camera)
    x = layers.ReLU(name="cam_relu")(layers.BatchNormalization(name="cam_bn")(x))
    x = layers.DepthwiseConv2D(3, padding="same", name="cam_depthwise")(x)
    x = layers.ReLU(6.0, name="cam_relu6")(layers.BatchNormalization(name="cam_depthwise_bn")(x))
    x = layers.GlobalAveragePooling2D(name="cam_pool")(layers.Conv2D(16, 1, activation="relu", name="cam_point")(x))
    y = layers.Conv1D(12, 3, padding="same", activation="relu", name="mfcc_conv")(mfcc)
    y = layers.Flatten(name="mfcc_flat")(layers.MaxPooling1D(4, name="mfcc_pool")(y))
    y = layers.Dense(16, activation="relu", name="mfcc_dense")(y)
    joined = layers.Dropout(0.3, name="drop")(layers.Concatenate(name="join")([x, y]))
    joined = layers.Dense(16, activation="relu", name="shared_dense")(joined)
    out = layers.Dense(CLASSES, activation="softmax" if softmax else None, name="head")(joined)
    return keras.Model({"camera": camera, "mfcc": mfcc}, out, name=name)


def converted(model: Any, *, edges: str = "int8", full: bool = True) -> bytes:
    """Convert with TensorFlow Lite as its documentation does; ``edges``: int8, uint8 or float32."""
    tf = tensorflow()
    with np.load("own.npz") as arrays:
        held = {name: arrays[name][:50] for name in ("camera", "mfcc")}
    names = [tensor.name.split(":")[0] for tensor in model.inputs]
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if full:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([held[name][row:row + 1] for name in names] for row in range(50))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = getattr(tf, edges)
    return bytes(converter.convert())


def int8_tflite() -> Sequence[Step]:
    """An own int8 file of two sensors, as a stock converter names things, and the same with other edges."""
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    model = fusion(tf_keras)
    for edges in ("int8", "uint8", "float32"):
        Path(f"own_{edges}.tflite").write_bytes(converted(model, edges=edges))
    steps = [Step(("compare", "own_int8.tflite", "--random", "20")),
             Step(("export", "own_int8.tflite", "--out", "fw_int8", "--data", "own.npz", "--vectors", "8")),
             Step(("verify", "fw_int8", "--core", "m4"))]
    for edges in ("int8", "uint8", "float32"):
        file = f"own_{edges}.tflite"
        steps += [Step(("compare", file, "--data", "own.npz", "--samples", "16", "--executor", "twin", "--executor",
                        "tflm")),
                  Step(("attack", file, "--data", "own.npz", "--modality", "mfcc", "--epsilon", "mfcc=0.5", "--samples",
                        "12", "--steps", "3"))]
    return [*steps, Step(("attack", "own_int8.tflite", "--data", "own.npz", "--modality", "audio"), 2)]


def _own(path: str, *, rest: bool = True) -> list[Step]:
    """Every verb on an own float network in ``path``."""
    stem, data = Path(path).stem, ("--data", "own.npz")
    recipe = "camera6-mfcc9-shared8"
    steps = [Step(("quantize", path, *data, "--out", f"q_{stem}", "--recipe", recipe, "--recipe", "w4",
                   "--calibration-samples", "40"))]
    made = f"q_{stem}/{stem}__{recipe}.tflite"
    steps += [Step(("compare", made, *data, "--samples", "12", "--executor", "twin", "--executor", "tflm")),
              Step(("attack", made, *data, "--samples", "12", "--steps", "3", "--modality", "camera"))]
    if rest:
        steps += [Step(("attack", path, *data, "--samples", "12", "--steps", "3")),
                  Step(("quantize", path, *data, "--out", f"q_{stem}", "--recipe", "w4-qat", "--qat-epochs", "1",
                        "--calibration-samples", "40")),
                  Step(("quantize", path, *data, "--out", f"q_{stem}", "--recipe", "w4-mse-gptq-bias",
                        "--calibration-samples", "40")),
                  Step(("select", "--model", path, *data, "--budget", "flash=30kB", "--quick", "--widths", "4,8",
                        "--epsilon", "0.3", "--granularity", "modality", "--jobs", "1", "--out", f"s_{stem}")),
                  Step(("export", made, *data, "--out", f"fw_{stem}", "--vectors", "6")),
                  Step(("verify", f"fw_{stem}", "--core", "m4"))]
    return steps


def keras2() -> Sequence[Step]:
    """A network of tf_keras with dropout, depthwise and one-dimensional convolutions; one that its builder trains."""
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    fusion(tf_keras).save("keras2.keras")
    return [*_own("keras2.keras"),
            Step(("train", "builder:build", "--data", "own.npz", "--epochs", "2", "--out", "trained")),
            Step(("train", "keras2.keras", "--data", "own.npz", "--epochs", "2", "--out", "further"))]


def keras3() -> Sequence[Step]:
    """The same network made by Keras 3, with a softmax at its end."""
    import keras

    keras.utils.set_random_seed(0)
    fusion(keras, softmax=True).save("keras3.keras")
    return _own("keras3.keras", rest=False)


def other_files() -> Sequence[Step]:
    """H5, SavedModel and a float ``.tflite`` of that network; files that need another program first."""
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    model = fusion(tf_keras)
    model.save("h5.h5")
    model.export("saved")
    Path("float.tflite").write_bytes(converted(model, full=False))
    doubled = tf_keras.layers.Lambda(lambda x: x * 2)
    tf_keras.Sequential([tf_keras.Input((4,), name="imu"), doubled]).save("lambda.keras")
    Path("net.onnx").write_bytes(b"\x08\x07")
    Path("net.pt").write_bytes(b"PK\x03\x04")
    refused = [Step(("quantize", name, "--data", "own.npz", "--recipe", "w6"), code)
               for name, code in (("lambda.keras", 1), ("net.onnx", 2), ("net.pt", 2), ("missing.keras", 1))]
    return [step for path in ("h5.h5", "saved", "float.tflite") for step in _own(path, rest=False)] + refused


def shapes() -> Sequence[Step]:
    """Networks of other shapes as int8 files on random inputs: a gate, upsampling, dense on maps, MobileNet."""
    import tf_keras

    layers, steps = tf_keras.layers, []
    picture, sound = tf_keras.Input((32, 32, 3), name="camera"), tf_keras.Input((49, 10), name="mfcc")
    gate = layers.Dense(8, activation="sigmoid")(layers.Flatten()(sound))
    value = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3)(picture))
    nets = {"gated": layers.Dense(CLASSES)(layers.Multiply()([gate, value])),
            "up": layers.Flatten()(layers.Conv2D(2, 3)(layers.UpSampling2D()(layers.Conv2D(2, 3, strides=4)(picture)))),
            "dense4d": layers.GlobalAveragePooling2D()(layers.Dense(CLASSES)(picture)),
            "mobile": tf_keras.applications.MobileNet(input_shape=(32, 32, 3), alpha=0.25, weights=None,
                                                      classes=CLASSES, classifier_activation=None)(picture)}
    for name, out in nets.items():
        used = {"camera": picture, **({"mfcc": sound} if name == "gated" else {})}
        Path(f"{name}.tflite").write_bytes(converted(tf_keras.Model(used, out)))
        code = 1 if name == "dense4d" else 0  # a RESHAPE to [1, 1] of 3,072 values, which TFLite Micro refuses as well
        both = ("--executor", "twin", "--executor", "tflm")
        steps += [Step(("compare", f"{name}.tflite", "--random", "8", *both), code),
                  Step(("export", f"{name}.tflite", "--out", f"fw_{name}", "--vectors", "4"), code)]
    return steps


def folders() -> Sequence[Step]:
    """Recordings of two rates and pictures of one size in folders by class, to verified firmware."""
    import soundfile
    from PIL import Image

    rng = np.random.default_rng(1)
    for number, name in enumerate(("siren", "bell", "wind")):
        for kind in ("mic", "camera"):
            Path("files", kind, name).mkdir(parents=True, exist_ok=True)
        for index in range(30):
            rate = (16_000, 44_100)[index % 2]
            wave = 0.3 * np.sin(np.arange(rate) * (0.05 + 0.2 * number)) + rng.normal(0, 0.05, rate)
            soundfile.write(f"files/mic/{name}/{index:02}.wav", np.stack([wave, wave], 1), rate, "PCM_24")
            pixels = rng.integers(0, 128, (20, 24, 3)) + 60 * number
            Image.fromarray(pixels.astype(np.uint8)).save(f"files/camera/{name}/{index:02}.png")
    Path("files/dataset.toml").write_text(
        '[inputs.mic]\nkind = "mfcc"\nrate = 16000\nlength = 16000\nwindow = 640\nhop = 320\nfft = 1024\nbands = 40\n'
        'coefficients = 10\n\n[inputs.camera]\nkind = "picture"\nsize = [20, 24]\n')
    data = ("--data", "files")
    return [Step(("validate", "files/dataset.toml")),
            Step(("train", "builder:build", *data, "--epochs", "2", "--batch-size", "16", "--out", "heard")),
            Step(("quantize", "heard/build.keras", *data, "--recipe", "mic8-camera6-shared8", "--calibration-samples",
                  "20")),
            Step(("attack", "heard/build__mic8-camera6-shared8.tflite", *data, "--samples", "6", "--steps", "2")),
            Step(("export", "heard/build__mic8-camera6-shared8.tflite", *data, "--out", "fw_heard", "--vectors", "4")),
            Step(("verify", "fw_heard", "--core", "m4"))]


SCENARIOS: dict[str, Callable[[], Sequence[Step]]] = {
    "int8-tflite": int8_tflite, "keras2": keras2, "keras3": keras3, "other-files": other_files, "shapes": shapes,
    "folders": folders}

if __name__ == "__main__":
    raise SystemExit(main())
