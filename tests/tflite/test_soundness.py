"""What no executor can run is refused when the graph is read, in one line that names the place."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hostile import constant, fusion
from one_operator import Spec, Step, build
from verdicts import judge

from tinyfuse.core.errors import ModelError
from tinyfuse.tflite import flatbuffer
from tinyfuse.tflite.reading import MAX_OPERATORS, MAX_TENSORS, read_graph

Edit = Callable[[Any, Any], object]


def refused(edit: Edit, match: str) -> None:
    """``edit(model, graph)`` makes the base a file that is refused with ``match``."""
    model = flatbuffer.read(fusion(), "base")
    edit(model, model.subgraphs[0])
    data = flatbuffer.write(model)
    with pytest.raises(ModelError, match=match) as caught:
        read_graph(data, "file")
    assert str(caught.value).startswith("file: ") and str(caught.value).isprintable()


def put(path: str, value: Any) -> Edit:
    """Set the field at ``path`` below the graph, for example ``tensors.0.shape``."""
    *way, last = path.split(".")

    def edit(model: Any, graph: Any) -> None:
        owner = graph
        for key in way:
            owner = owner[int(key)] if key.isdigit() else getattr(owner, key)
        setattr(owner, last, value)

    return edit


def ints(*values: int, dtype: type = np.int32) -> np.ndarray:
    return np.array(values, dtype)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def external(model: Any, graph: Any) -> None:
    buffer = model.buffers[graph.tensors[3].buffer]
    buffer.data, buffer.offset, buffer.size = None, 4096, 108


def short_bias(model: Any, graph: Any) -> None:
    model.buffers[graph.tensors[4].buffer].data = np.zeros(15, np.uint8)


def custom(model: Any, graph: Any) -> None:
    code = model.operatorCodes[graph.operators[2].opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = 32
    code.customCode = b"Evil\nOp"


def sparse(model: Any, graph: Any) -> None:
    graph.tensors[3].sparsity = flatbuffer.schema().SparsityParametersT()


def add_many(key: str, count: int) -> Edit:
    return lambda model, graph: setattr(graph, key, getattr(graph, key) * count)


def both(*edits: Edit) -> Edit:
    return lambda model, graph: [edit(model, graph) for edit in edits]


HOSTILE: list[tuple[Edit, str]] = [
    (lambda model, graph: model.subgraphs.clear(), "without subgraphs"),
    (lambda model, graph: setattr(model, "version", 2), "of version 2, but only version 3"),
    (lambda model, graph: setattr(model, "operatorCodes", None), "without operator codes"),
    (put("tensors", None), "without tensors"),
    (put("operators", []), "without operators"),
    (put("inputs", None), "0 inputs and 1 outputs"),
    (put("outputs", ints()), "2 inputs and 0 outputs"),
    (put("inputs", ints(0, 99)), "refers to tensor 99, but there are 14"),
    (put("inputs", ints(0, -1)), "refers to tensor -1, but there are 14"),
    (put("inputs", ints(0, 1, 3)), "has shape|is a constant"),
    (put("tensors.1.shape", ints(8, 6, 6, 1)), "its input 'audio' has shape .8, 6, 6, 1.*cannot be taken for a batch"),
    (put("tensors.1.shape", ints(1, 0, 6, 1)), "'audio' has shape .1, 0, 6, 1.; allowed are at most 6 axes"),
    (put("tensors.1.shape", ints(1, -6, 6, 1)), "'audio' has shape .1, -6, 6, 1.; allowed are at most 6 axes"),
    (put("tensors.1.shape", ints(1, 1, 1, 1, 1, 1, 1)), "at most 6 axes"),
    (put("tensors.1.shape", ints(1, 65536, 65536)), "and 16777216 elements"),
    (put("tensors.5.shape", None), r"'t5' of operator 1 \(CONV_2D\) has no axes"),
    (both(*(put(f"tensors.{i}.shape", ints(1, 4096, 4096)) for i in range(10)),
          *(put(f"tensors.{i}.buffer", 0) for i in range(10))), "its tensors need more than 134217728 bytes"),
    (put("tensors.1.type", 17), r"operator 0 \(CONCATENATION\): tensor 'audio' has type INT4; supported are"),
    (put("tensors.1.type", 3), "'audio' is uint8, as in models of TensorFlow 1.*convert the float network again"),
    (put("tensors.1.type", 1), "'audio' is float16; supported are int8"),
    (put("tensors.1.type", 99), "'audio' has type number 99"),
    (put("tensors.3.isVariable", True), "'t3' is a variable, but not the state of one operator alone"),
    (put("tensors.1.externalBuffer", 1), "'audio' is stored elsewhere; convert"),
    (sparse, "'t3' is sparse; convert"),
    (external, "'t3' lies behind the flatbuffer"),
    (short_bias, r"'t4' holds 15 bytes, but int32 \[4\] needs 16"),
    (put("tensors.4.buffer", 77), "'t4' refers to buffer 77"),
    (put("tensors.5.quantization", None), r"'t5' int8\[1, 3, 3, 4\] has 0 scales and 0 zero points"),
    (put("tensors.5.quantization.scale", None), "has 0 scales and 1 zero points"),
    (put("tensors.5.quantization.zeroPoint", None), "has 1 scales and 0 zero points"),
    (both(put("tensors.5.quantization.quantizedDimension", 3),
          put("tensors.5.quantization.scale", floats(1, 1, 1, 1)),
          put("tensors.5.quantization.zeroPoint", ints(0, 0, 0, 0, dtype=np.int64))),
     "has 4 scales .* expected are 1 of each"),
    (put("tensors.3.quantization.quantizedDimension", 1), "has 4 scales .* along axis 1; expected are 1 or 3 of each"),
    (put("tensors.3.quantization.quantizedDimension", -3), "has 4 scales .* along axis -3; expected are 1 of each"),
    (put("tensors.3.quantization", None), "'t3' .* has 0 scales"),
    *((put("tensors.5.quantization.scale", floats(value)), f"'t5' has a scale of {value}; scales must be positive")
      for value in (0.0, -1.0, float("inf"), float("nan"))),
    (put("tensors.5.quantization.scale", floats(1e-30)), r"'t5' of operator 1 \(CONV_2D\) has scale 1.0.*e-30; at"),
    (put("tensors.5.quantization.zeroPoint", ints(128, dtype=np.int64)), "a zero point outside int8, -128 to 127"),
    (put("operators.0.inputs", ints(0, 99)), r"operator 0 \(CONCATENATION\) refers to tensor 99"),
    (put("operators.0.inputs", ints(0, -7)), r"operator 0 \(CONCATENATION\) refers to tensor -7"),
    (put("operators.0.inputs", ints(0, -1)), r"operator 0 \(CONCATENATION\): its input 1 is missing"),
    (put("operators.0.inputs", None), "0 inputs, but it takes 1 to"),
    (put("operators.1.inputs", ints(2, -1, 4)), r"operator 1 \(CONV_2D\): its input 1 is missing"),
    (put("operators.2.inputs", ints(5, 5, 5)), r"operator 2 \(ADD\): 3 inputs, but it takes 2"),
    (put("operators.0.inputs", ints(0, 5)), r"operator 0 \(CONCATENATION\) reads 't5' before anything computes it"),
    (put("operators.2.inputs", ints(5, 6)), r"operator 2 \(ADD\) reads 't6' before"),
    (lambda model, graph: graph.operators.reverse(), "reads 't12' before anything computes it"),
    (put("operators.2.outputs", ints(5)), r"operator 2 \(ADD\) writes 't5', which is an input, a constant or computed"),
    (put("operators.2.outputs", ints(3)), "writes 't3', which is"),
    (put("operators.2.outputs", ints(0)), "writes 'image', which is"),
    (put("operators.2.outputs", ints(-1)), r"operator 2 \(ADD\) refers to tensor -1"),
    (put("operators.2.outputs", ints(6, 6)), "writes 't6', which is"),
    (both(add_many("tensors", 2), put("operators.2.outputs", ints(6, 20))),
     r"operator 2 \(ADD\): 2 outputs, but exactly one is supported"),
    (put("operators.2.outputs", None), r"operator 2 \(ADD\) has 0 outputs"),
    (lambda model, graph: graph.operators.pop(), "no operator computes its output 'out'"),
    (put("outputs", ints(0)), "no operator computes its output 'image'"),
    (put("outputs", ints(10)), "no operator computes its output 't10'"),
    (custom, r"operator 2 is the custom operator 'Evil\?Op'; only builtin operators"),
    (put("operators.2.opcodeIndex", 55), "operator 2 has code 55, but the file has 7"),
    (lambda model, graph: setattr(model.operatorCodes[1], "version", 0), r"\(CONV_2D\) has version 0; 1 to 32"),
    (put("operators.1.builtinOptions.padding", 9), "option padding is 9, which the schema does not know"),
    (put("operators.2.builtinOptions.fusedActivationFunction", -5), "option fused_activation_function is -5"),
    (put("operators.5.builtinOptions.weightsFormat", 1), "option weights_format is SHUFFLED4x16INT8"),
    (put("operators.1.builtinOptions.strideH", 0), "option stride_h is 0; 1 to 4096"),
    (put("operators.1.builtinOptions.dilationWFactor", 2**31 - 1), "option dilation_w_factor is 2147483647"),
    (both(put("operators.1.builtinOptions", None), put("operators.1.builtinOptionsType", 0)),
     "option stride_w is 0; 1 to 4096 is allowed"),
    (put("operators.1.builtinOptionsType", 11), "AddOptions, but it needs Conv2DOptions"),
    (both(put("operators.6.builtinOptions2", None), put("operators.6.builtinOptions2Type", 3)), "StableHLO options"),
    (add_many("tensors", MAX_TENSORS // 14 + 1), f"tensors, but at most {MAX_TENSORS} are read"),
    (add_many("operators", MAX_OPERATORS // 7 + 1), f"operators, but at most {MAX_OPERATORS} are read")]


@pytest.mark.parametrize(("edit", "match"), HOSTILE, ids=[re.sub(r"\W+", "-", match)[:40] for _, match in HOSTILE])
def test_what_no_executor_can_run_is_refused(edit: Edit, match: str) -> None:
    refused(edit, match)


def test_what_stays_allowed() -> None:
    model = flatbuffer.read(fusion(), "base")
    graph = model.subgraphs[0]
    graph.tensors[0].shapeSignature = np.array([-1, 6, -1, 2], np.int32)  # TFLite Micro takes the shape
    graph.tensors[0].isVariable = graph.tensors[5].isVariable = True  # given and computed all the same
    graph.tensors[3].quantization.zeroPoint = np.zeros(1, np.int64)  # one for four scales
    graph.operators[2].builtinOptions, graph.operators[2].builtinOptionsType = None, 0  # of ADD: all are 0
    graph.operators[1].inputs = np.array([2, 3, -1], np.int32)  # no bias
    graph.tensors[13].quantization.details = None
    graph.tensors[0].name = ("ä" * 80).encode()
    data = flatbuffer.write(model)
    verdict, found = judge(data), read_graph(data, "file")
    assert verdict.values and not verdict.wrong, verdict
    assert found.operators[1].inputs == (2, 3, -1) and found.tensors[0].name == "ä" * 29 + "…" + "ä" * 30


def test_float_models_are_told_from_models_that_only_pass_floats_on() -> None:
    real = [Spec((1, 6), np.float32, [], [], name="x"), Spec((1, 6), np.float32, [], []), constant([1, 6])]
    assert read_graph(build(real, [Step("RESHAPE", [0, 2], [1])], [0], [1]), "file").operators[0].name == "RESHAPE"
    with pytest.raises(ModelError, match="it is a float model; convert it to int8"):
        read_graph(build(real, [Step("ADD", [0, 0], [1], "AddOptions")], [0], [1]), "file")
