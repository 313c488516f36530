"""Inputs of numbers and truth values, which stand for themselves: exact in the twin and in the firmware."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from emitted import COMPILER, differing
from one_operator import Spec, Step, build
from rare_cases import embedding, plain_inputs
from verdicts import judge

from tinyfuse.analyses.certificates.certify import Certifier
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.core.errors import ModelError, UsageError
from tinyfuse.firmware.program import program_of
from tinyfuse.integer.model import load_model, random_codes
from tinyfuse.integer.twin import Twin


def test_the_twin_is_exact() -> None:
    model = load_model(plain_inputs(), name="plain")
    assert [(port.name, port.dtype, port.grid.low, port.grid.high, port.scale) for port in model.inputs] == [
        ("x1", "int32", -2**31, 2**31 - 1, 1.0), ("x2", "int8", -128, 127, pytest.approx(0.1)),
        ("switch", "bool", 0, 1, 1.0)]
    codes = random_codes(model, 9, seed=0)
    found = judge(model.source, [codes[port.name] for port in model.inputs])
    assert found.values and not found.wrong, found


def test_words_are_looked_up_in_a_table_and_beyond_it_refused() -> None:
    model = load_model(embedding(), name="embedding")
    words = model.inputs[0]
    assert (words.dtype, words.grid.low, words.grid.high) == ("int32", 0, 6)
    assert [one.limits for one in program_of(model, "net").inputs] == [(0, 6), (-128, 127)]
    codes = random_codes(model, 9, seed=0)
    found = judge(model.source, [codes[port.name] for port in model.inputs])
    assert found.values and not found.wrong, found
    assert model.codes_of({"x1": np.full((1, 4), 99.0), "x2": np.zeros((1, 4, 3))})["x1"].max() == 6
    with pytest.raises(ModelError, match="GATHER at computed places has no bounds"):
        Certifier(TwinTarget(model))
    with pytest.raises(UsageError, match="GATHER of places 7 to 7; they lie between 0 and 6"):
        Twin(model.graph).run({**codes, "x1": np.full((9, 4), 7, np.int32)})


def numbers() -> bytes:
    """Integers that become real numbers, and then codes: those beyond 2^30 codes C leaves open."""
    specs = [Spec([1, 4], np.int32, (), (), name="counts"), Spec([1, 4], np.float32, (), ()),
             Spec([1, 4], scale=[2.0**-8]), Spec([1, 4], scale=[0.5], name="y")]
    return build(specs, [Step("CAST", [0], [1], "CastOptions"), Step("QUANTIZE", [1], [2]), Step("RELU", [2], [3])],
                 [0], [3])


def test_numbers_stay_where_c_defines_their_codes() -> None:
    model = load_model(numbers(), name="numbers")
    assert (model.inputs[0].grid.low, model.inputs[0].grid.high) == (-1 << 22, 1 << 22)
    found = judge(model.source)
    assert found.values and not found.wrong, found
    with pytest.raises(UsageError, match=r"QUANTIZE of .* codes; C defines it below 2.31: give smaller integers"):
        Twin(model.graph).run({"counts": np.full((1, 4), 1 << 30, np.int32)})


@pytest.mark.parametrize(("made_by", "dtype", "words"), [
    ("CAST", np.int8, "'places', which may be -128 to 127; TFLite Micro reads beyond what it has, 0 to 2"),
    ("ARG_MAX", np.int8, "'places', which may be 0 to 4; TFLite Micro reads beyond what it has, 0 to 2")])
def test_places_that_may_lie_beyond_the_table_are_refused(made_by: str, dtype: type, words: str) -> None:
    number = Spec([1, 5] if made_by == "CAST" else [1], np.int32, (), (), name="places")
    specs = [Spec([1, 5], dtype, name="x"), Spec([1], np.int32, (), (), data=np.array([1], np.int32)), number,
             Spec([3, 2], data=np.zeros((3, 2), np.int8)), Spec([*number.shape, 2], name="y")]
    steps = [Step(made_by, [0, 1][:1 + (made_by != "CAST")], [2], "CastOptions" if made_by == "CAST" else
                  "ArgMaxOptions"), Step("GATHER", [3, 2], [4], "GatherOptions", {"axis": 0})]
    with pytest.raises(ModelError, match=words):
        Twin(load_model(build(specs, steps, [0], [4]), name="lookup").graph)


@pytest.mark.skipif(not COMPILER, reason="no C compiler (gcc or cc) on PATH")
@pytest.mark.parametrize("made", [plain_inputs, embedding, numbers])
def test_the_firmware_is_exact(made: Callable[[], bytes], tmp_path: Path) -> None:
    wrong = differing(load_model(made(), name="plain"), "speed", tmp_path / "net", samples=8)
    assert set(wrong.values()) == {0}, wrong
