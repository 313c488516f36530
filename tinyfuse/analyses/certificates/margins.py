"""Which differences of output codes prove a class: more than every class before it, no less than every one after it.

A device answers the first of the largest output codes. Bounds are taken before a softmax at the end: it keeps the order
of codes but may round two of them to one, so that a class before the right one has to be a step behind that survives.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.core.errors import ModelError
from tinyfuse.integer.class_values import class_values, has_one_sigmoid
from tinyfuse.integer.operators.softmax import Softmax

_ROUNDING = 1.01  # steps of the output that two probabilities must differ by to be two codes; fixed point errs far less


@dataclass(frozen=True, eq=False)
class Margins:
    """Of the tensor ``logits`` with ``shape``: ``step`` codes are needed against a class that comes before."""

    logits: int
    shape: tuple[int, ...]
    step: int
    classes: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", int(np.prod(self.shape)))

    @classmethod
    def of(cls, target: TwinTarget) -> Margins:
        """Look at the end of a model; ModelError where no order of codes before it decides."""
        tensor = target.twin.graph.tensors[target.logit_tensor]
        if has_one_sigmoid(target.twin.graph):
            return SigmoidMargins.of(target)
        if int(np.prod(tensor.shape)) < 2:
            raise ModelError(f"{target.name} has one output that no sigmoid makes, which names no class: nothing can "
                             "be certified")
        return cls(target.logit_tensor, tensor.shape[1:], _step(target))

    def others(self, labels: np.ndarray) -> np.ndarray:
        """List the other classes int [n, classes - 1] of each label."""
        every = np.arange(self.classes - 1)[None, :]
        return np.asarray(every + (every >= labels[:, None]))

    def coefficients(self, labels: np.ndarray) -> np.ndarray:
        """Return float64 [n, classes - 1, *shape]: the code of the right class minus that of each other one."""
        rows = np.zeros((len(labels), self.classes - 1, self.classes))
        places = np.arange(len(labels))
        rows[places, :, labels] = 1.0
        np.put_along_axis(rows, self.others(labels)[:, :, None], -1.0, axis=2)
        return rows.reshape(len(labels), self.classes - 1, *self.shape)

    def needed(self, labels: np.ndarray) -> np.ndarray:
        """Return int [n, classes - 1]: by how many codes the right class must lead each other one."""
        return np.where(self.others(labels) < labels[:, None], self.step, 0)

    def by_box(self, low: np.ndarray, high: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Bound the differences [n, classes - 1] by the ends ``low`` and ``high`` [n, classes] of the codes."""
        own = np.take_along_axis(low, labels[:, None], axis=1)
        return np.asarray(own - np.take_along_axis(high, self.others(labels), axis=1))


@dataclass(frozen=True, eq=False)
class SigmoidMargins(Margins):
    """Of one sigmoid: the second of two classes is named from the code ``step`` of its logit on, else the first."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", 2)

    @classmethod
    def of(cls, target: TwinTarget) -> SigmoidMargins:
        """Find the code; ModelError where classes do not follow from the order of codes."""
        tensor = target.twin.graph.tensors[target.logit_tensor]
        limits = np.iinfo(tensor.dtype)
        codes = np.arange(int(limits.min), int(limits.max) + 1).reshape(-1, *tensor.shape[1:])
        values = class_values(target.twin.finish(codes.astype(tensor.dtype), target.logit_tensor), target.model)
        named = values.argmax(axis=1)
        if (np.diff(named) < 0).any():
            raise ModelError(f"{target.name}: its sigmoid does not keep the order of codes; nothing can be certified")
        return cls(target.logit_tensor, tensor.shape[1:], int(limits.max) + 1 - int(named.sum()))

    def coefficients(self, labels: np.ndarray) -> np.ndarray:
        return np.where(labels, 1.0, -1.0).reshape(-1, 1, *self.shape)

    def needed(self, labels: np.ndarray) -> np.ndarray:
        return np.where(labels, self.step, 1 - self.step)[:, None]

    def by_box(self, low: np.ndarray, high: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return np.where(labels[:, None], low, -high)


def _step(target: TwinTarget) -> int:
    """The codes between two logits that a softmax at the end keeps apart; 1 without one."""
    graph = target.twin.graph
    if target.logit_tensor == graph.outputs[0]:
        return 1
    at, *after = _ending(target)
    names = [target.twin.graph.operators[place].name for place in (at, *after)]
    node = target.twin.steps[at].node
    if not isinstance(node, Softmax) or {*names[1:]} - {"RESHAPE"}:
        raise ModelError(f"{target.name} ends in {', '.join(names)}; bounds are taken before one softmax: convert the "
                         "model without what comes after its logits")
    levels = {-128: 256.0, -32768: 65536.0}.get(node.low, 32768.0)
    if node.dtype == np.int16 and node.int16:
        levels = 32768.0
    exps = node.exps.astype(np.float64)
    if (np.diff(node.exps) > 0).any() or node.depth != int(np.prod(graph.tensors[target.logit_tensor].shape)):
        raise ModelError(f"{target.name}: the softmax at its end does not keep the order of its {node.depth} codes; "
                         "convert the model without it")
    apart = np.flatnonzero((1 - exps / exps[0]) / node.depth >= _ROUNDING / levels)
    # Where no difference survives the rounding, no class can be proved against one that comes before it.
    return int(apart[0]) if len(apart) else 1 << 20


def _ending(target: TwinTarget) -> list[int]:
    """The places of the operators that the output is made by from the logits on, whatever else reads these."""
    made = {step.output: place for place, step in enumerate(target.twin.steps)}
    found, index = list[int](), target.twin.graph.outputs[0]
    while index != target.logit_tensor:
        found.insert(0, made[index])
        index = target.twin.steps[found[0]].inputs[0]
    return found
