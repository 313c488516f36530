"""Budgets of an adversary who changes a recording: decibels below it, 16-bit steps, or what its sound masks.

Rows and checks hold the ``size`` of a budget, which grows with what it allows; people read and write its ``amount``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.frontend.device_sound import FULL_SCALE
from tinyfuse.threats.amount import Given, read_amount

WAVE = "wave"
"""The threat model: the adversary changes the recording before the front end."""
_UNITS = {"snr": "dB", "pcm": "steps", "masking": "dB"}
WAVE_NORMS, WAVE_UNITS = tuple(_UNITS), tuple(dict.fromkeys(_UNITS.values()))
_LIMITS = {"snr": (-20.0, 200.0), "pcm": (0.0, FULL_SCALE - 1.0), "masking": (-150.0, 60.0)}
"""No change of a 16-bit recording is smaller than the smallest of these."""
_DEFAULTS = {"snr": 40.0, "pcm": 32.0, "masking": 0.0}
LARGEST = {"snr": 0.0, "pcm": 4096.0, "masking": 0.0}
"""Up to where the smallest change is looked for if nothing is said."""


@dataclass(frozen=True)
class WaveBudget:
    """What may be done to a recording; UsageError for an unknown ``norm`` and for an ``amount`` out of range.

    "snr": the change lies ``amount`` dB below the recording (ratio of their energies). "pcm": no 16-bit sample moves by
    more than ``amount`` steps. "masking": the change lies at most ``amount`` dB above what the recording masks, at each
    time and frequency (see :mod:`tinyfuse.attacks.wave.masking`); 0 is the threshold of hearing it.
    """

    norm: str
    amount: float

    def __post_init__(self) -> None:
        if self.norm not in _UNITS:
            raise UsageError(f"unknown norm of a recording '{self.norm}'{nearest(self.norm, _UNITS)}; use one of "
                             f"{', '.join(_UNITS)}")
        low, high = _LIMITS[self.norm]
        if not low <= self.amount <= high:
            raise UsageError(f"{self.norm}: a budget of {self.amount:g} {_UNITS[self.norm]}; give {low:g} to {high:g}")

    @classmethod
    def of_size(cls, norm: str, size: float) -> WaveBudget:
        """Return the budget of a ``size`` above 0."""
        return cls(norm, {"snr": -1, "masking": 1}[norm] * 20 * math.log10(size) if norm != "pcm" else size)

    @property
    def size(self) -> float:
        """How much is allowed: length over the recording's (0.01 is 40 dB), steps, or amplitude over the masked one."""
        if self.norm == "pcm":
            return self.amount
        return float(10 ** ((-self.amount if self.norm == "snr" else self.amount) / 20))

    def __str__(self) -> str:
        return f"{round(self.amount, 1):g} {_UNITS[self.norm]}"


def read_wave_budget(given: Given, norm: str | None,
                     defaults: Mapping[str, float] = _DEFAULTS) -> tuple[str, WaveBudget]:
    """Read a budget such as ``40dB``, ``mic=8steps`` or {"mic": "40dB"}: the input's name, or "", and the budget.

    ``norm``: by default what the unit says, "snr" for dB; with a norm given, a number counts its unit. Nothing
    given is that of ``defaults``: 40 dB below the recording, 32 steps or the masking threshold itself.
    """
    name, found = read_amount(given, WAVE_UNITS,
                              "a recording; give decibels such as 40dB, or 16-bit steps such as 8steps")
    if found is None:
        return name, WaveBudget(norm or "snr", defaults.get(norm or "snr", 0.0))
    found.need_unit(norm, f"{found.text}dB (below the recording) or {found.text}steps (of a 16-bit sample)")
    chosen = norm or ("pcm" if found.unit == "steps" else "snr")
    budget = WaveBudget(chosen, found.number)
    found.check_unit(chosen, _UNITS[chosen])
    if chosen == "pcm" and budget.amount != int(budget.amount):
        raise UsageError(f"a change of {budget.amount:g} steps of a 16-bit sample; give a whole number")
    return name, budget
