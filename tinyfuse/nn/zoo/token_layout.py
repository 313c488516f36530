"""How an input is cut into tokens: about sixteen patches of what its values are, whatever its shape."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tinyfuse.data.samples import Input

MOST_TOKENS = 16


@dataclass(frozen=True)
class TokenLayout:
    """The first ``used`` values of a sample are a map of ``shape`` [h, w, c], cut into patches of ``patch`` [h, w]."""

    used: int
    shape: tuple[int, int, int]
    patch: tuple[int, int]

    @property
    def count(self) -> int:
        """How many tokens there are; patches at the end are filled up with zeros."""
        (height, width, _), (rows, columns) = self.shape, self.patch
        return math.ceil(height / rows) * math.ceil(width / columns)


def token_layout(one: Input) -> TokenLayout:
    """Choose the tokens of an input: 4 x 4 patches of a map, 16 stretches of a series [steps, channels].

    An input whose values fill only the front of its shape, and that names the axis along which they lie, has tokens of
    neighbouring steps along this axis: 507 values of 39 frames give 13 tokens of 3 frames, and none of padding.
    """
    shape = _as_map(one)
    height, width, _ = shape
    patch = (math.ceil(height / 4), math.ceil(width / 4)) if width > 1 else (math.ceil(height / MOST_TOKENS), 1)
    return TokenLayout(math.prod(shape), shape, patch)


def _as_map(one: Input) -> tuple[int, int, int]:
    if len(one.valid) == 1 and one.valid[0][0] == 0 and one.valid[0][1] < math.prod(one.shape):
        used = one.valid[0][1]
        steps = [axis for axis in one.axes.values() if axis.stride * axis.size == used and axis.size > 1]
        if steps:
            longest = max(steps, key=lambda axis: axis.stride)
            return longest.size, 1, longest.stride
    if len(one.shape) == 3:
        return one.shape[0], one.shape[1], one.shape[2]
    if len(one.shape) == 2:
        return one.shape[0], 1, one.shape[1]
    return math.prod(one.shape), 1, 1
