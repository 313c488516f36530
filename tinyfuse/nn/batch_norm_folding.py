"""Networks as they are deployed: each batch norm folded into the convolution before it.

With gain g = gamma / sqrt(variance + epsilon), the folded kernel is g * kernel (by output channel) and the folded bias
is (bias - mean) * g + beta (Jacob et al. 2018, section 3.2, equation 14).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyfuse.core.errors import ConversionError

WEIGHTED = ("Conv2D", "Dense")


def parents(layer: Any) -> list[Any]:
    """The layers of a functional ``tf_keras`` model whose outputs ``layer`` reads, in order."""
    inputs = layer.input if isinstance(layer.input, (list, tuple)) else [layer.input]
    return [tensor._keras_history.layer for tensor in inputs if tensor._keras_history.layer is not layer]


def folded_weights(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Float64 kernel [..., i, o] and bias [o] of a convolution or dense layer with the batch norm that follows it.

    Raises :class:`ConversionError` if a weight is not finite.
    """
    kernel = np.asarray(layer.kernel, np.float64)
    bias = np.asarray(layer.bias, np.float64) if layer.use_bias else np.zeros(kernel.shape[-1])
    followers = [node.layer for node in layer.outbound_nodes]
    norm = followers[0] if len(followers) == 1 and type(followers[0]).__name__ == "BatchNormalization" else None
    if norm is not None:
        gain = np.asarray(norm.gamma, np.float64) / np.sqrt(np.asarray(norm.moving_variance, np.float64) + norm.epsilon)
        kernel = kernel * gain
        bias = (bias - np.asarray(norm.moving_mean, np.float64)) * gain + np.asarray(norm.beta, np.float64)
    if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
        raise ConversionError(f"layer '{layer.name}' has weights that are not finite: train the model again")
    return kernel, bias


def without_batch_norm(model: Any) -> Any:
    """A new functional model of the layers of ``model``, named alike, without batch norm; its weights are fresh.

    Inputs keep their names, and each convolution has a bias to fold into.
    """
    import tf_keras

    tensors: dict[str, Any] = {}
    for layer in model.layers:
        sources = [tensors[parent.name] for parent in parents(layer)]
        kind = type(layer).__name__
        if kind == "InputLayer":
            tensors[layer.name] = tf_keras.Input(model.input_shape[layer.name][1:], name=layer.name)
        elif kind == "BatchNormalization":
            tensors[layer.name] = sources[0]
        else:
            config = layer.get_config() | ({"use_bias": True} if kind in WEIGHTED else {})
            tensors[layer.name] = type(layer).from_config(config)(sources if len(sources) > 1 else sources[0])
    inputs = {name: tensors[name] for name in model.input_shape}
    return tf_keras.Model(inputs, tensors[model.output._keras_history.layer.name], name=model.name)


def folded(model: Any) -> Any:
    """``model`` with its batch norms folded: float32 weights, the same logits to float rounding."""
    found = without_batch_norm(model)
    for layer in found.layers:
        if type(layer).__name__ in WEIGHTED:
            layer.set_weights([part.astype(np.float32) for part in folded_weights(model.get_layer(layer.name))])
    return found
