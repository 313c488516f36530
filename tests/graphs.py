"""Random whole graphs: operators in a row with side inputs and constants, of any scale that a file can hold.

Scales span twenty decades, zero points lie at the ends as often as inside, biases reach the ends of their types, and
inputs saturate. Most graphs are sound and some are absurd: the twin has to be exact or refuse.
"""

from __future__ import annotations

from dataclasses import dataclass

import graph_operators  # noqa: F401
import graph_rare  # noqa: F401
import graph_shapes  # noqa: F401
import numpy as np
from graph_net import ENTRIES, GraphNet
from one_operator import Spec, build

MOST_STEPS = 4
SAMPLES = 5
_OFTEN = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") * 3


@dataclass(frozen=True)
class Case:
    """A ``.tflite`` and input codes [n, ...] by position."""

    seed: int
    data: bytes
    codes: list[np.ndarray]
    operators: tuple[str, ...]


def make_case(seed: int) -> Case:
    """Draw the graph of one seed, and its inputs: all low, all high, ends at random, uniform codes."""
    net = GraphNet(np.random.default_rng(seed))
    dtype = (np.int8, np.int16)[net.pick(0, 0, 1)]
    shape = [1, *(int(size) for size in net.rng.integers(1, 9, net.pick(1, 2, 3, 3, 3, 4)))]
    x = net.input(shape, dtype, scale=net.scale(), zero=net.zero(dtype))
    names, steps = [*ENTRIES, *_OFTEN], net.pick(*range(1, MOST_STEPS + 1))
    while len(net.steps) < steps:
        made = ENTRIES[names[net.rng.integers(len(names))]](net, x)
        x = x if made is None else made
    codes = [_inputs(net, net.specs[place]) for place in (*net.inputs, *net.states)]
    return Case(seed, build(net.specs, net.steps, net.inputs, [x]), codes, tuple(step.name for step in net.steps))


def _inputs(net: GraphNet, spec: Spec) -> np.ndarray:
    limits = np.iinfo(spec.dtype)
    found = net.rng.integers(limits.min, limits.max + 1, (SAMPLES, *spec.shape[1:]))
    found[0], found[1] = limits.min, limits.max
    found[2] = net.rng.choice([limits.min, limits.max], spec.shape[1:])
    return found.astype(spec.dtype)
