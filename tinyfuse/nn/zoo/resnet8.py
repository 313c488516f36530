"""ResNet8_v1 of MLPerf Tiny (IC01) in pieces, so that fusion can cut it at any depth, and the five digit networks.

Source: mlcommons/tiny, ``benchmark/training/image_classification/keras_model.py`` with 16/32/64 filters, but for the
softmax at the end. Fusion (Nakano et al. 2024, section III.B) takes any maps [height, width, channels] that fit each
other, in the order given. Layer names begin with the input that they belong to, or with ``shared_``, for the reader's
sake: code asks :mod:`tinyfuse.nn.origin`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError

FILTERS = (16, 32, 64)
L2 = 1e-4
BN_MOMENTUM = 0.9  # the reference keeps Keras' 0.99, too slow for the few hundred steps of a small data set
Tensors = Mapping[str, Any]


def keras() -> Any:
    """Load ``tf_keras``, late: whoever only asks for the names of networks needs no TensorFlow."""
    tensorflow()
    import tf_keras

    return tf_keras


def convolution(x: Any, filters: int, *, name: str, size: int = 3, stride: int = 1) -> Any:
    """Add a ``size`` x ``size`` SAME convolution of a [n, h, w, c] tensor, linear, with bias."""
    return keras().layers.Conv2D(filters, size, strides=stride, padding="same", kernel_initializer="he_normal",
                                 kernel_regularizer=keras().regularizers.l2(L2), name=name)(x)


def normalised(x: Any, filters: int, *, name: str, stride: int = 1, relu: bool = True) -> Any:
    """Add a 3x3 convolution ``NAME`` and batch norm ``NAME_bn``, then ReLU if asked."""
    x = convolution(x, filters, name=name, stride=stride)
    x = keras().layers.BatchNormalization(momentum=BN_MOMENTUM, name=f"{name}_bn")(x)
    return keras().layers.ReLU(name=f"{name}_relu")(x) if relu else x


def residual_block(x: Any, index: int, *, branch: str) -> Any:
    """Add residual block ``index`` (1..3); 2 and 3 halve the map and have a 1x1 shortcut without batch norm."""
    filters, stride, name = FILTERS[index - 1], 1 if index == 1 else 2, f"{branch}_block{index}"
    y = normalised(x, filters, name=f"{name}_conv1", stride=stride)
    y = normalised(y, filters, name=f"{name}_conv2", relu=False)
    if stride != 1:
        x = convolution(x, filters, name=f"{name}_shortcut", size=1, stride=stride)
    return keras().layers.ReLU(name=f"{name}_relu")(keras().layers.Add(name=f"{name}_add")([x, y]))


def trunk(x: Any, *, branch: str, blocks: tuple[int, ...] = (1, 2, 3)) -> Any:
    """Add the first convolution, to 16 channels, and residual ``blocks`` of one branch."""
    x = normalised(x, FILTERS[0], name=f"{branch}_stem_conv")
    for index in blocks:
        x = residual_block(x, index, branch=branch)
    return x


def pooled(x: Any, *, branch: str) -> Any:
    """Average over the whole map, flattened: [n, h, w, c] to [n, c]."""
    x = keras().layers.AveragePooling2D(tuple(x.shape[1:3]), name=f"{branch}_pool")(x)
    return keras().layers.Flatten(name=f"{branch}_flatten")(x)


def joined(parts: Iterable[Any]) -> Any:
    """Concatenate tensors along their last axis, channels or features."""
    return keras().layers.Concatenate(name="shared_concat")(list(parts))


def head(x: Any, classes: int, *, branch: str) -> Any:
    """Add the dense layer from [n, c] to logits [n, classes]."""
    return keras().layers.Dense(classes, kernel_initializer="he_normal", kernel_regularizer=keras().regularizers.l2(L2),
                                name=f"{branch}_head")(x)


def alone(inputs: Tensors, classes: int, *, name: str) -> Any:
    """Build ResNet8 on the input ``name``; the others are ignored."""
    if name not in inputs:
        raise UsageError(f"network '{name}' looks at the input of that name; the data has {', '.join(inputs)}")
    return head(pooled(trunk(inputs[name], branch=name), branch=name), classes, branch=name)


def early(inputs: Tensors, classes: int) -> Any:
    """Concatenate the inputs as channels (the paper leaves channel or spatial open; channel is the default here)."""
    return head(pooled(trunk(joined(inputs.values()), branch="shared"), branch="shared"), classes, branch="shared")


def early_space(inputs: Tensors, classes: int) -> Any:
    """Put the inputs side by side, along their second axis: the other reading of early fusion."""
    x = keras().layers.Concatenate(axis=2, name="shared_concat")(list(inputs.values()))
    return head(pooled(trunk(x, branch="shared"), branch="shared"), classes, branch="shared")


def intermediate(inputs: Tensors, classes: int) -> Any:
    """Build stem and two residual blocks for each input, concatenate, then add one residual block."""
    x = joined(trunk(x, branch=name, blocks=(1, 2)) for name, x in inputs.items())
    return head(pooled(residual_block(x, 3, branch="shared"), branch="shared"), classes, branch="shared")


def late(inputs: Tensors, classes: int) -> Any:
    """Build one trunk for each input; their pooled features are concatenated before the dense layer."""
    features = joined(pooled(trunk(x, branch=name), branch=name) for name, x in inputs.items())
    return head(features, classes, branch="shared")


DIGIT_NETWORKS: dict[str, Callable[[Tensors, int], Any]] = {
    "image": partial(alone, name="image"), "audio": partial(alone, name="audio"),
    "early": early, "intermediate": intermediate, "late": late}
