"""The order of work: residual blocks run in place row by row, everything else layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tinyfuse.firmware.operators import Kernel, Layer
from tinyfuse.firmware.operators.convolution import Conv
from tinyfuse.firmware.operators.pointwise import Add
from tinyfuse.firmware.pack import CHUNK

LANE_BYTES = 2
"""Of the widened codes that the kernels read; those of MVE need one only, see :func:`narrowed`."""


@dataclass(frozen=True, eq=False)
class ConvStep:
    """One convolution; ``group`` output rows share decoded weights, ``rows`` input rows are held as lanes."""

    conv: Conv
    group: int
    rows: int


@dataclass(frozen=True, eq=False)
class BlockStep:
    """A residual block in place: convolutions a and b, the shortcut (None: the input itself) and the addition."""

    a: Conv
    b: Conv
    shortcut: Conv | None
    add: Add
    group_a: int
    group_b: int
    rows_a: int
    rows_b: int


Step = ConvStep | BlockStep | Kernel
Group = Callable[[Conv], int]
"""The output rows of a convolution for which weights are decoded once."""


def steps_of(layers: Sequence[Layer], fixed: set[int], group: Group) -> list[Step]:
    """Order the layers as steps; what belongs to a block is taken out and done where its addition stands."""
    made = {layer.target: layer for layer in layers}
    users: dict[int, list[Layer]] = {}
    for layer in layers:
        for source in _sources(layer):
            users.setdefault(source, []).append(layer)
    blocks = {add: block for add in layers if isinstance(add, Add)
              for block in [_block(add, made, users, fixed, group)] if block is not None}
    inside = {layer for block in blocks.values() for layer in (block.a, block.b, block.shortcut)}
    steps: list[Step] = []
    for layer in layers:
        if isinstance(layer, Add) and layer in blocks:
            steps.append(blocks[layer])
        elif isinstance(layer, Kernel):
            steps.append(layer)
        elif isinstance(layer, Conv) and layer not in inside:
            steps.append(ConvStep(layer, group(layer), _held(layer, group(layer))))
    return steps


def _sources(layer: Layer) -> tuple[int, ...]:
    """The computed tensors that ``layer`` reads."""
    if isinstance(layer, Kernel):
        return tuple(source for source in layer.sources if source not in layer.constants)
    return layer.sources


def _held(conv: Conv, group: int) -> int:
    """Rows of the ring that ``group`` output rows read."""
    return group if conv.gathered else (group - 1) * conv.stride[0] + conv.runs


def _block(add: Add, made: dict[int, Layer], users: dict[int, list[Layer]], fixed: set[int],
           group: Group) -> BlockStep | None:
    """The residual block that ends in ``add``, if there is one that can run in place."""
    for main, other in (add.sources, add.sources[::-1]):
        b = made.get(main)
        a = made.get(b.source) if isinstance(b, Conv) else None
        if not isinstance(a, Conv) or not isinstance(b, Conv) or main == other:
            continue
        x, last = a.source, made.get(other)
        shortcut = last if isinstance(last, Conv) and last.source == x else None
        if (shortcut is None and other != x) or _is_alias(made.get(x)):
            continue
        private = [a.target, b.target] + ([] if shortcut is None else [shortcut.target])
        readers = {a, shortcut if shortcut is not None else add}
        if {*private, x} & fixed or any(len(users[tensor]) != 1 for tensor in private) or set(users[x]) != readers:
            continue
        block = BlockStep(a, b, shortcut, add.turned(main), group(a), group(b), 0, 0)
        block = replace(block, rows_a=_held(a, block.group_a), rows_b=_held(b, block.group_b))
        if _streams(block) and _in_place(block):
            return block
    return None


def _is_alias(layer: Layer | None) -> bool:
    """Whether the output lies in memory that others may still read."""
    return isinstance(layer, Kernel) and layer.aliased is not None


def _streams(block: BlockStep) -> bool:
    """Whether b can read a's rows as they come, and the shortcut those of a."""
    a, b, shortcut = block.a, block.b, block.shortcut
    plain = (not (a.gathered or b.gathered or a.dense or b.dense) and b.stride == (1, 1) and
             b.out_shape[:2] == a.out_shape[:2])
    if shortcut is None:
        return plain and a.in_shape == b.out_shape
    return (plain and not shortcut.gathered and shortcut.weights.shape[1:3] == (1, 1) and
            shortcut.stride == a.stride and shortcut.padding == (0, 0) and shortcut.zero_in == a.zero_in and
            shortcut.out_shape == b.out_shape)


