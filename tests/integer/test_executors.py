"""Models and executors bind inputs by name, refuse what they cannot run in one line, and report TFLM's RAM."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_operator import Spec, Step, build

from tinyfuse.core.errors import InputsError, ModelError, TinyfuseError, UsageError
from tinyfuse.data import Dataset
from tinyfuse.integer.arena import tflm_arena_bytes
from tinyfuse.integer.compare import compare_model
from tinyfuse.integer.executors import EXECUTORS, open_executor
from tinyfuse.integer.executors.worker import works_in_arena
from tinyfuse.integer.model import dequantize, load_model, random_codes
from tinyfuse.nn.network import Network
from tinyfuse.quantize.convert import Baseline, convert
from tinyfuse.quantize.recipe import read_recipe
from tinyfuse.tflite import flatbuffer

Lively = Callable[[str], tuple[Network, Baseline]]


@pytest.fixture(scope="module")
def early(lively: Lively) -> bytes:
    return convert(lively("early")[1], read_recipe("w8")).data


def swapped_inputs(data: bytes) -> bytes:
    model = flatbuffer.read(data, "early")
    model.subgraphs[0].inputs = model.subgraphs[0].inputs[::-1].copy()
    return flatbuffer.write(model)


def logits_of(data: bytes, executor: str, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    model = load_model(data)
    return dequantize(open_executor(model, executor).run(model.codes_of(inputs)), model.output)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_inputs_are_bound_by_name_not_by_position(early: bytes, executor: str, tiny_dataset: Dataset) -> None:
    inputs = tiny_dataset.test.balanced(5, seed=0).inputs
    straight = logits_of(early, executor, inputs)
    assert np.array_equal(straight, logits_of(swapped_inputs(early), executor, inputs))
    crossed = {"image": inputs["audio"], "audio": inputs["image"]}
    assert not np.array_equal(straight, logits_of(early, executor, crossed))


def test_a_result_does_not_depend_on_its_neighbours(early: bytes, tiny_dataset: Dataset) -> None:
    inputs = tiny_dataset.test.balanced(6, seed=0).inputs
    together = logits_of(early, "tflm", inputs)
    alone = [logits_of(early, "tflm", {name: value[row:row + 1] for name, value in inputs.items()})[0]
             for row in range(6)]
    assert np.array_equal(together, np.stack(alone))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_no_samples_and_samples_counted(early: bytes, executor: str) -> None:
    opened, counted = open_executor(load_model(early), executor), []
    codes = {name: np.zeros((3, 28, 28, 1), np.int8) for name in ("audio", "image", "other")}
    assert opened.run(codes, tick=lambda: counted.append(1)).shape == (3, 10) and len(counted) == 3
    assert opened.run({name: values[:0] for name, values in codes.items()}).shape == (0, 10)
    with pytest.raises(UsageError, match=r"hold \d and \d samples"):
        opened.run(codes | {"audio": codes["audio"][:2]})


def test_codes_of_other_inputs_are_refused(early: bytes) -> None:
    model = load_model(early)
    with pytest.raises(InputsError) as error:
        model.codes_of({"camera": np.zeros((2, 4, 4, 3)), "audio": np.zeros((2, 28, 28, 1))})
    said = str(error.value)
    assert "'image' [28, 28, 1]" in said and "they have 'camera' [4, 4, 3] and 'audio'" in said
    assert "rename" not in said


def per_channel() -> bytes:
    """FULLY_CONNECTED with a scale for each channel: the smallest models need most beside their tensors."""
    specs = [Spec((1, 8)), Spec((4, 8), scale=[0.1, 0.2, 0.3, 0.4], zero_point=[0] * 4, data=np.ones((4, 8))),
             Spec((4,), np.int32, [0.1, 0.2, 0.3, 0.4], [0] * 4, data=np.arange(4)), Spec((1, 4))]
    return build(specs, [Step("FULLY_CONNECTED", [0, 1, 2], [3], "FullyConnectedOptions")], [0], [3])


def softmax_int16() -> bytes:
    specs = [Spec((1, 8), np.int16, [0.001]), Spec((1, 8), np.int16, [1 / 32768])]
    return build(specs, [Step("SOFTMAX", [0], [1], "SoftmaxOptions", {"beta": 1.0})], [0], [1])


@pytest.mark.parametrize("name", ["early", "per_channel", "softmax_int16"])
def test_arena_is_the_smallest_in_which_tflm_works(name: str, early: bytes) -> None:
    model = load_model({"early": early, "per_channel": per_channel(), "softmax_int16": softmax_int16()}[name])
    needed, inputs = tflm_arena_bytes(model), [(port.dtype, port.shape) for port in model.inputs]
    assert works_in_arena(model.data, needed, inputs) and not works_in_arena(model.data, needed - 64, inputs)
    assert name != "early" or 30_000 < needed < 60_000


def without_bias() -> bytes:
    """A sound DEPTHWISE_CONV_2D that ends the process of LiteRT's XNNPACK."""
    specs = [Spec((1, 2, 6, 2), scale=[0.5]), Spec((1, 1, 2, 4), scale=[0.01] * 4, zero_point=[0] * 4, axis=3,
                                                  data=np.ones((1, 1, 2, 4))), Spec((1, 2, 5, 4), scale=[0.5])]
    return build(specs, [Step("DEPTHWISE_CONV_2D", [0, 1], [2], "DepthwiseConv2DOptions",
                              {"strideH": 1, "strideW": 1, "depthMultiplier": 2, "padding": 1})], [0], [2])


