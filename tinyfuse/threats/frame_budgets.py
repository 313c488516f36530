"""Budgets of an adversary in front of a camera: levels of a pixel, the side of a patch, light, a turn."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tinyfuse.core.errors import UsageError, nearest

FRAME = "frame"
"""The threat model: the adversary changes the camera's frame before it is cropped and resized."""
_UNITS = {"pixels": "levels", "patch": "px", "brightness": "levels", "contrast": "%", "rotation": "deg"}
FRAME_NORMS = tuple(_UNITS)
_LIMITS = {"pixels": 255, "patch": 2048, "brightness": 255, "contrast": 100, "rotation": 180}
_WHOLE = ("pixels", "patch")
_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*(levels|px|%|deg)?", re.IGNORECASE)


@dataclass(frozen=True)
class FrameBudget:
    """What may be done to a frame; UsageError for an unknown ``norm`` and for an ``amount`` out of range.

    "pixels": no pixel moves by more than ``amount`` of 255 levels. "patch": a square of ``amount`` pixels a side holds
    anything. "brightness", "contrast" and "rotation" are of the whole frame, up to so many levels, per cent or degrees.
    """

    norm: str
    amount: float

    def __post_init__(self) -> None:
        if self.norm not in _UNITS:
            raise UsageError(f"unknown norm of a frame '{self.norm}'{nearest(self.norm, _UNITS)}; use one of "
                             f"{', '.join(_UNITS)}")
        if not 0 <= self.amount <= _LIMITS[self.norm] or (self.norm in _WHOLE and self.amount != int(self.amount)):
            whole = "a whole number from " if self.norm in _WHOLE else ""
            raise UsageError(f"{self.norm}: a budget of {self.amount:g} {_UNITS[self.norm]}; give {whole}0 to "
                             f"{_LIMITS[self.norm]}")

    def __str__(self) -> str:
        return f"{self.amount:g} {_UNITS[self.norm]}"


def read_frame_budget(given: float | str | Mapping[str, float | str] | None,
                      norm: str | None) -> tuple[str, FrameBudget]:
    """Read a budget such as ``8levels``, ``camera=20px`` or {"camera": "15deg"}: its input or "", and the budget.

    ``norm``: by default what the unit says: "pixels" for levels. Nothing given is 8 levels of a pixel.
    """
    pairs = [*given.items()] if isinstance(given, Mapping) else [("", "8levels" if given is None else given)]
    if len(pairs) != 1:
        raise UsageError("an attack on the frame changes one input; give one budget")
    name, value = str(pairs[0][0]), pairs[0][1]
    text = f"{value:.15g}" if isinstance(value, float | int) else value.strip()
    if "=" in text and not name:
        name, _, text = (part.strip() for part in text.partition("="))
    found = _TEXT.fullmatch(text)
    if found is None:
        raise UsageError(f"'{text}' is no budget of a frame; give 8levels (of a pixel, or of brightness), 20px (a "
                         "patch), 20% (of contrast) or 15deg (of rotation)")
    unit = (found[2] or "").lower()
    chosen = norm or next((one for one, own in _UNITS.items() if own == unit), "pixels")
    budget = FrameBudget(chosen, float(found[1]))
    if unit and unit != _UNITS[chosen]:
        raise UsageError(f"a budget of {text} in the norm {chosen}, which counts {_UNITS[chosen]}; leave one of them "
                         "out")
    return name, budget
