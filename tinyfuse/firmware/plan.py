"""In which order, in which memory a program works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import itemgetter

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.operators import Kernel, Layer
from tinyfuse.firmware.operators.convolution import Conv
from tinyfuse.firmware.pack import CHUNK
from tinyfuse.firmware.schedule import LANE_BYTES, BlockStep, ConvStep, Step, reads, replaceable, steps_of, writes

LEAST_LANES = 16
"""Of rows: a vector load takes as many, used or not."""
PIXELS = (1, 8, 15, 29, 57, 113)
"""Output pixels for which weights are decoded once, at least: more cost less time and more memory for rows."""
SHARE = 20
"""Part of the smallest arena that may be added so that each decoded weight serves a few pixels: a twentieth."""
ALIGNMENT = 16
"""Of buffers in the arena, in bytes."""
Borders = tuple[tuple[int, ...], tuple[int, ...]]
"""The tensors that are inputs, and those that are outputs."""


@dataclass(frozen=True, eq=False)
class Buffer:
    """Memory that the steps from ``first`` on need: ``sizes`` bytes in each, from ``offset`` in the arena."""

    name: str
    first: int
    sizes: tuple[int, ...]
    offset: int = 0

    @cached_property
    def last(self) -> int:
        return self.first + len(self.sizes) - 1

    @cached_property
    def size(self) -> int:
        return max(self.sizes)

    def meets(self, other: Buffer) -> bool:
        """Tell whether both live at a time."""
        return self.first <= other.last and other.first <= self.last

    def height(self, other: Buffer) -> int:
        """Count the most bytes that it needs while ``other``, which it meets, lives."""
        return max(self.sizes[max(0, other.first - self.first):other.last - self.first + 1])


def aligned(size: int) -> int:
    """Round ``size`` up to whole units of the alignment."""
    return size + -size % ALIGNMENT


def placed(buffers: Iterable[Buffer]) -> list[Buffer]:
    """Place buffers, each in the first gap that is free for its whole life: in the best of a few orders.

    One more way takes each as large as ever for its whole life, so that no plan is larger than that one: where sizes
    change, an earlier gap can lead to a larger arena.
    """
    given = list(buffers)
    ways = [_first_fit(sorted(given, key=order)) for order in _ORDERS]
    return min((*ways, _as_large_as_ever(given)), key=height)


_ORDERS: tuple[Callable[[Buffer], tuple[object, ...]], ...] = (
    lambda one: (-one.size, one.first, one.name),
    lambda one: (-sum(one.sizes), one.first, one.name),
    lambda one: (one.first, -one.size, one.name))
"""The largest, those that take most memory for longest, or the earliest ones first."""


def height(buffers: Iterable[Buffer]) -> int:
    """Count the bytes that placed buffers need."""
    return max((buffer.offset + buffer.size for buffer in buffers), default=0)


def _first_fit(buffers: Iterable[Buffer]) -> list[Buffer]:
    found: list[Buffer] = []
    for buffer in buffers:
        met = sorted(((other.offset, other.offset + other.height(buffer), buffer.height(other))
                      for other in found if other.meets(buffer)), key=itemgetter(0))
        offset = buffer.offset
        # As sizes change with time, a move upwards can meet a buffer that began above the former place.
        while end := next((end for start, end, mine in met if offset < end and start < offset + mine), None):
            offset = aligned(end)
        found.append(replace(buffer, offset=offset))
    return found


def _as_large_as_ever(buffers: Iterable[Buffer]) -> list[Buffer]:
    order = sorted(buffers, key=lambda one: (one.first, -one.size))
    found = _first_fit(replace(one, sizes=(one.size,) * len(one.sizes)) for one in order)
    return [replace(one, offset=other.offset) for one, other in zip(order, found, strict=True)]


def _overlap(one: Buffer, other: Buffer) -> bool:
    """Whether both need the same memory at a time."""
    return (one.meets(other) and one.offset < other.offset + other.height(one)
            and other.offset < one.offset + one.height(other))


def check_buffers(buffers: Iterable[Buffer]) -> None:
    """Raise ModelError if two buffers that live at a time overlap."""
    given = list(buffers)
    for number, one in enumerate(given):
        for other in given[:number]:
            if _overlap(one, other):
                raise ModelError(f"internal: buffers {one.name} and {other.name} overlap in the arena")


@dataclass(frozen=True, eq=False)
class Plan:
    """Steps, and buffers by name: ``t<index>`` for tensors, ``rows<step>``, ``more<step>``, ``scratch<step>``."""

    steps: tuple[Step, ...]
    buffers: dict[str, Buffer] = field(repr=False)
    home: dict[int, str] = field(repr=False)

    @property
    def arena_bytes(self) -> int:
        """Count the bytes that all buffers need."""
        return height(self.buffers.values())

    def place(self, tensor: int) -> int:
        """Find where ``tensor`` lies in the arena."""
        return self.buffers[self.home[tensor]].offset


def plan(layers: Sequence[Layer], inputs: Iterable[int], outputs: Iterable[int], sizes: dict[int, int],
         optimize: str = "ram") -> Plan:
    """Order ``layers`` and place their memory; ``sizes``: bytes of each tensor.

    ``optimize``: "speed" decodes weights for many rows at a time, "ram" and "size" for as many as fit an arena that
    is, up to :data:`SHARE`, the smallest.
    """
    borders = tuple(inputs), tuple(outputs)
    if optimize == "speed":
        return _plan(layers, borders, sizes, {}, PIXELS[-1])
    pixels: dict[int, int] = {}
    usual, found = PIXELS[0], _plan(layers, borders, sizes, pixels, PIXELS[0])
    few = _plan(layers, borders, sizes, pixels, PIXELS[1])
    if few.arena_bytes * SHARE <= found.arena_bytes * (SHARE + 1):
        usual, found = PIXELS[1], few
    limit = found.arena_bytes
    for conv in sorted((layer for layer in layers if isinstance(layer, Conv)), key=lambda conv: -conv.weights.size):
        for wanted in PIXELS[1:]:
            more = _plan(layers, borders, sizes, {**pixels, conv.target: wanted}, usual)
            if more.arena_bytes > limit:
                break
            found, pixels = more, {**pixels, conv.target: wanted}
    return found


def _plan(layers: Sequence[Layer], borders: Borders, sizes: Mapping[int, int], pixels: Mapping[int, int],
          usual: int) -> Plan:
    """``pixels``: for the convolutions (by output tensor) that do not have the ``usual`` number."""
    def group(conv: Conv) -> int:
        return min(conv.out_shape[0], -(-pixels.get(conv.target, usual) // conv.out_shape[1]))

    steps = steps_of(layers, {*borders[0], *borders[1]}, group)
    home = homes(steps, {*borders[1]})
    buffers = unplaced(steps, borders, sizes, home)
    return Plan(tuple(steps), {buffer.name: buffer for buffer in placed(buffers)}, home)


def homes(steps: Sequence[Step], outputs: set[int]) -> dict[int, str]:
    """Name the buffer of each tensor that exists: a block's output has that of its input, a reshape moves nothing."""
    home: dict[int, str] = {}
    last = {tensor: index for index, step in enumerate(steps) for tensor in reads(step)}
    last |= dict.fromkeys(outputs, len(steps))

    def of(tensor: int) -> str:
        return home.setdefault(tensor, f"t{tensor}")

    def dead(tensor: int, index: int) -> bool:
        """Whether nothing that shares the memory of ``tensor`` is needed after step ``index``."""
        return all(last.get(other, index) <= index for other, place in home.items() if place == of(tensor))

    for index, step in enumerate(steps):
        if isinstance(step, BlockStep):
            home[step.add.target] = of(step.a.source)
            continue
        for tensor in reads(step):
            of(tensor)
        replaced = [tensor for tensor in replaceable(step) if dead(tensor, index)]
        if isinstance(step, Kernel) and step.aliased is not None:
            replaced = [step.aliased]
        for tensor in replaced[:1]:
            home[writes(step)] = of(tensor)
        of(writes(step))
    return home


