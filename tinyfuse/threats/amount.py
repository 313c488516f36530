"""A budget before the front end as people write it: a number with its unit, for the one input that is changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tinyfuse.core.errors import UsageError

Given = float | str | Mapping[str, float | str] | None


@dataclass(frozen=True)
class Amount:
    """``number`` with a ``unit``, or "", as in ``text``."""

    text: str
    number: float
    unit: str

    def need_unit(self, norm: str | None, choices: str) -> None:
        """Raise UsageError for a bare number where no ``norm`` says what it counts; ``choices``: what to give."""
        if not self.unit and norm is None:
            raise UsageError(f"a budget of {self.text} without a unit; give {choices}")

    def check_unit(self, norm: str, counted: str) -> None:
        """Raise UsageError unless the unit, if there is one, is what ``norm`` counts."""
        if self.unit and self.unit != counted:
            raise UsageError(f"a budget of {self.text} in the norm {norm}, which counts {counted}; leave one of them "
                             "out")


def read_amount(given: Given, units: Iterable[str], wanted: str) -> tuple[str, Amount | None]:
    """Read 40, ``40dB``, ``mic=8steps`` or {"mic": "40dB"}: the input's name, or "", and its amount; None for None.

    A unit is one of ``units``, in letters of any case. UsageError for several inputs, and for what is no amount:
    ``wanted`` says what to give instead.
    """
    pairs = [*given.items()] if isinstance(given, Mapping) else [("", given)]
    if len(pairs) != 1:
        raise UsageError(f"budgets for {' and '.join(map(str, dict(pairs))) or 'nothing'}; an attack before the front "
                         "end changes one input: give one budget")
    name, value = str(pairs[0][0]), pairs[0][1]
    if value is None:
        return name, None
    text = f"{value:.15g}" if isinstance(value, float | int) else value.strip()
    if "=" in text and not name:
        name, _, text = (part.strip() for part in text.partition("="))
    known = {unit.lower(): unit for unit in units}
    found = re.fullmatch(rf"([+-]?\d+(?:\.\d+)?)\s*({'|'.join(map(re.escape, known))})?", text, re.IGNORECASE)
    if found is None:
        raise UsageError(f"'{text}' is no budget of {wanted}")
    return name, Amount(text, float(found[1]), known.get((found[2] or "").lower(), ""))
