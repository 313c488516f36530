"""The README's example runs, its recipe is the one of the help text, and its verbs exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tinyfuse.cli.main import VERBS
from tinyfuse.quantize.recipe import EXAMPLE

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = blocks("python")
    exec(compile(example, "README.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in said][-1] == ["image6-audio8-shared8", "tflm", "any-iterate"]
    assert len(said) == 5


def test_the_recipe_is_the_one_of_the_help_text() -> None:
    assert blocks("toml") == [EXAMPLE]


def test_the_verbs_exist() -> None:
    assert set(re.findall(r"^tinyfuse ([a-z]+)", README, flags=re.MULTILINE)) <= set(VERBS)
