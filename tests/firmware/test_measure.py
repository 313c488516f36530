"""What a model costs on emulated cores, and that its codes are TFLite Micro's."""

from __future__ import annotations

from pathlib import Path

import pytest
from one_operator import Spec, Step, build

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware import measure as measuring
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.measure import measure, runtime_sha256, setups
from tinyfuse.firmware.operators import BUILDERS
from tinyfuse.firmware.package import CODE_BYTES, code_bytes
from tinyfuse.firmware.program import program_of
from tinyfuse.firmware.vectors import tflm_outputs
from tinyfuse.integer.model import load_model, random_codes

EARLY = Path(__file__).resolve().parents[2] / "models/digits/early__w6.tflite"
HERE = setups(list(CORES.values()))


@pytest.mark.skipif("m4" not in HERE, reason="no cross compiler or no emulator of m4")
def test_a_fusion_model_is_exact_and_small() -> None:
    model = load_model(EARLY)
    costs = measure(model, random_codes(model, 1, seed=0), [HERE["m4"]], "ram")
    assert list(costs) == ["m4"]
    cost = costs["m4"]
    assert (cost.samples, cost.values, cost.differing) == (2, 20, 0)
    weights = 6 * 77_000 // 8
    assert weights < cost.flash.weights < cost.flash.flash < weights + 17_000
    assert cost.ram_bytes == cost.arena_bytes + cost.stack_bytes + cost.flash.data and cost.stack_bytes > 100
    assert 5e6 < cost.instructions < 30e6


@pytest.mark.skipif("m4" not in HERE, reason="no cross compiler or no emulator of m4")
def test_a_difference_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle is the interpreter: where it says otherwise, the firmware is wrong."""
    model = load_model(EARLY)
    monkeypatch.setattr(measuring, "tflm_outputs", lambda model, codes: tflm_outputs(model, codes) ^ 1)
    cost = measure(model, random_codes(model, 1, seed=0), [HERE["m4"]], "ram")["m4"]
    assert cost.differing == cost.values == 20


@pytest.mark.skipif("m55" not in HERE, reason="no cross compiler or no emulator of m55")
def test_nine_bit_weights_take_more_code_than_others_and_no_more_than_packages_say() -> None:
    model = load_model(EARLY.with_name("intermediate__image6-audio9-shared8.tflite"))
    cost = measure(model, random_codes(model, 1, seed=0), [HERE["m55"]], "ram")["m55"]
    assert CODE_BYTES < cost.flash.text <= code_bytes(program_of(model, "net"))


def test_what_has_no_kernel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(BUILDERS, "RELU")
    data = build([Spec([1, 4], scale=[0.1], name="x"), Spec([1, 4], scale=[0.2])], [Step("RELU", [0], [1])], [0], [1])
    model = load_model(data, name="inner")
    with pytest.raises(ModelError, match=r"inner: operator 0 \(RELU\) has no firmware kernel"):
        measure(model, random_codes(model, 1, seed=0), [], "ram")


def test_without_compiler_or_emulator_there_is_nothing_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "compilers", dict)
    assert setups(list(CORES.values())) == {}
    monkeypatch.undo()
    monkeypatch.setattr(measuring, "emulators", lambda core: {})
    assert setups(list(CORES.values())) == {}


def test_the_hash_of_the_runtime_is_that_of_its_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = runtime_sha256()
    assert len(before) == 64 and runtime_sha256() == before
    (tmp_path / "tny_new.h").write_text("#define TNY_NEW 1\n")
    monkeypatch.setattr(measuring, "export_folder", lambda name: tmp_path)
    runtime_sha256.cache_clear()
    assert runtime_sha256() != before
    runtime_sha256.cache_clear()
