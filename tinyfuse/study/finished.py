"""Whether a run folder needs nothing: the same request ended here with the same code, and no file changed since.

Like `make`, this looks at sizes and times of files, so that a repeated command neither loads data nor TensorFlow. Where
anything differs, the sweep looks closely, and still repeats nothing that its rows hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tinyfuse.checks.firmware_cost import BROKEN_STAGE, MEASURED_ON
from tinyfuse.checks.gating import unattacked
from tinyfuse.core import provenance
from tinyfuse.core.errors import DataError, TinyfuseError
from tinyfuse.core.files import read_limited, sha256_hex, write_text
from tinyfuse.core.plain_json import parse_json
from tinyfuse.core.results import ResultStore
from tinyfuse.firmware.c_text import export_folder
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.machine import emulators
from tinyfuse.firmware.toolchain import compilers

FILE = "finished.json"
PAGE = Path("report", "index.html")
MAX_BYTES = 1 << 12
_WRITTEN_LAST = (FILE, "run.json", "summary.csv", PAGE.parts[0])


def identify(asked: Mapping[str, Any], source: str | None) -> str:
    """Hash what a command asks for and what decides its answer: code, versions, tools, the files of its ``source``.

    ``asked``: plain values; of files that they name what they hold counts. ``source``: name of a data set, or a path,
    whose files count by size and time.
    """
    tools = [*compilers(), *(f"{name}: {', '.join(emulators(CORES[name]))}" for name in MEASURED_ON)]
    found: list[Any] = [dict(asked), provenance.versions(), _code(), tools, source or ""]
    options = (Path(value) for value in asked.values() if isinstance(value, str) and value != source)
    found += [sha256_hex(option.read_bytes()) for option in options if option.is_file()]
    path = Path(source).expanduser() if source else None
    if path is not None and path.exists():
        beside = [path.with_name("dataset.toml")] if path.is_file() else []
        found.append([_state(each) for each in (path, *beside) if each.is_file()] or [*_states(path)])
    return sha256_hex(json.dumps(found, sort_keys=True, default=str).encode())


def is_finished(folder: Path, identity: str) -> bool:
    """Return whether ``folder`` was left as it is now by a finished run of this ``identity``."""
    marked = _read(folder)
    return marked.get("identity") == identity and marked.get("files") == _files(folder)


def has_page(folder: Path) -> bool:
    """Return whether the page in ``folder`` is the one that was written at the end of the finished run."""
    page = folder / PAGE
    return page.is_file() and _read(folder).get("page") == _state(page)


def mark_finished(folder: Path, identity: str, store: ResultStore) -> None:
    """Note that ``folder`` is complete, page and all, unless something failed that another attempt may bring."""
    failed = [row for row in store.rows("failed") if row["stage"] == BROKEN_STAGE]
    if not failed and not unattacked(store.rows()):
        marked = {"identity": identity, "files": _files(folder), "page": _state(folder / PAGE)}
        write_text(folder / FILE, json.dumps(marked, indent=2) + "\n")


def folder_of(identity: str, among: Path) -> Path | None:
    """Find the folder in ``among`` that a finished run of this ``identity`` left."""
    found = (path.parent for path in sorted(among.glob(f"*/{FILE}")))
    return next((folder for folder in found if _read(folder).get("identity") == identity), None)


def _read(folder: Path) -> dict[str, Any]:
    """Read the mark; a missing or damaged one says that nothing is finished."""
    path = folder / FILE
    try:
        found = parse_json(read_limited(path, MAX_BYTES, DataError), str(path), DataError)
    except TinyfuseError:
        return {}
    return found if isinstance(found, dict) else {}


def _files(folder: Path) -> str:
    """Hash names, sizes and times of all files but those that are written last, and hidden ones."""
    return sha256_hex(json.dumps([*_states(folder, leave_out=_WRITTEN_LAST)]).encode())


def _states(folder: Path, leave_out: tuple[str, ...] = ()) -> Iterator[list[Any]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name.parts[0] not in leave_out and name.name[0] != "." and path.is_file():
            yield [str(name), *_state(path)]


def _state(path: Path) -> list[int]:
    about = path.stat()
    return [about.st_size, about.st_mtime_ns]


def _code() -> str:
    """Hash the files of the package and of the C runtime."""
    folders = [Path(__file__).resolve().parents[1], export_folder("runtime").parent]
    files = (path for folder in folders for path in sorted(folder.rglob("*")) if "__pycache__" not in path.parts)
    return sha256_hex("".join(sha256_hex(path.read_bytes()) for path in files if path.is_file()).encode())
