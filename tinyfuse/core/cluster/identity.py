"""What must be the same on two machines so that both compute the same: versions, and the source of this package."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from tinyfuse.core import provenance

_ENGINE = "dask", "distributed"


@functools.lru_cache(maxsize=1)
def identity() -> dict[str, str]:
    """Return the versions of Python, the platform and libraries, and a digest of the source of tinyfuse."""
    return {**provenance.versions(), "source of tinyfuse": source_digest(),
            **{name: metadata.version(name) for name in _ENGINE}}


def source_digest() -> str:
    """Hash names and contents of all Python files of the package; 16 hexadecimal digits."""
    root, found = Path(__file__).resolve().parents[2], hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        content = path.read_bytes()
        found.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return found.hexdigest()[:16]


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """Say what differs, such as ``numpy 2.4.6 there, 2.4.5 here``; empty if nothing does."""
    names = [name for name in {**here, **there} if here.get(name) != there.get(name)]
    return "; ".join(f"{name} {there.get(name, 'not known')} there, {here.get(name, 'not known')} here"
                     for name in names)
