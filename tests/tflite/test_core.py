"""The integer core computes what TFLite Micro computes of the whole file: float and uint8 edges, batches, shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hostile import constant, edges_and_shapes
from one_operator import Spec, Step, build, tflm

from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.core.errors import ModelError, UsageError
from tinyfuse.integer.compare import compare
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import IntegerModel, load_model, random_codes
from tinyfuse.tflite import flatbuffer
from tinyfuse.tflite.edges import Edge

SAMPLES = 6
RNG = np.random.default_rng(5)
WEIGHTS = RNG.integers(-127, 128, (5, 24))
BIAS = RNG.integers(-900, 900, 5)
HIDDEN = [Spec((5, 24), scale=[0.01], data=WEIGHTS), Spec((5,), np.int32, [5e-4], data=BIAS)]


def real(*shape: int, name: str = "") -> Spec:
    return Spec(shape, np.float32, [], [], name=name)


def dense(rows: int = 1) -> tuple[list[Spec], Step]:
    """A layer from tensor 0 to 1 with weights in 2 and 3."""
    specs = [Spec((rows, 24), scale=[0.05], zero_point=[-4], name="x"), Spec((rows, 5), scale=[0.09], zero_point=[7])]
    return [*specs, *HIDDEN], Step("FULLY_CONNECTED", [0, 2, 3], [1], "FullyConnectedOptions")


def with_edges(kind: type) -> bytes:
    """QUANTIZE, a layer and DEQUANTIZE or QUANTIZE between values of ``kind``."""
    specs, step = dense()
    if kind == np.float32:
        edges, last = [real(1, 24, name="sound"), real(1, 5, name="scores")], "DEQUANTIZE"
    else:
        edges, last = [Spec((1, 24), kind, [0.05], [124], name="sound"), Spec((1, 5), kind, [0.09], [135])], "QUANTIZE"
        edges[1].name = "scores"
    return build([*specs, *edges], [Step("QUANTIZE", [4], [0]), step, Step(last, [1], [5])], [4], [5])


def signed(data: bytes, inputs: Sequence[tuple[str, int]], outputs: Sequence[tuple[str, int]]) -> bytes:
    """``data`` with a signature of these names and tensors."""
    model, schema = flatbuffer.read(data, "test"), flatbuffer.schema()
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    for entries, attribute in ((inputs, "inputs"), (outputs, "outputs")):
        found = []
        for name, index in entries:
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name.encode(), index
            found.append(entry)
        setattr(signature, attribute, found)
    model.signatureDefs = [signature]
    return flatbuffer.write(model)


def exact(model: IntegerModel) -> dict[str, np.ndarray]:
    """Random codes, on every tensor of which the twin and TFLite Micro agree."""
    codes = random_codes(model, SAMPLES, seed=3)
    (difference,) = compare(model, ["tflm", "twin"], codes).differences
    assert difference.values and not difference.differing, difference.text()
    return codes


@pytest.mark.parametrize("kind", [np.float32, np.uint8])
def test_edges_are_scales_of_the_integer_core(kind: type) -> None:
    """TFLite Micro runs the whole file on values, the twin its core on codes."""
    data = with_edges(kind)
    model = load_model(data)
    (entry,), (leaving,) = model.inputs, model.outputs
    assert (entry.name, entry.dtype, entry.zero_point, leaving.name) == ("sound", "int8", -4, "scores")
    unsigned = kind == np.uint8
    scale = float(np.float32(0.05))
    assert model.edges["sound"] == Edge(np.dtype(kind).name, scale, 124 if unsigned else -4)
    assert model.source == data != model.data and [one.name for one in model.graph.operators] == ["FULLY_CONNECTED"]
    codes = exact(model)
    given = ((codes["sound"].astype(np.int32) + 128).astype(np.uint8) if unsigned else
             entry.grid.dequantise(codes["sound"]))
    twin = open_executor(model, "twin").run(codes)
    for row, tensors in enumerate(tflm(data, [given])):
        expected = (tensors[5].astype(np.int32) - 128 if unsigned else
                    np.round(tensors[5] / np.float32(0.09)).astype(np.int32) + 7)
        assert np.array_equal(expected.ravel(), twin[row]) and np.array_equal(tensors[1].ravel(), twin[row])


@pytest.mark.parametrize("columns", [24, 23])
def test_two_weights_in_a_byte_are_unpacked(columns: int) -> None:
    weights = np.random.default_rng(4).integers(-8, 8, (5, columns))
    specs = [Spec((1, columns), scale=[0.05], zero_point=[-4], name="x"), Spec((1, 5), scale=[0.09], zero_point=[7]),
             Spec(weights.shape, scale=[0.02], data=weights, four_bits=True)]
    data = build(specs, [Step("FULLY_CONNECTED", [0, 2], [1], "FullyConnectedOptions")], [0], [1])
    model = load_model(data)
    assert np.array_equal(model.graph.tensors[2].data, weights)
    codes, twin = exact(model), open_executor(model, "twin")
    for row, tensors in enumerate(tflm(data, [codes["x"]])):
        assert np.array_equal(tensors[1].ravel(), twin.run(codes)[row])


def test_weights_in_half_a_byte_that_others_read_too_stay_packed() -> None:
    specs = [Spec((1, 4), scale=[0.05], name="x"), Spec((1, 4), scale=[0.09]),
             Spec((4, 4), scale=[0.02], data=np.zeros((4, 4), int), four_bits=True), Spec((4, 4), scale=[0.09])]
    data = build(specs, [Step("FULLY_CONNECTED", [0, 2], [1], "FullyConnectedOptions"),
                         Step("ADD", [1, 2], [3], "AddOptions")], [0], [3])
    with pytest.raises(ModelError, match="INT4"):
        load_model(data)


def test_weights_in_half_a_byte_with_several_scales_are_refused_as_tflite_micro_refuses_them() -> None:
    specs = [Spec((1, 4), scale=[0.05], name="x"), Spec((1, 4), scale=[0.09]),
             Spec((4, 4), scale=[0.02, 0.03, 0.04, 0.05], zero_point=[0] * 4, data=np.eye(4), four_bits=True)]
    data = build(specs, [Step("FULLY_CONNECTED", [0, 2], [1], "FullyConnectedOptions")], [0], [1])
    with pytest.raises(ModelError, match="INT4"):
        load_model(data)
    with pytest.raises(RuntimeError, match="allocate"):
        tflm(data, [np.zeros((1, 1, 4), np.int8)])


def test_truth_values_as_numbers_are_an_edge() -> None:
    """A CAST to float32 at the end changes nothing that is said."""
    specs, step = dense()
    specs += [Spec((1, 5), scale=[0.09], data=np.full((1, 5), 3, np.int8)), Spec((1, 5), np.bool_, [], []),
              real(1, 5, name="above")]
    model = load_model(build(specs, [step, Step("GREATER", [1, 4], [5]), Step("CAST", [5], [6], "CastOptions")],
                             [0], [6]))
    assert model.edges == {"above": Edge("float32", 1.0, 0)} and model.outputs[0].dtype == "bool"
    codes = exact(model)
    twin = open_executor(model, "twin").run(codes)
    for row, tensors in enumerate(tflm(model.source, [codes[model.inputs[0].name]])):
        assert np.array_equal(tensors[6].ravel(), twin[row])


def test_values_between_codes_are_rounded_as_the_edge_rounds_them() -> None:
    data = with_edges(np.float32)
    model, values = load_model(data), np.random.default_rng(1).uniform(-9, 9, (40, 24)).astype(np.float32)
    codes = model.codes_of({"sound": values})["sound"]
    assert all(np.array_equal(tensors[0].ravel(), codes[row]) for row, tensors in enumerate(tflm(data, [values])))


def test_a_float_model_is_attacked_through_its_core() -> None:
    model = load_model(with_edges(np.float32))
    codes = {name: value.astype(np.float32) for name, value in random_codes(model, 3, seed=0).items()}
    found = TwinTarget(model).gradient(codes, np.zeros(3, int), ("sound",))
    assert found.wrt["sound"].shape == (3, 24) and np.abs(found.wrt["sound"]).max() > 0


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_the_place_of_the_largest_code_is_an_edge(kind: type) -> None:
    specs, step = dense()
    specs += [constant(-1), Spec((1,), kind, [], [], name="class")]
    names = {np.int32: 2, np.int64: 4}
    largest = Step("ARG_MAX", [1, 4], [5], "ArgMaxOptions", {"outputType": names[kind]})
    data = build(specs, [step, largest], [0], [5])
    model = load_model(data)
    assert model.edges["class"].dtype == np.dtype(kind).name and model.output.shape == (1, 5)
    codes = exact(model)
    found = open_executor(model, "twin").run(codes).argmax(axis=1)
    assert kind == np.int64 or [int(row[5][0]) for row in tflm(data, [codes["x"]])] == found.tolist()


def test_one_input_behind_two_equal_edges() -> None:
    specs, step = dense()
    specs += [real(1, 24, name="sound"), Spec((1, 24), scale=[0.05], zero_point=[-4]), Spec((1, 24), scale=[0.1])]
    steps = [Step("QUANTIZE", [4], [0]), Step("QUANTIZE", [4], [5]), step, Step("ADD", [5, 0], [6], "AddOptions")]
    model = load_model(build(specs, steps, [4], [1, 6]), output="t1")
    exact(model)
    assert [operator.inputs[:2] for operator in model.graph.operators] == [(0, 2), (0, 0)]


def test_an_edge_with_another_grid_is_no_edge() -> None:
    specs, step = dense()
    specs.append(Spec((1, 24), np.uint8, [0.07], [124], name="sound"))
    with pytest.raises(ModelError, match="'sound' is uint8, as in models of TensorFlow 1"):
        load_model(build(specs, [Step("QUANTIZE", [4], [0]), step], [4], [1]))


def flatten(batch: int) -> bytes:
    """What Keras' Flatten of a batch of any size becomes, before a layer."""
    specs, step = dense(batch)
    specs += [Spec((batch, 2, 3, 4), scale=[0.05], zero_point=[-4], name="image"), constant([0]), constant([1]),
              constant([1]), constant(-1), Spec((4,), np.int32, [], []), Spec((), np.int32, [], []),
              Spec((2,), np.int32, [], [])]
    cut = {"shrinkAxisMask": 1}
    steps = [Step("SHAPE", [4], [9], "ShapeOptions"),
             Step("STRIDED_SLICE", [9, 5, 6, 7], [10], "StridedSliceOptions", cut),
             Step("PACK", [10, 8], [11], "PackOptions", {"valuesCount": 2}), Step("RESHAPE", [4, 11], [0]), step]
    return build(specs, steps, [4], [1])


