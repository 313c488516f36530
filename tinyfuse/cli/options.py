"""What the verbs share: parsers of values, checks of files, and errors as one line with an exit code."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

from tinyfuse.core.console import console
from tinyfuse.core.errors import ModelError, TinyfuseError, UsageError
from tinyfuse.core.faults import faults_logged
from tinyfuse.core.files import open_plain
from tinyfuse.nn import zoo
from tinyfuse.nn.zoo.user import KERAS, TFLITE, check_network_file, foreign_file
from tinyfuse.threats.budget_text import has_unit


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return value


def seeds(text: str) -> tuple[int, ...]:
    """Read training seeds such as ``0-4`` or ``0,2,5-7``."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isdecimal() and (last.isdecimal() if dash else True) and len(first + last) < 12
                and int(first) <= int(last or first) < int(first) + 100):
            raise argparse.ArgumentTypeError(f"'{text}' are no seeds; give numbers such as 0-4 or 0,2,5")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def budget(text: str) -> float:
    """Read a perturbation budget such as ``0.03`` or ``8/255``."""
    try:
        value = float(Fraction(text)) if "/" in text and len(text) < 20 else float(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a budget; give a number such as 0.03 or 8/255")
    return value


def budgets_or_decibels(text: str) -> float | str | Mapping[str, float]:
    """Read what :func:`budgets` reads; a budget of a recording, such as ``mic=40dB``, stays text."""
    return text if has_unit(text) else budgets(text)


def budgets(text: str) -> float | Mapping[str, float]:
    """Read one budget for every attacked input, or one for each: ``camera=0.1,mic=8/255``."""
    if "=" not in text:
        return budget(text)
    pairs = [part.partition("=") for part in text.split(",")]
    found = {name.strip(): budget(value) for name, _, value in pairs}
    if len(found) < len(pairs):
        raise argparse.ArgumentTypeError(f"'{text}' names an input twice")
    return found


def need_model(path: str, *suffixes: str) -> None:
    """Raise an error unless ``path`` is a file of one of ``suffixes`` that can be read: before TensorFlow loads."""
    suffix = Path(path).suffix.lower()
    if suffix not in suffixes:
        raise UsageError(foreign_file(Path(path)) or f"{path}: no model that can be taken here; give one that ends in "
                         f"{' or '.join(suffixes)}")
    with open_plain(path, ModelError) as stream:
        head = stream.read(8)
    if suffix == ".keras" and head[:4] != b"PK\x03\x04":
        raise ModelError(f"{path} is no .keras file, which is a zip archive; `tinyfuse train` writes them")
    if suffix == ".tflite" and head[4:] != b"TFL3":
        raise ModelError(f"{path} is no .tflite file, which has the letters TFL3 at its fifth byte; `tinyfuse "
                         "quantize` writes them")


def need_network(path: str) -> None:
    """Raise an error unless ``path`` is a float network: before TensorFlow loads."""
    if Path(path).is_dir():
        check_network_file(Path(path))
        return
    need_model(path, *KERAS, TFLITE)
    check_network_file(Path(path))


def need_network_or_model(path: str) -> None:
    """Raise an error unless ``path`` is a float network or an integer ``.tflite``: before TensorFlow loads."""
    if Path(path).suffix.lower() == TFLITE:
        need_model(path, TFLITE)
    else:
        need_network(path)


def need_network_or_name(text: str) -> None:
    """Raise an error unless ``text`` names a network of the zoo or is the path of a float network."""
    if Path(text).suffix or Path(text).exists():
        need_network(text)
    else:
        zoo.check_name(text)


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Add the option that names a cluster."""
    parser.add_argument("--cluster", metavar="tcp://HOST:PORT",
                        help="scheduler of a Dask cluster whose workers do the work, as docs/cluster.md says")


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose one of several outputs or signatures of somebody's network."""
    group = parser.add_argument_group("your own network")
    group.add_argument("--output", default="", metavar="NAME", help="which of several outputs has the classes")
    group.add_argument("--signature", default="", metavar="NAME",
                       help="which of several signatures of a SavedModel or float .tflite")


def need_file(path: str) -> None:
    """Raise :class:`ModelError` unless ``path`` is a plain file that can be read: before data or TensorFlow load."""
    with open_plain(path, ModelError):
        pass


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0))


def guarded(action: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Run ``action``; a user's mistake, and a fault of ours, become one line on stderr and an exit code."""
    try:
        with faults_logged():
            return action(args)
    except TinyfuseError as error:
        return _said(f"tinyfuse: {error}", error.exit_code)
    except BrokenPipeError:
        # The reader of stdout is gone (`tinyfuse ls | head`); nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        return _said(f"tinyfuse: {error.filename or 'file'}: {error.strerror or error}", 1)
    except KeyboardInterrupt:
        return _said("tinyfuse: interrupted; the same command goes on from here", 130)


def _said(text: str, code: int) -> int:
    console.print(text, style="bold red", markup=False)
    return code
