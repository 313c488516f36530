"""Models and executors bind inputs by name, refuse what they cannot run in one line, and report TFLM's RAM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfuse.core.errors import InputsError, ModelError, TinyfuseError, UsageError
from tinyfuse.data import Dataset
from tinyfuse.integer.arena import tflm_arena_bytes
from tinyfuse.integer.executors import EXECUTORS, open_executor
from tinyfuse.integer.model import dequantize, load_model
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
    assert "'image' [28, 28, 1]" in said and "the data have 'camera' [4, 4, 3] and 'audio'" in said
    assert "rename" not in said


def test_arena_is_what_tflm_needs(early: bytes) -> None:
    from tflite_micro.python.tflite_micro import runtime

    needed = tflm_arena_bytes(load_model(early))
    assert 30_000 < needed < 60_000
    zeros = np.zeros((1, 28, 28, 1), np.int8)
    enough = runtime.Interpreter.from_bytes(early, arena_size=needed + 4096)
    for index in range(2):
        enough.set_input(zeros, index)
    enough.invoke()
    with pytest.raises(RuntimeError):
        runtime.Interpreter.from_bytes(early, arena_size=needed - 4096)


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
    with pytest.raises(ModelError, match="is a float model; convert it with int8"):
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
