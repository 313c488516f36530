"""Random graphs behind edges and in batches: what the whole file gives in TFLite Micro beside what its core gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from graphs import SAMPLES, Case
from verdicts import Verdict

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.model import IntegerModel, load_model
from tinyfuse.integer.twin import Twin
from tinyfuse.tflite import editing, flatbuffer
from tinyfuse.tflite.edges import UINT8_OFFSET


def add_edge(model: Any, index: int, kind: str, *, entering: bool) -> int:
    """Put a tensor of ``kind`` (float32 or uint8) before the input or behind the output ``index``; return its index."""
    schema, graph = flatbuffer.schema(), model.subgraphs[0]
    inner, edge = graph.tensors[index], schema.TensorT()
    edge.name, edge.shape, edge.type = inner.name + b"/edge", inner.shape, getattr(schema.TensorType, kind.upper())
    edge.buffer = 0
    if kind == "uint8":
        editing.set_scale(edge, inner.quantization.scale, inner.quantization.zeroPoint + UINT8_OFFSET)
    graph.tensors.append(edge)
    operator, outer = schema.OperatorT(), len(graph.tensors) - 1
    operator.opcodeIndex = editing.operator_code(model, "QUANTIZE" if entering or kind == "uint8" else "DEQUANTIZE", 1)
    operator.inputs, operator.outputs = (np.array([one], np.int32) for one in ((outer, index) if entering else
                                                                               (index, outer)))
    graph.operators.insert(0 if entering else len(graph.operators), operator)
    return outer


def wrapped(data: bytes, rng: np.random.Generator, batch: int) -> bytes:
    """``data`` with edges of random kinds, ``batch`` samples and, sometimes, one name for all inputs."""
    model = flatbuffer.read(data, "graph")
    graph, int8 = model.subgraphs[0], flatbuffer.schema().TensorType.INT8
    for key, entering in (("inputs", True), ("outputs", False)):
        kinds = [str(rng.choice(["", "float32", "uint8"][:3 if graph.tensors[index].type == int8 else 2]))
                 for index in getattr(graph, key)]
        setattr(graph, key, np.array([add_edge(model, int(index), kind, entering=entering) if kind else int(index)
                                      for index, kind in zip(getattr(graph, key), kinds, strict=True)], np.int32))
    computed = {*map(int, graph.inputs), *(int(index) for one in graph.operators for index in one.outputs)}
    for index in computed:
        graph.tensors[index].shape = np.array([batch, *graph.tensors[index].shape[1:]], np.int32)
    if rng.random() < 0.2:
        for index in graph.inputs:
            graph.tensors[index].name = b"x"
    return flatbuffer.write(model)


def seen(model: IntegerModel, name: str, codes: np.ndarray) -> np.ndarray:
    """What the file itself has in the place of ``codes`` of an input or output."""
    port = next(one for one in (*model.inputs, *model.outputs) if one.name == name)
    edge = model.edges.get(name)
    if edge is None:
        return codes
    return (codes.astype(np.int32) + UINT8_OFFSET).astype(np.uint8) if edge.dtype == "uint8" else (
        port.grid.dequantise(codes))


def judge_whole(case: Case, batch: int) -> Verdict:
    """Compare the output of the twin of ``case``, wrapped, with that of TFLite Micro for the whole file."""
    from tflite_micro.python.tflite_micro import runtime

    try:
        plain = load_model(case.data)
        Twin(plain.graph)
        model = load_model(wrapped(case.data, np.random.default_rng(case.seed), batch))
        twin = Twin(model.graph)
    except ModelError as error:
        return Verdict(refused=str(error))
    if [port.shape for port in plain.inputs] != [port.shape for port in model.inputs] or len(model.file_inputs) < len(
            model.inputs):
        return Verdict(refused="one sample with one more axis, or states that the file does not take")
    codes = {port.name: values for port, values in zip(model.inputs, case.codes, strict=True)}
    output, compared, differing = model.outputs[0], 0, 0
    ours = seen(model, output.name, twin.run(codes))
    interpreter = runtime.Interpreter.from_bytes(model.source, arena_size=8 << 20)
    for start in range(0, SAMPLES - batch + 1, batch):
        interpreter.reset()
        for place, port in enumerate(model.inputs):
            interpreter.set_input(np.ascontiguousarray(
                seen(model, port.name, codes[port.name][start:start + batch])), place)
        interpreter.invoke()
        theirs, mine = np.array(interpreter.get_output(0)).ravel(), ours[start:start + batch].ravel()
        compared, differing = compared + mine.size, differing + int(np.sum(theirs != mine))
    return Verdict(compared, differing)
