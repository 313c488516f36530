"""Where an attack may change an input, by name: bands of MFCC coefficients, blocks of time, rows, cells with data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data import MODALITIES, padding_mask
from tinyfuse.data.digits.features import COEFFICIENTS, FRAMES, SIDE

FORMS = "audio=mfcc:0-4, audio=time:10-14, audio=data, image=rows:7-20, image=columns:7-20"


def masks_of(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Masks float32 [28, 28, 1] by modality from texts such as ``audio=mfcc:0-4``; 1 = attackable.

    Several masks of one modality leave what all of them leave. ``mfcc`` counts coefficients and ``time`` frames of
    the audio features; ``data`` is everything but the constant padding behind them.

    Raises:
        UsageError: an unknown modality or form, or a range outside of the input.
    """
    found: dict[str, np.ndarray] = {}
    for text in texts:
        modality, _, where = text.partition("=")
        if modality not in MODALITIES:
            raise UsageError(f"mask '{text}': unknown modality '{modality}'{nearest(modality, MODALITIES)}; "
                             f"write for instance {FORMS}")
        mask = _mask(text, modality, where)
        found[modality] = found[modality] * mask if modality in found else mask
    for modality, mask in found.items():
        if not mask.any():
            raise UsageError(f"the masks of '{modality}' leave nothing to attack; drop one of them")
    return found


def _mask(text: str, modality: str, where: str) -> np.ndarray:
    form, _, span = where.partition(":")
    cells = np.arange(SIDE * SIDE).reshape(SIDE, SIDE, 1)
    axes = {"rows": (cells // SIDE, SIDE), "columns": (cells % SIDE, SIDE)}
    if modality == "audio":
        if form == "data" and not span:
            return padding_mask()
        axes |= {"mfcc": (cells % COEFFICIENTS, COEFFICIENTS), "time": (cells // COEFFICIENTS, FRAMES)}
    if form not in axes:
        raise UsageError(f"mask '{text}': unknown form '{form}'{nearest(form, [*axes, 'data'])}; "
                         f"write for instance {FORMS}")
    place, size = axes[form]
    first, last = _range(text, span, size)
    inside = ((place >= first) & (place <= last)).astype(np.float32)
    return inside * padding_mask() if form in ("mfcc", "time") else inside


def _range(text: str, span: str, size: int) -> tuple[int, int]:
    first, _, last = span.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal() and int(first) <= int(last or first) < size):
        raise UsageError(f"mask '{text}': '{span}' is no range; give A-B with 0 <= A <= B <= {size - 1}")
    return int(first), int(last or first)
