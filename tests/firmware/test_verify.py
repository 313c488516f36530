"""Packages on emulated cores: every code is TFLite Micro's, and what is not is found and named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from emitted import MODEL, damaged

from tinyfuse.cli import main as cli
from tinyfuse.core.errors import DataError, ParityError, UsageError
from tinyfuse.data import Dataset
from tinyfuse.firmware import deploy, host, toolchain
from tinyfuse.firmware import verify as verifying
from tinyfuse.firmware.c_text import export_folder
from tinyfuse.firmware.cores import CORES, ROM_BYTES
from tinyfuse.firmware.frontend_verify import SCENES
from tinyfuse.firmware.machine import EmulationError, emulators, records
from tinyfuse.firmware.measure import setups
from tinyfuse.firmware.package import STACK_BYTES, code_bytes, open_package, table_bytes
from tinyfuse.firmware.program import program_of
from tinyfuse.firmware.toolchain import CompileError
from tinyfuse.firmware.verify import Verified, board_lines, summary, verify
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import Network
from tinyfuse.quantize.convert import Baseline, baseline, convert
from tinyfuse.quantize.recipe import read_recipe

Lively = Callable[..., tuple[Any, Baseline]]
UNICORN = {"zig": ("m3", "m4"), "arm-none-eabi-gcc": ("m4",)}
PAIRS = [(compiler, ",".join(name for name in UNICORN[compiler] if "unicorn" in emulators(CORES[name])))
         for compiler in toolchain.compilers() if compiler in UNICORN]
"""The ways that are not the preferred one: what needs no root, and its emulator with the other compiler."""
BEST = [name for name in setups(list(CORES.values())) if name not in ("m0+", "rv32")]
"""Cores that the tests here run on; those of portable C alone have tests of their own in test_cores.py."""


@pytest.fixture(scope="module")
def exported(tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deploy.export(MODEL, tmp_path_factory.mktemp("verify") / "early", dataset=tiny_dataset, vectors=2)


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "package"))


def test_some_toolchain_is_here() -> None:
    """At least one has to be: nothing else shows that the kernels for Arm are exact."""
    assert BEST, "no cross compiler and emulator: pip install 'tinyfuse[emulator]'"


@pytest.fixture(scope="module")
def verified(exported: Path) -> Verified:
    return verify(exported, cores=",".join(BEST))


def test_every_core_gives_tflite_micros_codes(verified: Verified) -> None:
    found = summary(verified)
    assert found["host"] in ("passed", "not run: no C compiler on this machine") and not found["changed_files"]
    assert list(found["cores"]) == BEST
    for core in found["cores"].values():
        assert core["parity"] and core["vectors"] == 2 + 8 and core["tensor_values"] > 100_000
        assert sum(core["layers"].values()) == pytest.approx(core["instructions"], rel=0.05)
    verified.check()
    for name, front_end in found["front_ends"].items():
        assert name in ("host", *BEST) and front_end["scenes"] == SCENES
        assert not any(front_end["differing_codes"].values()) and min(front_end["codes"].values()) > 0
    assert {*BEST} <= found["front_ends"].keys()


def test_what_it_costs_stays_within_what_packages_promise(verified: Verified, exported: Path) -> None:
    program = program_of(load_model(MODEL), "net")
    for core in verified.cores:
        assert core.flash.text <= code_bytes(program) and core.stack_bytes <= STACK_BYTES and core.flash.data == 0
        assert core.flash.tables <= table_bytes(program)
        assert core.flash.weights == verified.package.metadata.packed_weight_bytes


@pytest.fixture(scope="module")
def small(thin_early: Network, tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of a thin network: Unicorn takes long to count."""
    folder = tmp_path_factory.mktemp("small")
    graph = baseline(thin_early, tiny_dataset.train.balanced(40, seed=0))
    (folder / "net.tflite").write_bytes(convert(graph, read_recipe("w6")).data)
    return deploy.export(folder / "net.tflite", folder / "out", dataset=tiny_dataset, vectors=2)


@pytest.fixture
def on_cores_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out this machine's run under sanitizers, which test_program has of these networks and widths."""
    monkeypatch.setattr(verifying, "run_on_host", lambda *_: "")


