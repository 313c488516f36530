"""``tinyfuse doctor``: is what tinyfuse needs here, in versions that work together? Imports none of it."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from importlib import metadata

OPTIONAL_TOOLS = {"espeak-ng": "makes the embedded spoken digits anew (not needed to use them)",
                  "arm-none-eabi-gcc": "compiles firmware in `tinyfuse verify`; without it pip install ziglang",
                  "qemu-system-arm": "runs firmware in `tinyfuse verify`; without it pip install unicorn"}


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: ``what`` was looked at, what was ``found``, and what to do if it is not ``fine``."""

    what: str
    found: str
    fine: bool
    advice: str = ""

    def __str__(self) -> str:
        mark = "ok  " if self.fine else "FAIL"
        return f"{mark} {self.what}: {self.found}" + (f" ({self.advice})" if self.advice else "")


def examine() -> list[Finding]:
    """Look at Python, every required distribution and the optional tools."""
    return [_python(), *_distributions(), *map(_tool, OPTIONAL_TOOLS)]


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    fine = sys.version_info >= (3, 11)
    return Finding("python", found, fine, "" if fine else "3.11 or newer is needed")


def _distributions() -> list[Finding]:
    """What tinyfuse was installed with, without the requirements of extras."""
    try:
        needed = metadata.requires("tinyfuse") or []
    except metadata.PackageNotFoundError:
        return [Finding("tinyfuse", "not installed", False, "`make install`, or pip install --editable .")]
    return [_distribution(text) for text in needed if "extra ==" not in text]


def _distribution(requirement: str) -> Finding:
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return Finding(wanted.name, "not installed", False, f"pip install '{requirement}'")
    fine = wanted.specifier.contains(version, prereleases=True)
    return Finding(wanted.name, version, fine, "" if fine else f"{wanted.specifier} is needed")


def _tool(name: str) -> Finding:
    path = shutil.which(name)
    return Finding(name, "on PATH" if path else "not on PATH", True, OPTIONAL_TOOLS[name])
