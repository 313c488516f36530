"""The weights of a Keras network as they are deployed: batch norm folded, each layer's branch known by data flow."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.nn.batch_norm_folding import NORM, TRAINING_ONLY, deployed_layers, folded_weights
from tinyfuse.nn.kernels import DEPTHWISE
from tinyfuse.nn.origin import SHARED, branch, origins, parents
from tinyfuse.quantize.recipe import Recipe
from tinyfuse.quantize.weight_codes import Slice


@dataclass(frozen=True)
class FoldedLayer:
    """One layer with weights: ``kernel`` float64 [o, kh, kw, i] or [o, i], ``bias`` float64 [o].

    ``parts`` are (branch, input channels) in order: one part, except where a layer reads the channels of several inputs
    side by side (the first convolution of early fusion). ``depthwise``: each output sums over one channel, so i is 1.
    """

    name: str
    kernel: np.ndarray
    bias: np.ndarray
    parts: tuple[tuple[str, int], ...]
    depthwise: bool = False

    @property
    def branch(self) -> str:
        """The input that alone reaches the layer, or "shared"."""
        return self.parts[0][0] if len(self.parts) == 1 else SHARED

    def slices(self, recipe: Recipe) -> tuple[Slice, ...]:
        """Cut the layer's input channels into slices with the widths that ``recipe`` gives them."""
        ends = itertools.accumulate(channels for _, channels in self.parts)
        return tuple(Slice(end - channels, end, part, recipe.bits_for(self.name, part))
                     for (part, channels), end in zip(self.parts, ends, strict=True))


def folded_layers(model: Any) -> list[FoldedLayer]:
    """Fold every layer of a functional ``tf_keras`` model that holds weights when it is deployed, in its order."""
    found, reached = [], origins(model)
    for layer in deployed_layers(model):
        kernel, bias = folded_weights(layer)
        depthwise = type(layer).__name__ in (DEPTHWISE, NORM)
        parts = ((branch(reached[layer.name]), 1),) if depthwise else _parts(layer, reached[layer.name])
        found.append(FoldedLayer(layer.name, np.moveaxis(kernel, -1, 0), bias, parts, depthwise))
    return found


def _parts(layer: Any, origin: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    parent = _unchanged(parents(layer)[0])
    if type(parent).__name__ == "Concatenate" and parent.axis in (-1, len(layer.input_shape) - 1):
        sources = [_unchanged(source) for source in parents(parent)]
        if all(type(source).__name__ == "InputLayer" for source in sources):
            return tuple((source.name, int(shape[-1]))
                         for source, shape in zip(sources, parent.input_shape, strict=True))
    return ((branch(origin), int(layer.input_shape[-1])),)


def _unchanged(layer: Any) -> Any:
    """Go up from ``layer`` past what leaves values and channels as they are."""
    while type(layer).__name__ in TRAINING_ONLY or (
            type(layer).__name__ == "Reshape" and layer.input_shape[-1] == layer.output_shape[-1]):
        layer = parents(layer)[0]
    return layer
