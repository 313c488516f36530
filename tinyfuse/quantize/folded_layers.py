"""The weights of a Keras network as they are deployed: batch norm folded, each layer's branch known by data flow."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.nn.batch_norm_folding import WEIGHTED, folded_weights
from tinyfuse.nn.origin import SHARED, branch, origins, parents
from tinyfuse.quantize.recipe import Recipe
from tinyfuse.quantize.weight_codes import Slice


@dataclass(frozen=True)
class FoldedLayer:
    """One convolution or dense layer: ``kernel`` float64 [o, kh, kw, i] or [o, i], ``bias`` float64 [o].

    ``parts`` are (branch, input channels) in order: one part, except where a layer reads the channels of several inputs
    side by side (the first convolution of early fusion).
    """

    name: str
    kernel: np.ndarray
    bias: np.ndarray
    parts: tuple[tuple[str, int], ...]

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
    """Fold every convolution and dense layer of a functional ``tf_keras`` model, in its order."""
    found, reached = [], origins(model)
    for layer in model.layers:
        if type(layer).__name__ in WEIGHTED:
            kernel, bias = folded_weights(layer)
            found.append(FoldedLayer(layer.name, np.moveaxis(kernel, -1, 0), bias, _parts(layer, reached[layer.name])))
    return found


def _parts(layer: Any, origin: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    parent = parents(layer)[0]
    sources = parents(parent) if type(parent).__name__ == "Concatenate" else []
    by_channel = sources and parent.axis in (-1, len(layer.input_shape) - 1)
    if by_channel and all(type(source).__name__ == "InputLayer" for source in sources):
        return tuple((source.name, int(source.output_shape[0][-1])) for source in sources)
    return ((branch(origin), int(layer.input_shape[-1])),)
