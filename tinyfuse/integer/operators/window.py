"""How a kernel slides over an image: strides, dilation and the rows and columns of padding before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from tinyfuse.core.errors import ModelError
from tinyfuse.tflite.graph import Operator, Tensor

Places = tuple[slice, slice, slice]
_MOST = 32767


class Window(NamedTuple):
    """Tap (v, u) of output (y, x) reads input row y * stride_h - top + v * dilation_h, and columns alike."""

    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    top: int
    left: int

    def taps(self, given: tuple[int, ...], found: tuple[int, ...]) -> Iterator[tuple[tuple[int, int], Places, Places]]:
        """Yield each tap (v, u), the places of the input [n, *given] that it reads, and those of the output it serves.

        Padding is read by no tap. The places of one tap are distinct.
        """
        rows = _axis_taps(given[0], found[0], self.kernel_h, self.stride_h, self.dilation_h, self.top)
        columns = _axis_taps(given[1], found[1], self.kernel_w, self.stride_w, self.dilation_w, self.left)
        for (v, y, served_y), (u, x, served_x) in product(rows, columns):
            yield (v, u), (slice(None), y, x), (slice(None), served_y, served_x)


def _axis_taps(size: int, outputs: int, taps: int, stride: int, dilation: int,
               before: int) -> list[tuple[int, slice, slice]]:
    """List, for the taps of one axis that read anything, the rows that they read and the outputs that they serve."""
    found = []
    # The others meet padding alone, however many they are.
    nearest, farthest = before - (outputs - 1) * stride, before + size - 1
    for tap in range(max(0, -(-nearest // dilation)), min(taps, farthest // dilation + 1)):
        offset = tap * dilation - before
        first, last = max(0, -(offset // stride)), min(outputs - 1, (size - 1 - offset) // stride)
        if first <= last:
            read = slice(first * stride + offset, last * stride + offset + 1, stride)
            found.append((tap, read, slice(first, last + 1)))
    return found


def window(operator: Operator, source: Tensor, target: Tensor, kernel: Sequence[int]) -> Window:
    """Read off the window of ``operator`` over images [1, h, w, c].

    Raises :class:`ModelError` unless both have four axes, and ``target`` the size that padding and strides give.
    """
    if len(source.shape) != 4 or len(target.shape) != 4:
        raise ModelError(f"'{source.name}' has shape {list(source.shape)} and '{target.name}' {list(target.shape)}; "
                         f"{operator.name} needs four axes")
    options = operator.options
    stride = int(options["stride_h"]), int(options["stride_w"])
    dilation = int(options.get("dilation_h_factor", 1)), int(options.get("dilation_w_factor", 1))
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
    given, found = source.shape[1:3], target.shape[1:3]
    same = options["padding"] == "SAME"
    expected = tuple(-(-(size if same else size - taps + 1) // step)
                     for size, taps, step in zip(given, reach, stride, strict=True))
    if found != expected or min(expected) < 1:
        raise ModelError(f"'{target.name}' is {list(found)} high and wide, but {operator.name} of {list(given)} "
                         f"gives {list(expected)}")
    # Of SAME and VALID alike: half of what the output's rows need beyond those given.
    top, left = (max((out - 1) * step + taps - size, 0) // 2
                 for size, taps, step, out in zip(given, reach, stride, found, strict=True))
    largest = max(*stride, *dilation, top, left)
    if largest > _MOST:
        raise ModelError(f"'{target.name}': {operator.name} with a stride, dilation or padding of {largest}; at most "
                         f"{_MOST} fit TFLite Micro's 16 bits")
    return Window(kernel[0], kernel[1], *stride, *dilation, top, left)
