"""C text for the steps of the hot kernels: convolutions and residual blocks."""

from __future__ import annotations

from collections.abc import Mapping

from tinyfuse.firmware.c_text import numbers
from tinyfuse.firmware.operators.convolution import Conv
from tinyfuse.firmware.plan import Plan
from tinyfuse.firmware.schedule import BlockStep, ConvStep, narrowed


def conv_descriptor(conv: Conv, number: int, plan: Plan) -> str:
    """The constants of ``conv`` beside its tables, where ``plan`` has put it."""
    group, row_offset, lane_offset = _geometry(conv, plan)
    return f"""static const tny_conv_t conv{number} = {{
  weights{number}, bias{number}, TNY_BIAS_HIGH{number}, multiplier{number}, shift{number}, tny_unpack_{conv.bits},
  {conv.words().shape[1]},
  {numbers([*conv.in_shape, *conv.out_shape])},
  {numbers([*conv.weights.shape[1:3], *conv.stride, *conv.dilation, *conv.padding])},
  {numbers([conv.zero_in, conv.zero_out, conv.low, conv.high])},
  {numbers([conv.runs, conv.run_length, _pixel_step(conv), 1 if conv.gathered else conv.stride[0]])},
  {numbers([conv.row_lanes, conv.shared_lanes, row_offset, lane_offset])}, {group},
  {numbers([int(conv.gathered), int(conv.odd), int(conv.wide), number, conv.target])}
}};
"""


def _pixel_step(conv: Conv) -> int:
    return conv.run_length if conv.gathered else conv.stride[1] * conv.in_shape[2]


def _geometry(conv: Conv, plan: Plan) -> tuple[str, int, int]:
    """(group, row offset, lane offset) of ``conv`` where the plan has put it."""
    for step in plan.steps:
        if isinstance(step, ConvStep) and step.conv is conv:
            return _per_lane(step, "group"), 0, 0
        if isinstance(step, BlockStep):
            if conv is step.a:
                return _per_lane(step, "group_a"), 0, 0
            if conv is step.b:
                return _per_lane(step, "group_b"), 0, 0
            if conv is step.shortcut:
                return _per_lane(step, "group_a"), step.a.padding[0], step.a.padding[1] * step.a.in_shape[2]
    raise AssertionError(f"{conv.name} is in no step")


def _per_lane(step: ConvStep | BlockStep, what: str) -> str:
    """A number of rows where lanes take two bytes, and where they take one."""
    return f"TNY_PER_LANE({getattr(step, what)}, {getattr(narrowed(step), what)})"


def block_descriptor(step: BlockStep, number: Mapping[int, int]) -> str:
    """The parts of a block by the numbers of its layers, which ``number`` gives by output tensor."""
    shortcut = "NULL" if step.shortcut is None else f"&conv{number[step.shortcut.target]}"
    index = number[step.add.target]
    return (f"static const tny_block_t block{index} = {{&conv{number[step.a.target]}, &conv{number[step.b.target]}, "
            f"{shortcut}, &add{index},\n  {_per_lane(step, 'rows_a')}, {_per_lane(step, 'rows_b')}}};\n")


def call(step: ConvStep | BlockStep, index: int, plan: Plan, number: Mapping[int, int]) -> str:
    """The statement that runs step ``index``."""
    def tensor(one: int) -> str:
        return f"base + {plan.buffers[plan.home[one]].offset}"

    def lanes(name: str) -> str:
        return f"(tny_lane_t *)(void *)(base + {plan.buffers[f'{name}{index}'].offset})"

    if isinstance(step, BlockStep):
        return (f"tny_block(&block{number[step.add.target]}, {tensor(step.a.source)}, {lanes('rows')}, "
                f"{lanes('more')}, {lanes('scratch')});")
    conv = step.conv
    return (f"tny_conv(&conv{number[conv.target]}, {tensor(conv.source)}, {tensor(conv.target)}, {lanes('rows')}, "
            f"{_per_lane(step, 'rows')}, {lanes('scratch')});")
