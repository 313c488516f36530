"""``tinyfuse doctor``: say whether what tinyfuse needs is here, in versions that fit; it imports none of it."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from importlib import metadata
from typing import Any

from tinyfuse.core import numba_cache

HELP = "say whether everything that is needed is installed"
EXAMPLES = """\
  tinyfuse doctor
"""
Look = tuple[bool, str, str, str]
"""Whether it is fine, what was looked at, what was found, and what to do."""
TOOLS = {"espeak-ng": "makes the embedded speech anew (not needed to use it)",
         "arm-none-eabi-gcc": "compiles firmware in `tinyfuse verify`; without it pip install ziglang",
         "qemu-system-arm": "runs firmware in `tinyfuse verify`; without it pip install unicorn",
         "riscv64-unknown-elf-gcc": "compiles firmware for core rv32; without it pip install ziglang",
         "qemu-system-riscv32": "runs firmware on core rv32; without it pip install unicorn"}
"""Optional ones, and what for."""
EXTRAS = {"oracle": "TFLite Micro itself: without it the twin's codes stand for its own, and nothing checks them; all "
                    "the rest works",
          "notebook": "results as DataFrames", "emulator": "compiles and runs firmware where no other tools are"}
"""What tinyfuse can be installed with, and what for."""


def add(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> int:
    """Print a line for each requirement; exit code 1 if one is not met."""
    new = sys.version_info >= (3, 11)
    python = new, "python", ".".join(map(str, sys.version_info[:3])), "" if new else "3.11 or newer is needed"
    tools = [(True, name, "on PATH" if shutil.which(name) else "not on PATH", use) for name, use in TOOLS.items()]
    cache = os.environ.get(numba_cache.VARIABLE, "")
    kept = (True, "compiled kernels", "compiled anew in every process" if "tinyfuse-numba-" in cache else
            f"kept in {cache}" if cache else "kept", "let ~/.cache be written, or set NUMBA_CACHE_DIR to a folder that "
            "can be" if "tinyfuse-numba-" in cache else "")
    looks = [python, *_distributions(), *tools, kept]
    for fine, what, found, advice in looks:
        print(f"{'ok  ' if fine else 'FAIL'} {what}: {found}" + (f" ({advice})" if advice else ""))
    return 0 if all(fine for fine, *_ in looks) else 1


def _distributions() -> list[Look]:
    """What tinyfuse needs, and what it can have beside that."""
    from packaging.requirements import Requirement

    try:
        needed = metadata.requires("tinyfuse") or []
    except metadata.PackageNotFoundError:
        return [(False, "tinyfuse", "not installed", "`make install`, or pip install --editable .")]
    found = [Requirement(text) for text in needed]
    return [*(_distribution(one) for one in found if one.marker is None or one.marker.evaluate({"extra": ""})),
            *(_optional(one, extra) for extra in EXTRAS for one in found
              if one.marker is not None and f'extra == "{extra}"' in str(one.marker))]


def _distribution(wanted: Any) -> Look:
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return False, wanted.name, "not installed", f"pip install '{wanted}'"
    fine = wanted.specifier.contains(version, prereleases=True)
    return fine, wanted.name, version, "" if fine else f"{wanted.specifier} is needed"


def _optional(wanted: Any, extra: str) -> Look:
    """The same of a package that ``extra`` brings: its lack is said, and is no failure."""
    fine, name, version, advice = _distribution(wanted)
    how = f"; pip install 'tinyfuse[{extra}]'" if advice else ""
    return fine or version == "not installed", name, version, f"{EXTRAS[extra]}{how}"
