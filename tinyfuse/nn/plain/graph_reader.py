"""Rebuilds a Keras model from its description: a graph of layer calls, by Keras 2 or 3, nested models included.

Nothing of the description is run: it names classes, of which those in ``layer_readers.py`` are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.nn.plain.builder import Builder, Value
from tinyfuse.nn.plain.layer_call import Call
from tinyfuse.nn.plain.layer_readers import SAVE, WAYS_OUT, read_layer

MAX_LAYERS = 2000
MODELS = ("Functional", "Sequential", "Model")
_MODULES = ("keras", "tf_keras", "tinyfuse", "builtins")
Shape = tuple[int | None, ...]


class Weights(Protocol):
    """Where the weights of a model's layers are."""

    def of(self, place: int) -> list[np.ndarray]:
        """Return the arrays of the layer at this place in the description."""

    def inside(self, place: int) -> Weights:
        """Return those of the model at this place."""


@dataclass(frozen=True)
class Described:
    """A layer as a model's description has it: ``calls`` hold (layer, call, tensor) of what each call reads."""

    place: int
    name: str
    kind: str
    config: Mapping[str, Any]
    calls: tuple[tuple[tuple[str, int, int], ...], ...]


def described_inputs(model: Mapping[str, Any]) -> dict[str, Shape]:
    """List the inputs of a model's description with their shapes, None for a size that is not fixed."""
    layers = _layers(model)
    if model["class_name"] == "Sequential":
        first = next(iter(layers), None)
        shape = _shape(first.config) if first else None
        shape = shape or _sizes(model["config"].get("build_input_shape")) or _sizes(
            model.get("build_config", {}).get("input_shape"))
        if first is None or shape is None:
            raise ModelError("its first layer does not say what it reads; add an Input(shape) before it and save again")
        name = first.name if first.kind == "InputLayer" else f"{first.name}_input"
        return {name: shape}
    by_name = {layer.name: layer for layer in layers}
    found = {}
    for name, _, _ in _ends(model["config"].get("input_layers")):
        shape = _shape(by_name[name].config) if name in by_name else None
        if shape is None:
            raise ModelError(f"its input '{name}' has no shape; save the model again")
        found[name] = shape
    return found


def read_graph(model: Mapping[str, Any], weights: Weights, inputs: Sequence[Value], builder: Builder,
               depth: int = 0) -> dict[str, Value]:
    """Build what ``model`` describes on ``inputs``, which are in the order of its own; return its outputs by name."""
    if depth > 8:
        raise ModelError("models in models in it are more than 8 deep; build it flat")
    layers = _layers(model)
    if model["class_name"] == "Sequential":
        value = inputs[0]
        for layer in layers:
            if layer.kind != "InputLayer":
                [value] = _call(layer, [value], weights, builder, depth)
        return {layers[-1].name: value}
    made: dict[tuple[str, int], list[Value]] = {
        (name, 0): [value] for (name, _, _), value in
        zip(_ends(model["config"].get("input_layers")), inputs, strict=True)}
    outputs = _named_ends(model["config"].get("output_layers"))
    nested = _counted_from_one(layers, outputs.values())
    for layer, number, read in _in_order(layers, made, nested):
        made[layer.name, number] = _call(layer, read, weights, builder, depth)
    return {name: _find(made, end, nested) for name, end in outputs.items()}


def _call(layer: Described, read: Sequence[Value], weights: Weights, builder: Builder, depth: int) -> list[Value]:
    if layer.kind in MODELS:
        inner = {"class_name": layer.kind, "config": layer.config}
        return list(read_graph(inner, weights.inside(layer.place), read, builder, depth + 1).values())
    return [read_layer(Call(builder, layer.name, layer.kind, layer.config, weights.of(layer.place), read))]


def _counted_from_one(layers: Sequence[Described], outputs: Iterable[tuple[str, int, int]]) -> set[str]:
    """Find the models in a model whose calls are counted from 1, their own making being call 0.

    Keras 2 counts all of them so, Keras 3 all but sequential ones.
    """
    named = [*(end for layer in layers for call in layer.calls for end in call), *outputs]
    first = {layer.name: min((end[1] for end in named if end[0] == layer.name), default=0) for layer in layers
             if layer.kind in MODELS}
    return {name for name, number in first.items() if number > 0}


