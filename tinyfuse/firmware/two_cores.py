"""Two cores of one chip: branches that share no input run side by side, what joins them runs on one core behind them.

The schedule is static. While both halves run, no two of their buffers share a byte, whatever the halves' speeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tinyfuse.core.errors import UsageError
from tinyfuse.firmware.operators import Kernel
from tinyfuse.firmware.operators.base import Weighted
from tinyfuse.firmware.plan import Buffer, Plan, homes, placed, unplaced
from tinyfuse.firmware.schedule import BlockStep, ConvStep, Step, reads, writes

JOIN = 2
"""Stands for the steps that need both halves, where 0 and 1 stand for the cores."""
MOST_INPUTS = 16
"""Every division of so many inputs is tried."""


@dataclass(frozen=True)
class Schedule:
    """Who does each step: core 0, core 1 or the :data:`JOIN`.

    ``inputs``: the tensors that each core takes; ``work``: of both cores and the join, as :func:`work_of` estimates it.
    """

    cores: tuple[int, ...]
    inputs: tuple[tuple[int, ...], tuple[int, ...]]
    work: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class SharedBuffer(Buffer):
    """Memory that ``core`` uses, a core's result up to its last use in the join; :data:`JOIN`: no core before it."""

    core: int = JOIN

    def meets(self, other: Buffer) -> bool:
        """Tell whether both can live at a time: those of different cores always can."""
        return self._concurrent(other) or super().meets(other)

    def height(self, other: Buffer) -> int:
        """Count the most bytes that it needs while ``other`` lives."""
        return self.size if self._concurrent(other) else super().height(other)

    def _concurrent(self, other: Buffer) -> bool:
        return isinstance(other, SharedBuffer) and {self.core, other.core} == {0, 1}


def on_two_cores(plan: Plan, inputs: Mapping[int, str], outputs: Iterable[int],
                 sizes: Mapping[int, int]) -> tuple[Plan, Schedule]:
    """Share the steps of ``plan`` among two cores, and place their memory anew.

    ``inputs``: names by tensor; ``sizes``: bytes of each tensor. The steps are ordered by core, the join last.

    Raises UsageError if there are no two branches that share no input.
    """
    found = schedule_of(plan.steps, inputs, sizes)
    order = sorted(range(len(plan.steps)), key=found.cores.__getitem__)
    steps = tuple(plan.steps[index] for index in order)
    found = Schedule(tuple(sorted(found.cores)), found.inputs, found.work)
    borders = tuple(inputs), tuple(outputs)
    home = homes(steps, {*borders[1]})
    cores = dict[str, int]()
    for step, core in zip(steps, found.cores, strict=True):
        for tensor in (*reads(step), writes(step)):
            # No tensor is of both cores; one that the join uses too belongs to the core that began with it.
            cores[home[tensor]] = min(core, cores.get(home[tensor], JOIN))
    buffers = placed(SharedBuffer(one.name, one.first, one.sizes, core=cores.get(one.name, _core_at(found, one)))
                     for one in unplaced(steps, borders, sizes, home))
    return Plan(steps, {buffer.name: buffer for buffer in buffers}, home), found


def _core_at(found: Schedule, buffer: Buffer) -> int:
    """The core of the step whose working memory ``buffer`` is; an input that no step reads is nobody's."""
    return found.cores[buffer.first - 1] if buffer.first else JOIN


def schedule_of(steps: Sequence[Step], inputs: Mapping[int, str], sizes: Mapping[int, int]) -> Schedule:
    """Divide the inputs in two so that the longer half and the join take least.

    Raises UsageError if no division leaves work to both cores, or there are more than :data:`MOST_INPUTS`.
    """
    if len(inputs) > MOST_INPUTS:
        raise UsageError(f"the network has {len(inputs)} inputs; two cores are planned for {MOST_INPUTS} at most: "
                         "export for one core")
    needed, everything = _needed(steps, list(inputs)), (1 << len(inputs)) - 1
    work: dict[int, int] = {}
    for step, needs in zip(steps, needed, strict=True):
        work[needs] = work.get(needs, 0) + work_of(step, sizes)
    best: tuple[int, int, tuple[int, int, int]] | None = None
    for second in range(2, everything + 1, 2):  # the first input stays on core 0
        parts = [0, 0, 0]
        for needs, amount in work.items():
            parts[_core_of(needs, second)] += amount
        took = max(parts[:2]) + parts[JOIN]
        if parts[0] and parts[1] and (best is None or took < best[0]):
            best = took, second, (parts[0], parts[1], parts[JOIN])
    if best is None:
        raise UsageError("two cores need two branches that share no input, and this network has "
                         f"{_why(list(inputs.values()))}; export for one core")
    _, second, shares = best
    sides: tuple[list[int], list[int]] = [], []
    for place, tensor in enumerate(inputs):
        sides[second >> place & 1].append(tensor)
    return Schedule(tuple(_core_of(needs, second) for needs in needed), (tuple(sides[0]), tuple(sides[1])), shares)


def _core_of(needs: int, second: int) -> int:
    """Who computes what ``needs`` these inputs, where those of the set ``second`` are core 1's."""
    return 0 if not needs & second else 1 if not needs & ~second else JOIN


def _why(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"one input, '{names[0]}'"
    return f"none: its inputs {', '.join(names)} meet before two of them have been worked on"


def _needed(steps: Sequence[Step], inputs: Sequence[int]) -> list[int]:
    """The inputs that each step depends on, as a set of bits; what reads none stays in the join, with its readers."""
    everything = (1 << len(inputs)) - 1
    known = {tensor: 1 << place for place, tensor in enumerate(inputs)}
    found = []
    for step in steps:
        needs = 0
        for tensor in reads(step):
            needs |= known[tensor]
        known[writes(step)] = needs or everything
        found.append(known[writes(step)])
    return found


def work_of(step: Step, sizes: Mapping[int, int]) -> int:
    """Estimate the work of ``step``: its multiply-accumulates and the bytes that it writes, 0 if it only renames."""
    if isinstance(step, Kernel) and step.aliased is not None:
        return 0
    parts = ((step.a, step.b, step.shortcut) if isinstance(step, BlockStep) else
             (step.conv,) if isinstance(step, ConvStep) else (step,))
    return sizes[writes(step)] + sum(part.macs for part in parts if isinstance(part, Weighted))
