"""The size of a budget as rows hold it, in the words of whoever measures such a change."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tinyfuse.threats.frame_budgets import FRAME_NORMS, FRAME_UNITS, FrameBudget
from tinyfuse.threats.wave_budgets import WAVE_NORMS, WAVE_UNITS, WaveBudget


def size_text(norm: str, size: float) -> str:
    """Write ``40 dB`` or ``8 levels`` in a norm of recordings or frames, else the number."""
    if norm in FRAME_NORMS:
        return str(FrameBudget(norm, size))
    if norm not in WAVE_NORMS or size <= 0:
        return f"{size:g}"
    return str(WaveBudget.of_size(norm, size))


def sizes_text(norm: str, budget: Mapping[str, float]) -> dict[str, str]:
    """Write the budget of each input; a ``norm`` such as snr+pixels has one for each, in the order of ``budget``."""
    norms = norm.split("+")
    if len(norms) != len(budget):
        norms = norms[:1] * len(budget)
    return {name: size_text(one, size) for one, (name, size) in zip(norms, budget.items(), strict=True)}


def has_unit(text: str) -> bool:
    """Tell whether ``text``, such as ``mic=40dB``, gives a budget in a unit of recordings or frames."""
    return _UNIT.search(text.strip()) is not None


_UNIT = re.compile(rf"\d\s*({'|'.join(map(re.escape, (*WAVE_UNITS, *FRAME_UNITS)))})\s*(,|$)", re.IGNORECASE)
