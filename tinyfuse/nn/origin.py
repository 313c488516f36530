"""Which inputs reach a layer, by data flow: a layer of one input belongs to it, of several it is shared."""

from __future__ import annotations

from typing import Any

SHARED = "shared"


def parents(layer: Any) -> list[Any]:
    """List the layers of a functional ``tf_keras`` model whose outputs ``layer`` reads, in order."""
    inputs = layer.input if isinstance(layer.input, (list, tuple)) else [layer.input]
    return [tensor._keras_history.layer for tensor in inputs if tensor._keras_history.layer is not layer]


def origins(model: Any) -> dict[str, tuple[str, ...]]:
    """Find by layer name the inputs that reach it, in the order of the model's inputs."""
    names = list(model.input_shape)
    found: dict[str, tuple[str, ...]] = {}
    for layer in model.layers:
        reached = {layer.name}.union(*(found[parent.name] for parent in parents(layer)))
        found[layer.name] = tuple(name for name in names if name in reached)
    return found


def branch(origin: tuple[str, ...]) -> str:
    """Name the branch, a key of recipes, of a layer with this ``origin``: the input's name, or "shared"."""
    return origin[0] if len(origin) == 1 else SHARED


def seen_inputs(model: Any) -> tuple[str, ...]:
    """Find the inputs that reach the output: a network may take an input that it ignores."""
    return origins(model)[model.output._keras_history.layer.name]