def unplaced(steps: Sequence[Step], borders: Borders, sizes: Mapping[int, int], home: dict[int, str]) -> list[Buffer]:
    """List the buffers of ``steps``, not placed yet. A tensor that a smaller one overwrites gives back what is left."""
    needed: dict[str, dict[int, int]] = {}
    work = [(*reads(step), writes(step)) for step in steps]
    for index, tensors in enumerate([borders[0], *work, borders[1]]):
        for tensor in tensors:
            spans = needed.setdefault(home.setdefault(tensor, f"t{tensor}"), {})
            spans[index] = max(spans.get(index, 0), sizes[tensor])
    found = []
    for name, spans in needed.items():
        first, last = min(spans), max(spans)
        # Between two uses it holds what the next one reads.
        following = [next(spans[later] for later in range(index, last + 1) if later in spans)
                     for index in range(first, last + 1)]
        found.append(Buffer(name, first, tuple(following)))
    for index, step in enumerate(steps, start=1):
        found += [Buffer(f"{name}{index - 1}", index, (aligned(lanes * LANE_BYTES),))
                  for name, lanes in _working(step).items()]
        if isinstance(step, Kernel) and step.scratch_bytes:
            found.append(Buffer(f"scratch{index - 1}", index, (aligned(step.scratch_bytes),)))
    return found


def _working(step: Step) -> dict[str, int]:
    """Lanes that a step needs beside its tensors."""
    if isinstance(step, ConvStep):
        return {"rows": _ring(step.conv, step.rows), **({} if step.conv.dense else {"scratch": _decoded([step.conv])})}
    if isinstance(step, BlockStep):
        convs = [conv for conv in (step.a, step.b, step.shortcut) if conv is not None]
        return {"rows": _ring(step.a, step.rows_a), "more": _ring(step.b, step.rows_b), "scratch": _decoded(convs)}
    return {}


def _ring(conv: Conv, rows: int) -> int:
    lanes = conv.ring_lanes(rows)
    return max(LEAST_LANES, lanes + (-lanes % CHUNK if conv.dense else 0))


def _decoded(convs: Sequence[Conv]) -> int:
    """Count the lanes of two bytes that decoded weights take: MVE has four channels, of 9 bits two bytes each."""
    return max((4 if conv.nine_bit else 2) * CHUNK * conv.chunks for conv in convs)
