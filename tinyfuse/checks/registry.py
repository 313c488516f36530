"""The checks by their letters, and what a check can answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tinyfuse.checks.line_rows import Evidence

POINTS = 25
"""Points of the checklist; some take several checks."""


class Finding(NamedTuple):
    """A fault: its level ("E", "W" or "I") and one sentence with the numbers."""

    level: str
    text: str


class Missing(NamedTuple):
    """The check cannot be made on this line, and why."""

    reason: str


NO_MEANING = Missing("")
"""The answer where the question does not arise: parity of a float network, both modalities of one input."""

Answer = Finding | Missing | None
"""None: the check was made and all is well."""


@dataclass(frozen=True)
class Check:
    """A registered check.

    ``code``: one capital for the flags column, or a capital and a small letter. ``number``: its point of the
    checklist (1 to 25). ``name``: what goes wrong, in short. ``level``: the most serious finding it can make.
    ``title``: what a finding means, for legends.
    """

    code: str
    number: int
    name: str
    level: str
    title: str
    find: Callable[[Evidence], Answer]


CHECKS: dict[str, Check] = {}


def register(code: str, number: int, name: str, level: str, title: str) -> Callable[
        [Callable[[Evidence], Answer]], Callable[[Evidence], Answer]]:
    """Enter the decorated function under ``code``."""
    def add(find: Callable[[Evidence], Answer]) -> Callable[[Evidence], Answer]:
        CHECKS[code] = Check(code, number, name, level, title, find)
        return find
    return add


def no_probe(*names: str) -> Missing:
    """The answer of a check whose measurement was not made."""
    return Missing("no probe " + " or ".join(f"'{name}'" for name in names))
