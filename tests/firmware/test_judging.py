"""A package is exported only if its C code gave TFLite Micro's codes; that of random graphs does, or is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from graphs import make_case
from hostile import fusion
from verdicts import Tally, judge_firmware

from tinyfuse.cli import main as cli
from tinyfuse.core.errors import ParityError
from tinyfuse.firmware import deploy, host
from tinyfuse.firmware.machine import EmulationError
from tinyfuse.firmware.toolchain import host_compiler
from tinyfuse.firmware.vectors import Vectors

GRAPHS = 6
needs_compiler = pytest.mark.skipif(not host_compiler(), reason="no C compiler (gcc, clang or cc) on PATH")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(fusion())
    return path


def test_a_program_without_end_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nsleep 100\n")
    program.chmod(0o755)
    monkeypatch.setattr(host, "SECONDS", 0.2)
    with pytest.raises(EmulationError, match="net: the program did not end on this machine"):
        host.said_on_host(program, b"", "net")


@needs_compiler
def test_other_codes_than_those_of_tflite_micro_leave_no_package(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = deploy.make_vectors

    def wrong(*args: object) -> Vectors:
        found = make(*args)
        outputs = found.outputs.copy()
        outputs[3, 0] ^= 1
        return Vectors(found.codes, outputs, found.extreme)

    monkeypatch.setattr(deploy, "make_vectors", wrong)
    with pytest.raises(ParityError, match=r"^net: .* other codes than TFLite Micro for 1 of \d+ vectors") as caught:
        deploy.export(model, model.parent / "out", vectors=5)
    assert caught.value.exit_code == 3 and [path.name for path in model.parent.iterdir()] == ["net.tflite"]


@needs_compiler
def test_what_was_judged_is_said(model: Path, monkeypatch: pytest.MonkeyPatch,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    command = ["export", str(model), "--random", "--vectors", "3", "--out"]
    assert cli.main([*command, str(model.parent / "a")]) == 0
    assert "gives TFLite Micro's codes for all its vectors on this machine" in capsys.readouterr().out
    monkeypatch.setattr(host, "host_compiler", lambda: None)
    monkeypatch.setattr(deploy, "host_compiler", lambda: None)
    assert cli.main([*command, str(model.parent / "b")]) == 0
    assert "has not been run, for this machine has no C compiler" in capsys.readouterr().out


@needs_compiler
def test_the_c_of_random_graphs_gives_the_codes_of_tflite_micro_under_sanitizers(tmp_path: Path) -> None:
    found = Tally()
    for seed in range(GRAPHS):
        work = tmp_path / str(seed)
        work.mkdir()
        case = make_case(seed)
        found.add(f"seed {seed}", judge_firmware(case.data, case.codes, work))
    assert not found.wrong, found.wrong
    assert found.exact > GRAPHS // 2
