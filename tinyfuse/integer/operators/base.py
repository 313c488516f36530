"""What an operator of the twin is, and the table of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from tinyfuse.tflite.graph import Graph, Operator


class Node(Protocol):
    """One operator, bound to its constants: codes of its computed inputs in, codes of its output out.

    Arrays are batched: where the graph says [1, ...] they have [n, ...]. ``forward`` also returns what
    ``backward`` needs (``keep`` False: nothing is needed, and None may be returned). ``backward`` takes the
    float32 gradient with respect to the output codes and returns one for each computed input, in codes too.
    Straight-through: every rounding has derivative 1, an active clamp (the value before it lies strictly outside)
    has 0. Nodes hold no state between calls, so that threads may share them.
    """

    def forward(self, inputs: Sequence[np.ndarray], keep: bool) -> tuple[np.ndarray, Any]:
        """Output codes [n, ...] and the saved state."""

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        """Float32 gradients, one for each computed input."""


Builder = Callable[[Operator, Graph], Node]
OPERATORS: dict[str, Builder] = {}
"""Builtin name -> builder, filled by :func:`register`."""


def register(*names: str) -> Callable[[Builder], Builder]:
    """Enter a builder into :data:`OPERATORS`; it raises ModelError for what it cannot compute exactly."""

    def add(builder: Builder) -> Builder:
        OPERATORS.update(dict.fromkeys(names, builder))
        return builder

    return add
