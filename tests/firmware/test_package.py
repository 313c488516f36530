"""A package is whole, the same every time, valid C and C++, and refuses to overwrite what is not its own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from emitted import MODEL, damaged
from one_operator import Spec, Step, build

from tinyfuse.cli import main as cli
from tinyfuse.core.errors import UsageError
from tinyfuse.core.files import sha256_hex
from tinyfuse.data import Dataset
from tinyfuse.data.digits.features import FRONT_END
from tinyfuse.firmware import deploy
from tinyfuse.firmware.boards import BOARDS, board
from tinyfuse.firmware.c_names import member_names
from tinyfuse.firmware.operators import BUILDERS
from tinyfuse.firmware.package import RESOLVER_METHODS
from tinyfuse.firmware.toolchain import STRICT, host_compiler
from tinyfuse.frontend.front_end import read_front_end
from tinyfuse.integer.arena import tflm_arena_bytes
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import load_model
from tinyfuse.integer.operators import OPERATORS

MANIFESTS = ("CMakeLists.txt", "library.properties", "library.json", "idf_component.yml", "zephyr/module.yml",
             "zephyr/CMakeLists.txt", "zephyr/Kconfig", "LICENSE", "README.md", "metadata.json")
SOURCES_SHA256 = "d44aceccef82a29776e582b34e4ff5f0bbf83ddf72e04da1bcb3cbc0caba547c"
"""Of the files in `src` of the package of MODEL: whoever changes the C that is exported changes this line."""
FRONT_END_SHA256 = "370d284a750f57740ca6e07e3dcaf069104a6d8b09ee66caeefc30848a140e89"
"""Of the front ends in it."""
needs_compiler = pytest.mark.skipif(not host_compiler(), reason="no C compiler (gcc, clang or cc) on PATH")


@pytest.fixture(scope="module")
def exported(tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deploy.export(MODEL, tmp_path_factory.mktemp("package") / "early", dataset=tiny_dataset, vectors=6)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_it_holds_what_each_build_system_looks_for(exported: Path) -> None:
    found = contents(exported)
    assert set(MANIFESTS) <= found.keys()
    assert {"src/early_w6.h", "src/early_w6.c", "src/early_w6_weights.h", "src/runtime/tny_core.h",
            "extras/early_w6.tflite", "examples/self_test/self_test.ino"} <= found.keys()
    assert found["extras/early_w6.tflite"] == MODEL.read_bytes()
    assert json.loads(found["library.json"])["headers"] == "early_w6.h"
    properties = dict(line.split("=", 1) for line in found["library.properties"].decode().splitlines())
    assert {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url",
            "architectures"} <= properties.keys() and properties["category"] == "Data Processing"
    assert all(not line.isspace() for line in found["README.md"].decode().splitlines() if line)


def test_its_metadata_tells_what_it_is_and_checks_its_files(exported: Path) -> None:
    table = json.loads((exported / "metadata.json").read_text())
    model, found = load_model(MODEL), contents(exported)
    assert table["files"] == {path: sha256_hex(data) for path, data in found.items() if path != "metadata.json"}
    assert [one["name"] for one in table["inputs"]] == ["image", "audio"]
    assert table["inputs"][1]["scale"] == model.inputs[1].scale and table["inputs"][1]["zero_point"] == -128
    assert table["tflm_arena_bytes"] == tflm_arena_bytes(model) and len(table["provenance"]["classes"]) == 10
    assert len(table["provenance"]["fitted"]["audio"]["mean"]) == 13
    assert read_front_end(table["provenance"]["front_ends"]["audio"], "metadata.json") == FRONT_END
    assert table["vectors"]["inputs_crc32"] == f"{zlib.crc32(found['extras/vectors.bin']):08x}"
    assert table["vectors"]["count"] == 6 + table["vectors"]["extreme"]


def test_its_vectors_saturate_and_their_outputs_are_tflite_micros(exported: Path) -> None:
    table, model = json.loads((exported / "metadata.json").read_text()), load_model(MODEL)
    stream = np.fromfile(exported / "extras" / "vectors.bin", np.int8)[4:].reshape(-1, 2, 28, 28, 1)
    extreme = stream[:table["vectors"]["extreme"]]
    assert set(np.unique(extreme)) == {-128, 127}
    assert {(int(row[0].min()), int(row[1].min())) for row in extreme[:4]} == {(-128, -128), (127, 127), (127, -128),
                                                                             (-128, 127)}
    outputs = open_executor(model, "tflm").run({"image": stream[:, 0], "audio": stream[:, 1]})
    assert outputs.astype(np.int8).tobytes() == (exported / "extras" / "outputs.bin").read_bytes()


def test_the_same_model_gives_the_same_bytes(exported: Path, tiny_dataset: Dataset, tmp_path: Path) -> None:
    again = deploy.export(MODEL, tmp_path / "elsewhere", dataset=tiny_dataset, vectors=6)
    assert contents(again) == contents(exported)
    assert str(tmp_path).encode() not in b"".join(contents(again).values())


@needs_compiler
def test_the_self_test_passes_and_notices_one_wrong_weight(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "package"
    shutil.copytree(exported, folder)
    assert self_test(folder, tmp_path).startswith("PASS: 0 of 4")
    weights = folder / "src" / "early_w6_weights.h"
    weights.write_text(damaged(weights.read_text()))
    assert self_test(folder, tmp_path).startswith("FAIL")


def self_test(folder: Path, work: Path) -> str:
    program = work / "self_test"
    subprocess.run([host_compiler() or "", *STRICT, f"-I{folder / 'src'}", "-O1", "-o", program,
                    folder / "examples/self_test/host/main.c", folder / "src/early_w6.c"], check=True)
    return subprocess.run([program], capture_output=True, text=True, check=False).stdout


@pytest.mark.skipif(not shutil.which("cmake"), reason="no cmake on PATH")
def test_cmake_builds_it_and_runs_its_self_test(exported: Path, tmp_path: Path) -> None:
    for command in (["cmake", "-S", exported, "-B", tmp_path], ["cmake", "--build", tmp_path],
                    ["ctest", "--test-dir", tmp_path]):
        subprocess.run(command, check=True, capture_output=True)


@pytest.mark.skipif(not shutil.which("g++"), reason="no g++ on PATH")
def test_the_tflm_array_is_the_model_and_aligned(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "main.cc").write_text(
        '#include "early_w6_model.h"\n#include <cstdint>\n#include <cstdio>\nint main() {\n'
        "  fwrite(early_w6_model, 1, EARLY_W6_MODEL_BYTES, stdout);\n"
        "  return reinterpret_cast<std::uintptr_t>(early_w6_model) % 16 ? 1 : 0;\n}\n")
    folder = exported / "extras" / "tflm"
    subprocess.run(["g++", "-std=c++11", "-Wall", "-Wextra", "-Werror", f"-I{folder}", tmp_path / "main.cc",
                    folder / "early_w6_model.cc", "-o", tmp_path / "model"], check=True)
    assert subprocess.run([tmp_path / "model"], capture_output=True, check=True).stdout == MODEL.read_bytes()


def test_the_resolver_names_every_operator_as_tflite_micro_does(exported: Path) -> None:
    text = (exported / "extras/tflm/early_w6_ops.h").read_text()
    assert all(f"resolver.Add{name}();" in text for name in ("Add", "AveragePool2D", "Concatenation", "Conv2D",
                                                             "FullyConnected"))
    camel = {name: RESOLVER_METHODS.get(name, name.title().replace("_", "")) for name in OPERATORS}
    assert camel["DEPTHWISE_CONV_2D"] == "DepthwiseConv2D" and camel["SOFTMAX"] == "Softmax"
    assert camel["MAX_POOL_2D"] == "MaxPool2D" and camel["PADV2"] == "PadV2" and camel["QUANTIZE"] == "Quantize"


def test_an_existing_folder_is_kept(exported: Path, tiny_dataset: Dataset, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    for force in (False, True):
        with pytest.raises(UsageError, match="--force" if not force else "holds no package of tinyfuse"):
            deploy.export(MODEL, mine, dataset=tiny_dataset, vectors=2, force=force)
    with pytest.raises(UsageError, match="the folder that you are in"):
        deploy.export(MODEL, ".", dataset=tiny_dataset, vectors=2, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"] and (mine / "thesis.txt").exists()
    folder = tmp_path / "package"
    shutil.copytree(exported, folder)
    (folder / "src" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match=r"holds thesis.txt, which is no file of its package"):
        deploy.export(MODEL, folder, dataset=tiny_dataset, vectors=2, force=True)
    (folder / "src" / "thesis.txt").unlink()
    deploy.export(MODEL, folder, dataset=tiny_dataset, vectors=2, name="other", force=True)
    assert (folder / "src" / "other.h").exists() and not (folder / "src" / "early_w6.h").exists()


@pytest.mark.parametrize("arguments, code, words", [
    (["--name", "9lives"], 2, "is no name for C"),
    (["--name", "switch"], 2, "a word of C or C++"),
    (["--name", "string"], 2, "a header of C"),
    (["--name", "test"], 2, "a target of CMake"),
    (["--optimize", "beauty"], 2, "allowed: ram, speed"),
    (["--board", "nucleo"], 2, "allowed: nucleo-l4r5zi"),
    (["--board", "nucleo-f103rb", "--optimize", "speed"], 2, "does not fit NUCLEO-F103RB: it needs"),
])
def test_what_it_refuses_is_one_line(arguments: list[str], code: int, words: str, tmp_path: Path,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", str(MODEL), "--out", str(tmp_path / "out"), "--vectors", "2", "--random",
                     *arguments]) == code
    said = capsys.readouterr().err.strip()
    assert words in said and "\n" not in said and not (tmp_path / "out").exists()


def test_the_board_gets_a_verdict_and_an_estimate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", str(MODEL), "--out", str(tmp_path / "out"), "--vectors", "2", "--random", "--board",
                     "nucleo-l4r5zi"]) == 0
    folder, judged, arena, needs, board_line = capsys.readouterr().out.splitlines()
    assert folder == str(tmp_path / "out") and "(TFLite Micro: 44544)" in arena and "about" in needs
    assert "gives TFLite Micro's codes for all its vectors" in judged
    assert "of flash" in board_line and "estimate" in board_line


def test_the_generated_c_is_the_same_on_every_machine(exported: Path) -> None:
    network, front_end = hashlib.sha256(), hashlib.sha256()
    for path, content in contents(exported / "src").items():
        (front_end if "frontend" in path else network).update(f"{path} {sha256_hex(content)}\n".encode())
    assert network.hexdigest() == SOURCES_SHA256
    assert front_end.hexdigest() == FRONT_END_SHA256


def test_without_front_ends_the_rest_of_it_is_the_same(exported: Path, tmp_path: Path) -> None:
    plain = contents(deploy.export(MODEL, tmp_path / "plain", vectors=1, frontend="none"))
    both = contents(exported)
    assert {path for path in both if "frontend" in path} == both.keys() - plain.keys() != set()
    assert all(plain[path] == both[path] for path in plain if path.startswith("src/"))
    assert json.loads(plain["metadata.json"])["front_ends"] == {}
    assert b"frontend" not in plain["CMakeLists.txt"] + plain["zephyr/CMakeLists.txt"] + plain["README.md"]
    assert b"src/early_w6_frontend.c" in both["CMakeLists.txt"] and b"_frontend.c" in both["zephyr/CMakeLists.txt"]


def test_an_operator_without_a_kernel_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """All operators of the twin have one, so one is taken away."""
    monkeypatch.delitem(BUILDERS, "RELU")
    graph = build([Spec([1, 4], scale=[0.1], name="x"), Spec([1, 4], scale=[0.2])], [Step("RELU", [0], [1])], [0], [1])
    (tmp_path / "inner.tflite").write_bytes(graph)
    assert cli.main(["export", str(tmp_path / "inner.tflite"), "--out", str(tmp_path / "out"), "--random"]) == 1
    assert "operator 0 (RELU) has no firmware kernel" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["inner.tflite"]


def test_names_of_tensors_become_members_that_differ() -> None:
    assert member_names(["image", "serving:0", "serving/0", "int", "7up", "", "Image"]) == [
        "image", "serving_0", "serving_0_", "int_", "tensor_7up", "tensor", "Image_"]


def test_boards_say_estimate_and_by_how_much_it_may_be_off() -> None:
    said = board("NUCLEO-L4R5ZI").estimate(12_000_000)
    assert said.startswith("estimate 157.0 ms, off by up to 30% either way") and "not measured on a board" in said
    assert "no estimate" in board("esp32-s3").estimate(1)
    assert "no estimate of its time: that needs M4" in board("NUCLEO-L4R5ZI").estimate(None).replace("m4", "M4")
    assert board("ek-ra8d1").fits(100_000, 100_000) and not BOARDS["nucleo-f103rb"].fits(100_000, 21_000)
    assert "does not fit" in BOARDS["nucleo-f103rb"].verdict(100_000, 21_000)


def test_nothing_is_left_beside_a_package(exported: Path) -> None:
    """It is written under another name in the same folder, so that the rename crosses no file systems."""
    assert not [name for name in os.listdir(exported.parent) if name.startswith(".")]
