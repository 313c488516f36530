"""Networks with the topologies of MLPerf Tiny and random weights, converted to integers."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyfuse.core.backend import stderr_silenced, tensorflow


def block(keras: Any, x: Any, filters: int, kernel: Any, stride: int = 1, *, depthwise: bool = False,
          relu: bool = True) -> Any:
    """Convolution, batch norm and, if wanted, RELU."""
    layers = keras.layers
    convolution = (layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False) if depthwise else
                   layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False))
    x = layers.BatchNormalization()(convolution(x))
    return layers.ReLU()(x) if relu else x


def separable(keras: Any, x: Any, filters: int, stride: int = 1) -> Any:
    x = block(keras, x, 0, 3, stride, depthwise=True)
    return block(keras, x, filters, 1)


def image_classification(keras: Any) -> Any:
    """ResNet8: three stages of two convolutions and a shortcut, average pool, dense, softmax."""
    inputs = keras.Input((16, 16, 3))
    x = block(keras, inputs, 8, 3)
    for filters, stride in ((8, 1), (12, 2), (16, 2)):
        y = block(keras, block(keras, x, filters, 3, stride), filters, 3, relu=False)
        x = x if stride == 1 else keras.layers.Conv2D(filters, 1, stride, padding="same")(x)
        x = keras.layers.ReLU()(keras.layers.Add()([x, y]))
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(4)(x))
    return keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(x))


def keyword_spotting(keras: Any) -> Any:
    """DS-CNN: a 10x4 convolution of stride 2, separable blocks, average pool, dense, softmax."""
    inputs = keras.Input((49, 10, 1))
    x = block(keras, inputs, 16, (10, 4), 2)
    for _ in range(3):
        x = separable(keras, x, 16)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D((25, 5))(x))
    return keras.Model(inputs, keras.layers.Dense(12, activation="softmax")(x))


def visual_wake_words(keras: Any) -> Any:
    """MobileNetV1 with a width of 0.25: separable blocks, some of stride 2."""
    inputs = keras.Input((32, 32, 3))
    x = block(keras, inputs, 8, 3, 2)
    for filters, stride in ((16, 1), (32, 2), (32, 1), (64, 2)):
        x = separable(keras, x, filters, stride)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(4)(x))
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))


def anomaly_detection(keras: Any) -> Any:
    """A fully connected autoencoder of 640 values."""
    inputs = x = keras.Input((640,))
    for width in (128, 128, 8, 128, 128):
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(keras.layers.Dense(width)(x)))
    return keras.Model(inputs, keras.layers.Dense(640)(x))


NETWORKS: dict[str, Callable[[Any], Any]] = {
    network.__name__: network for network in (image_classification, keyword_spotting, visual_wake_words,
                                              anomaly_detection)}


def lively(keras: Any, model: Any, rng: np.random.Generator) -> None:
    """Give the batch norms random parameters, so that folding them matters."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape[0]
            layer.set_weights([rng.uniform(0.5, 1.5, n), rng.normal(0, 0.3, n), rng.normal(0, 0.2, n),
                               rng.uniform(0.5, 1.5, n)])


@functools.cache
def converted(name: str, ends: str) -> tuple[Any, bytes]:
    """A network and its ``.tflite`` with inputs and outputs of the type ``ends``; int16: all activations are."""
    tf = tensorflow()
    import tf_keras as keras

    keras.utils.set_random_seed(7)
    model, rng = NETWORKS[name](keras), np.random.default_rng(0)
    lively(keras, model, rng)
    shape, kinds = (1, *model.input_shape[1:]), tf.lite.OpsSet
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(tf.TensorSpec(shape, tf.float32))
    holder = tf.Module()
    holder.held = list(model.variables)  # saving these alone takes a fraction of the time
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], holder)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([rng.normal(size=shape).astype(np.float32)] for _ in range(10))
    converter.target_spec.supported_ops = [
        kinds.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8 if ends == "int16" else
        kinds.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = getattr(tf, ends)
    with stderr_silenced(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow announces that its own interpreter moved to LiteRT
        return model, converter.convert()
