"""Where a result comes from: versions, commit, command line, time and memory, kept in ``run.json``."""

from __future__ import annotations

import json
import platform
import resource
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from tinyfuse import __version__
from tinyfuse.core.errors import DataError, nearest
from tinyfuse.core.files import write_text

_DISTRIBUTIONS = ("tensorflow", "tf_keras", "tensorflow-model-optimization", "numpy", "numba", "librosa",
                  "ai-edge-litert", "tflite-micro", "scipy", "scikit-learn")
_TEXTS = ("command", "started", "finished", "data", "commit")
_KIB_PER_MIB = 1024


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What is known about one run as a whole; everything about single results is in the rows.

    ``data`` says in words where the samples come from. ``settings`` holds further facts worth printing
    (matrix, epsilons, steps, sample counts): text, numbers, or lists of them. Times are UTC, ISO 8601.
    ``finished`` is empty while the run is going on or was interrupted.
    """

    command: str
    started: str
    finished: str = ""
    wall_seconds: float | None = None
    peak_memory_mib: float | None = None
    peak_memory_worker_mib: float | None = None
    data: str = ""
    seeds: tuple[int, ...] = ()
    commit: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def write(self, path: str | Path) -> None:
        """Write ``run.json`` atomically."""
        write_text(path, json.dumps(asdict(self), indent=2, allow_nan=False) + "\n")


def read_run(path: str | Path) -> RunFacts:
    """Read ``run.json``; an unreadable file or an unknown key is a `DataError`."""
    allowed = [item.name for item in fields(RunFacts)]
    try:
        table = json.loads(Path(path).read_text(encoding="utf-8"))
        if not all(isinstance(part, dict) for part in (table, table["versions"], table["settings"])):
            raise TypeError("expected tables of names and values")
        if not all(isinstance(table.get(name, ""), str) for name in _TEXTS):
            raise TypeError(f"{', '.join(_TEXTS)} are texts")
        unknown = [name for name in table if name not in allowed]
        if not unknown:
            return RunFacts(**{**table, "seeds": tuple(table.get("seeds", ()))})
    except KeyError as error:
        raise DataError(f"{path}: key {error} is missing") from error
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: cannot read the facts of the run ({str(error).splitlines()[0]})") from error
    raise DataError(f"{path}: unknown key {unknown[0]!r}{nearest(unknown[0], allowed)}")


def begin(*, data: str = "", seeds: tuple[int, ...] = (),
          settings: Mapping[str, Any] | None = None) -> RunFacts:
    """Return the facts that are known when a run starts."""
    return RunFacts(command=command_line(), started=utc_now(), data=data, seeds=seeds,
                    commit=git_commit() or "", versions=versions(), settings=dict(settings or {}))


def versions() -> dict[str, str]:
    """Versions of tinyfuse, Python, the platform and the libraries that matter; imports none of them."""
    found = {"tinyfuse": __version__, "python": platform.python_version(),
             "platform": f"{platform.system()} {platform.machine()}"}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def git_commit() -> str | None:
    """Commit of the checkout that tinyfuse runs from (``-dirty`` if files differ); None outside one."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
                                cwd=root, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def command_line() -> str:
    """The command as a user can type it again: the interpreter's own path is left out."""
    arguments = list(sys.orig_argv)
    if len(arguments) > 1 and Path(arguments[1]).name == "tinyfuse":
        return shlex.join(["tinyfuse", *arguments[2:]])
    return shlex.join(["python", *arguments[1:]])


def utc_now() -> str:
    """The present time as ``2026-01-31T12:00:00Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def peak_memory_mib() -> float:
    """Peak resident memory of this process in MiB."""
    return (_high_water_kib() or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / _KIB_PER_MIB


def _high_water_kib() -> int | None:
    """VmHWM of this process: unlike ru_maxrss it does not start at the size of the launching process."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)
