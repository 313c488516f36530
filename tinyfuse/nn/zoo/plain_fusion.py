"""Small plain convolutional networks without residual sums, for intervals that stay narrow (Gowal et al. 2018).

One trunk is two convolutions with stride 2, a batch norm and a ReLU after each, and a dense layer: residual sums and
depth make interval bounds loose. Fusion as in :mod:`tinyfuse.nn.zoo.resnet8`: inputs side by side as channels
(``plain-early``), maps after the first convolution (``plain-intermediate``) or features before the dense head
(``plain-late``). Layer names begin with the input that they belong to, or with ``shared_``. ``lipschitz-*`` are the
same without batch norms, which have gains: for the objective ``aol``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tinyfuse.core.errors import UsageError
from tinyfuse.nn.zoo.resnet8 import Tensors, convolution, joined, keras, normalised

FILTERS = (16, 32)
FEATURES = 48


def block(x: Any, index: int, *, branch: str, norm: bool = True) -> Any:
    """Add convolution ``index`` (1 or 2) with batch norm, unless ``norm`` is False, and ReLU; it halves the map."""
    filters, name = FILTERS[index - 1], f"{branch}_conv{index}"
    if norm:
        return normalised(x, filters, name=name, stride=2)
    return keras().layers.ReLU(name=f"{name}_relu")(convolution(x, filters, name=name, stride=2))


def features(x: Any, *, branch: str, width: int = FEATURES) -> Any:
    """Flatten a map and add a dense layer of ``width`` with ReLU."""
    flat = keras().layers.Flatten(name=f"{branch}_flatten")(x)
    dense = keras().layers.Dense(width, kernel_initializer="he_normal", name=f"{branch}_dense")(flat)
    return keras().layers.ReLU(name=f"{branch}_dense_relu")(dense)


def head(x: Any, classes: int, *, branch: str) -> Any:
    """Add the dense layer from [n, c] to logits [n, classes]."""
    return keras().layers.Dense(classes, kernel_initializer="he_normal", name=f"{branch}_head")(x)


def trunk(x: Any, *, branch: str, width: int = FEATURES, norm: bool = True) -> Any:
    """Add both convolutions and the dense layer of one branch."""
    maps = block(block(x, 1, branch=branch, norm=norm), 2, branch=branch, norm=norm)
    return features(maps, branch=branch, width=width)


def alone(inputs: Tensors, classes: int, *, name: str, norm: bool = True) -> Any:
    """Build the network on the input ``name``; the others are ignored."""
    if name not in inputs:
        raise UsageError(f"network '{'plain' if norm else 'lipschitz'}-{name}' looks at the input '{name}'; the data "
                         f"has {', '.join(inputs)}")
    return head(trunk(inputs[name], branch=name, norm=norm), classes, branch=name)


def early(inputs: Tensors, classes: int) -> Any:
    """Concatenate the inputs as channels."""
    x = joined(inputs.values()) if len(inputs) > 1 else next(iter(inputs.values()))
    return head(trunk(x, branch="shared"), classes, branch="shared")


def intermediate(inputs: Tensors, classes: int) -> Any:
    """Build the first convolution for each input; their maps are concatenated before the second."""
    maps = [block(x, 1, branch=name) for name, x in inputs.items()]
    x = block(joined(maps) if len(maps) > 1 else maps[0], 2, branch="shared")
    return head(features(x, branch="shared"), classes, branch="shared")


def late(inputs: Tensors, classes: int, *, norm: bool = True) -> Any:
    """Build one trunk for each input; their features, as many as those of one network, end in one dense head."""
    width = max(1, FEATURES // len(inputs))
    parts = [trunk(x, branch=name, width=width, norm=norm) for name, x in inputs.items()]
    return head(joined(parts) if len(parts) > 1 else parts[0], classes, branch="shared")


PLAIN: dict[str, Callable[[Tensors, int], Any]] = {
    "plain-image": partial(alone, name="image"), "plain-audio": partial(alone, name="audio"),
    "plain-early": early, "plain-intermediate": intermediate, "plain-late": late,
    "lipschitz-image": partial(alone, name="image", norm=False),
    "lipschitz-audio": partial(alone, name="audio", norm=False),
    "lipschitz-late": partial(late, norm=False)}