@pytest.mark.parametrize("compiler, cores", [pair for pair in PAIRS if pair[1]])
def test_every_pair_of_compiler_and_emulator_agrees(small: Path, compiler: str, cores: str, on_cores_only: None,
                                                    ) -> None:
    found = verify(small, cores=cores, compiler=compiler, emulator="unicorn")
    found.check()
    assert {(core.compiler, core.emulator) for core in found.cores} == {(compiler, "unicorn")}


@pytest.mark.parametrize("name, recipe, optimize, cores", [
    ("late", "w9", "ram", "m4 m55"), ("intermediate", "w7", "speed", "m4 m55"), ("audio", "w2", "size", "m3 m55")])
def test_other_networks_and_widths(lively: Lively, tiny_dataset: Dataset, tmp_path: Path, name: str, recipe: str,
                                   optimize: str, cores: str, on_cores_only: None) -> None:
    (tmp_path / "net.tflite").write_bytes(convert(lively(name, thin=True)[1], read_recipe(recipe)).data)
    folder = deploy.export(tmp_path / "net.tflite", tmp_path / "out", dataset=tiny_dataset, vectors=2,
                           optimize=optimize)
    verify(folder, cores=",".join(core for core in BEST if core in cores.split())).check()


def test_a_wrong_weight_is_found_and_its_layer_named(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = copied / "src" / "early_w6_weights.h"
    weights.write_text(damaged(weights.read_text()))
    first = json.loads((copied / "metadata.json").read_text())["layers"]
    with pytest.raises(ParityError, match="the first layer that differs is"):
        verify(copied, cores=BEST[0]).check()
    assert cli.main(["verify", str(copied), "--core", BEST[0], "--json"]) == 3
    said = capsys.readouterr()
    core = json.loads(said.out)["cores"][BEST[0]]
    assert core["parity"] is False and core["first_difference"] in first[:3]
    assert core["first_difference"] in said.err and json.loads(said.out)["changed_files"] == ["early_w6_weights.h"]


def test_code_that_is_not_generated_never_runs_on_this_machine(copied: Path) -> None:
    source = copied / "src" / "early_w6.c"
    source.write_text(source.read_text() + "\nvoid early_w6_more(void);\nvoid early_w6_more(void)\n{\n}\n")
    found = verify(copied, cores=BEST[0])
    found.check()
    assert found.host.startswith("not run: src/early_w6.c is not what this version generates")


def test_a_warning_is_an_error(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = copied / "src" / "early_w6.c"
    source.write_text(source.read_text() + "\nstatic int unused;\n")
    assert cli.main(["verify", str(copied), "--core", BEST[0]]) == 1
    assert "failed" in capsys.readouterr().err


def _truncate(folder: Path) -> None:
    path = folder / "extras" / "vectors.bin"
    path.write_bytes(path.read_bytes()[:-1])


def _swap_model(folder: Path) -> None:
    (folder / "extras" / "early_w6.tflite").write_bytes(MODEL.with_name("early__w8.tflite").read_bytes())


def _forge(folder: Path) -> None:
    path = folder / "extras" / "outputs.bin"
    path.write_bytes(bytes(len(path.read_bytes())))


def _rename(folder: Path) -> None:
    path = folder / "metadata.json"
    path.write_text(path.read_text().replace('"name": "early_w6"', '"name": "../../early"', 1))


def _no_json(folder: Path) -> None:
    (folder / "metadata.json").write_text("{")


def _deep(folder: Path) -> None:
    (folder / "metadata.json").write_text("[" * 200_000)


def _boast(folder: Path) -> None:
    path = folder / "metadata.json"
    path.write_text(path.read_text().replace('"arena_bytes": 19', '"arena_bytes": 1', 1))


def _forget_layers(folder: Path) -> None:
    path = folder / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "layers": ["one"]}))


def _pipe(folder: Path) -> None:
    (folder / "extras" / "vectors.bin").unlink()
    os.mkfifo(folder / "extras" / "vectors.bin")


def _linked_headers(folder: Path) -> None:
    """A folder behind a link could hide the C library's headers from a compiler for this machine."""
    (folder / "hidden").mkdir()
    (folder / "src" / "bits").symlink_to("../hidden")


@pytest.mark.parametrize("damage", [_truncate, _swap_model, _forge, _rename, _no_json, _deep, _boast, _forget_layers,
                                    _pipe, _linked_headers])
