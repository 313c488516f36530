"""Streaming models: variables become inputs and outputs, and step by step the codes are those of TFLite Micro."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emitted import COMPILER
from emitted import differing as differing_in_c
from one_operator import ARENA, Spec, Step, build

from tinyfuse.core.backend import stderr_silenced
from tinyfuse.core.errors import ModelError
from tinyfuse.integer.model import load_model
from tinyfuse.integer.twin import Twin
from tinyfuse.tflite import editing, flatbuffer

FRAME, HELD = 4, 6
RESOURCE = 13


def operator(model: Any, name: str, inputs: list[int], outputs: list[int], options: str = "", **values: object) -> Any:
    schema = flatbuffer.schema()
    found = schema.OperatorT()
    found.opcodeIndex = editing.operator_code(model, name, 1)
    found.inputs, found.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    if options:
        found.builtinOptions = getattr(schema, f"{options}T")()
        vars(found.builtinOptions).update(values)
        found.builtinOptionsType = getattr(schema.BuiltinOptions, options)
    return found


def handle(model: Any, graph: Any, name: bytes) -> tuple[int, Any]:
    """A tensor that refers to variable ``name``, and the operator that makes it."""
    tensor = flatbuffer.schema().TensorT()
    tensor.name, tensor.type, tensor.shape, tensor.buffer = name, RESOURCE, np.array([1], np.int32), 0
    graph.tensors.append(tensor)
    place = len(graph.tensors) - 1
    return place, operator(model, "VAR_HANDLE", [], [place], "VarHandleOptions", container=b"", sharedName=name)


def streaming(*, stored: int = 3) -> bytes:
    """Sums over the last ten codes, of which six are held as a variable; CALL_ONCE stores zeros first."""
    cuts = [Spec([2], np.int32, (), data=np.array(values)) for values in ([0, FRAME], [1, FRAME + HELD], [1, 1])]
    specs = [Spec([1, FRAME], name="frame"), Spec([1, HELD], name="held"), Spec([1, FRAME + HELD]), Spec([1, HELD]),
             Spec([1, 1], scale=[0.5]), *cuts, Spec([1], np.int32, (), data=np.array([1]))]
    steps = [Step("CONCATENATION", [1, 0], [2], "ConcatenationOptions", {"axis": 1}),
             Step("STRIDED_SLICE", [2, 5, 6, 7], [3], "StridedSliceOptions"),
             Step("SUM", [2, 8], [4], "ReducerOptions", {"keepDims": True})]
    model = flatbuffer.read(build(specs, steps, [0], [4]), "test")
    graph = model.subgraphs[0]
    place, made = handle(model, graph, b"memory")
    once = operator(model, "CALL_ONCE", [], [], "CallOnceOptions", initSubgraphIndex=1)
    graph.operators = [once, made, operator(model, "READ_VARIABLE", [place], [1]), *graph.operators,
                       operator(model, "ASSIGN_VARIABLE", [place, stored], [])]
    first = flatbuffer.read(build([Spec([1, HELD], data=np.zeros((1, HELD)))], [Step("ABS", [0], [0])], [], []),
                            "first").subgraphs[0]
    buffer = flatbuffer.schema().BufferT()
    buffer.data = np.zeros(HELD, np.uint8)
    model.buffers.append(buffer)
    first.tensors[0].buffer = len(model.buffers) - 1
    place, made = handle(model, first, b"memory")
    first.operators = [made, operator(model, "ASSIGN_VARIABLE", [place, 0], [])]
    model.subgraphs.append(first)
    return flatbuffer.write(model)


def test_step_by_step_it_computes_what_tflite_micro_computes() -> None:
    from tflite_micro.python.tflite_micro import runtime

    data = streaming()
    model = load_model(data, name="streaming")
    assert [port.name for port in model.inputs] == ["frame", "state_memory"]
    assert [port.name for port in model.outputs][1:] == ["next_memory"]
    twin = Twin(model.graph)
    with stderr_silenced():
        interpreter = runtime.Interpreter.from_bytes(data, arena_size=ARENA)
    state = np.zeros((1, HELD), np.int8)
    for frame in np.random.default_rng(0).integers(-128, 128, (5, 1, FRAME)).astype(np.int8):
        interpreter.set_input(frame, 0)
        interpreter.invoke()
        found = twin.tensors({"frame": frame, "state_memory": state})
        assert np.array_equal(found[model.graph.outputs[0]], interpreter.get_output(0))
        state = found[model.graph.outputs[1]]
    assert state.any()


@pytest.mark.skipif(not COMPILER, reason="no C compiler (gcc or cc) on PATH")
def test_the_firmware_has_the_state_in_the_open(tmp_path: Path) -> None:
    wrong = differing_in_c(load_model(streaming(), name="streaming"), "ram", tmp_path / "net")
    assert set(wrong.values()) == {0}, wrong


def test_state_that_nothing_computes_is_refused() -> None:
    with pytest.raises(ModelError, match="variable 'memory' stores what no operator computes"):
        load_model(streaming(stored=1), name="streaming")
