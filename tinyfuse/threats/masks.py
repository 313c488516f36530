"""Where an attack may change an input: places along an axis that the input names, or all that carry information."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.core.files import sha256_hex
from tinyfuse.data.samples import Input

VALID = "valid"


def masks_of(texts: Sequence[str], inputs: Sequence[Input]) -> dict[str, np.ndarray]:
    """Return masks float32 of the input's shape, by input, from texts such as ``mic=time:10-14`` or ``mic=valid``.

    1 = attackable. Several masks of one input leave what all of them leave. ``valid`` is everything but padding.
    An unknown input or axis, a range outside of the input, and masks that leave nothing are UsageErrors.
    """
    known = {one.name: one for one in inputs}
    found: dict[str, np.ndarray] = {}
    for text in texts:
        name, _, where = text.partition("=")
        if name not in known:
            raise UsageError(f"mask '{text}': unknown input '{name}'{nearest(name, known)}; allowed: "
                             f"{', '.join(form for one in inputs for form in _forms(one))}")
        mask = _mask(text, known[name], where)
        found[name] = found[name] * mask if name in found else mask
    for name, mask in found.items():
        if not mask.any():
            raise UsageError(f"the masks of '{name}' leave nothing to attack; drop one of them")
    return found


def mask_text(masks: Mapping[str, np.ndarray]) -> str:
    """Return the masked inputs with a digest of where each is attackable, as rows have it; empty without masks."""
    digests = {name: sha256_hex(repr(mask.shape).encode() + np.asarray(mask, np.float32).tobytes())[:12]
               for name, mask in masks.items()}
    return ",".join(f"{name}:{digest}" for name, digest in digests.items())


def _forms(one: Input) -> list[str]:
    return [*(f"{one.name}={axis}:0-{found.size - 1}" for axis, found in one.axes.items()), f"{one.name}={VALID}"]


def _mask(text: str, one: Input, where: str) -> np.ndarray:
    form, _, span = where.partition(":")
    if form == VALID and not span:
        return one.valid_mask()
    if form not in one.axes:
        raise UsageError(f"mask '{text}': unknown axis '{form}'{nearest(form, [*one.axes, VALID])}; allowed: "
                         f"{', '.join(_forms(one))}")
    axis, place = one.axes[form], one.places_along(form)
    first, last = _range(text, span, axis.size)
    inside = ((place >= first) & (place <= last)).astype(np.float32)
    # An axis that does not divide the whole array evenly describes the values in front of the padding alone.
    return inside * one.valid_mask() if math.prod(one.shape) % (axis.stride * axis.size) else inside


def _range(text: str, span: str, size: int) -> tuple[int, int]:
    first, _, last = span.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal() and int(first) <= int(last or first) < size):
        raise UsageError(f"mask '{text}': '{span}' is no range; give A-B with 0 <= A <= B <= {size - 1}")
    return int(first), int(last or first)
