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
from tinyfuse.firmware.deploy import table_of
from tinyfuse.firmware.frontend_emit import front_end_sources
from tinyfuse.firmware.frontend_plan import front_ends_of
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
CLASSES = """
#include "fusion_frontend.hpp"
using namespace tinyfuse::fusion;
template class tinyfuse::fusion::Codes<image_port, int8_t>;
template class tinyfuse::fusion::Codes<logits_port, const int8_t>;
template class tinyfuse::fusion::Input<audio_port>;
static tinyfuse::small_::Network owning;
int answer(fusion_memory_t &memory, const int16_t (&samples)[2 * audio_stream::hop()], const void *frame);
int answer(fusion_memory_t &memory, const int16_t (&samples)[2 * audio_stream::hop()], const void *frame)
{
  audio_stream microphone(memory);
  if (microphone.feed(samples) == Status::ok && microphone.codes() == Status::ok) {
    return argmax(SharedNetwork(memory.arena).infer());
  }
  return image_camera(memory).see(frame, 40, 30, 80, Pixels::yuyv) == Status::ok ? argmax(owning.infer()) : -1;
}
"""
"""A user of every template and class; `small` is a macro of Windows, so the namespace is another."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two programs: a fusion network of hot kernels, and one of every operator, with int16 tensors among them."""
    net = Net(np.random.default_rng(2))
    for case in ALL:
        case(net)
    data = build(net.specs, net.steps, net.inputs, [step.outputs[0] for step in net.steps])
    every = load_model(data, name="every", output=f"t{net.steps[0].outputs[0]}")
    folder = tmp_path_factory.mktemp("strict")
    fusion = load_model(MODEL)
    programs = [program_of(model, name, optimize) for model, name, optimize in (
        (fusion, "fusion", "ram"), (every, "every", "speed"), (fusion, "small", "size"))]
    front_ends = front_ends_of(programs[0], ["image", "audio"], table_of(MODEL, fusion), {"image": (30, 40)})
    found = [write_sources(program, folder / program.name) / f"{program.name}.c" for program in programs]
    for path, text in front_end_sources(front_ends).items():
        (found[0].parent / path).write_text(text)
    return found


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
    """All networks in one translation unit: as classes in C++17 and C++11, by the C header alone in C++98."""
    folder = sources[0].parent
    for standard, suffix, more in (("c++17", ".hpp", ["-fno-exceptions", "-fno-rtti"]), ("c++11", ".hpp", []),
                                   ("c++98", ".h", ["-Wno-long-long"])):
        unit = folder / f"{standard}.cc"
        unit.write_text("".join(f'#include "{source.with_suffix(suffix)}"\n' for source in sources) +
                        (CLASSES if suffix == ".hpp" else ""))
        checked(CXX[name], [unit], f"-std={standard}", *more)


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
