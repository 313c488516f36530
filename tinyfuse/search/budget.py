"""Budgets such as ``flash=60kB,ram=24KiB,instructions=20M``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.core.files import sha256_hex

RESOURCES: Mapping[str, str] = {
    "flash": "bytes of packed weights, biases and requantisation constants",
    "ram": "bytes of the firmware's arena, which widths of weights hardly change",
    "macs": "multiply-accumulates of the stock .tflite, where layers of 9 bits count twice (in the firmware once)",
    "instructions": "instructions of one inference of the firmware on the emulated core",
}
MOST_TEXT = 40
"""Characters of a budget in a file name."""
_BYTES = ("flash", "ram")
_BYTE_UNITS = {"": 1, "b": 1, "kb": 1000, "kib": 1024, "mb": 1000**2, "mib": 1024**2}
_COUNT_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}


@dataclass(frozen=True)
class Budget:
    """Upper ``limits`` by resource, whole numbers; ``text`` as it was given, fit for a file name."""

    limits: Mapping[str, int]
    text: str

    def exceeded(self, needs: Mapping[str, int | None]) -> list[str]:
        """In words each limit that ``needs`` exceed; what is not known exceeds nothing."""
        return [f"{name} {need} of {limit}" for name, limit in self.limits.items()
                if (need := needs.get(name)) is not None and need > limit]


def parse_budget(given: str | Sequence[str]) -> Budget:
    """The budget in ``given``: ``NAME=SIZE`` entries, separated by commas or as a sequence.

    Raises:
        UsageError: an unknown resource or unit, no number, or a resource named twice.
    """
    entries = [entry for text in ([given] if isinstance(given, str) else given) for entry in text.split(",")]
    limits: dict[str, int] = {}
    for entry in entries:
        name, limit = _entry(entry)
        if name in limits:
            raise UsageError(f"the budget names '{name}' twice; give one limit for each")
        limits[name] = limit
    text = re.sub(r"[=\s]", "", "-".join(entries))
    return Budget(limits, text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT - 7]}-{sha256_hex(text.encode())[:6]}")


def _entry(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"\s*([A-Za-z-]+)\s*=\s*([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([A-Za-z]*)\s*", text)
    if match is None:
        raise UsageError(f"'{text}' is not a budget; give one such as flash=60kB, ram=24KiB or instructions=20M")
    name, number, unit = match[1].lower(), match[2], match[3].lower()
    if name not in RESOURCES:
        raise UsageError(f"no budget for '{name}'{nearest(name, RESOURCES)}; budgets are for {', '.join(RESOURCES)}")
    units = _BYTE_UNITS if name in _BYTES else _COUNT_UNITS
    if unit not in units:
        raise UsageError(f"'{match[3]}' is no unit of {name}; use one of {', '.join(key for key in units if key)}")
    limit = int(Decimal(number) * units[unit])
    if limit < 1:
        raise UsageError(f"a budget of {text.strip()} leaves nothing; give a positive number")
    return name, limit
