"""Random changes of a given size in a norm: real, or in whole codes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinyfuse.attacks.query_search import Streams
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.threats.norms import l2_direction

Draw = Callable[[Streams, np.ndarray, tuple[int, ...]], np.ndarray]


def _cube(streams: Streams, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return 2.0 * streams.uniform(rows, shape) - 1.0


_DRAWS: dict[str, dict[str, Draw]] = {
    "linf": {"signs": Streams.signs, "gaussian": Streams.normal, "uniform": _cube},
    "l2": {"signs": Streams.signs, "gaussian": Streams.normal, "uniform": Streams.normal},
}
KINDS = tuple(_DRAWS["linf"])


def check_kind(attack: str, kind: str) -> None:
    """Raise UsageError unless ``kind`` is a kind of random change."""
    if kind not in KINDS:
        raise UsageError(f"{attack}: unknown kind of noise '{kind}'{nearest(kind, KINDS)}; "
                         f"use one of {', '.join(KINDS)}")


def move(kind: str, norm: str, streams: Streams, rows: np.ndarray, mask: np.ndarray, size: float, *,
         whole: bool) -> np.ndarray:
    """Return random changes float32 [m, *mask.shape] of ``size``, zero where ``mask`` is.

    ``kind``: "signs" (+-1 on every coordinate), "gaussian" or "uniform" (in the ball). L-inf: ``size`` scales every
    coordinate (a Gaussian one may exceed it). L2: it is the length over all coordinates. ``whole``: each coordinate is
    rounded at random to a neighbouring whole number, up with the probability of its fraction, so that the mean stays;
    in L2 a random choice of coordinates as large as ``size`` allows is kept.
    """
    unit = _DRAWS[norm][kind](streams, rows, mask.shape) * mask
    if norm == "l2":
        unit = l2_direction(unit, 0.0)
        if kind == "uniform":
            # The radius of a uniform point in a ball of d dimensions is u^(1/d).
            radius = streams.uniform(rows, (1,) * mask.ndim) ** (1.0 / max(1.0, float(mask.sum())))
            unit = unit * radius
    change = size * unit
    if whole:
        change = np.floor(change + streams.uniform(rows, mask.shape))
        if norm == "l2":
            change = _shortened(change, size, streams.uniform(rows, mask.shape))
    return np.asarray(change, np.float32)


def _shortened(change: np.ndarray, length: float, order: np.ndarray) -> np.ndarray:
    """Keep coordinates in the order of ``order`` as long as their L2 length stays within ``length``."""
    flat = change.reshape(len(change), -1)
    places = np.argsort(order.reshape(flat.shape), axis=1)
    ordered = np.take_along_axis(flat, places, axis=1)
    kept = np.zeros_like(flat)
    np.put_along_axis(kept, places, ordered * (np.cumsum(np.square(ordered), axis=1) <= length**2), axis=1)
    return kept.reshape(change.shape)
