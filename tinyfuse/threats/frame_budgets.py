"""Budgets of an adversary in front of a camera: levels of a pixel, the side of a patch, light, a turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.threats.amount import Given, read_amount

FRAME = "frame"
"""The threat model: the adversary changes the camera's frame before it is cropped and resized."""
_UNITS = {"pixels": "levels", "patch": "px", "brightness": "levels", "contrast": "%", "rotation": "deg"}
FRAME_NORMS, FRAME_UNITS = tuple(_UNITS), tuple(dict.fromkeys(_UNITS.values()))
_LIMITS = {"pixels": 255.0, "patch": 2048.0, "brightness": 255.0, "contrast": 100.0, "rotation": 180.0}
_WHOLE = ("pixels", "patch")
_DEFAULTS = {"pixels": 8.0, "patch": 8.0, "brightness": 20.0, "contrast": 20.0, "rotation": 15.0}
FRAME_LARGEST = {**_LIMITS, "patch": 8.0}
"""Up to where the smallest change is looked for if nothing is said."""


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
                             f"{_LIMITS[self.norm]:g}")

    @classmethod
    def of_size(cls, norm: str, size: float) -> FrameBudget:
        """Return the budget of a ``size``."""
        return cls(norm, size)

    @property
    def size(self) -> float:
        """How much is allowed, as rows hold it: the amount."""
        return self.amount

    def __str__(self) -> str:
        return f"{self.amount:g} {_UNITS[self.norm]}"


def read_frame_budget(given: Given, norm: str | None,
                      defaults: Mapping[str, float] = _DEFAULTS) -> tuple[str, FrameBudget]:
    """Read a budget such as ``8levels``, ``camera=20px`` or {"camera": "15deg"}: its input or "", and the budget.

    ``norm``: by default what the unit says: "pixels" for levels; with a norm given, a number counts its unit. Nothing
    given is that of ``defaults``: 8 levels of a pixel, a patch of 8 px, 20 levels, 20 % or 15 degrees.
    """
    name, found = read_amount(given, FRAME_UNITS, "a frame; give 8levels (of a pixel, or of brightness), 20px (a "
                              "patch), 20% (of contrast) or 15deg (of rotation)")
    if found is None:
        return name, FrameBudget(norm or "pixels", defaults.get(norm or "pixels", 0.0))
    found.need_unit(norm, " or ".join(f"{found.text}{unit}" for unit in FRAME_UNITS))
    chosen = norm or next(one for one, own in _UNITS.items() if own == found.unit)
    budget = FrameBudget(chosen, found.number)
    found.check_unit(chosen, _UNITS[chosen])
    return name, budget
