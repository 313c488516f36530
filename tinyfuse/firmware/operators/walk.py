"""In which order a kernel meets the codes of tensors: axes with a step for each operand, as few of them as do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tinyfuse.core.errors import ModelError

AXES = 6
"""Of a walk; that of runtime/tny_walk.h."""
Steps = tuple[int, ...]


def contiguous(shape: Sequence[int]) -> Steps:
    """Find the codes from one place of each axis to the next, in a tensor that lies in memory as it is."""
    return tuple(int(np.prod(shape[axis + 1:], dtype=np.int64)) for axis in range(len(shape)))


def broadcast(shape: Sequence[int], wanted: Sequence[int]) -> Steps:
    """Find the steps through a tensor of ``shape`` that is repeated along the axes of ``wanted`` that it lacks."""
    whole = (1,) * (len(wanted) - len(shape)) + tuple(shape)
    return tuple(0 if size == 1 else step for size, step in zip(whole, contiguous(whole), strict=True))


def walk(name: str, shape: Sequence[int], *operands: Steps) -> tuple[Steps, ...]:
    """Merge axes that all ``operands`` walk as one; return the AXES sizes, then the steps of each operand.

    Unused axes come first and have one place. ModelError, with ``name``, if more axes are left.
    """
    axes: list[tuple[int, Steps]] = []
    for size, *steps in zip(shape, *operands, strict=True):
        if size == 1:
            continue
        if axes and all(outer == size * inner for outer, inner in zip(axes[-1][1], steps, strict=True)):
            axes[-1] = axes[-1][0] * size, tuple(steps)
        else:
            axes.append((size, tuple(steps)))
    if len(axes) > AXES:
        raise ModelError(f"'{name}' is walked along {len(axes)} axes; the firmware knows at most {AXES}")
    padded = [(1, (0,) * len(operands))] * (AXES - len(axes)) + axes
    return (tuple(size for size, _ in padded), *zip(*(steps for _, steps in padded), strict=True))


def is_whole(sizes: Steps, steps: Steps) -> bool:
    """Tell whether a walk meets every code once, in the order of memory."""
    return all(step == wanted for size, step, wanted in zip(sizes, steps, contiguous(sizes), strict=True) if size > 1)


def members(**values: Iterable[int]) -> dict[str, str]:
    """Write sizes or steps as members of a descriptor."""
    return {name: f"{{{', '.join(map(str, given))}}}" for name, given in values.items()}
