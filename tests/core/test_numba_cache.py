"""Compiled kernels on a machine where nothing can be written beside the package or in the user's home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinyfuse.core import numba_cache


def test_a_home_that_can_be_written_is_left_to_numba(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(numba_cache.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert numba_cache.find_place() is None and numba_cache.VARIABLE not in os.environ
    monkeypatch.setenv(numba_cache.VARIABLE, "chosen")
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/none")
    assert numba_cache.find_place() is None


CODE = """
import os, stat
from pathlib import Path
import tinyfuse.core
folder = Path(os.environ["NUMBA_CACHE_DIR"])
assert folder.stat().st_uid == os.getuid() and stat.S_IMODE(folder.stat().st_mode) == 0o700
import numba
@numba.njit(cache=True)
def twice(x):
    return 2 * x
assert twice(3) == 6
assert list(folder.rglob("*.nbc"))
print(folder)
"""


def test_kernels_compile_where_nothing_can_be_written(tmp_path: Path) -> None:
    """The place is this process's alone (compiled code is loaded from it), and is gone afterwards."""
    environment = {**os.environ, "HOME": "/dev/null/none", "XDG_CACHE_HOME": "/dev/null/none", "TMPDIR": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    (tmp_path / "code.py").write_text(CODE)
    done = subprocess.run([sys.executable, str(tmp_path / "code.py")], capture_output=True, text=True, env=environment,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).parent == tmp_path and list(tmp_path.iterdir()) == [tmp_path / "code.py"]
