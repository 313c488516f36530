"""Variables of a streaming model as inputs and outputs: state that comes in, and goes out as the next inference has it.

TFLite Micro keeps variables between inferences, so that its codes depend on what ran before. With the state in the open
a model is a function again: READ_VARIABLE becomes an input, what ASSIGN_VARIABLE stores an output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.tflite import flatbuffer
from tinyfuse.tflite.names import display, printable

_HANDLE, _READ, _ASSIGN, _ONCE = "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"
VARIABLES = (_HANDLE, _READ, _ASSIGN, _ONCE)
"""Operators that are gone afterwards; CALL_ONCE stores the values that variables have at first."""


def expose_state(model: Any) -> tuple[str, ...]:
    """Take the variables out of the object tree ``model``, in place; return the names of the operators that are gone.

    Variable NAME becomes the input ``state_NAME`` where it is read before it is stored, and the output ``next_NAME``
    where it is stored. Raises :class:`ModelError` for a variable that nothing names, or for state that no operator
    computes.
    """
    raw = model.subgraphs[0]
    if any(operator.opcodeIndex >= len(model.operatorCodes) for operator in raw.operators):
        return ()
    names = [flatbuffer.operator_name(model, operator) for operator in raw.operators]
    gone = tuple(name for name in names if name in VARIABLES)
    if gone:
        found = _State(raw)
        for operator, name in zip(raw.operators, names, strict=True):
            found.meet(operator, name)
        raw.operators = [operator for operator, name in zip(raw.operators, names, strict=True)
                         if name not in VARIABLES]
        found.show()
    return gone


class _State:
    """The variables of one subgraph while its operators are met in their order."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.names: dict[int, str] = {}  # of variables, by the tensor that refers to one
        self.first: dict[str, int] = {}  # what a variable holds at the beginning,
        self.now: dict[str, int] = {}  # and after the operators so far
        self.stored: dict[str, int] = {}
        self.same: dict[int, int] = {}  # tensors that hold what another one does
        self.made: set[int] = set()

    def meet(self, operator: Any, name: str) -> None:
        """Follow one operator."""
        inputs, outputs = _indices(operator.inputs), _indices(operator.outputs)
        if name == _HANDLE:
            options = operator.builtinOptions
            for index in outputs:
                self.names[index] = printable(getattr(options, "sharedName", None)) or f"variable_{index}"
        elif name == _READ:
            variable = self._variable(inputs)
            for index in outputs:
                if variable in self.now:
                    self.same[index] = self.now[variable]
                else:
                    self.first[variable] = self.now[variable] = index
        elif name == _ASSIGN and len(inputs) > 1:
            self.stored[self._variable(inputs)] = self.now[self._variable(inputs)] = self.same.get(inputs[1], inputs[1])
        elif name not in VARIABLES:
            operator.inputs = np.array([self.same.get(index, index) for index in inputs], np.int32)
            self.made.update(outputs)

    def _variable(self, inputs: Sequence[int]) -> str:
        if not inputs or inputs[0] not in self.names:
            raise ModelError("an operator reads or stores a variable that no VAR_HANDLE names; convert the model again")
        return self.names[inputs[0]]

    def show(self) -> None:
        """Add the inputs and outputs to the subgraph."""
        inputs, outputs = list(_indices(self.raw.inputs)), list(_indices(self.raw.outputs))
        outputs = [self.same.get(index, index) for index in outputs]
        for variable, index in self.first.items():
            self._call(index, f"state_{variable}")
            inputs.append(index)
        for variable, index in self.stored.items():
            if index not in self.made:
                raise ModelError(f"variable '{display(variable)}' stores what no operator computes; leave it out of "
                                 "the network")
            if index not in outputs:
                self._call(index, f"next_{variable}")
                outputs.append(index)
        self.raw.inputs, self.raw.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)

    def _call(self, index: int, name: str) -> None:
        if 0 <= index < len(self.raw.tensors):
            self.raw.tensors[index].name = name.encode()


def _indices(values: Any) -> tuple[int, ...]:
    return () if values is None else tuple(map(int, values))
