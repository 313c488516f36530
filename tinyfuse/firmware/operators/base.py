"""What an operator of the firmware is, and the table of their builders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.c_text import comment, struct
from tinyfuse.firmware.pack import bits_of
from tinyfuse.firmware.scale import Scale, sized
from tinyfuse.tflite.graph import Graph, Operator, Tensor

Shape = tuple[int, int, int]
Pair = tuple[int, int]
Place = Callable[[int], str]
"""The C expression for the memory of a tensor."""


@dataclass(frozen=True, eq=False)
class Layer:
    """What the memory plan has to know of every operator; ``name`` is that of its output, for errors and comments.

    ``sources`` are the tensors that are read, in the order of the kernel, ``target`` is the one that is written.
    """

    name: str
    sources: tuple[int, ...]
    target: int

    def tables(self, number: int) -> str:
        """Write the large constants, whose names end with ``number``."""
        return ""


@dataclass(frozen=True, eq=False)
class Weighted(Layer):
    """A convolution of any kind. Shapes are (h, w, c); ``weights`` int [out_c, kh, kw, depth]; ``padding``: before."""

    in_shape: Shape
    out_shape: Shape
    weights: np.ndarray = field(repr=False)
    bias: np.ndarray = field(repr=False)
    scales: tuple[Scale, ...] = field(repr=False)
    stride: Pair
    dilation: Pair
    padding: Pair
    zero_in: int
    zero_out: int
    low: int
    high: int

    @property
    def bits(self) -> int:
        """Width of a packed weight."""
        return bits_of(self.weights)

    @property
    def macs(self) -> int:
        """Multiply-accumulates, as the `.tflite` has them without doubled channels."""
        return int(np.prod(self.out_shape)) * int(np.prod(self.weights.shape[1:]))

    @property
    def sizes(self) -> dict[str, int]:
        """Members for input and output."""
        return {**sides("in", self.in_shape), **sides("out", self.out_shape)}

    @property
    def sliding(self) -> dict[str, int]:
        """Members for the window."""
        return window(self.weights.shape[1:3], self.stride, self.dilation, self.padding)

    @property
    def title(self) -> str:
        """What stands above its tables in C."""
        return f"/* {comment(self.name)}: {self.bits}-bit weights, {self.macs} multiply-accumulates */\n"

    def words(self) -> np.ndarray:
        """Pack the weights as uint32 [rows, words]."""
        raise AssertionError("weights are packed by each kind of convolution")

    def check_sizes(self, *lanes: int) -> None:
        """Raise ModelError if a size (of ``lanes`` among others) does not fit the descriptor."""
        sized(self.name, "sizes", (*self.in_shape, *self.out_shape, *lanes, self.words().shape[1]), 16)
        sized(self.name, "kernel, stride, dilation or padding", (*self.weights.shape[1:3], *self.stride, *self.dilation,
                                                                 *self.padding), 8)


@dataclass(frozen=True, eq=False)
class Kernel(Layer):
    """A layer that runs alone, from whole tensors to a whole tensor: its integer constants and the C code for them.

    ``constants``: content of the sources that are not computed, by tensor. ``header`` is the file of the runtime that
    holds the kernel, ``kind`` names its descriptor: a ``tny_<kind>_t``, filled from the attributes ``described``.
    ``call``: the runtime's function, and the attributes that it takes behind descriptor, tensors and scratch memory.
    ``in_place``: each value of a source is read before another replaces it.
    """

    constants: Mapping[int, np.ndarray] = field(default_factory=dict, repr=False, kw_only=True)
    header: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    described: ClassVar[tuple[str, ...]] = ()
    call: ClassVar[tuple[str, ...]] = ()
    in_place: ClassVar[bool] = False

    @property
    def replaceable(self) -> tuple[int, ...]:
        """Sources whose memory the output may take."""
        return self.sources if self.in_place else ()

    @property
    def aliased(self) -> int | None:
        """The source whose memory the output is without any work."""
        return None

    @property
    def scratch_bytes(self) -> int:
        """Memory that is needed only while the kernel runs."""
        return 0

    def shared(self) -> tuple[str, ...]:
        """Write constants that several layers may share."""
        return ()

    def members(self, number: int) -> Mapping[str, object]:
        """Fill the descriptor's members by name, without ``layer`` and ``tensor``, which every descriptor has."""
        return {name: getattr(self, name) for name in self.described}

    def descriptor(self, number: int) -> str:
        """Write the small constants, whose names end with ``number``."""
        members = {**self.members(number), "layer": number, "tensor": self.target}
        return f"/* {comment(self.name)} */\n" + struct(f"tny_{self.kind}_t", f"{self.kind}{number}", members)

    def calls(self, number: int, at: Place, scratch: str) -> tuple[str, ...]:
        """Write the C statements that run the kernel; ``scratch`` is that memory in C, "" for none."""
        function, *names = self.call
        given = [f"&{self.kind}{number}", *map(at, (*self.sources, self.target)), *([scratch] if scratch else []),
                 *(str(getattr(self, name)) for name in names)]
        return (f"{function}({', '.join(given)});",)


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
    """Take the shape without the batch axis, filled up to three axes from the left."""
    shape = (1, 1, *tensor.shape[1:])[-3:]
    if len(tensor.shape) > 4:
        raise ModelError(f"'{tensor.name}' has {len(tensor.shape)} axes; the firmware has at most 4")
    return shape[0], shape[1], shape[2]


def sides(prefix: str, values: Iterable[int]) -> dict[str, int]:
    """Name members such as ``in_h``, ``in_w``, ``in_c`` for ``values`` in this order."""
    return {f"{prefix}_{side}": int(value) for side, value in zip("hwc", values, strict=False)}


def window(kernel: Iterable[int], stride: Pair, dilation: Pair | None, padding: Pair) -> dict[str, int]:
    """Name the members for a sliding window; ``padding``: above and to the left."""
    return {**sides("kernel", kernel), **sides("stride", stride), **sides("dilation", dilation or ()),
            "pad_top": padding[0], "pad_left": padding[1]}


def in_and_out(graph: Graph, operator: Operator) -> tuple[Tensor, Tensor]:
    """Find the first input and the output."""
    return graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]


ITEMS = {"int8": 0, "bool": 0, "int16": 1, "int32": 2, "float32": 2}
"""Types of tensors, as :func:`is_wide` tells them."""


def is_wide(tensor: Tensor) -> int:
    """Tell int32 values (2) from int16 codes (1) and bytes (0), as the kernels take it."""
    return ITEMS[tensor.dtype.name]


def as_bits(values: np.ndarray) -> np.ndarray:
    """What the firmware holds in the place of ``values``: of float32 numbers their bits, as int32."""
    return values.view(np.int32) if values.dtype == np.float32 else values
