"""Licences travel with the code; what surrounds a package or a model is hostile and ends in one line."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from one_operator import Spec, Step, build

from tinyfuse.cli import main as cli
from tinyfuse.core.errors import ModelError
from tinyfuse.core.files import sha256_hex
from tinyfuse.firmware import toolchain
from tinyfuse.firmware.deploy import export
from tinyfuse.firmware.licence import LINE, licensed
from tinyfuse.firmware.toolchain import GNU, CompileError, compilers, run


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one operator."""
    path = tmp_path_factory.mktemp("small") / "net.tflite"
    specs = [Spec((1, 5), name="x"), Spec((1, 5), name="y")]
    path.write_bytes(build(specs, [Step("RELU", [0], [1])], [0], [1]))
    return path


@pytest.fixture(scope="module")
def package(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(small, tmp_path_factory.mktemp("package") / "net", vectors=2)


def test_every_source_names_its_licence(package: Path) -> None:
    sources = [path for path in package.rglob("*") if path.suffix in (".c", ".h", ".cc", ".ino", ".yml")
               or path.name in ("CMakeLists.txt", "Kconfig")]
    assert len(sources) > 20
    assert [path.name for path in sources if LINE not in path.read_text().splitlines()[0]] == []
    notice = (package / "NOTICE").read_text()
    assert "net_weights.h" in notice and (package / "LICENSE").is_file()
    assert licensed("a.json", "{}") == "{}" and licensed("a.c", licensed("a.c", "x")) == licensed("a.c", "x")


def test_a_pipe_in_place_of_a_file_does_not_hang(small: Path, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "firmware").mkdir()
    os.mkfifo(tmp_path / "firmware/metadata.json")
    os.mkfifo(tmp_path / "pipe.tflite")
    shutil.copy(small, tmp_path / "net.tflite")
    for argv in (["export", str(small), "--out", str(tmp_path / "firmware"), "--force", "--random"],
                 ["verify", str(tmp_path / "firmware")], ["validate", str(tmp_path / "firmware/metadata.json")],
                 ["compare", str(tmp_path / "pipe.tflite"), "--random", "2"],
                 ["attack", str(tmp_path / "pipe.tflite")],
                 ["export", str(tmp_path / "pipe.tflite"), "--out", str(tmp_path / "new"), "--random"]):
        assert cli.main(argv) in (1, 2)
        said = capsys.readouterr().err
        assert "Traceback" not in said and len(said.splitlines()) == 1, said
    os.mkfifo(tmp_path / "net.toml")
    assert cli.main(["attack", str(tmp_path / "net.tflite")]) in (1, 2)


DAMAGE = [("labels = 5", ""), ("classes = 5", "classes is 5; expected a list"), ("seed = 2026-01-01", "is a date"),
          ("macs = nan", "not finite"), ('model = "a/b"', "is no name of a network"), ('model = ""', "is no name"),
          ('[training]\nseed = "zero"', "seed is 'zero'; expected a whole number"), ("data = 3", "data: 3 is no table"),
          ('[data]\nchecksum = 3', "checksum is 3"), ("[[inputs]]\nname = 3", "key 'shape' is missing"),
          ("[fitted]\naudio = 3",
          "fitted.audio is 3"), ("layers = [3]", "layers is 3"), ("[qat]\nx = " + "[" * 40 + "]" * 40, "nested")]


@pytest.mark.parametrize(("text", "words"), DAMAGE, ids=[text.splitlines()[-1][:30] for text, _ in DAMAGE])
def test_a_damaged_table_beside_a_model_is_one_line(text: str, words: str, small: Path, tmp_path: Path,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever reads it: attack, and export, which takes over a part of it."""
    model = Path(shutil.copy(small, tmp_path / "net.tflite"))
    own = "" if text.startswith("model") else 'model = "net"\n'
    (tmp_path / "net.toml").write_text(f'{own}sha256 = "{sha256_hex(model.read_bytes())}"\n{text}\n')
    codes = [cli.main(["export", str(model), "--out", str(tmp_path / "made"), "--random", "--vectors", "2"])]
    said = capsys.readouterr().err
    if not words:
        assert codes == [0], said
        return
    assert codes == [1] and re.search(re.escape(words), said.replace("\n", " ")), said
    assert not (tmp_path / "made").exists() and "Traceback" not in said
    assert cli.main(["attack", str(model), "--samples", "2"]) in (1, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_a_table_of_another_file_is_not_read(small: Path, tmp_path: Path) -> None:
    model = Path(shutil.copy(small, tmp_path / "net.tflite"))
    (tmp_path / "net.toml").write_text('sha256 = "0"\nmodel = "../../x"\n')
    assert export(model, tmp_path / "made", vectors=2).is_dir()
    (tmp_path / "net.toml").write_bytes(b"\xff")
    with pytest.raises(ModelError, match="not valid TOML"):
        export(model, tmp_path / "again", vectors=2)


@pytest.mark.skipif(GNU not in compilers(), reason=f"no {GNU} on PATH")
def test_a_compiler_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code of others may include a file without an end."""
    (tmp_path / "a.c").write_text('#include "/dev/zero"\n')
    monkeypatch.setattr(toolchain, "MEMORY_MIB", 300)
    with pytest.raises(CompileError) as caught:
        run([GNU, "-c", str(tmp_path / "a.c"), "-o", str(tmp_path / "a.o")])
    assert "\n" not in str(caught.value)


