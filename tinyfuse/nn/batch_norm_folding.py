"""Networks as they are deployed: each batch norm folded into the convolution before it.

With gain g = gamma / sqrt(variance + epsilon), the folded kernel is g * kernel (by output channel) and the folded bias
is (bias - mean) * g + beta (Jacob et al. 2018, section 3.2, equation 14).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyfuse.core.errors import ConversionError
from tinyfuse.nn.origin import parents

WEIGHTED = ("Conv2D", "Dense")


def folded_weights(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Fold the batch norm that follows a convolution or dense ``layer``: float64 kernel [..., i, o] and bias [o]."""
    kernel = np.asarray(layer.kernel, np.float64)
    bias = np.asarray(layer.bias, np.float64) if layer.use_bias else np.zeros(kernel.shape[-1])
    followers = [node.layer for node in layer.outbound_nodes]
    if [type(one).__name__ for one in followers] == ["BatchNormalization"]:
        gamma, beta, mean, variance = (values.astype(np.float64) for values in followers[0].get_weights())
        gain = gamma / np.sqrt(variance + followers[0].epsilon)
        kernel, bias = kernel * gain, (bias - mean) * gain + beta
    if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
        raise ConversionError(f"layer '{layer.name}' has weights that are not finite: train the model again")
    return kernel, bias


def without_batch_norm(model: Any) -> Any:
    """Build the functional ``model`` anew without batch norm: same names, fresh weights, biases to fold into."""
    import tf_keras

    inputs = {name: tf_keras.Input(shape[1:], name=name) for name, shape in model.input_shape.items()}
    tensors: dict[str, Any] = dict(inputs)
    for layer in model.layers:
        sources = [tensors[parent.name] for parent in parents(layer)]
        kind = type(layer).__name__
        if kind == "BatchNormalization":
            tensors[layer.name] = sources[0]
        elif layer.name not in inputs:
            config = layer.get_config() | ({"use_bias": True} if kind in WEIGHTED else {})
            tensors[layer.name] = type(layer).from_config(config)(sources if len(sources) > 1 else sources[0])
    return tf_keras.Model(inputs, tensors[model.output._keras_history.layer.name], name=model.name)


def folded(model: Any) -> Any:
    """Fold every batch norm of ``model`` into a new one: float32 weights, the same logits to float rounding."""
    found = without_batch_norm(model)
    for layer in found.layers:
        if type(layer).__name__ in WEIGHTED:
            layer.set_weights([part.astype(np.float32) for part in folded_weights(model.get_layer(layer.name))])
    return found