def test_arithmetic_on_shapes_is_folded() -> None:
    model = load_model(flatten(1))
    assert [operator.name for operator in model.graph.operators] == ["RESHAPE", "FULLY_CONNECTED"]
    assert model.graph.tensors[11].data is not None and model.graph.tensors[11].data.tolist() == [1, -1]
    assert model.data is model.source
    exact(model)


@pytest.mark.parametrize("make", [dense, flatten])
def test_a_batch_is_one_sample_after_the_other(make: Callable[[int], Any]) -> None:
    made = make(3)
    data = made if isinstance(made, bytes) else build(*made[:1], [made[1]], [0], [1])
    model = load_model(data)
    assert model.inputs[0].shape[0] == 1 and model.file_inputs[0][1][0] == 3
    codes = exact(model)
    (values,) = codes.values()
    found = np.concatenate([_whole(data, values[start:start + 3]) for start in range(0, SAMPLES, 3)])
    assert np.array_equal(found, open_executor(model, "twin").run(codes))


def test_a_batch_through_slice() -> None:
    """SLICE says how many samples it keeps."""
    specs = [Spec((3, 4, 5), scale=[0.1], name="x"), constant([0, 1, 0]), constant([3, 2, -1]),
             Spec((3, 2, 5), scale=[0.1])]
    data = build(specs, [Step("SLICE", [0, 1, 2], [3])], [0], [3])
    (values,) = exact(load_model(data)).values()
    found = np.concatenate([_whole(data, values[start:start + 3]) for start in range(0, SAMPLES, 3)])
    assert np.array_equal(found, open_executor(load_model(data), "twin").run({"x": values}).reshape(found.shape))


