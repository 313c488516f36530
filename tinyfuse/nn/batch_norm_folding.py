"""Networks as they are deployed: no dropout, and each batch norm folded into the layer before it.

With gain g = gamma / sqrt(variance + epsilon), the folded kernel is g * kernel (by output channel) and the folded bias
is (bias - mean) * g + beta (Jacob et al. 2018, section 3.2, equation 14). Which layer that is follows from the data
flow. A batch norm after anything else (an input, a sum, a pooling layer) is deployed as what it computes: a depthwise
1x1 convolution with the kernel g and the bias beta - mean * g.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyfuse.core.errors import ConversionError
from tinyfuse.nn.kernels import WEIGHTED, kernel_of, set_kernel
from tinyfuse.nn.origin import parents

NORM = "BatchNormalization"
TRAINING_ONLY = ("Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "ActivityRegularization")
"""Layers that hand on what they read, except in training."""


def _followers(layer: Any) -> list[Any]:
    return [node.layer for node in layer.outbound_nodes]


def norms_after(layer: Any) -> list[Any]:
    """List the batch norms, in a row, that alone read the output of ``layer``, with or without dropout between."""
    found: list[Any] = []
    while True:
        readers = _followers(layer)
        if len(readers) != 1 or type(readers[0]).__name__ not in (NORM, *TRAINING_ONLY):
            return found
        layer = readers[0]
        found += [layer] if type(layer).__name__ == NORM else []


def lone_norms(model: Any) -> list[Any]:
    """List the batch norms of ``model`` that nothing before them can take up."""
    taken = {norm.name for layer in model.layers if type(layer).__name__ in (*WEIGHTED, NORM)
             for norm in norms_after(layer)}
    return [layer for layer in model.layers if type(layer).__name__ == NORM and layer.name not in taken]


def _fold(norm: Any, kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fold ``norm`` into ``kernel`` [..., o] and ``bias`` [o], float64."""
    mean, variance = (np.asarray(one, np.float64) for one in (norm.moving_mean, norm.moving_variance))
    gamma = np.asarray(norm.gamma, np.float64) if norm.scale else np.ones(len(mean))
    beta = np.asarray(norm.beta, np.float64) if norm.center else np.zeros(len(mean))
    gain = gamma / np.sqrt(variance + norm.epsilon)
    return kernel * gain, (bias - mean) * gain + beta


def folded_weights(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Fold the batch norm after ``layer``: float64 kernel [..., i, o] and bias [o]; of a lone batch norm its own."""
    if type(layer).__name__ == NORM:
        channels = int(layer.moving_mean.shape[0])
        kernel, bias = _fold(layer, np.ones((1, 1, 1, channels)), np.zeros(channels))
    else:
        kernel = kernel_of(layer)
        bias = np.asarray(layer.bias, np.float64) if layer.use_bias else np.zeros(kernel.shape[-1])
    for norm in norms_after(layer):
        kernel, bias = _fold(norm, kernel, bias)
    if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
        raise ConversionError(f"layer '{layer.name}' has weights that are not finite: train the model again")
    return kernel, bias


def deployed_layers(model: Any) -> list[Any]:
    """List the layers that hold weights once ``model`` is deployed: convolutions, dense layers, lone batch norms."""
    lone = {layer.name for layer in lone_norms(model)}
    return [layer for layer in model.layers if type(layer).__name__ in WEIGHTED or layer.name in lone]


def other_layers(model: Any) -> list[Any]:
    """List the layers whose weights are deployed as they are, such as learnt positions."""
    return [layer for layer in model.layers if layer.weights and type(layer).__name__ not in (*WEIGHTED, NORM)]


def without_batch_norm(model: Any) -> Any:
    """Build the functional ``model`` anew as it is deployed: same names, fresh weights, biases to fold into."""
    import tf_keras

    inputs = {name: tf_keras.Input(shape[1:], name=name) for name, shape in model.input_shape.items()}
    tensors, lone = dict[str, Any](inputs), {layer.name for layer in lone_norms(model)}
    for layer in model.layers:
        sources = [tensors[parent.name] for parent in parents(layer)]
        kind = type(layer).__name__
        if layer.name in lone:
            tensors[layer.name] = _as_convolution(layer, sources[0])
        elif kind in (NORM, *TRAINING_ONLY):
            tensors[layer.name] = sources[0]
        elif layer.name not in inputs:
            config = layer.get_config() | ({"use_bias": True} if kind in WEIGHTED else {})
            tensors[layer.name] = type(layer).from_config(config)(sources if len(sources) > 1 else sources[0])
    return tf_keras.Model(inputs, tensors[model.output._keras_history.layer.name], name=model.name)


def _as_convolution(norm: Any, x: Any) -> Any:
    """Add the depthwise convolution that a batch norm is; it needs a map, so flat values become one of 1x1."""
    from tf_keras import layers

    convolution = layers.DepthwiseConv2D(1, name=norm.name)
    if len(x.shape) == 4:
        return convolution(x)
    shape = tuple(x.shape[1:])
    lifted = layers.Reshape((1, *((1,) * (2 - len(shape))), *shape), name=f"{norm.name}_as_map")(x)
    return layers.Reshape(shape, name=f"{norm.name}_as_before")(convolution(lifted))


def folded(model: Any) -> Any:
    """Fold every batch norm of ``model`` into a new one: float32 weights, the same logits to float rounding."""
    found = without_batch_norm(model)
    for layer in deployed_layers(model):
        set_kernel(found.get_layer(layer.name), *folded_weights(layer))
    for layer in other_layers(model):
        found.get_layer(layer.name).set_weights(layer.get_weights())
    return found


def for_converter(model: Any) -> Any:
    """Return what TensorFlow's converter is given: it folds batch norms after a layer itself, and nothing else.

    Dropout stops it (random operators without a seed), and a batch norm of its own would become MUL and ADD.
    """
    plain = not lone_norms(model) and not any(type(layer).__name__ in TRAINING_ONLY for layer in model.layers)
    return model if plain else folded(model)
