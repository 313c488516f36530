"""The page about own networks is run as it stands: files are written, commands run, on fewer samples and epochs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tinyfuse.cli import main as cli
from tinyfuse.core import toml
from tinyfuse.core.errors import ModelError
from tinyfuse.data import load
from tinyfuse.integer.compare import compare_model
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import open_network
from tinyfuse.quantize.convert import baseline, convert
from tinyfuse.quantize.recipe import read_recipe

OTHER_PYTHON = "TINYFUSE_OTHER_PYTHON"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "own-network.md"
FEWER = {"train": {"--epochs": "1"}, "attack": {"--samples": "4", "--steps": "2"}, "compare": {"--samples": "2"},
         "quantize": {"--calibration-samples": "20"}, "export": {"--vectors": "2"}, "verify": {"--core": "m4"}}


def titled(title: str) -> str:
    found = re.search(rf'```\w+ title="{re.escape(title)}"\n(.*?)```', PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found, title
    return found[1]


def fewer(words: list[str]) -> list[str]:
    """The command with small numbers."""
    for option, value in FEWER.get(words[0], {}).items():
        if option in words:
            words[words.index(option) + 1] = value
        else:
            words += [option, value]
    return words


def test_from_folders_of_files_to_verified_firmware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mynet", raising=False)
    (tmp_path / "mynet.py").write_text(titled("mynet.py"))
    first, *commands = titled("eight commands").splitlines()
    assert first == "python make_three.py" and len(commands) == 7
    exec(compile(titled("make_three.py").replace("COUNT = 60", "COUNT = 12"), "make_three.py", "exec"), {})
    for command in commands:
        words = fewer(shlex.split(command)[1:])
        code = cli.main(words)
        said = capsys.readouterr()
        # Figures of so few samples are not to be trusted, which is what the exit code of attacks says.
        assert code == 0 or (code == 4 and words[0] == "attack"), (words, said.err)
    table = toml.read("runs/three/build__written4-spoken6-stroke6-shared8.toml", ModelError)
    bits = {layer["name"]: set(layer["bits"].values()) for layer in table["layers"]}
    assert (bits["see"], bits["hear"], bits["feel"], bits["fuse"], bits["digit"]) == ({4}, {6}, {6}, {8}, {8})
    assert table["proof"]["differing_codes"]["twin"] == 0


@pytest.mark.parametrize(("script", "packages"), [("from_torch", "torch, litert_torch"),
                                                  ("from_jax", "jax, tensorflow")])
def test_other_frameworks(script: str, packages: str, tmp_path: Path) -> None:
    """The example makes its file in an environment of its own, and six bits of that are exact."""
    python = os.environ.get(OTHER_PYTHON, sys.executable)
    if subprocess.run([python, "-c", f"import {packages}"], capture_output=True, check=False).returncode:
        pytest.skip(f"{python} lacks {packages}; name a Python that has them in {OTHER_PYTHON}")
    (tmp_path / f"{script}.py").write_text(titled(f"{script}.py"))
    subprocess.run([python, f"{script}.py"], cwd=tmp_path, check=True, capture_output=True)
    data = load(limit=40)
    network = open_network(tmp_path / f"{script}.tflite", data)
    assert network.input_names == ("image",)
    model = load_model(convert(baseline(network, data.train), read_recipe("w6")).data, name=script)
    compare_model(model, ["tflm", "twin"], data, samples=20, seed=0).check()
    if script == "from_torch":
        weighted = {layer.name for layer in network.model.layers if layer.weights}
        assert weighted == {"see.0", "digit"}