def _whole(data: bytes, batch: np.ndarray) -> np.ndarray:
    """The output of TFLite Micro for one batch."""
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(data)
    interpreter.set_input(batch, 0)
    interpreter.invoke()
    return np.array(interpreter.get_output(0))


def test_everything_that_is_taken_out_at_once() -> None:
    """Edges, a batch, arithmetic on shapes, SPLIT, EXPAND_DIMS and SQUEEZE."""
    model = load_model(edges_and_shapes())
    assert [one.name for one in model.graph.operators] == [
        "RESHAPE", "STRIDED_SLICE", "STRIDED_SLICE", "RESHAPE", "RESHAPE", "ADD", "FULLY_CONNECTED"]
    codes = exact(model)
    values = model.inputs[0].grid.dequantise(codes["image"])
    whole = np.concatenate([_whole(model.source, values[start:start + 3]) for start in range(0, SAMPLES, 3)])
    assert np.array_equal(whole.astype(int) - 128, open_executor(model, "twin").run(codes))


@pytest.mark.parametrize("step, outputs", [
    (Step("SPLIT", [1, 0], [2, 3], "SplitOptions", {"numSplits": 2}), [(1, 3, 2, 2), (1, 3, 2, 2)]),
    (Step("SPLIT_V", [0, 4, 1], [2, 3], "SplitVOptions", {"numSplits": 2}), [(1, 3, 1, 2), (1, 3, 3, 2)]),
    (Step("UNPACK", [0], [2, 3], "UnpackOptions", {"num": 2, "axis": 3}), [(1, 3, 4), (1, 3, 4)])])
