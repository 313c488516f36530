"""Memory in the arena: what lives when, and where it is placed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tinyfuse.core.errors import ModelError

ALIGNMENT = 16


@dataclass(frozen=True, eq=False)
class Buffer:
    """Memory that the steps from ``first`` on need: ``sizes`` bytes in each, from ``offset`` in the arena."""

    name: str
    first: int
    sizes: tuple[int, ...]
    offset: int = 0

    @property
    def last(self) -> int:
        """The last step that needs it."""
        return self.first + len(self.sizes) - 1

    @property
    def size(self) -> int:
        """The most that it needs."""
        return max(self.sizes)

    def end(self, other: Buffer) -> int:
        """Where it ends while ``other`` lives; its offset if they never meet."""
        first, last = max(self.first, other.first), min(self.last, other.last)
        return self.offset + max(self.sizes[first - self.first:last - self.first + 1], default=0)


def aligned(size: int) -> int:
    """``size`` rounded up to whole units of the alignment."""
    return size + -size % ALIGNMENT


def placed(buffers: Iterable[Buffer]) -> list[Buffer]:
    """Offsets by decreasing size, each in the first gap that is free for its whole life."""
    found: list[Buffer] = []
    for buffer in sorted(buffers, key=lambda one: (-one.size, one.first, one.name)):
        # As sizes change with time, a move upwards can meet a buffer that began above the former place.
        while (moved := _beyond(buffer, found)) != buffer.offset:
            buffer = replace(buffer, offset=moved)
        found.append(buffer)
    return found


def _beyond(buffer: Buffer, others: Iterable[Buffer]) -> int:
    """The offset of ``buffer``, or where the lowest of ``others`` ends with which it overlaps there."""
    met = [other for other in others if _overlap(buffer, other)]
    return aligned(min(met, key=lambda one: one.offset).end(buffer)) if met else buffer.offset


def _overlap(one: Buffer, other: Buffer) -> bool:
    """Whether both need the same memory at a time."""
    return one.offset < other.end(one) and other.offset < one.end(other)


def check_buffers(buffers: Iterable[Buffer]) -> None:
    """Raise ModelError if two buffers that live at a time overlap."""
    given = list(buffers)
    for number, one in enumerate(given):
        for other in given[:number]:
            if _overlap(one, other):
                raise ModelError(f"internal: buffers {one.name} and {other.name} overlap in the arena")
