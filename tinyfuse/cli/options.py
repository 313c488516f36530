"""What the two front doors share: data options, value parsers, and errors as one line with an exit code."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

from tinyfuse.core.console import console
from tinyfuse.core.errors import TinyfuseError

if TYPE_CHECKING:
    from tinyfuse.data import Dataset

INTERRUPTED = 130


def positive(text: str) -> int:
    """A whole number of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return value


def budget(text: str) -> float:
    """A perturbation budget such as ``0.03`` or ``8/255``."""
    try:
        value = float(Fraction(text)) if "/" in text and len(text) < 20 else float(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a budget; give a number such as 0.03 or 8/255")
    return value


def seed(text: str) -> int:
    """A seed that every generator here takes: 0 to 2^32 - 1."""
    if not text.isascii() or not text.isdigit() or int(text[:20]) >= 2**32:
        raise argparse.ArgumentTypeError(f"'{text}' is not a seed; give a whole number from 0 to {2**32 - 1}")
    return int(text)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Options that choose the data."""
    group = parser.add_argument_group("data")
    group.add_argument("--data", metavar="DIR", help="folder with MNIST and spoken digits, or 'download' "
                                                     "(default: the embedded digits)")
    group.add_argument("--spoken", choices=("auto", "fsdd", "speech_commands"), default="auto",
                       help="spoken digits to use from the folder (auto: FSDD where present)")
    group.add_argument("--split", choices=("official", "speaker"), default="official",
                       help="the source's own split, or test speakers that training never heard")
    group.add_argument("--held-out", metavar="NAMES", help="test speakers of --split speaker, separated by commas")
    group.add_argument("--limit", type=positive, metavar="N", help="at most N pairs in each part")
    group.add_argument("--seed", type=seed, default=0, metavar="S", help="seed of pairing and training (default 0)")


def load_data(args: argparse.Namespace) -> Dataset:
    """The data that :func:`add_data`'s options name."""
    from tinyfuse import data

    with console.status("loading data"):
        return data.load(args.data, split=args.split, spoken=args.spoken, held_out=args.held_out, seed=args.seed,
                         limit=args.limit)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def guarded(action: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Run ``action``; a user's mistake becomes one line on stderr and its exit code."""
    try:
        return action(args)
    except TinyfuseError as error:
        console.print(f"tinyfuse: {error}", style="bold red", markup=False)
        return error.exit_code
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            # The reader of stdout is gone (`tinyfuse ls | head`); nothing is left to say.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return 1
        said = f"tinyfuse: {error.filename or 'file'}: {error.strerror or error}"
        console.print(said, style="bold red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("tinyfuse: interrupted; the same command goes on from here", style="bold red")
        return INTERRUPTED
