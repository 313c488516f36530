"""Files that are whole or absent, bounded reading, and what killed processes leave."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tinyfuse.core import toml
from tinyfuse.core.errors import DataError, ModelError, UsageError
from tinyfuse.core.files import (
    atomic_path,
    load_arrays,
    locked,
    read_limited,
    save_arrays,
    temporary_folder,
    write_text,
)


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


def test_rights_are_those_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_text(tmp_path / "secret.txt", "x")
        with temporary_folder(tmp_path, "work") as folder:
            rights = folder.stat().st_mode & 0o777
    finally:
        os.umask(before)
    assert ((tmp_path / "secret.txt").stat().st_mode & 0o777, rights) == (0o600, 0o700)


HALF_WRITTEN = """
import sys, time
from tinyfuse.core.files import atomic_path, temporary_folder
with atomic_path(sys.argv[1] + "/model.keras") as half, temporary_folder(sys.argv[1], "package") as folder:
    half.write_bytes(b"half")
    (folder / "a.c").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_is_swept_by_the_next_one(tmp_path: Path) -> None:
    """What a living one is writing stays, and so does whatever else begins with a dot."""
    killed, alive = (child(HALF_WRITTEN, str(tmp_path)) for _ in range(2))
    try:
        for one in (killed, alive):
            assert one.stdout is not None and one.stdout.readline() == "ready\n"
        (tmp_path / ".early.hidden.keras").touch()
        killed.kill()
        killed.wait()
        code = "import sys; from tinyfuse.core.files import write_text; write_text(sys.argv[1] + '/new.txt', 'x')"
        child(code, str(tmp_path)).communicate()
        left = sorted(path.name for path in tmp_path.iterdir())
        assert len(left) == 4 and sum(f"-{alive.pid}-" in name for name in left) == 2
        assert {".early.hidden.keras", "new.txt"} < set(left)
    finally:
        alive.kill()
        for one in (killed, alive):
            one.communicate()


LOCKED = """
import sys, time
from tinyfuse.core.files import locked
with locked(sys.argv[1]):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_one_run_at_a_time_in_a_folder(tmp_path: Path) -> None:
    """A killed run frees its folder."""
    other = child(LOCKED, str(tmp_path))
    try:
        assert other.stdout is not None and other.stdout.readline() == "ready\n"
        with pytest.raises(UsageError, match="another run is at work in this folder"), locked(tmp_path):
            pass
    finally:
        other.send_signal(signal.SIGKILL)
        other.communicate()
    with locked(tmp_path):
        pass


def test_only_plain_files_of_a_bounded_size_are_read(tmp_path: Path) -> None:
    """A pipe would never end, a device neither."""
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "long.toml").write_bytes(b"#" * 101)
    began = time.monotonic()
    for path, words in ((tmp_path / "pipe.toml", "it is a pipe or a device"), (Path("/dev/zero"), "it is a pipe or a "
                        "device"), (tmp_path, "it is a folder"), (tmp_path / "none", "No such file"),
                        (tmp_path / "long.toml", "101 bytes, but at most 100"), (Path("a\0b"), "no name of a file")):
        with pytest.raises(ModelError, match=words):
            read_limited(path, 100, ModelError)
    assert time.monotonic() - began < 30
    assert read_limited(tmp_path / "long.toml", 101, ModelError) == b"#" * 101


def npz(name: str, content: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def header(text: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def test_arrays_come_back(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6).reshape(2, 3), "b": np.zeros(0, np.float32)}
    save_arrays(tmp_path / "a.npz", arrays)
    found = load_arrays(tmp_path / "a.npz")
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_arrays_that_are_needed_are_there(tmp_path: Path) -> None:
    """A length of nothing, or a missing name, would end in a traceback much later."""
    save_arrays(tmp_path / "a.npz", {"label": np.array(3), "rows": np.zeros(2)})
    assert load_arrays(tmp_path / "a.npz", "rows")["label"] == 3
    for name in ("label", "broken"):
        with pytest.raises(DataError, match=f"no list of values '{name}'"):
            load_arrays(tmp_path / "a.npz", name)


@pytest.mark.parametrize("damage", [
    b"", b"PK", npz("a.npy", b"\x93NUMPY\x01\x00"), npz("a.npy", header(b"{'descr': '<f4', 'shape': (")),
    npz("a.npy", header(b"(" * 9000)), npz("a.npy", header(b"{'descr': '<f4',\n \x00")),
    npz("a.npy", header(b"{'descr': '|O', 'fortran_order': False, 'shape': (2,)}") + b"x" * 16),
    npz("a.npy", header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1" + b"0" * 30 + b",)}")),
    npz("a.npy", header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}")),
    npz("a.npy", b"\0" * 1_000_000, zipfile.ZIP_DEFLATED)], ids=range(10))
def test_damaged_arrays_are_one_line(tmp_path: Path, damage: bytes) -> None:
    """Whatever numpy, zipfile, zlib or Python's tokenizer raise."""
    (tmp_path / "a.npz").write_bytes(damage)
    with pytest.raises(DataError, match=r"a\.npz: .*run again") as caught:
        load_arrays(tmp_path / "a.npz")
    assert "\n" not in str(caught.value)


def test_every_flipped_byte_of_saved_arrays_is_noticed_or_harmless(tmp_path: Path) -> None:
    save_arrays(tmp_path / "a.npz", {"a": np.arange(4)})
    whole = (tmp_path / "a.npz").read_bytes()
    for place in range(0, len(whole), 3):
        (tmp_path / "a.npz").write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1:])
        try:
            load_arrays(tmp_path / "a.npz")
        except DataError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(("text", "words"), [
    ("when = 2026-01-01", "is a date or a time"), ("x = nan", "not finite"), ("x = inf", "not finite"),
    ("x = " + "9" * 5000, "not valid TOML"), ("x = " + "[" * 50 + "]" * 50, "nested more than 32"),
    ("x = " + "[" * 100_000, "not valid TOML"), ("x = 9999999999999999999999", "beyond")])
def test_settings_hold_plain_values_alone(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ModelError, match=words) as caught:
        toml.read(tmp_path / "a.toml", ModelError)
    assert "\n" not in str(caught.value) and "a.toml" in str(caught.value)
