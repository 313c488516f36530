"""What a user sees of a run: progress and messages on stderr (results go to stdout), on any terminal or notebook."""

from __future__ import annotations

import codecs
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False, soft_wrap=True)
PLAIN = {"→": "->", "←": "<-", "↑": "^", "↓": "v", "–": "-", "—": "-", "−": "-", "±": "+-", "×": "x", "·": ".",
         "…": "...", "≤": "<=", "≥": ">=", "≈": "~", "ε": "epsilon", "∞": "inf", "µ": "u", "²": "^2", "•": "*",
         "█": "#", "✓": "ok", "✗": "x", "“": '"', "”": '"', "’": "'"}
"""What stands for a character on a terminal that does not have it; "?" for all others."""
NOTEBOOK_SECONDS = 0.5


def open_streams() -> None:
    """Make the standard streams ready for anything: closed ones are opened on nothing, no character stops them.

    A file that is opened while descriptor 2 is closed would become the standard error, and be filled with messages.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    codecs.register_error("tinyfuse", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="tinyfuse")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start:error.end]
    return "".join(PLAIN.get(one, "?") for one in text), error.end


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[..., None]]:
    """Show one bar on stderr, or in the notebook, with the time; yield ``advance(steps=1, note="")``.

    Nothing is drawn when stderr is neither, so logs stay readable.
    """
    if console.is_jupyter:
        with _notebook_progress(description, total) as draw:
            yield draw
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(description, total=total, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            bar.update(task, advance=steps, note=note)

        yield advance


@contextmanager
def _notebook_progress(description: str, total: int) -> Iterator[Callable[..., None]]:
    """Draw a bar under the running cell; it needs no widgets, and its last state stays."""
    from IPython.display import HTML, display

    began, done, drawn = time.monotonic(), 0, 0.0
    shown: Any = display(HTML(_bar(description, 0, total, 0.0, "")), display_id=True)

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal done, drawn
        done, now = done + steps, time.monotonic()
        if now - drawn >= NOTEBOOK_SECONDS or done >= total:
            drawn = now
            shown.update(HTML(_bar(description, done, total, now - began, note)))

    try:
        yield advance
    finally:
        shown.update(HTML(_bar(description, done, total, time.monotonic() - began, "")))


def _bar(description: str, done: int, total: int, seconds: float, note: str) -> str:
    return (f"<div>{escape(description)} <progress value='{done}' max='{max(total, 1)}'></progress> {done}/{total}, "
            f"{seconds:.0f} s {escape(note)}</div>")
