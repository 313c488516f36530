"""Messages on any terminal, closed streams, and progress in a notebook."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from typing import Any

import pytest

from tinyfuse.core import console as consoles
from tinyfuse.core.backend import stderr_silenced

SAY = ("from tinyfuse.core.console import console, open_streams\nopen_streams()\n"
       "print('ε ≤ 0.1 → 97 % ±1 “名”', '\\udcff')\nconsole.print('│ 3 × 4 …')")


@pytest.mark.parametrize(("encoding", "out", "err"), [
    ("ascii", b'epsilon <= 0.1 -> 97 % +-1 "?" ?\n', b"? 3 x 4 ...\n"),
    ("latin-1", 'epsilon <= 0.1 -> 97 % ±1 "?" ?\n'.encode("latin-1"), "? 3 × 4 ...\n".encode("latin-1")),
    ("utf-8", "ε ≤ 0.1 → 97 % ±1 “名” ?\n".encode(), "│ 3 × 4 …\n".encode())])
def test_no_character_stops_a_message(encoding: str, out: bytes, err: bytes) -> None:
    done = subprocess.run([sys.executable, "-c", SAY], capture_output=True, check=True,
                          env={**os.environ, "PYTHONIOENCODING": encoding})
    assert (done.stdout, done.stderr) == (out, err)


CLOSED = ("import os, sys\nfrom tinyfuse.core.console import console, open_streams\n"
          "from tinyfuse.core.backend import stderr_silenced\nopen_streams()\n"
          "descriptor = os.open(os.devnull, os.O_RDONLY)\nassert descriptor > 2, descriptor\n"
          "with stderr_silenced():\n    console.print('x')\nprint('done')")


@pytest.mark.parametrize("closed", ["2>&-", "0<&-", "0<&- 2>&-"])
def test_closed_streams_are_opened_on_nothing(closed: str) -> None:
    """Otherwise the next file that is opened would become the standard error."""
    done = subprocess.run(["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, CLOSED], capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_silence_needs_no_stream() -> None:
    """A program that uses tinyfuse may have closed its standard error."""
    code = ("import os\nos.close(2)\nfrom tinyfuse.core.backend import stderr_silenced\n"
            "with stderr_silenced():\n    pass\nwith stderr_silenced():\n    pass\nprint('done')")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"done\n"
    with stderr_silenced(), stderr_silenced():
        os.write(2, b"this is seen nowhere\n")


class Shown:
    """What IPython gives back for a display that can be updated."""

    def __init__(self) -> None:
        self.states: list[str] = []

    def update(self, state: str) -> None:
        self.states.append(state)


def test_a_notebook_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown()
    module: Any = types.ModuleType("IPython.display")
    module.HTML = str

    def display(state: str, display_id: bool) -> Shown:
        assert display_id
        shown.update(state)
        return shown

    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(consoles.console, "is_jupyter", True)
    with consoles.progress("training <x>", 3) as advance:
        advance(2, note="loss 1")
        advance()
    assert "training &lt;x&gt;" in shown.states[0] and "0/3" in shown.states[0] and "3/3" in shown.states[-1]
