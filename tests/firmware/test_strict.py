"""The C code has no warning, under flags of careful projects, of GNU's compilers, clang, C++ and cppcheck."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from emitted import MODEL
from one_operator import build
from operator_cases import ALL
from side_by_side import Net

from tinyfuse.firmware.build import board_options
from tinyfuse.firmware.c_text import export_folder
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.package import write_sources
from tinyfuse.firmware.program import program_of
from tinyfuse.firmware.toolchain import Compiler, compilers, run
from tinyfuse.integer.model import load_model

CAREFUL = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wcast-align", "-Wconversion", "-Werror"]
ZIG = [sys.executable, "-m", "ziglang"] if importlib.util.find_spec("ziglang") else []
HOSTS = {"gcc": [shutil.which("gcc") or ""], "clang": [*ZIG, "cc"] if ZIG else [""]}
CXX = {"g++": [shutil.which("g++") or ""], "clang++": [*ZIG, "c++"] if ZIG else [""]}
CROSS = [(core, compiler) for core in ("m0+", "m4", "m55", "rv32") for compiler in compilers().values()
         if compiler.serves(CORES[core])]
CPPCHECK = {"shiftTooManyBitsSigned": "C leaves it to the compiler how a negative number moves to the right; all "
                                      "for these processors keep its sign, and the self test of a package fails else",
            "zerodivcond": "no size of a tensor is 0"}
"""Findings of cppcheck that are none here, and why."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two programs: a fusion network of hot kernels, and one of every operator, with int16 tensors among them."""
    net = Net(np.random.default_rng(2))
    for case in ALL:
        case(net)
    data = build(net.specs, net.steps, net.inputs, [step.outputs[0] for step in net.steps])
    every = load_model(data, name="every", output=f"t{net.steps[0].outputs[0]}")
    folder = tmp_path_factory.mktemp("strict")
    return [write_sources(program_of(model, name, optimize), folder / name) / f"{name}.c" for model, name, optimize in (
        (load_model(MODEL), "fusion", "ram"), (every, "every", "speed"), (load_model(MODEL), "small", "size"))]


def checked(command: list[str], sources: list[Path], *options: str) -> None:
    if not command[0]:
        pytest.skip("this compiler is not here")
    for source in sources:  # zig checks only what it compiles
        how = ["-c", "-o", str(source.parent / "made.o")] if "ziglang" in command else ["-fsyntax-only"]
        run([*command, *CAREFUL, *how, *options, str(source)])


@pytest.mark.parametrize("name", HOSTS)
def test_no_warning_on_this_machine(name: str, sources: list[Path]) -> None:
    checked(HOSTS[name], sources, "-std=c99")


@pytest.mark.parametrize("core, compiler", CROSS, ids=lambda one: getattr(one, "name", one))
def test_no_warning_on_each_kind_of_core(core: str, compiler: Compiler, sources: list[Path]) -> None:
    """Portable C, DSP and MVE; and the harness that starts a program, under its own flags."""
    few = sources[1:2] if compiler.name == "zig" else sources  # clang takes ten times as long
    checked([*compiler.command, *compiler.flags(CORES[core])], few, "-std=c99")
    run([*compiler.command, *compiler.flags(CORES[core]), "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1",
         *board_options(CORES[core]), "-c", str(export_folder("harness") / "start.c"), "-o",
         str(sources[0].parent / "start.o")])


@pytest.mark.parametrize("name", CXX)
def test_headers_in_cxx(name: str, sources: list[Path]) -> None:
    """Two networks in one translation unit of C++17, and of C++98 for old projects."""
    unit = sources[0].parent / "both.cc"
    unit.write_text("".join(f'#include "{source.with_suffix(".h")}"\n' for source in sources))
    for standard in ("c++17", "c++98"):
        checked(CXX[name], [unit], f"-std={standard}", *(["-Wno-long-long"] if standard == "c++98" else []))


@pytest.mark.skipif(not shutil.which("cppcheck"), reason="no cppcheck on PATH")
def test_cppcheck_finds_nothing(sources: list[Path]) -> None:
    for source in sources[:2]:
        found = subprocess.run(
            ["cppcheck", "--quiet", "--std=c99", "--enable=warning,performance,portability", "--max-configs=1",
             "--template={file}:{line}: {severity}: {message} [{id}]", "--suppress=toomanyconfigs",
             *(f"--suppress={name}" for name in CPPCHECK), f"-I{source.parent}", str(source)],
            capture_output=True, text=True, check=True)
        assert not found.stderr.strip(), found.stderr


@pytest.mark.skipif(not shutil.which("cppcheck"), reason="no cppcheck on PATH")
def test_cppcheck_would_find_a_fault(tmp_path: Path) -> None:
    (tmp_path / "bad.c").write_text("int bad(void);\nint bad(void)\n{\n  int a[2] = {0, 1};\n  return a[2];\n}\n")
    found = subprocess.run(["cppcheck", "--quiet", str(tmp_path / "bad.c")], capture_output=True, text=True, check=True)
    assert "arrayIndexOutOfBounds" in found.stderr
