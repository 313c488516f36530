"""What the verbs share: parsers of values, checks of files, and errors as one line with an exit code."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

from tinyfuse.core.console import console
from tinyfuse.core.errors import ModelError, TinyfuseError, UsageError
from tinyfuse.core.files import open_plain


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return value


def budget(text: str) -> float:
    """Read a perturbation budget such as ``0.03`` or ``8/255``."""
    try:
        value = float(Fraction(text)) if "/" in text and len(text) < 20 else float(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a budget; give a number such as 0.03 or 8/255")
    return value


def budgets(text: str) -> float | Mapping[str, float]:
    """Read one budget for every attacked input, or one for each: ``camera=0.1,mic=8/255``."""
    if "=" not in text:
        return budget(text)
    pairs = [part.partition("=") for part in text.split(",")]
    found = {name.strip(): budget(value) for name, _, value in pairs}
    if len(found) < len(pairs):
        raise argparse.ArgumentTypeError(f"'{text}' names an input twice")
    return found


FOREIGN = {
    ".onnx": "onnx2tf -i FILE -osd writes a SavedModel of it, which tinyfuse reads",
    ".pt": "litert-torch (litert_torch.convert) writes a float .tflite of a PyTorch network, which tinyfuse reads",
    ".pth": "load the weights into your PyTorch network; litert_torch.convert then writes a float .tflite of it",
    ".pb": "give the folder of the SavedModel that it lies in",
    ".toml": "give the model that this table lies beside"}
"""What to run first on files of others, by suffix."""


def need_model(path: str, *suffixes: str) -> None:
    """Raise an error unless ``path`` is a file of one of ``suffixes`` that can be read: before TensorFlow loads."""
    suffix = Path(path).suffix.lower()
    if suffix not in suffixes:
        otherwise = f"no model that can be taken here; give one that ends in {' or '.join(suffixes)}"
        raise UsageError(f"{path}: {FOREIGN.get(suffix, otherwise)}")
    with open_plain(path, ModelError) as stream:
        head = stream.read(8)
    if suffix == ".keras" and head[:4] != b"PK\x03\x04":
        raise ModelError(f"{path} is no .keras file, which is a zip archive; `tinyfuse train` writes them")
    if suffix == ".tflite" and head[4:] != b"TFL3":
        raise ModelError(f"{path} is no .tflite file, which has the letters TFL3 at its fifth byte; `tinyfuse "
                         "quantize` writes them")


def need_file(path: str) -> None:
    """Raise :class:`ModelError` unless ``path`` is a plain file that can be read: before data or TensorFlow load."""
    with open_plain(path, ModelError):
        pass


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0))


def guarded(action: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Run ``action``; a user's mistake becomes one line on stderr and its exit code."""
    try:
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
