"""A float network while only some inputs change: it is cut where the fixed part ends, and that part runs once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyfuse.attacks.target import Batch, Gradient
from tinyfuse.core.backend import tensorflow

if TYPE_CHECKING:
    from tinyfuse.attacks.targets.keras_target import KerasTarget


class KerasCut:
    """``model`` cut in two: ``fixed`` computes the border tensors, ``moving`` the logits from them and ``varying``.

    ``moving`` takes the varying inputs by name, and the border tensors under its own other input names.
    """

    def __init__(self, model: Any, varying: tuple[str, ...], border: list[Any]) -> None:
        tensorflow()
        from tf_keras import Model

        inputs = dict(zip(model.input_names, model.inputs, strict=True))
        _skip_input_names(model, len(border))
        needed = [inputs[name] for name in model.input_names if name not in varying]
        self.fixed = Model(needed, border)
        self.moving = Model([*(inputs[name] for name in varying), *border], model.outputs[0], name=model.name)
        self.border = tuple(self.moving.input_names[len(varying):])
        fixed = self.fixed
        self.run = tensorflow().function(lambda given: _list(fixed(given, training=False)))


def cut(model: Any, varying: tuple[str, ...]) -> KerasCut | None:
    """Cut a functional ``model`` for attacks on the inputs ``varying``; None where nothing could be computed ahead."""
    if set(varying) >= set(model.input_names) or not hasattr(model, "_nodes_by_depth"):
        return None
    moves = {id(tensor): name in varying for name, tensor in zip(model.input_names, model.inputs, strict=True)}
    depths = sorted(model._nodes_by_depth, reverse=True)
    nodes = [node for depth in depths for node in model._nodes_by_depth[depth] if not node.is_input]
    for node in nodes:
        moved = any(moves[id(tensor)] for tensor in node.keras_inputs)
        for tensor in _list(node.outputs):
            moves[id(tensor)] = moved
    used = {id(tensor) for node in nodes for tensor in node.keras_inputs}
    border = {id(tensor): tensor for node in nodes if any(moves[id(tensor)] for tensor in _list(node.outputs))
              for tensor in node.keras_inputs if not moves[id(tensor)]}
    inputs = {id(tensor) for tensor in model.inputs}
    unused = any(id(tensor) not in used for name, tensor in zip(model.input_names, model.inputs, strict=True)
                 if name in varying)
    if unused or border.keys() <= inputs or not moves[id(model.outputs[0])]:
        return None
    return KerasCut(model, varying, list(border.values()))


def _skip_input_names(model: Any, count: int) -> None:
    """Keep Keras from calling one of ``count`` new inputs ``input_1`` where ``model`` has a layer of that name.

    Keras counts these names by itself; loading a model that holds some does not move the counter.
    """
    from tf_keras.backend import get_uid

    taken = {int(found[1]) for layer in model.layers if (found := re.fullmatch(r"input_(\d+)", layer.name))}
    latest = get_uid("input")
    while any(latest + ahead in taken for ahead in range(1, count + 1)):
        latest = get_uid("input")


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


class KerasFocus:
    """A batch of which only ``varying`` inputs change; ``features``: the border tensors, float32 [n, ...] by name."""

    def __init__(self, moving: KerasTarget, varying: tuple[str, ...], features: dict[str, np.ndarray]) -> None:
        self._moving, self._varying, self._features = moving, varying, features

    def logits(self, point: Batch, rows: np.ndarray) -> np.ndarray:
        """Logits float32 [m, k] of ``point``, which stands for ``rows``."""
        return self._moving.logits(self._complete(point, rows))

    def gradient(self, point: Batch, labels: np.ndarray, rows: np.ndarray, loss: str = "cross-entropy") -> Gradient:
        """Gradients for the inputs that change."""
        return self._moving.gradient(self._complete(point, rows), labels, self._varying, loss)

    def _complete(self, point: Batch, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {name: values[rows] for name, values in self._features.items()} | {
            name: point[name] for name in self._varying}
