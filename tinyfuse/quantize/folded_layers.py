"""The weights of a Keras network as they are deployed: batch norm folded, each layer's branch known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.data import MODALITIES
from tinyfuse.nn.batch_norm_folding import WEIGHTED, folded_weights, parents
from tinyfuse.quantize.recipe import Precision
from tinyfuse.quantize.weight_codes import Slice


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
        above = parents(layer)
        seen[layer.name] = frozenset({layer.name} & set(MODALITIES)).union(*(seen[p.name] for p in above))
        if type(layer).__name__ in WEIGHTED:
            layers.append(_fold(layer, _parts(layer, above[0], seen)))
    return layers


def _parts(layer: Any, parent: Any, seen: dict[str, frozenset[str]]) -> tuple[tuple[str, int], ...]:
    sources = parents(parent) if type(parent).__name__ == "Concatenate" else []
    if sources and all(type(source).__name__ == "InputLayer" for source in sources):
        return tuple((source.name, int(source.output_shape[0][-1])) for source in sources)
    modalities = seen[layer.name]
    return ((next(iter(modalities)) if len(modalities) == 1 else "shared", int(layer.input_shape[-1])),)


def _fold(layer: Any, parts: tuple[tuple[str, int], ...]) -> FoldedLayer:
    kernel, bias = folded_weights(layer)
    return FoldedLayer(layer.name, np.moveaxis(kernel, -1, 0), bias, parts)