def test_operators_with_several_outputs(step: Step, outputs: Sequence[tuple[int, ...]]) -> None:
    both = [Spec(shape, scale=[0.1], name=name) for name, shape in zip("ab", outputs, strict=True)]
    specs = [Spec((1, 3, 4, 2), scale=[0.1], name="x"), constant(2), *both, constant([1, -1])]
    model = load_model(build(specs, [step], [0], [2, 3]), output="b")
    assert [port.name for port in model.outputs] == ["b", "a"] and model.output.name == "b"
    exact(model)
    with pytest.raises(UsageError, match=r"has the outputs a, b; say which one names the class \(--output NAME\)"):
        load_model(model.source).output  # noqa: B018
    with pytest.raises(UsageError, match="has no output 'c'; it has a, b"):
        load_model(model.source, output="c")


@pytest.mark.parametrize("axis, sizes, match", [
    (1, [1, 1], "do not make up axis 1"), (7, [2, 2], "do not make up axis 7"), (2, [4, 0], "each must be at least 1")])
def test_a_split_that_does_not_add_up(axis: int, sizes: list[int], match: str) -> None:
    specs = [Spec((1, 3, 4, 2), scale=[0.1], name="x"), constant(axis), Spec((1, 3, 2, 2), scale=[0.1], name="a"),
             Spec((1, 3, 2, 2), scale=[0.1], name="b"), constant(sizes)]
    with pytest.raises(ModelError, match=rf"operator 0 \(SPLIT_V\): .*{match}"):
        load_model(build(specs, [Step("SPLIT_V", [0, 4, 1], [2, 3], "SplitVOptions", {"numSplits": 2})], [0], [2, 3]))


def test_tensors_without_a_batch_get_one() -> None:
    """What layers over time make: frames in the first axis between two reshapes, and as an input."""
    specs, step = dense(7)
    specs += [Spec((1, 7, 24), scale=[0.05], zero_point=[-4]), constant([1, 7, 24]), constant([7, 24]),
              Spec((7, 24), scale=[0.05], zero_point=[-4], name="frames"),
              Spec((1, 7, 5), scale=[0.09], zero_point=[7]), constant([1, 7, 5])]
    steps = [Step("RESHAPE", [7, 5], [4]), Step("RESHAPE", [4, 6], [0]), step, Step("RESHAPE", [1, 9], [8])]
    data = build(specs, steps, [7], [8])
    model = load_model(data)
    assert model.inputs[0].shape == (1, 7, 24) and model.graph.tensors[1].shape == (1, 7, 5)
    (values,) = exact(model).values()
    whole = np.stack([_whole(data, one) for one in values])
    assert np.array_equal(whole.ravel(), open_executor(model, "twin").run({"frames": values}).ravel())


def test_a_first_axis_that_mixes_samples_is_refused() -> None:
    specs = [Spec((4, 4, 2), scale=[0.1], name="x"), constant([1, 0, 2]), Spec((4, 4, 2), scale=[0.1])]
    with pytest.raises(ModelError, match=r"its input 'x' has shape \[4, 4, 2\], whose first axis cannot be taken"):
        load_model(build(specs, [Step("TRANSPOSE", [0, 1], [2])], [0], [2]))


def test_names_are_those_of_the_signature() -> None:
    specs, step = dense()
    data = build(specs, [step], [0], [1])
    assert [one.name for one in load_model(data).inputs] == ["x"]
    named = load_model(signed(data, [("image", 0)], [("digit", 1)]))
    assert (named.inputs[0].name, named.output.name) == ("image", "digit") and named.data is named.source


@pytest.mark.parametrize("given, names", [
    ([b"serving_default_camera:0", b"serving_default_mfcc"], ["camera", "mfcc"]), ([b"", b""], ["input_0", "input_1"]),
    ([b"x", b""], ["x", "input_1"]), ([b"a" * 70 + b"1" + b"b" * 60, b"a" * 70 + b"2" + b"b" * 60],
                                      ["a" * 70 + "1" + "b" * 60, "a" * 70 + "2" + "b" * 60])])
