"""``tinyfuse doctor``: say whether what tinyfuse needs is here, in versions that fit; it imports none of it."""

from __future__ import annotations

import argparse
import shutil
import sys
from importlib import metadata
from typing import Any

HELP = "say whether everything that is needed is installed"
EXAMPLES = """\
  tinyfuse doctor
"""
Look = tuple[bool, str, str, str]
"""Whether it is fine, what was looked at, what was found, and what to do."""
TOOLS = {"espeak-ng": "makes the embedded speech anew (not needed to use it)",
         "arm-none-eabi-gcc": "compiles firmware in `tinyfuse verify`; without it pip install ziglang",
         "qemu-system-arm": "runs firmware in `tinyfuse verify`; without it pip install unicorn"}
"""Optional ones, and what for."""


def add(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> int:
    """Print a line for each requirement; exit code 1 if one is not met."""
    new = sys.version_info >= (3, 11)
    python = new, "python", ".".join(map(str, sys.version_info[:3])), "" if new else "3.11 or newer is needed"
    tools = [(True, name, "on PATH" if shutil.which(name) else "not on PATH", use) for name, use in TOOLS.items()]
    looks = [python, *_distributions(), *tools]
    for fine, what, found, advice in looks:
        print(f"{'ok  ' if fine else 'FAIL'} {what}: {found}" + (f" ({advice})" if advice else ""))
    return 0 if all(fine for fine, *_ in looks) else 1


def _distributions() -> list[Look]:
    """What tinyfuse was installed with, without the requirements of extras."""
    from packaging.requirements import Requirement

    try:
        needed = metadata.requires("tinyfuse") or []
    except metadata.PackageNotFoundError:
        return [(False, "tinyfuse", "not installed", "`make install`, or pip install --editable .")]
    return [_distribution(Requirement(text)) for text in needed if "extra ==" not in text]


def _distribution(wanted: Any) -> Look:
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return False, wanted.name, "not installed", f"pip install '{wanted}'"
    fine = wanted.specifier.contains(version, prereleases=True)
    return fine, wanted.name, version, "" if fine else f"{wanted.specifier} is needed"
