"""A float network cut ahead of its last hidden layer with weights, in each branch or as a whole.

The regions of a linear head are convex, so that convexity measured on what a head reads says nothing: a non-linear
layer must follow. The cut is at layers that everything on the way from the inputs to the end passes through.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.attacks.targets.keras_target import KerasCut
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data.samples import Batch
from tinyfuse.nn.kernels import WEIGHTED
from tinyfuse.nn.objectives.view import View
from tinyfuse.nn.origin import origins, parents

_LINEAR = ("InputLayer", "Conv2D", "DepthwiseConv2D", "Conv2DTranspose", "Dense", "BatchNormalization",
           "AveragePooling2D", "GlobalAveragePooling2D", "Flatten", "Reshape", "Permute", "Concatenate", "Add",
           "Subtract", "Average", "ZeroPadding2D", "Cropping2D", "UpSampling2D", "Dropout", "SpatialDropout2D",
           "GaussianNoise", "GaussianDropout", "ActivityRegularization", "Activation")
"""Layers that are linear unless their activation is not."""
_CHUNK = 250


def is_linear(layer: Any) -> bool:
    """Tell whether ``layer`` computes a linear function of what it reads, up to a constant."""
    name = getattr(getattr(layer, "activation", None), "__name__", "linear")
    return type(layer).__name__ in _LINEAR and name == "linear"


def last_hidden(model: Any) -> tuple[str, ...]:
    """Name by branch, or of the whole, the last layer that a hidden layer with weights and a non-linear one follow.

    Empty where a branch has none: then its inputs are that place.
    """
    view, end = View(model), model.output._keras_history.layer
    sets = [set(view.inputs_of(branch)) for branch in view.branches] or [set(model.input_shape)]
    if sum(map(len, sets)) > len(set().union(*sets)):
        sets = [set().union(*sets)]
    found = [_before_hidden(model, names, end) for names in sets]
    return () if None in found else tuple(name for name in found if name is not None)


def _before_hidden(model: Any, names: Collection[str], end: Any) -> str | None:
    reached = origins(model)
    inside = [layer for layer in model.layers if layer is not end and reached[layer.name]
              and set(reached[layer.name]) <= set(names) and layer.name not in model.input_shape]
    place = {layer.name: number for number, layer in enumerate(inside)}
    edges = [(place.get(parent.name, -1), place.get(layer.name, len(inside)))
             for layer in [*inside, *_joins(model, inside)] for parent in parents(layer)
             if layer.name in place or parent.name in place]
    bends = [place[layer.name] for layer in inside if not is_linear(layer)]
    hidden = [place[layer.name] for layer in inside if type(layer).__name__ in WEIGHTED]
    last = max((number for number in hidden if bends and number <= bends[-1]), default=0)
    for number in range(last - 1, -1, -1):
        if not any(first < number < second for first, second in edges):
            return str(inside[number].name)
    return None


def _joins(model: Any, inside: Sequence[Any]) -> list[Any]:
    """The layers that read some of the layers ``inside`` and are none of them."""
    names = {layer.name for layer in inside}
    return [layer for layer in model.layers if layer.name not in names
            and any(parent.name in names for parent in parents(layer))]


@dataclass(frozen=True, eq=False)
class InnerCut:
    """``model`` in two parts at the outputs of ``layers``, which must part its inputs from its output."""

    layers: tuple[str, ...]
    cut: KerasCut = field(repr=False)
    inputs: tuple[str, ...]

    @classmethod
    def at(cls, model: Any, layers: Sequence[str]) -> InnerCut:
        """Cut ``model`` at ``layers``; UsageError for one that it has not, or if inputs get past them."""
        known = [layer.name for layer in model.layers]
        for name in layers:
            if name not in known:
                raise UsageError(f"'{model.name}' has no layer '{name}'{nearest(name, known)}")
        try:
            cut = KerasCut(model, (), [model.get_layer(name).output for name in layers])
        except ValueError as error:  # Keras: the output needs an input that the cut leaves out
            raise UsageError(f"the layers {', '.join(layers)} do not part '{model.name}' in two; give one on every way "
                             "from its inputs to its output") from error
        return cls(tuple(layers), cut, tuple(cut.fixed.input_names))

    def values(self, inputs: Batch) -> dict[str, np.ndarray]:
        """Compute what the layers hold, float32 [n, ...] by layer, for real ``inputs``."""
        total = len(inputs[self.inputs[0]])
        parts = [self.cut.run([inputs[name][start:start + _CHUNK] for name in self.inputs])
                 for start in range(0, total, _CHUNK)]
        return {name: np.concatenate([np.asarray(part[place]) for part in parts])
                for place, name in enumerate(self.layers)}

    def classify(self, values: Batch) -> np.ndarray:
        """Compute the class, int [n], from what the layers hold."""
        total = len(values[self.layers[0]])
        named = dict(zip(self.cut.border, self.layers, strict=True))
        found = [self.cut.moving.predict_on_batch({border: values[name][start:start + _CHUNK]
                                                   for border, name in named.items()}).argmax(axis=-1)
                 for start in range(0, total, _CHUNK)]
        return np.concatenate(found)
