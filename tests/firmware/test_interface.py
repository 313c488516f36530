"""The C interface of what converters make: float and uint8 edges, batches, several outputs, names of any kind."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from emitted import COMPILER, differing, write
from hostile import edges_and_shapes
from one_operator import Spec, Step, build

from tinyfuse.cli import main as cli
from tinyfuse.firmware import deploy
from tinyfuse.firmware.c_names import check_identifier, identifier_of, member_names
from tinyfuse.firmware.metadata import read_metadata
from tinyfuse.firmware.package import open_package
from tinyfuse.firmware.program import program_of
from tinyfuse.integer.model import load_model
from tinyfuse.integer.operators.table import FromFloat

needs_compiler = pytest.mark.skipif(not COMPILER, reason="no C compiler (gcc or cc) on PATH")
HOSTILE_NAMES = ["NULL", "INT8_MAX", "linux", "typeof", "INPUT", "OUTPUT", "arena", "expected", "crc32", "size",
                 "input", "input_size",
                 "x", "x_size", "in", "out", "i", "inputs", "é", "7up", "", "class", "Arena", "int8_t", "uint32_t",
                 "size_t", "std", "tinyfuse", "names", "Input", "Inputs", "Codes", "set", "found", "outputs"]


def sums(names: Sequence[str], output: str) -> bytes:
    """One addition after the other of inputs of these names."""
    specs = [Spec((1, 3), scale=[0.1], name=name) for name in names]
    steps, last = [], 0
    for place in range(1, len(names)):
        specs.append(Spec((1, 3), scale=[0.2], name=output if place == len(names) - 1 else ""))
        steps.append(Step("ADD", [last, place], [len(specs) - 1], "AddOptions"))
        last = len(specs) - 1
    return build(specs, steps, range(len(names)), [last])


def two_outputs() -> bytes:
    """Logits, and int16 codes of what goes into them, which a later operator reads too."""
    specs = [Spec((1, 6), scale=[0.1], zero_point=[3], name="x"), Spec((1, 6), np.int16, [0.001], name="wide"),
             Spec((1, 6), scale=[1 / 256], zero_point=[-128], name="scores"), Spec((1, 6), scale=[0.2])]
    steps = [Step("ADD", [0, 0], [3], "AddOptions"), Step("QUANTIZE", [3], [1]),
             Step("SOFTMAX", [3], [2], "SoftmaxOptions", {"beta": 1.0})]
    return build(specs, steps, [0], [2, 1])


@needs_compiler
@pytest.mark.parametrize("data", [edges_and_shapes(), two_outputs()], ids=["everything taken out", "two outputs"])
def test_the_c_code_computes_the_core(data: bytes, tmp_path: Path) -> None:
    wrong = differing(load_model(data), "ram", tmp_path / "net", samples=5)
    assert set(wrong.values()) == {0}, wrong


def test_a_package_keeps_edges_and_all_outputs(tmp_path: Path) -> None:
    """Its vectors are judged on this machine, and read again by verify."""
    (tmp_path / "both.tflite").write_bytes(two_outputs())
    (tmp_path / "edges.tflite").write_bytes(edges_and_shapes())
    both, edges = (deploy.export(tmp_path / f"{name}.tflite", tmp_path / name, vectors=3) for name in ("both", "edges"))
    table = read_metadata(both / "metadata.json")
    assert [(one.name, one.ctype, one.edge) for one in table.outputs] == [("scores", "int8_t", "int8"),
                                                                          ("wide", "int16_t", "int16")]
    assert (both / "extras" / "outputs.bin").stat().st_size == table.vectors.count * (6 + 12)
    table = read_metadata(edges / "metadata.json")
    assert (table.inputs[0].edge, table.output.edge, table.inputs[0].shape) == ("float32", "uint8", (1, 4, 4))
    assert (edges / "extras" / "edges.tflite").read_bytes() == edges_and_shapes()
    assert "EXPAND_DIMS" in table.operators
    assert "has float32 in the place of `image`" in (edges / "README.md").read_text()
    assert "AddExpandDims" in (edges / "extras" / "tflm" / "edges_ops.h").read_text()
    other = deploy.export(tmp_path / "both.tflite", tmp_path / "other", vectors=3, name="other", output="wide")
    assert [port.name for port in open_package(other).program.outputs] == ["wide", "scores"]
    for folder in (both, edges, other):
        if COMPILER:
            assert self_test(folder, tmp_path).startswith("PASS")


def self_test(folder: Path, work: Path, flags: Sequence[str] = ("-std=c99",)) -> str:
    """What the self-test of a package says, compiled with ``flags``."""
    subprocess.run([COMPILER, *flags, "-Wall", "-Wextra", "-Wconversion", "-Werror", f"-I{folder / 'src'}", "-o",
                    work / "self_test", folder / "examples/self_test/host/main.c", folder / f"src/{folder.name}.c"],
                   check=True)
    return subprocess.run([work / "self_test"], capture_output=True, text=True, check=False).stdout


@needs_compiler
def test_no_name_of_an_input_breaks_a_build(tmp_path: Path) -> None:
    """With GNU's words, with Arduino's macros, and as a header of C++."""
    given = [name or "unnamed" for name in HOSTILE_NAMES[:-1]]
    data = sums(given, HOSTILE_NAMES[-1])
    assert len(load_model(data).inputs) == len(given)
    (tmp_path / "names.tflite").write_bytes(data)
    folder = deploy.export(tmp_path / "names.tflite", tmp_path / "names", vectors=2)
    macros = ["-std=gnu11", "-DINPUT=0x01", "-DOUTPUT=0x03", "-Dlinux=1"]
    assert self_test(folder, tmp_path, macros).startswith("PASS")
    (tmp_path / "user.cpp").write_text('#include <climits>\n#include <cstdint>\n#include "names.hpp"\n'
                                       "int use(names_arena_t &arena) { return argmax(tinyfuse::names::SharedNetwork("
                                       "arena).infer()); }\n")
    subprocess.run([COMPILER, "-x", "c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", *macros[1:],
                    f"-I{folder / 'src'}", "-c", "user.cpp"], cwd=tmp_path, check=True)


def test_names_in_c_are_identifiers_and_differ() -> None:
    found = member_names(HOSTILE_NAMES)
    assert len({name.upper() for name in found}) == len(found) and all(name.isidentifier() for name in found)
    assert found[:8] == ["null", "int8_max", "linux_", "typeof_", "input", "output", "arena", "expected"]
    assert {"INPUT_SIZE"}.isdisjoint({f"INPUT_{name.upper()}" for name in found} &
                                     {f"{name.upper()}_SIZE" for name in found})


@pytest.mark.parametrize("stem, name", [
    ("early__w6", "early_w6"), ("ÄÖ modèle-1", "AO_modele_1"), ("7up", "net_7up"), ("音声", "net"),
    ("switch", "net_switch"), ("string", "net_string"), ("tny_x", "net_tny_x"), ("a" * 60, "a" * 31 + "_1f98bd29")])
def test_any_file_name_becomes_a_name(stem: str, name: str) -> None:
    assert identifier_of(stem) == check_identifier(identifier_of(stem)) == name


def test_another_name_in_c_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "7 étoiles.tflite").write_bytes(sums(["linux", "b"], "y"))
    out = tmp_path / "a folder"
    assert cli.main(["export", str(tmp_path / "7 étoiles.tflite"), "--out", str(out), "--random", "--vectors",
                     "2"]) == 0
    said = capsys.readouterr().out
    assert "in C '7 étoiles' is net_7_etoiles, 'linux' is linux_ (--name NAME" in said
    assert f"`tinyfuse verify '{out}'`" in said


HELPERS = """
#include <stdio.h>
#include "net.h"
int main(void)
{
  float value;
  while (fread(&value, sizeof value, 1, stdin) == 1) {
    const int8_t code = net_x_code(value);
    const float back = net_x_value(code);
    fwrite(&code, 1, 1, stdout);
    fwrite(&back, sizeof back, 1, stdout);
  }
  return 0;
}
"""


@needs_compiler
def test_the_header_turns_values_into_codes_as_quantize_does(tmp_path: Path) -> None:
    """Halves, their neighbours, the ends, what is beyond them, and no numbers."""
    model = load_model(sums(["x", "b"], "y"))
    write(program_of(model, "net"), tmp_path)
    (tmp_path / "main.c").write_text(HELPERS)
    subprocess.run([COMPILER, "-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-fsanitize=undefined",
                    "-fno-sanitize-recover=all", "main.c", "-o", "main"], cwd=tmp_path, check=True)
    halves = ((np.arange(-300, 300) + 0.5) * 0.1).astype(np.float32)
    infinite = np.float32(np.inf)
    values = np.concatenate([halves, np.nextafter(halves, infinite), np.nextafter(halves, -infinite),
                             np.float32([0, 1e30, -1e30, np.inf, -np.inf, np.nan, 1e-40, 0.049999997])])
    done = subprocess.run(["./main"], cwd=tmp_path, input=values.tobytes(), capture_output=True, check=True)
    found = np.frombuffer(done.stdout, np.dtype([("code", np.int8), ("back", np.float32)]))
    tensor = model.graph.tensors[model.graph.inputs[0]]
    expected, _ = FromFloat(tensor).forward([values])
    assert np.array_equal(found["code"], expected)
    assert np.array_equal(found["back"], model.inputs[0].grid.dequantise(expected))
