"""ResNet8_v1 of MLPerf Tiny (IC01) in pieces, so that fusion can cut it at any depth.

Source: mlcommons/tiny, ``benchmark/training/image_classification/keras_model.py`` with 16/32/64 filters:
3x3 he_normal kernels with l2 1e-4, batch norm after each 3x3 convolution but not on the 1x1 shortcuts,
average pooling over the whole map, one dense layer. The network ends in logits, never in a softmax.
"""

from __future__ import annotations

from typing import Any

FILTERS = (16, 32, 64)
CLASSES = 10
L2 = 1e-4
BN_MOMENTUM = 0.9  # the reference keeps Keras' 0.99, too slow for the few hundred steps of a small data set


def convolution(x: Any, filters: int, *, name: str, size: int = 3, stride: int = 1) -> Any:
    """``size`` x ``size`` SAME convolution of a [n, h, w, c] tensor, linear, with bias."""
    from tf_keras import layers, regularizers

    return layers.Conv2D(filters, size, strides=stride, padding="same", kernel_initializer="he_normal",
                         kernel_regularizer=regularizers.l2(L2), name=name)(x)


def normalised(x: Any, filters: int, *, name: str, stride: int = 1, relu: bool = True) -> Any:
    """3x3 convolution ``NAME`` and batch norm ``NAME_bn``, then ReLU if asked."""
    from tf_keras import layers

    x = convolution(x, filters, name=name, stride=stride)
    x = layers.BatchNormalization(momentum=BN_MOMENTUM, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def stem(x: Any, *, branch: str) -> Any:
    """First convolution: [n, 28, 28, c] to [n, 28, 28, 16]."""
    return normalised(x, FILTERS[0], name=f"{branch}_stem_conv")


def residual_block(x: Any, index: int, *, branch: str) -> Any:
    """Residual block ``index`` (1..3); blocks 2 and 3 halve the map and have a 1x1 shortcut without batch norm."""
    from tf_keras import layers

    filters, stride, name = FILTERS[index - 1], 1 if index == 1 else 2, f"{branch}_block{index}"
    y = normalised(x, filters, name=f"{name}_conv1", stride=stride)
    y = normalised(y, filters, name=f"{name}_conv2", relu=False)
    if stride != 1:
        x = convolution(x, filters, name=f"{name}_shortcut", size=1, stride=stride)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))


def trunk(x: Any, *, branch: str, blocks: tuple[int, ...] = (1, 2, 3)) -> Any:
    """Stem and residual ``blocks`` of one branch."""
    x = stem(x, branch=branch)
    for index in blocks:
        x = residual_block(x, index, branch=branch)
    return x


def pooled(x: Any, *, branch: str) -> Any:
    """Average over the whole map, flattened: [n, h, w, c] to [n, c]."""
    from tf_keras import layers

    height, width = x.shape[1:3]
    x = layers.AveragePooling2D((height, width), name=f"{branch}_pool")(x)
    return layers.Flatten(name=f"{branch}_flatten")(x)


def head(x: Any, *, branch: str) -> Any:
    """Dense layer from [n, c] to logits [n, 10]."""
    from tf_keras import layers, regularizers

    return layers.Dense(CLASSES, kernel_initializer="he_normal", kernel_regularizer=regularizers.l2(L2),
                        name=f"{branch}_head")(x)
