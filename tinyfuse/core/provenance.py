"""Where a result comes from: versions, commit, command line, time and memory, kept in ``run.json``."""

from __future__ import annotations

import json
import os
import platform
import resource
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from tinyfuse import __version__
from tinyfuse.core.errors import DataError
from tinyfuse.core.files import read_limited, write_text
from tinyfuse.core.plain_json import parse_json
from tinyfuse.core.strict import decode

FACTS_LIMIT = 4 << 20
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS",
            "TF_NUM_INTEROP_THREADS")
_DISTRIBUTIONS = ("tensorflow", "tf_keras", "tensorflow-model-optimization", "numpy", "numba", "librosa",
                  "ai-edge-litert", "tflite-micro", "scipy", "scikit-learn")


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What is known about one run as a whole; everything about single results is in the rows.

    ``data`` says in words where the samples come from. ``settings`` holds further facts worth printing
    (matrix, epsilons, steps, sample counts): text, numbers, or lists of them. Times are UTC, ISO 8601.
    ``finished`` is empty while the run is going on or was interrupted. ``cores`` the process may use, and ``threads``
    that the environment asks for: training sums in another order with another number of either.
    """

    command: str
    started: str
    finished: str = ""
    wall_seconds: float | None = None
    peak_memory_mib: float | None = None
    peak_memory_worker_mib: float | None = None
    data: str = ""
    cores: int | None = None
    threads: Mapping[str, str] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    commit: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def write(self, path: str | Path) -> None:
        """Write ``run.json`` atomically."""
        write_text(path, json.dumps(asdict(self), indent=2, allow_nan=False) + "\n")


def read_run(path: str | Path) -> RunFacts:
    """Read ``run.json``; an unreadable file or an unknown key is a `DataError`."""
    return decode(RunFacts, parse_json(read_limited(path, FACTS_LIMIT, DataError), str(path), DataError), str(path),
                  DataError)


def begin(*, data: str, seeds: tuple[int, ...], settings: Mapping[str, Any]) -> RunFacts:
    """Return the facts that are known when a run starts."""
    return RunFacts(command=command_line(), started=utc_now(), data=data, cores=len(os.sched_getaffinity(0)),
                    threads={name: os.environ[name] for name in _THREADS if name in os.environ}, seeds=seeds,
                    commit=git_commit() or "", versions=versions(), settings=dict(settings))


def versions() -> dict[str, str]:
    """Look up the versions of tinyfuse, Python, the platform and the libraries that matter; imports none of them."""
    found = {"tinyfuse": __version__, "python": platform.python_version(),
             "platform": f"{platform.system()} {platform.machine()}"}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def git_commit() -> str | None:
    """Name the commit of the checkout that tinyfuse runs from (``-dirty`` if files differ); None outside one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
                                cwd=root, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def command_line() -> str:
    """Return the command as a user can type it again: the interpreter's own path is left out."""
    arguments = list(sys.orig_argv)
    if len(arguments) > 1 and Path(arguments[1]).name == "tinyfuse":
        return shlex.join(["tinyfuse", *arguments[2:]])
    return shlex.join(["python", *arguments[1:]])


def utc_now() -> str:
    """Return the present time as ``2026-01-31T12:00:00Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def peak_memory_mib() -> float:
    """Read the peak resident memory of this process in MiB."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    # Unlike ru_maxrss, VmHWM does not start at the size of the launching process.
    kib = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
    return (kib or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024
