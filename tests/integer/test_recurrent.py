"""LSTM and SVDF: every inference from the same state, gradients through time, memories as inputs and outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from emitted import COMPILER, differing
from operator_cases import STREAMING, lstm, svdf
from side_by_side import Net
from verdicts import judge

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.executors.interpreters import RowExecutor
from tinyfuse.integer.model import load_model, random_codes
from tinyfuse.integer.twin import Twin


def net_of(case: object, count: int = 1, seed: int = 3) -> Net:
    net = Net(np.random.default_rng(seed))
    for _ in range(count):
        case(net)  # type: ignore[operator]
    return net


@pytest.mark.parametrize("case", STREAMING)
def test_memory_is_exact(case: object) -> None:
    found = judge(net_of(case, 20).data())
    assert (found.differing, found.refused, found.crashed) == (0, "", "")
    assert found.values > 500


@pytest.mark.skipif(not COMPILER, reason="no C compiler (gcc or cc) on PATH")
def test_memory_is_exact_in_c(tmp_path: Path) -> None:
    wrong = differing(load_model(net_of(svdf, 12).data(), name="net"), "ram", tmp_path / "net", samples=6)
    assert set(wrong.values()) == {0}, wrong


def test_fed_back_memory_is_that_of_a_stream() -> None:
    """What goes out as the next state comes in again: the codes are those of TFLite Micro, frame after frame."""
    from tflite_micro.python.tflite_micro import runtime

    data = net_of(svdf, seed=8).data()
    model = load_model(data, name="net")
    twin, stream = Twin(model.graph), runtime.Interpreter.from_bytes(data)
    state = {"state_0": np.full(model.inputs[1].shape, model.inputs[1].zero_point, model.inputs[1].dtype)}
    assert [port.name for port in model.outputs][1:] == ["next_0"]
    for row in range(6):
        codes = {"x1": random_codes(model, 6, seed=1)["x1"][row:row + 1]}
        stream.set_input(codes["x1"], 0)
        stream.invoke()
        if not state["state_0"].any() and model.inputs[1].zero_point:
            pytest.fail("the case needs the state of a reset")
        found = twin.tensors({**codes, **state})
        assert np.array_equal(stream.get_output(0), found[model.graph.outputs[0]])
        state = {"state_0": found[model.graph.outputs[1]]}


def test_samples_do_not_depend_on_those_before() -> None:
    model = load_model(net_of(lstm).data(), name="net")
    codes = random_codes(model, 4, seed=2)
    turned = {name: values[::-1].copy() for name, values in codes.items()}
    tflm = RowExecutor("tflm", "tflm", model)
    assert np.array_equal(tflm.run(codes), tflm.run(turned)[::-1])


def test_a_bound_of_less_than_one_code_holds_the_cell_at_zero() -> None:
    net = net_of(lstm)
    net.steps[0] = replace(net.steps[0], values={**net.steps[0].values, "cellClip": 1e-9})
    model = load_model(net.data(), name="net")
    found = judge(net.data())
    assert (found.differing, found.refused, found.crashed) == (0, "", "") and found.values
    codes = Twin(model.graph).run(random_codes(model, 4, seed=3))
    assert np.all(codes == model.outputs[0].zero_point)


def test_a_variable_that_others_read_is_refused() -> None:
    net = net_of(lstm)
    hidden = net.steps[0].inputs[18]
    shape = list(net.specs[hidden].shape)
    net.step("ADD", [hidden, net.input(shape)], net.tensor(shape), "AddOptions")
    with pytest.raises(ModelError, match="is a variable, but not the state of one operator alone"):
        load_model(net.data(), name="net")


@pytest.mark.parametrize(("place", "words"), [(9, "without peepholes"), (18, "must be given and constant")])
def test_other_kinds_of_lstm_are_refused(place: int, words: str) -> None:
    net = net_of(lstm)
    step = net.steps[0]
    step.inputs = [step.inputs[5] if one == place == 9 else -1 if one == place else index
                   for one, index in enumerate(step.inputs)]
    model = load_model(net.data(), name="net")
    with pytest.raises(ModelError, match=words):
        Twin(model.graph)
