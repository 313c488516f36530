"""How a kernel slides over an image: strides, dilation and the rows and columns of padding before it."""

from __future__ import annotations

from typing import NamedTuple

from tinyfuse.core.errors import ModelError
from tinyfuse.tflite.graph import Operator, Tensor


def padding_before(size: int, kernel: int, stride: int, output: int) -> tuple[int, int]:
    """Rows of zero padding (before, after) of SAME and VALID alike: what ``output`` rows need beyond ``size``."""
    total = max((output - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


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


def window(operator: Operator, source: Tensor, target: Tensor, kernel: tuple[int, int],
           dilation: tuple[int, int] = (1, 1)) -> Window:
    """The window of ``operator`` over images [1, h, w, c].

    Raises:
        ModelError: a tensor has not four axes, or ``target`` not the height and width that padding and strides give.
    """
    if len(source.shape) != 4 or len(target.shape) != 4:
        raise ModelError(f"'{source.name}' has shape {list(source.shape)} and '{target.name}' {list(target.shape)}; "
                         f"{operator.name} needs four axes")
    stride = int(operator.options["stride_h"]), int(operator.options["stride_w"])
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
    given, found = source.shape[1:3], target.shape[1:3]
    same = operator.options["padding"] == "SAME"
    expected = tuple(-(-(size if same else size - taps + 1) // step)
                     for size, taps, step in zip(given, reach, stride, strict=True))
    if found != expected or min(expected) < 1:
        raise ModelError(f"'{target.name}' is {list(found)} high and wide, but {operator.name} of {list(given)} "
                         f"gives {list(expected)}")
    top, left = (padding_before(size, taps, step, out)[0]
                 for size, taps, step, out in zip(given, reach, stride, found, strict=True))
    return Window(*kernel, *stride, *dilation, top, left)
