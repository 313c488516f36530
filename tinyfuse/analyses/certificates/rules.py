"""What the interval of an operator is: from boxes of codes of its inputs to a box that holds every code of its output.

A box is a pair of arrays (lower, upper) of integer codes [n, ...], ends included. A rule is sound by construction: it
looks at the exact integers of the twin, whose requantisation is monotone as long as no sum leaves its 32 or 64 bits.
Rules that rely on that prove it from the weights, or refuse the operator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeVar

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators import Node
from tinyfuse.tflite.graph import Graph, Operator, Tensor

Box = tuple[np.ndarray, np.ndarray]
Rule = Callable[[Sequence[Box]], Box]


@dataclass(frozen=True, eq=False)
class Site:
    """One operator in its place: its node of the twin, and the graph around it."""

    node: Any
    operator: Operator
    graph: Graph

    @property
    def target(self) -> Tensor:
        """The output."""
        return self.graph.tensors[self.operator.outputs[0]]

    @property
    def sources(self) -> list[Tensor]:
        """The inputs that are computed, in the order of the node's."""
        given = [self.graph.tensors[index] for index in self.operator.inputs if index >= 0]
        return [tensor for tensor in given if tensor.data is None]


RuleBuilder = Callable[[Site], Rule]
AnyRuleBuilder = TypeVar("AnyRuleBuilder", bound=RuleBuilder)
RULES: dict[str, RuleBuilder] = {}
"""Builtin name -> what makes its rule, filled by :func:`bounds`."""


def bounds(*names: str) -> Callable[[AnyRuleBuilder], AnyRuleBuilder]:
    """Enter a builder of rules into :data:`RULES`; it raises ModelError for what it cannot bound."""

    def add(builder: AnyRuleBuilder) -> AnyRuleBuilder:
        RULES.update(dict.fromkeys(names, builder))
        return builder

    return add


def rule_of(site: Site) -> Rule:
    """Return the rule of one operator; ModelError names an operator without bounds, and those that have them."""
    name = site.operator.name
    if name not in RULES:
        raise ModelError(f"{site.graph.name}: operator {site.operator.index} ({name}) has no bounds, so nothing can be "
                         f"certified; operators with bounds: {', '.join(sorted(RULES))}")
    try:
        return RULES[name](site)
    except ModelError as error:
        raise ModelError(f"{site.graph.name}: operator {site.operator.index} ({name}): {error}") from error


def rising(node: Node) -> Rule:
    """Return the rule of a node whose every output rises, or stays, with every input: its values at both ends."""

    def rule(boxes: Sequence[Box]) -> Box:
        return node.forward([low for low, _ in boxes])[0], node.forward([high for _, high in boxes])[0]

    return rule


def corners(node: Node) -> Rule:
    """Return the rule of a node that, in each input by itself, rises or falls: its extremes lie at corners."""

    def rule(boxes: Sequence[Box]) -> Box:
        found = [node.forward(corner)[0] for corner in product(*boxes)]
        return np.minimum.reduce(found), np.maximum.reduce(found)

    return rule


def need_no_wrap(largest: int, what: str, bits: int = 32) -> None:
    """Raise ModelError unless numbers up to ``largest`` fit ``bits`` with a sign: wrapping is not monotone."""
    if largest >= 1 << (bits - 1):
        raise ModelError(f"{what} may reach {largest}, beyond {bits} bits, where C wraps: no bounds hold; give its "
                         "output a larger scale")
