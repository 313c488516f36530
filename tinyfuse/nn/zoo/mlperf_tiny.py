"""The five networks of MLPerf Tiny by name, each of one input, without the softmax at their end.

Source: mlcommons/tiny, ``benchmark/training``: ``image_classification/keras_model.py`` (ResNet8),
``keyword_spotting/keras_model.py`` (DS-CNN), ``visual_wake_words/vww_model.py`` (MobileNetV1, width 0.25),
``anomaly_detection/keras_model.py`` (dense autoencoder) and ``streaming_wakeword/keras_model.py`` (``ds_tcn`` with its
default settings, commit 859b3b3). Shapes there: 32x32x3 to 10 classes, 49x10x1 to 12, 96x96x3 to 2, 640 to 640, 30x1x40
to 3; other sizes that the layers can take are taken. Batch norms move faster than in the references, see
:data:`tinyfuse.nn.zoo.resnet8.BN_MOMENTUM`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tinyfuse.core.errors import UsageError
from tinyfuse.nn.zoo.resnet8 import BN_MOMENTUM, L2, Tensors, head, keras, pooled, trunk

KEYWORD_FILTERS, KEYWORD_BLOCKS = 64, 4
VISUAL_STEM = 8
VISUAL_BLOCKS = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1))
"""(Filters, stride) of each separable block of MobileNetV1 at a quarter of its width."""
WAKE_BLOCKS = ((128, 3), (128, 5), (128, 10), (32, 15))
"""(Filters, frames that a kernel spans) of each block of the streaming wake word network."""
CODER_WIDTHS = (128, 128, 128, 128, 8, 128, 128, 128, 128)


def only_input(inputs: Tensors) -> Any:
    """Return the one input that these networks look at; UsageError if the data has several."""
    if len(inputs) != 1:
        raise UsageError(f"networks of MLPerf Tiny look at one input; the data has {', '.join(inputs)}: choose a "
                         "fusion network, or data with one input")
    return next(iter(inputs.values()))


def rectified(x: Any, *, name: str) -> Any:
    """Add batch norm ``NAME_bn`` and a ReLU."""
    x = keras().layers.BatchNormalization(momentum=BN_MOMENTUM, name=f"{name}_bn")(x)
    return keras().layers.ReLU(name=f"{name}_relu")(x)


def convolved(x: Any, filters: int, size: Any, *, name: str, stride: int = 1) -> Any:
    """Add a SAME convolution with batch norm and ReLU."""
    convolution = keras().layers.Conv2D(filters, size, stride, padding="same", kernel_initializer="he_normal",
                                        kernel_regularizer=keras().regularizers.l2(L2), name=name)
    return rectified(convolution(x), name=name)


def separable(x: Any, filters: int, *, name: str, stride: int = 1) -> Any:
    """Add a 3x3 depthwise and a 1x1 convolution, each with batch norm and ReLU."""
    depthwise = keras().layers.DepthwiseConv2D(3, stride, padding="same", depthwise_initializer="he_normal",
                                               depthwise_regularizer=keras().regularizers.l2(L2),
                                               name=f"{name}_depthwise")
    return convolved(rectified(depthwise(x), name=f"{name}_depthwise"), filters, 1, name=f"{name}_pointwise")


def image_classification(inputs: Tensors, classes: int) -> Any:
    """Build ResNet8: a 3x3 convolution, three residual blocks of 16, 32 and 64 filters, average pool, dense."""
    x = trunk(only_input(inputs), branch="image")
    return head(pooled(x, branch="image"), classes, branch="image")


def keyword_spotting(inputs: Tensors, classes: int) -> Any:
    """Build DS-CNN: a 10x4 convolution of stride 2, four separable blocks of 64 filters, average pool, dense."""
    layers, x = keras().layers, only_input(inputs)
    height, width = x.shape[1:3]
    x = layers.Dropout(0.2, name="stem_dropout")(convolved(x, KEYWORD_FILTERS, (10, 4), name="stem", stride=2))
    for index in range(1, KEYWORD_BLOCKS + 1):
        x = separable(x, KEYWORD_FILTERS, name=f"block{index}")
    x = layers.Dropout(0.4, name="dropout")(x)
    x = layers.AveragePooling2D((max(height // 2, 1), max(width // 2, 1)), name="pool")(x)
    return layers.Dense(classes, name="head")(layers.Flatten(name="flatten")(x))


def visual_wake_words(inputs: Tensors, classes: int) -> Any:
    """Build MobileNetV1 at width 0.25: a 3x3 convolution of stride 2, 13 separable blocks, average pool, dense."""
    x = convolved(only_input(inputs), VISUAL_STEM, 3, name="stem", stride=2)
    for index, (filters, stride) in enumerate(VISUAL_BLOCKS, 1):
        x = separable(x, filters, name=f"block{index}", stride=stride)
    return keras().layers.Dense(classes, name="head")(pooled(x, branch="last"))


def anomaly_detection(inputs: Tensors, classes: int) -> Any:
    """Build the dense autoencoder: nine layers with batch norm and ReLU, then the input again, [n, values].

    What it returns is a reconstruction: ``classes`` has no meaning, an anomaly is a large mean square error.
    """
    layers, x = keras().layers, only_input(inputs)
    shape = tuple(x.shape[1:])
    if len(shape) > 1:
        x = layers.Flatten(name="flatten")(x)
    for index, width in enumerate(CODER_WIDTHS, 1):
        x = rectified(layers.Dense(width, name=f"dense{index}")(x), name=f"dense{index}")
    return layers.Dense(math.prod(shape), name="reconstruction")(x)


def streaming_wake_word(inputs: Tensors, classes: int) -> Any:
    """Build the separable network over time: of a map [frames, 1, bands], 30 frames become one; dense.

    Nothing is padded, so that it can run frame by frame on a stream.
    """
    layers, x = keras().layers, only_input(inputs)
    for index, (filters, frames) in enumerate(WAKE_BLOCKS, 1):
        x = layers.DepthwiseConv2D((frames, 1), use_bias=False, name=f"block{index}_depthwise")(x)
        x = layers.Conv2D(filters, 1, use_bias=False, name=f"block{index}_pointwise")(x)
        x = layers.Dropout(0.2, name=f"block{index}_dropout")(rectified(x, name=f"block{index}_pointwise"))
    return layers.Dense(classes, name="head")(layers.Flatten(name="flatten")(x))


MLPERF_TINY: dict[str, Callable[[Tensors, int], Any]] = {
    "image-classification": image_classification, "keyword-spotting": keyword_spotting,
    "visual-wake-words": visual_wake_words, "anomaly-detection": anomaly_detection,
    "streaming-wake-word": streaming_wake_word}
