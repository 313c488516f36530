"""The weights of a Keras network as they are deployed: batch norm folded, each layer's branch known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.data import MODALITIES
from tinyfuse.errors import ConversionError
from tinyfuse.quantize.codes import Slice
from tinyfuse.quantize.precision import Precision


@dataclass(frozen=True)
class FoldedLayer:
    """One convolution or dense layer: ``kernel`` float64 [o, kh, kw, i] or [o, i], ``bias`` float64 [o].

    ``parts`` are (branch, input channels) in order: one part, except where a layer reads the inputs of both
    modalities directly (the first convolution of early fusion).
    """

    name: str
    kernel: np.ndarray
    bias: np.ndarray
    parts: tuple[tuple[str, int], ...]

    def slices(self, precision: Precision) -> tuple[Slice, ...]:
        """The layer's input-channel slices with the widths that ``precision`` gives them."""
        found, start = [], 0
        for branch, channels in self.parts:
            found.append(Slice(start, start + channels, branch, precision.bits_for(self.name, branch)))
            start += channels
        return tuple(found)


def branch_of(layer: str) -> str:
    """The branch that a layer's name begins with: image, audio or shared."""
    branch = layer.split("_", 1)[0]
    return branch if branch in MODALITIES else "shared"


def folded_layers(model: Any) -> list[FoldedLayer]:
    """Every convolution and dense layer of a functional ``tf_keras`` model, in its order."""
    seen: dict[str, frozenset[str]] = {}
    layers = []
    for layer in model.layers:
        parents = _parents(layer)
        seen[layer.name] = frozenset({layer.name} & set(MODALITIES)).union(*(seen[p.name] for p in parents))
        if type(layer).__name__ in ("Conv2D", "Dense"):
            layers.append(_fold(layer, _parts(layer, parents[0], seen)))
    return layers


def _parents(layer: Any) -> list[Any]:
    inputs = layer.input if isinstance(layer.input, (list, tuple)) else [layer.input]
    return [tensor._keras_history.layer for tensor in inputs if tensor._keras_history.layer is not layer]


def _parts(layer: Any, parent: Any, seen: dict[str, frozenset[str]]) -> tuple[tuple[str, int], ...]:
    sources = _parents(parent) if type(parent).__name__ == "Concatenate" else []
    if sources and all(type(source).__name__ == "InputLayer" for source in sources):
        return tuple((source.name, int(source.output_shape[0][-1])) for source in sources)
    modalities = seen[layer.name]
    return ((next(iter(modalities)) if len(modalities) == 1 else "shared", int(layer.input_shape[-1])),)


def _fold(layer: Any, parts: tuple[tuple[str, int], ...]) -> FoldedLayer:
    kernel = np.asarray(layer.kernel, np.float64)
    kernel = np.moveaxis(kernel, -1, 0)
    bias = np.asarray(layer.bias, np.float64) if layer.use_bias else np.zeros(len(kernel))
    followers = [node.layer for node in layer.outbound_nodes]
    norm = followers[0] if len(followers) == 1 and type(followers[0]).__name__ == "BatchNormalization" else None
    if norm is not None:
        gain = np.asarray(norm.gamma, np.float64) / np.sqrt(np.asarray(norm.moving_variance, np.float64) + norm.epsilon)
        kernel = kernel * gain.reshape(-1, *(1,) * (kernel.ndim - 1))
        bias = (bias - np.asarray(norm.moving_mean, np.float64)) * gain + np.asarray(norm.beta, np.float64)
    if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
        raise ConversionError(f"layer '{layer.name}' has weights that are not finite: train the model again")
    return FoldedLayer(layer.name, kernel, bias, parts)
