"""Facts of a run: complete, readable again, and free of machine paths."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyfuse.core import provenance
from tinyfuse.core.errors import DataError


def test_facts_round_trip(tmp_path: Path) -> None:
    """What is written is read back equal."""
    facts = provenance.begin(data="embedded", seeds=(0, 1), settings={"epsilons": [0.1], "steps": 20})
    facts.write(tmp_path / "run.json")
    assert provenance.read_run(tmp_path / "run.json") == facts
    assert facts.versions["tinyfuse"] == "0.1.0" and facts.finished == ""
    assert facts.cores == len(os.sched_getaffinity(0)) and set(facts.threads) <= set(os.environ)


@pytest.mark.parametrize(("text", "message"), [
    ('{"command": "c", "started": "s", "versions": {}, "settings": {}, "comit": "x"}', "did you mean 'commit'"),
    ('{"command": "c", "versions": {}, "settings": {}}', "started"),
    ('{"started": "s"}', "'command' is missing"),
    ('{"command": "c", "started": "s", "versions": []}', "versions is .*; expected a table"), ("{", "not valid JSON"),
    ("[1]", "no table"), ('{"command": "c", "started": 3, "versions": {}}', "started is 3; expected a text"),
    ("3", "no table"), ("[" * 100_000, "not valid JSON"), ('{"a": ' * 40 + "1" + "}" * 40, "nested more than 32"),
    ('{"command": "\\ud800", "started": "s"}', "not valid Unicode"), ('{"command": 1e999}', "not finite"),
    ('{"command": "c", "started": "s", "wall_seconds": ' + "9" * 400 + "}", "not finite, or beyond"),
    ('{"command": "c", "started": "s", "seeds": "0"}', "seeds is '0'; expected a list")])
def test_wrong_facts_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    """A damaged run.json names itself."""
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        provenance.read_run(tmp_path / "run.json")
    assert "run.json" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("arguments", "expected"), [
    (["/home/me/.venv/bin/python", "-m", "tinyfuse.bench", "--out", "my runs"],
     "python -m tinyfuse.bench --out 'my runs'"),
    (["/venv/bin/python3", "/venv/bin/tinyfuse", "report", "runs/a"], "tinyfuse report runs/a")])
def test_command_line_can_be_typed_again(monkeypatch: pytest.MonkeyPatch, arguments: list[str],
                                         expected: str) -> None:
    """The interpreter's own path is no part of the command; arguments are quoted for a shell."""
    monkeypatch.setattr(sys, "orig_argv", arguments)
    assert provenance.command_line() == expected


def test_peak_memory_grows_with_what_is_touched() -> None:
    """MiB, not KiB or bytes."""
    before = provenance.peak_memory_mib()
    block = np.ones(64 << 20, dtype=np.uint8)
    after = provenance.peak_memory_mib()
    assert block[-1] == 1 and 5 < before <= after < 100_000


def test_commit_only_in_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installed package must not report the commit of some surrounding repository."""
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "tinyfuse" / "core" / "provenance.py"))
    assert provenance.git_commit() is None


def test_the_commit_of_a_checkout_says_when_files_differ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "tinyfuse" / "core" / "provenance.py"))
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{name}_NAME", "a")
        monkeypatch.setenv(f"{name}_EMAIL", "a@b")
    (tmp_path / "file").write_text("1")
    for command in ("init -q", "add file", "commit -q -m one"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    commit = str(provenance.git_commit())
    assert re.fullmatch("[0-9a-f]{12}", commit)
    (tmp_path / "file").write_text("2")
    assert provenance.git_commit() == f"{commit}-dirty"


def test_no_heavy_imports() -> None:
    """Report, statistics and all options start without TensorFlow, numba, matplotlib or scipy."""
    code = ("import sys, tinyfuse.report, tinyfuse.core.results, tinyfuse.core.provenance, tinyfuse.study.worst_case; "
            "from tinyfuse.cli.main import build_parser; build_parser(); "
            "heavy = {'tensorflow', 'tf_keras', 'numba', 'matplotlib', 'scipy', 'jinja2'} & set(sys.modules); "
            "sys.exit(repr(heavy) if heavy else 0)")
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