def _in_order(layers: Sequence[Described], made: Mapping[tuple[str, int], list[Value]], nested: set[str]
              ) -> Iterator[tuple[Described, int, list[Value]]]:
    """Yield each call once what it reads is ``made``, by whoever asks for the next one."""
    waiting = [(layer, number, call) for layer in layers for number, call in enumerate(layer.calls)]
    while waiting:
        later = []
        for layer, number, call in waiting:
            if all(_key(end, nested) in made for end in call):
                yield layer, number, [_find(made, end, nested) for end in call]
            else:
                later.append((layer, number, call))
        if len(later) == len(waiting):
            raise ModelError(f"layer '{later[0][0].name}' reads what no layer makes; save the model again")
        waiting = later


def _key(end: tuple[str, int, int], nested: set[str]) -> tuple[str, int]:
    return end[0], end[1] - (end[0] in nested)


def _find(made: Mapping[tuple[str, int], list[Value]], end: tuple[str, int, int], nested: set[str]) -> Value:
    values = made.get(_key(end, nested), [])
    if not 0 <= end[2] < len(values):
        raise ModelError(f"layer '{end[0]}' has no output {end[2]}; save the model again")
    return values[end[2]]


def _layers(model: Mapping[str, Any]) -> list[Described]:
    """Read the layers of a description; ModelError for code of others."""
    entries = model["config"].get("layers") if isinstance(model.get("config"), Mapping) else None
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_LAYERS:
        raise ModelError(f"it is no functional or sequential model with 1 to {MAX_LAYERS} layers; a subclassed model "
                         "cannot be read from its file: save it with model.export(FOLDER) and give that SavedModel")
    return [_described(place, entry) for place, entry in enumerate(entries)]


def _described(place: int, entry: Any) -> Described:
    config = entry.get("config") if isinstance(entry, Mapping) else None
    if not isinstance(config, Mapping) or not isinstance(entry.get("class_name"), str):
        raise ModelError(f"its layer {place} has no class and settings; save the model again")
    name, kind = str(config.get("name") or entry.get("name") or f"layer_{place}"), entry["class_name"]
    module, registered = entry.get("module"), entry.get("registered_name")
    own = registered is not None and ">" in str(registered) and not str(registered).startswith("tinyfuse>")
    if own or (module is not None and str(module).split(".")[0] not in _MODULES):
        raise ModelError(f"layer '{name}' is of the class {kind} of {registered or module}, and code from a file is "
                         f"not run: use Keras' own layers, {SAVE}")
    if kind == "Lambda":
        raise ModelError(f"layer '{name}' is a Lambda: {WAYS_OUT[kind]}")
    nodes = entry.get("inbound_nodes", [])
    return Described(place, name, kind, config, tuple(tuple(_ends(node)) for node in nodes) if nodes else ())


def _ends(value: Any) -> list[tuple[str, int, int]]:
    """Collect the (layer, call, tensor) in nested lists and tables, in their order, as Keras 2 and 3 write them."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            return _ends(value.get("config", {}).get("keras_history"))
        return [end for inner in value.values() for end in _ends(inner)]
    if not isinstance(value, (list, tuple)):
        return []
    if len(value) >= 3 and isinstance(value[0], str) and all(type(one) is int for one in value[1:3]):
        return [(value[0], value[1], value[2]), *(end for inner in value[3:] for end in _ends(inner))]
    return [end for inner in value for end in _ends(inner)]


def _named_ends(value: Any) -> dict[str, tuple[str, int, int]]:
    """Name outputs by the keys of their table, or by their layers."""
    if isinstance(value, Mapping):
        return {str(name): end for name, inner in value.items() for end in _ends(inner)[:1]}
    found: dict[str, tuple[str, int, int]] = {}
    for end in _ends(value):
        found[end[0] if end[0] not in found else f"{end[0]}_{len(found)}"] = end
    return found


def _shape(config: Mapping[str, Any]) -> Shape | None:
    return _sizes(config.get("batch_input_shape", config.get("batch_shape")))


def _sizes(value: Any) -> Shape | None:
    if not isinstance(value, (list, tuple)) or not all(size is None or type(size) is int for size in value):
        return None
    return tuple(value[1:])
