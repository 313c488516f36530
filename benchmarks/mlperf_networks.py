"""MLPerf Tiny's six networks for ``firmware.py``: official files of a folder, or their shapes with random weights.

CMSIS-NN's figures stand beside ours: instructions for each multiply-accumulate of release 99f736a6, driven by generated
C, gcc 12.2 -O3, counted by QEMU on the same emulated cores with the official int8 files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.core.backend import stderr_silenced, tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.core.files import write_bytes
from tinyfuse.nn.zoo.mlperf_tiny import MLPERF_TINY
from tinyfuse.nn.zoo.resnet8 import convolution, head, keras, normalised, pooled

RESNET8, LARGE = "resnet8-32x32x3", "resnet8-large-32x32x3"
OFFICIAL = {"pretrainedResnet_quant": RESNET8, "resnet8_large_int8": LARGE, "kws_ref_model": "keyword-spotting",
            "vww_96_int8": "visual-wake-words", "ad01_int8": "anomaly-detection", "strm_ww_int8": "streaming-wake-word"}
"""Names of the files in mlcommons/tiny, and what they are called here; any other file keeps its own name."""
SHAPES = {RESNET8: ((32, 32, 3), 10), LARGE: ((32, 32, 3), 10), "keyword-spotting": ((49, 10, 1), 12),
          "visual-wake-words": ((96, 96, 3), 2), "anomaly-detection": ((640,), 640),
          "streaming-wake-word": ((30, 1, 40), 3)}
CMSIS_NN: dict[str, dict[str, float]] = {
    RESNET8: {"m0+": 7.81, "m3": 3.34, "m4": 2.38, "m7": 2.39, "m33": 2.38, "m55": 0.384},
    LARGE: {"m4": 1.90, "m55": 0.243}, "keyword-spotting": {"m4": 2.95, "m55": 0.67},
    "visual-wake-words": {"m4": 3.30, "m55": 0.86}, "anomaly-detection": {"m4": 2.19, "m55": 0.56},
    "streaming-wake-word": {"m4": 2.69, "m55": 0.49}}
DEAD = {"visual-wake-words": 0.3}
"""Share of channels that are 0 whatever goes in: training leaves the official network with many such."""
LARGE_FILTERS = (40, 80, 160)


def official(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and path of every ``.tflite`` in ``folder``."""
    found = sorted(folder.glob("*.tflite"))
    if not found:
        raise UsageError(f"{folder} holds no .tflite; give the folder with MLPerf Tiny's int8 files")
    for path in found:
        yield OFFICIAL.get(path.stem, path.stem), path


def random(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and path of networks of the same shapes, made in ``folder`` where they are not there."""
    for name in SHAPES:
        path = folder / f"{name}.tflite"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, _converted(name))
        yield name, path


def _converted(name: str) -> bytes:
    tf = tensorflow()
    from tf_keras import Input, Model, utils

    utils.set_random_seed(0)
    shape, classes = SHAPES[name]
    inputs = Input(shape, name="image")
    build: Callable[..., Any] = {RESNET8: MLPERF_TINY["image-classification"], LARGE: _large}.get(name) or MLPERF_TINY[
        name]
    network = Model(inputs, build({"image": inputs}, classes))
    _enliven(network, DEAD.get(name, 0.0))
    samples = np.random.default_rng(0).random((50, 1, *shape)).astype(np.float32)
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample] for sample in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with stderr_silenced():
        data: bytes = converter.convert()
    return data


def _large(inputs: dict[str, Any], classes: int) -> Any:
    """ResNet8 of two and a half times the filters."""
    x = normalised(inputs["image"], LARGE_FILTERS[0], name="stem")
    for index, filters in enumerate(LARGE_FILTERS):
        stride, name = 1 if index == 0 else 2, f"block{index}"
        y = normalised(normalised(x, filters, name=f"{name}_a", stride=stride), filters, name=f"{name}_b", relu=False)
        x = x if stride == 1 else convolution(x, filters, name=f"{name}_c", size=1, stride=stride)
        x = keras().layers.ReLU(name=f"{name}_relu")(keras().layers.Add(name=f"{name}_add")([x, y]))
    return head(pooled(x, branch="last"), classes, branch="last")


def _enliven(network: Any, dead: float) -> None:
    """Give batch norms random parameters; those of a share ``dead`` of the channels let nothing through."""
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras().layers.BatchNormalization):
            gamma, beta, mean, variance = (np.array(value) for value in layer.get_weights())
            beta = rng.normal(0, 0.3, beta.shape)
            gone = rng.random(beta.shape) < dead
            layer.set_weights([np.where(gone, 0, gamma), np.where(gone, -1, beta), mean, variance])