def _in_place(block: BlockStep) -> bool:
    """Whether no output row replaces a row of the input that is still to be read; follows runtime/tny_block.h."""
    a, b = block.a, block.b
    in_row, out_row = a.in_shape[1] * a.in_shape[2], b.out_shape[1] * b.out_shape[2]
    if b.out_shape[0] * out_row > a.in_shape[0] * in_row:
        return False
    filled = done = 0
    for row in range(0, b.out_shape[0], block.group_b):
        count = min(block.group_b, b.out_shape[0] - row)
        until = min(row + count - 1 + b.runs - b.padding[0], b.in_shape[0])
        while done < until:
            more = min(block.group_a, until - done)
            filled = max(filled, (done + more - 1) * a.stride[0] + a.runs)
            done += more
            free = max(0, min(filled - a.padding[0], a.in_shape[0])) * in_row
            if block.shortcut is not None and done * out_row > free:
                return False
        free = max(0, min(filled - a.padding[0], a.in_shape[0])) * in_row
        if (row + count) * out_row > free:
            return False
    return True


def replaceable(step: ConvStep | Kernel) -> tuple[int, ...]:
    """Name the sources whose memory the output may take if nothing else needs them.

    Output rows of a convolution may replace input rows that are held as lanes already; follows runtime/tny_conv.h.
    Windows that are copied together are a single run, behind whose first row the later ones start. Asked of every row,
    so that the answer holds for groups of any size.
    """
    if isinstance(step, Kernel):
        return tuple(tensor for tensor in step.replaceable if tensor not in step.constants)
    conv = step.conv
    in_row, out_row = (shape[1] * shape[2] for shape in (conv.in_shape, conv.out_shape))
    held = ((row * conv.stride[0] + conv.runs - conv.padding[0], row + 1) for row in range(conv.out_shape[0]))
    free = all(done * out_row <= min(rows, conv.in_shape[0]) * in_row for rows, done in held)
    return (conv.source,) if free else ()


def narrowed(step: ConvStep | BlockStep) -> ConvStep | BlockStep:
    """Widen ``step`` for lanes of one byte: its memory holds twice the rows, so that larger groups share weights."""
    if isinstance(step, ConvStep):
        group = _narrow_group(step.conv, step.group, step.rows)
        return replace(step, group=group, rows=_held(step.conv, group))
    for group_b in range(_narrow_group(step.b, step.group_b, step.rows_b), step.group_b - 1, -1):
        for group_a in range(_narrow_group(step.a, step.group_a, step.rows_a), step.group_a - 1, -1):
            found = replace(step, group_a=group_a, group_b=group_b, rows_a=_held(step.a, group_a),
                            rows_b=_held(step.b, group_b))
            if _in_place(found):
                return found
    return step


def _narrow_group(conv: Conv, group: int, rows: int) -> int:
    """Count the output rows whose input fits the memory of ``rows`` rows of two bytes a lane, at most."""
    # A stretch that ends within a vector is read beyond its end.
    beyond = 0 if conv.run_length % CHUNK == 0 else CHUNK
    return max([group, *(more for more in range(group, conv.out_shape[0] + 1)
                         if conv.ring_lanes(_held(conv, more)) + beyond <= LANE_BYTES * conv.ring_lanes(rows))])


def reads(step: Step) -> tuple[int, ...]:
    """Name the computed tensors that ``step`` reads."""
    if isinstance(step, BlockStep):
        return (step.a.source,)
    return _sources(step.conv if isinstance(step, ConvStep) else step)


def writes(step: Step) -> int:
    """Name the tensor that ``step`` leaves."""
    if isinstance(step, BlockStep):
        return step.add.target
    return step.conv.target if isinstance(step, ConvStep) else step.target
