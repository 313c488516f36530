"""Blocks of an input along its named axes: bands of coefficients, frames, rows, columns; as masks of its values.

What lies where follows from the axis, not from the shape: of a spectrum laid out as a picture, cell i belongs to frame
i // coefficients and to coefficient i % coefficients, so that a band is a set of stripes and no rectangle.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data.samples import Input
from tinyfuse.threats.masks import masks_of

Blocks = dict[str, np.ndarray]
"""Name of a block, such as "0-12" -> mask float32 of the input's shape, 1 inside; padding is in none."""


def blocks_of(one: Input, axis: str, count: int) -> Blocks:
    """Cut ``axis`` into ``count`` blocks of neighbours, as equal as possible; fewer where it has fewer places."""
    size = one.axes[axis].size
    parts = np.array_split(np.arange(size), min(count, size))
    return _filled({f"{part[0]}-{part[-1]}": _mask(one, axis, int(part[0]), int(part[-1])) for part in parts})


def stripes_of(one: Input, axis: str, widths: Sequence[int]) -> Blocks:
    """Mark every other block of each width, beginning with the second: what is left is as much as what is marked."""
    size = one.axes[axis].size
    found = {}
    for width in widths:
        if 0 < 2 * width <= size:
            marks = [_mask(one, axis, start, min(start + width, size) - 1) for start in range(width, size, 2 * width)]
            found[f"every other {width}"] = np.maximum.reduce(marks)
    return _filled(found)


def chosen_axes(one: Input, wanted: Sequence[str], known: Sequence[Input]) -> list[str]:
    """Return the axes of ``one`` among ``wanted`` (none: all); UsageError for a name that no input has."""
    every = list(dict.fromkeys(axis for each in known for axis in each.axes))
    for axis in wanted:
        if axis not in every:
            raise UsageError(f"no input has an axis '{axis}'{nearest(axis, every)}; there are {', '.join(every)}")
    return [axis for axis in one.axes if not wanted or axis in wanted]


def _mask(one: Input, axis: str, first: int, last: int) -> np.ndarray:
    return np.asarray(masks_of([f"{one.name}={axis}:{first}-{last}"], [one])[one.name] * one.valid_mask())


def _filled(blocks: Blocks) -> Blocks:
    return {name: mask for name, mask in blocks.items() if mask.any()}
