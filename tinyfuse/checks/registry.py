"""The checks by their letters, and what a check can answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tinyfuse.checks.line_rows import LineRows
from tinyfuse.checks.sentences import where


class Finding(NamedTuple):
    """A fault: its level ("E", "W" or "I") and one sentence with the numbers."""

    level: str
    text: str


class Missing(NamedTuple):
    """The check cannot be made on this line, and why."""

    reason: str


NO_MEANING = Missing("")
"""The answer where the question does not arise: parity of a float network, several inputs of a network with one."""

Answer = Finding | Missing | None
"""None: the check was made and all is well."""
Find = Callable[[LineRows], Answer]


@dataclass(frozen=True)
class Check:
    """A registered check: ``name`` says in short what goes wrong, ``title`` in a sentence for legends.

    ``code``: one capital for the flags column, or a capital and a small letter. ``number``: its point of the
    checklist, 1 to 26. ``level``: the most serious finding it can make.
    """

    code: str
    number: int
    name: str
    level: str
    title: str
    find: Find


CHECKS: dict[str, Check] = {}


def register(code: str, number: int, name: str, level: str, title: str) -> Callable[[Find], Find]:
    """Enter the decorated function under ``code``."""
    def add(find: Find) -> Find:
        CHECKS[code] = Check(code, number, name, level, title, find)
        return find
    return add


def no_probe(*names: str) -> Missing:
    """Say that the measurement of a check was not made."""
    return Missing("no probe " + " or ".join(f"'{name}'" for name in names))


def register_probe(code: str, number: int, name: str, level: str, title: str, *, probe: str, sentence: str,
                   right: float = 0.0, limit: float = 0.0, notable: float = 0.0) -> None:
    """Enter a check that reads one ``probe``: a finding where a value is more than ``limit`` off ``right``.

    It is of ``level`` where it is more than ``notable`` off, else information. ``sentence`` may hold the ``{value}``
    that is furthest off, by how much it is ``{off}``, and on how many samples ``{n}``.
    """
    def find(line: LineRows) -> Answer:
        worst = line.worst(probe, right=right)
        if worst is None:
            return no_probe(probe)
        off = abs(worst["value"] - right)
        text = sentence.format(value=worst["value"], off=off, n=worst["n"]) + where(worst)
        return Finding(level if off > notable else "I", text) if off > limit else None

    register(code, number, name, level, title)(find)