def test_names_without_a_signature(given: list[bytes], names: list[str]) -> None:
    model = flatbuffer.read(build([Spec((1, 4), scale=[0.1]), Spec((1, 4), scale=[0.1]), Spec((1, 4), scale=[0.1])],
                                  [Step("ADD", [0, 1], [2], "AddOptions")], [0, 1], [2]), "test")
    for tensor, name in zip(model.subgraphs[0].tensors, [*given, b"StatefulPartitionedCall:0"], strict=True):
        tensor.name = name
    found = load_model(flatbuffer.write(model))
    assert [port.name for port in found.inputs] == names and found.output.name == "output"
    codes = exact(found)
    assert set(codes) == set(names)


def test_one_input_needs_no_name_and_those_of_one_name_go_by_position() -> None:
    specs, step = dense()
    model = flatbuffer.read(build(specs, [step], [0], [1]), "test")
    model.subgraphs[0].tensors[0].name = None
    assert load_model(flatbuffer.write(model)).inputs[0].name == "input"
    specs = [Spec((1, 4), scale=[0.1], name=name) for name in ("x", "x_1", "x")] + [Spec((1, 4), scale=[0.1])] * 2
    found = load_model(build(specs, [Step("ADD", [0, 1], [3], "AddOptions"), Step("ADD", [3, 2], [4], "AddOptions")],
                             [0, 1, 2], [4]))
    assert [port.name for port in found.inputs] == ["x_0", "x_1", "x_2"]
    assert set(exact(found)) == {"x_0", "x_1", "x_2"}


def test_what_no_kernel_reads_is_not_judged() -> None:
    """TFLite Micro's own person_detect has biases with an axis that they do not have."""
    kernel = RNG.integers(-9, 9, (1, 3, 3, 4))
    specs = [Spec((1, 6, 6, 4), scale=[0.1], name="x"), Spec(kernel.shape, scale=[0.01] * 4, zero_point=[0] * 4, axis=3,
                                                             data=kernel),
             Spec((4,), np.int32, [1e-3] * 4, [0] * 4, axis=3, data=np.arange(4)), Spec((1, 6, 6, 4), scale=[0.2])]
    slide = {"strideH": 1, "strideW": 1, "depthMultiplier": 1}
    step = Step("DEPTHWISE_CONV_2D", [0, 1, 2], [3], "DepthwiseConv2DOptions", slide)
    model = load_model(build(specs, [step], [0], [3]))
    codes = exact(model)
    assert not compare(model, ["litert-reference", "twin"], codes).differences[0].differing  # which reads the axis
    specs[2] = Spec((4,), np.int32, [1e-3, 0.0, -1.0], [1 << 40] * 3, data=np.arange(4))
    exact(load_model(build(specs, [step], [0], [3])))


def test_unsupported_operators_are_named_first() -> None:
    """Before tensors that have no elements, or are not there at all; a variable that nothing reads is no reason."""
    x, y = Spec((1, 4), scale=[0.1], name="x"), Spec((1, 4), scale=[0.1], name="y")
    model = flatbuffer.read(build([x, y, Spec((0,)), Spec((1,), np.int32, [], [])],
                                  [Step("VAR_HANDLE", [], [3], "VarHandleOptions", {"sharedName": b"state"}),
                                   Step("RNN", [0, 2], [1], "RNNOptions")], [0], [1]), "test")
    model.subgraphs[0].tensors[3].type = 13
    with pytest.raises(ModelError, match=r"^file: operator 0 \(RNN\) is not supported; build the network "
                                         "without, from what `tinyfuse ls operators` lists"):
        load_model(flatbuffer.write(model), name="file")


def test_a_batch_of_any_size_that_cannot_be_folded_is_named() -> None:
    model = flatbuffer.read(flatten(1), "test")
    for code in model.operatorCodes:
        if code.builtinCode == flatbuffer.schema().BuiltinOperator.RESHAPE:
            code.builtinCode = code.deprecatedBuiltinCode = flatbuffer.schema().BuiltinOperator.TILE
    with pytest.raises(ModelError, match=r"operator 3 \(TILE\) is not supported; give its inputs the batch size 1"):
        load_model(flatbuffer.write(model))


def test_messages_name_file_operator_and_tensor() -> None:
    specs, step = dense()
    step.values = {"fusedActivationFunction": 4}
    with pytest.raises(ModelError, match=r"^file: operator 0 \(FULLY_CONNECTED\): .t1.: the fused activation TANH"):
        exact(load_model(build(specs, [step], [0], [1]), name="file"))


def test_other_subgraphs_are_left_alone() -> None:
    specs, step = dense()
    model = flatbuffer.read(build(specs, [step], [0], [1]), "test")
    model.subgraphs.append(flatbuffer.read(flatten(1), "other").subgraphs[0])
    for tensor in model.subgraphs[1].tensors:
        tensor.buffer = 0
    exact(load_model(flatbuffer.write(model)))