def test_damaged_packages_are_refused_before_anything_is_compiled(copied: Path, damage: Callable[[Path], None],
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "run", lambda *a, **k: pytest.fail("compiled"))
    damage(copied)
    with pytest.raises((DataError, UsageError), match=r"export|is no name for C|no package has"):
        verify(copied)


@pytest.mark.parametrize("arguments, words", [
    (["--core", "m5"], "did you mean 'm55'"), (["--core", ","], "no core given"),
    (["--compiler", "tcc"], "cross compiler 'tcc' is not here"), (["--board", "nano"], "allowed: nucleo-l4r5zi"),
    (["--core", "m4", "--emulator", "bochs"], "no bochs here")])
def test_what_verify_refuses_is_one_line(exported: Path, arguments: list[str], words: str,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(exported), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_without_any_tools_it_says_what_to_install(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: None)
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"arm-none-eabi-gcc .*tinyfuse\[emulator\]"):
        verify(exported)


def test_values_that_do_not_come_back_are_missed(copied: Path) -> None:
    """Nothing is called exact that was never compared."""
    codes = copied / "src" / "runtime" / "tny_pool.h"
    text = codes.read_text()
    assert "TNY_TRACE(" in text
    codes.write_text(text.replace("TNY_TRACE(", "TNY_SILENT("))
    core = copied / "src" / "runtime" / "tny_core.h"
    core.write_text(core.read_text().replace("#endif\n", "#define TNY_SILENT(tensor, index, value) "
                                             "((void)(tensor), (void)(index), (void)(value))\n#endif\n", 1))
    with pytest.raises(EmulationError, match=r"no values of .*pool.* came back"):
        verify(copied, cores=BEST[0])


def test_code_for_this_machine_is_written_anew(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in the package's folder is compiled for emulated cores only."""
    package = open_package(copied)
    commands: list[str] = []
    for module in (verifying, host):
        monkeypatch.setattr(module, "run", lambda command: commands.append(" ".join(command)))
    with pytest.raises(EmulationError):
        verifying.run_on_host(package, copied.parent / "work", 1)
    assert commands and not any(str(copied) in command for command in commands)


def test_boards_get_a_verdict_and_an_estimate(verified: Verified) -> None:
    one, other, third = board_lines(verified, ["nucleo-l4r5zi", "nucleo-f103rb", "esp32-s3"])
    assert "of flash" in one and ("estimate" in one) and "no estimate" in third
    assert "off by up to" in one or "m4" not in BEST
    assert "NUCLEO-F103RB" in other


def test_records_of_a_crashed_or_babbling_program_are_refused() -> None:
    def read(sent: bytes) -> list[tuple[str, bytes]]:
        return list(records(len(sent).to_bytes(4, "little") + sent, "m3"))

    assert read(b"O\x02\x00\x00\x00ab") == [("O", b"ab")]
    for sent in (b"F\x00\x00\x00\x00", b"O\xff\xff\xff\xffab", b"O\x03\x00\x00\x00ab", b"O\x01"):
        with pytest.raises(EmulationError):
            read(sent)
    with pytest.raises(EmulationError, match="damaged"):
        list(records(b"\xff\xff\xff\xff", "m3"))


@pytest.mark.parametrize("compiler", [one for one in toolchain.compilers().values() if one.serves(CORES["m4"])],
                         ids=lambda one: one.name)
def test_a_package_that_does_not_fit_the_board_says_by_how_much(compiler: toolchain.Compiler, tmp_path: Path) -> None:
    source = tmp_path / "big.c"
    source.write_text(f"extern const char big[]; const char big[{ROM_BYTES + 100}] = {{1}};\n"
                      "void tny_reset(void);\nvoid tny_reset(void) { __asm volatile(\"\" : : \"r\"(big)); }\n"
                      "extern void (*const vectors[])(void);\n__attribute__((section(\".tny_vectors\"))) "
                      "void (*const vectors[])(void) = {tny_reset, tny_reset};\n")
    core = CORES["m4"]
    made = compiler.compile(core, source, tmp_path / "big.o", ["-O1"])
    with pytest.raises(CompileError, match=rf"not fit the emulated board of m4, whose flash has {ROM_BYTES} bytes: "
                                           r"about \d{3} bytes too many; convert the model with fewer bits"):
        compiler.link(core, [made], export_folder("harness") / "core.ld", tmp_path / "big.elf")
