"""Changes of a whole frame that light and hands make: brighter, more contrast, turned; tried on a grid, both ways."""

from __future__ import annotations

import numpy as np

GRID = 16
"""Values tried on each side of none."""


def amounts(largest: float) -> np.ndarray:
    """Return the values tried within ``largest``: small ones first, both ends last."""
    sizes = largest * np.arange(1, GRID + 1) / GRID
    return np.stack([-sizes, sizes], axis=1).reshape(-1)


def brighter(frames: np.ndarray, levels: float) -> np.ndarray:
    """Add ``levels`` to every pixel of uint8 frames."""
    return _as_bytes(frames.astype(np.float64) + levels)


def contrasted(frames: np.ndarray, percent: float) -> np.ndarray:
    """Move every pixel away from the frame's mean by ``percent`` of its distance."""
    mean = frames.mean(axis=(1, 2, 3), keepdims=True)
    return _as_bytes(mean + (frames - mean) * (1 + percent / 100))


def turned(frames: np.ndarray, degrees: float) -> np.ndarray:
    """Turn frames about their middle, counter-clockwise, bilinear; black comes in at the corners."""
    from PIL import Image

    made = []
    for frame in frames:
        image = Image.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame)
        made.append(np.asarray(image.rotate(degrees, Image.Resampling.BILINEAR)).reshape(frame.shape))
    return np.stack(made)


CHANGES = {"brightness": brighter, "contrast": contrasted, "rotation": turned}


def _as_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
