"""A camera before a picture's front end: frames of any size, what the network sees of them, and gradients back.

The resize is a matrix for the rows and one for the columns, those of Pillow and of the C code. Rounding in between is
left out of the gradient (straight-through); the judges round.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tinyfuse.frontend.device_picture import PRECISION, PictureTables, PixelFormat, Taps, picture_codes, picture_tables
from tinyfuse.frontend.device_sound import Grid
from tinyfuse.frontend.normalisation import Normalisation, apply
from tinyfuse.frontend.picture import Picture

LEVELS = 255
FLOAT_GRID = Grid(1 / LEVELS, -128, -128, 127)
"""Of tables whose codes nobody reads."""


@dataclass(frozen=True, eq=False)
class Camera:
    """Frames [n, height, width, 1 or 3] of levels 0 to 255, for ``front_end`` with what was ``fitted`` for it."""

    front_end: Picture
    fitted: Normalisation
    tables: PictureTables = field(repr=False)

    @classmethod
    def of(cls, front_end: Picture, fitted: Normalisation, size: tuple[int, int] | None,
           grid: Grid = FLOAT_GRID) -> Camera:
        """Make a camera of ``size`` (height, width; None: the input's own); DataError where C could not resize it."""
        return cls(front_end, fitted, picture_tables(front_end, fitted, grid, size))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a frame."""
        return (*self.tables.frame, self.tables.channels)

    def frames_of(self, inputs: np.ndarray) -> np.ndarray:
        """Return frames, uint8, that show inputs [n, *shape]: their pixels, enlarged (or thinned) to the nearest."""
        one, (height, width, _) = self.front_end, self.shape
        rows, columns, channels = one.values_shape
        values = inputs.reshape(len(inputs), -1)[:, : rows * columns * channels].reshape(-1, rows, columns, channels)
        if one.normalise == "unit":
            values = values * (self.fitted.high - self.fitted.low) + self.fitted.low
        if one.normalise != "none":
            values = values * np.array(self.fitted.std, np.float32) + np.array(self.fitted.mean, np.float32)
        low, high = one.scale
        levels = np.clip(np.round((values - low) / (high - low) * LEVELS), 0, LEVELS).astype(np.uint8)
        across = np.arange(width) * columns // width
        return np.ascontiguousarray(levels[:, np.arange(height) * rows // height][:, :, across])

    def inputs(self, frames: np.ndarray) -> np.ndarray:
        """Compute what the network sees of float frames, float32 [n, *shape], without rounding."""
        one, (low, high) = self.front_end, self.front_end.scale
        inner = np.einsum("yh,nhwc,xw->nyxc", _matrix(self.tables.rows, self.shape[0]), frames,
                          _matrix(self.tables.columns, self.shape[1]), optimize=True)
        made = np.zeros((len(frames), *one.values_shape))
        made[self._place(inner.shape)] = inner
        return apply(one, self.fitted, np.asarray(made / LEVELS * (high - low) + low, np.float32))

    def pull_back(self, frames: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Turn a gradient for the inputs into one for the frames, float32; 0 where an input is clipped."""
        one, (low, high) = self.front_end, self.front_end.scale
        values = slope.reshape(len(slope), -1)[:, : int(np.prod(one.values_shape))].reshape(-1, *one.values_shape)
        seen = self.inputs(frames).reshape(len(slope), -1)[:, : values[0].size].reshape(values.shape)
        least, most = (0.0, 1.0) if one.normalise == "unit" else (self.fitted.low, self.fitted.high)
        scale = np.full(one.values_shape[-1], (high - low) / LEVELS)
        if one.normalise != "none":
            scale = scale / np.array(self.fitted.std)
        if one.normalise == "unit":
            scale = scale / (self.fitted.high - self.fitted.low)
        # At the ends themselves a change back inside counts: a black picture is no flat place.
        free = values * ((seen > least) | (values > 0)) * ((seen < most) | (values < 0)) * scale
        rows, columns = _matrix(self.tables.rows, self.shape[0]), _matrix(self.tables.columns, self.shape[1])
        inner = free[self._place((len(free), len(rows), len(columns)))]
        return np.asarray(np.einsum("yh,nyxc,xw->nhwc", rows, inner, columns, optimize=True), np.float32)

    def codes(self, frames: np.ndarray) -> np.ndarray:
        """Compute input codes, int32 [n, *shape], of uint8 frames as C does."""
        form: PixelFormat = "grey" if self.tables.channels == 1 else "rgb888"
        return np.stack([picture_codes(self.tables, frame, form) for frame in frames])

    def values(self, frames: np.ndarray) -> np.ndarray:
        """Compute inputs, float32 [n, *shape], of uint8 frames as Pillow does."""
        pictures = [frame[..., 0] if frame.shape[-1] == 1 else frame for frame in frames]
        return apply(self.front_end, self.fitted, np.stack([self.front_end.features(one) for one in pictures]))

    def _place(self, inner: tuple[int, ...]) -> tuple[slice, ...]:
        row, column = self.tables.corner
        return (slice(None), slice(row, row + inner[1]), slice(column, column + inner[2]))


def _matrix(taps: Taps, size: int) -> np.ndarray:
    """Write one direction of a resize as a matrix, float64 [out, size]."""
    made = np.zeros((len(taps.first), size))
    for out, (first, count) in enumerate(zip(taps.first, taps.counts, strict=True)):
        made[out, first : first + count] = taps.weights[out, :count] / (1 << PRECISION)
    return made
