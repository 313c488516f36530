"""What an operator of the firmware is, and the table of their builders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.tflite.graph import Graph, Operator, Tensor

Shape = tuple[int, int, int]
At = Callable[[int], str]
"""The C expression for the memory of a tensor."""


class Layer(Protocol):
    """What the memory plan has to know of every operator; ``sources`` and ``target`` are indices of tensors."""

    @property
    def name(self) -> str:
        """The name of the output, for errors and comments."""

    @property
    def sources(self) -> tuple[int, ...]:
        """What is read, in the order of the kernel."""

    @property
    def target(self) -> int:
        """What is written."""

    def tables(self, number: int) -> str:
        """C text of the large constants, whose names end with ``number``."""


@dataclass(frozen=True, eq=False)
class Kernel:
    """A layer that runs alone, from whole tensors to a whole tensor: its integer constants and the C code for them.

    ``constants``: content of the sources that are not computed, by tensor.
    """

    name: str
    sources: tuple[int, ...]
    target: int
    constants: Mapping[int, np.ndarray] = field(default_factory=dict, repr=False, kw_only=True)

    @property
    def header(self) -> str:
        """The file of the runtime that holds the kernel; empty if there is nothing to do."""
        return ""

    @property
    def over(self) -> tuple[int, ...]:
        """The sources over whose memory the output may be written if nothing else needs them."""
        return ()

    @property
    def aliased(self) -> int | None:
        """The source whose memory the output is without any work."""
        return None

    @property
    def scratch_bytes(self) -> int:
        """Memory that is needed only while the kernel runs."""
        return 0

    def shared(self) -> tuple[str, ...]:
        """C text of constants that several layers may share."""
        return ()

    def tables(self, number: int) -> str:
        """See :class:`Layer`."""
        return ""

    def descriptor(self, number: int) -> str:
        """C text of the small constants, whose names end with ``number``."""
        return ""

    def calls(self, number: int, at: At, scratch: str) -> tuple[str, ...]:
        """The C statements that run the kernel; ``scratch`` is an expression for that memory."""
        return ()


Builder = Callable[[Graph, Operator, Any], Layer]
BUILDERS: dict[str, Builder] = {}
"""Builtin name -> builder from graph, operator and the twin's node for it; filled by :func:`register`."""


def register(*names: str) -> Callable[[Builder], Builder]:
    """Enter a builder into :data:`BUILDERS`; it raises ModelError for what the runtime does not compute."""

    def add(builder: Builder) -> Builder:
        BUILDERS.update(dict.fromkeys(names, builder))
        return builder

    return add


def hwc(tensor: Tensor) -> Shape:
    """The shape without the batch axis, filled up to three axes from the left."""
    shape = (1, 1, *tensor.shape[1:])[-3:]
    if len(tensor.shape) > 4:
        raise ModelError(f"'{tensor.name}' has {len(tensor.shape)} axes; the firmware has at most 4")
    return shape[0], shape[1], shape[2]


def ends(graph: Graph, operator: Operator) -> tuple[Tensor, Tensor]:
    """The first input and the output."""
    return graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]


def is_wide(tensor: Tensor) -> int:
    """1 for a tensor of int16 codes, 0 for one of int8 codes, as the kernels take it."""
    return int(tensor.dtype == np.int16)