def test_a_crash_of_an_interpreter_is_one_line_and_others_go_on(early: bytes) -> None:
    model, other = load_model(without_bias(), name="net"), load_model(early)
    codes = {name: np.zeros((2, 28, 28, 1), np.int8) for name in ("audio", "image")}
    before = open_executor(other, "litert")
    expected = before.run(codes)
    with pytest.raises(ModelError, match=r"^net: litert cannot run it \(its process was ended by SIG"):
        open_executor(model, "litert").run(random_codes(model, 2, seed=0))
    assert np.array_equal(before.run(codes), expected)
    found = compare_model(model, None, None, samples=2, seed=0)
    assert [*found.outputs] == ["tflm", "twin", "litert-reference"] and "litert cannot run it" in found.text()
    with pytest.raises(ModelError, match="net: litert cannot run it"):
        compare_model(model, ["twin", "litert"], None, samples=2, seed=0)
    assert not compare_model(model, ["twin", "tflm"], None, samples=40, seed=0).differences[0].differing


def test_no_interpreter_runs_in_this_process(early: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tflite_micro", "tflite_micro.python.tflite_micro.runtime", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, name, None)
    model = load_model(early)
    for executor in ("tflm", "litert", "litert-reference"):
        assert open_executor(model, executor).run(random_codes(model, 2, seed=0)).shape == (2, 10)
    assert tflm_arena_bytes(model) > 0


def test_what_an_executor_needs(early: bytes) -> None:
    executor = open_executor(load_model(early), "tflm")
    with pytest.raises(UsageError, match="needs input 'audio'"):
        executor.run({"image": np.zeros((1, 28, 28, 1), np.int8)})
    with pytest.raises(UsageError, match="did you mean 'tflm'"):
        open_executor(load_model(early), "tfml")


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.tflite: cannot be read"):
        load_model(tmp_path / "absent.tflite")
    (tmp_path / "text.tflite").write_text("hello, this is not a model")
    with pytest.raises(ModelError, match="no TFL3 identifier"):
        load_model(tmp_path / "text.tflite")


def test_float_models_are_refused() -> None:
    from tinyfuse.core.backend import tensorflow

    tf = tensorflow()
    function = tf.function(lambda x: x + 1.0).get_concrete_function(tf.TensorSpec((1, 4), tf.float32))
    with pytest.raises(ModelError, match="is a float model; convert it to int8"):
        load_model(tf.lite.TFLiteConverter.from_concrete_functions([function]).convert())


@settings(max_examples=300)
@given(data=st.data())
def test_damaged_files_give_one_clear_error(early: bytes, data: st.DataObject) -> None:
    damaged = bytearray(early)
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, 400) | st.integers(0, len(early) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(early)) | st.just(len(early)))
    try:
        model = load_model(bytes(damaged[:cut]))
    except TinyfuseError as error:
        assert "\n" not in str(error)
    else:
        assert model.inputs
