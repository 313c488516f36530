"""A camera's frame to the codes of a network's input as the C front end computes it: whole numbers, exactly Pillow's.

Pillow resizes along the rows and then along the columns with weights of 22 bits, each time rounded to 8 bits; the
weights depend on the sizes alone and are tables here. What comes behind, scale to normalisation, is a table of codes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.frontend.base import FrontEnd
from tinyfuse.frontend.device_sound import Grid
from tinyfuse.frontend.normalisation import Normalisation, apply
from tinyfuse.frontend.picture import Picture

PRECISION = 22
MAX_FRAME_SIDE = 2048
PixelFormat = Literal["grey", "rgb888", "rgb565", "rgb565-be", "yuyv"]
PIXEL_FORMATS: tuple[PixelFormat, ...] = get_args(PixelFormat)
"""What cameras give: 8 bits of grey; 8 bits each of red, green and blue; 5, 6 and 5 bits of them in a 16-bit word, its
low or (``-be``) its high byte first; luma of each pixel and, by turns, the two chroma of both."""
BYTES = {"grey": 1, "rgb888": 3, "rgb565": 2, "rgb565-be": 2, "yuyv": 2}


@dataclass(frozen=True, eq=False)
class Taps:
    """One direction of a resize: output i is the sum of ``weights[i, j]`` times input ``first[i] + j``.

    Divided by 2^22 and rounded; ``weights`` int32 [n, most taps], ``counts`` how many of them are used.
    """

    first: np.ndarray
    counts: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True, eq=False)
class PictureTables:
    """The constants of one picture's front end, for frames of ``frame`` (height, width).

    ``corner``: (row, column) of the input where the picture begins; around it is black. ``codes`` int32 [1 or channels,
    256]: what a pixel becomes. ``rows_first``: rows are resized before columns, else behind them; each step rounds.
    """

    front_end: Picture
    grid: Grid
    frame: tuple[int, int]
    corner: tuple[int, int]
    rows: Taps = field(repr=False)
    columns: Taps = field(repr=False)
    codes: np.ndarray = field(repr=False)
    rows_first: bool = False

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return int(self.front_end.values_shape[2])

    @property
    def work_bytes(self) -> int:
        """Memory that one frame takes: a row of it, a row of the input, and the rows of which that is made."""
        wide = self.frame[1] if self.rows_first else len(self.columns.first)
        return self.channels * (2 * self.frame[1] + len(self.columns.first) + int(self.rows.weights.shape[1]) * wide)


def picture_tables(front_end: FrontEnd, fitted: Normalisation, grid: Grid,
                   frame: tuple[int, int] | None = None) -> PictureTables:
    """Make the tables for frames of ``frame`` (height, width; None: the input's own size)."""
    if not isinstance(front_end, Picture):
        raise DataError(f"{front_end.label}: is no picture")
    height, width = frame or front_end.size
    if not 1 <= min(height, width) <= max(height, width) <= MAX_FRAME_SIDE:
        raise DataError(f"{front_end.label}: a camera of {width}x{height} pixels; give 1 to {MAX_FRAME_SIDE} each way")
    size, corner = _inner(front_end, (height, width))
    box = _box(front_end, (height, width))
    rows, columns = (_taps(front_end.resize, (height, width)[axis], box[axis], size[axis]) for axis in (0, 1))
    made = PictureTables(front_end, grid, (height, width), corner, rows, columns, _codes(front_end, fitted, grid))
    return made if _is_pillows(made) else _rows_first(made)


def _rows_first(tables: PictureTables) -> PictureTables:
    found = replace(tables, rows_first=True)
    if not _is_pillows(found):
        raise DataError(f"{tables.front_end.label}: the installed Pillow resizes in another way than the C code; "
                        "install another version of Pillow")
    return found


def _is_pillows(tables: PictureTables) -> bool:
    """Tell whether a picture of random pixels comes out as Pillow makes it, which chooses the order by the sizes."""
    one = replace(tables.front_end, scale=(0.0, 1.0))
    pixels = np.random.default_rng(0).integers(0, 256, (*tables.frame, tables.channels), dtype=np.uint8)
    wanted = np.round(one.features(pixels) * np.float32(255))
    return np.array_equal(resized(tables, pixels), wanted)


def _inner(one: Picture, frame: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Find (height, width) of the resized picture and its place in the input, as Pillow's ImageOps.pad has them."""
    (height, width), (rows, columns) = frame, one.size
    if one.crop != "pad" or width / height == columns / rows:
        return (rows, columns), (0, 0)
    if width / height > columns / rows:
        rows = round(height / width * columns)
    else:
        columns = round(width / height * rows)
    if columns != one.size[1]:
        return (rows, columns), (0, round((one.size[1] - columns) * 0.5))
    return (rows, columns), (round((one.size[0] - rows) * 0.5), 0)


def _box(one: Picture, frame: tuple[int, int]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Find the rows and the columns of the frame that are seen, as Pillow's ImageOps.fit has them."""
    (height, width), wanted = frame, one.size[1] / one.size[0]
    seen = float(height), float(width)
    if one.crop == "centre" and width / height != wanted:
        seen = (float(height), wanted * height) if width / height >= wanted else (width / wanted, float(width))
    before = (height - seen[0]) * 0.5, (width - seen[1]) * 0.5
    return (before[0], before[0] + seen[0]), (before[1], before[1] + seen[1])


def _taps(method: str, size: int, box: tuple[float, float], out: int) -> Taps:
    start, end = float(np.float32(box[0])), float(np.float32(box[1]))
    if (start, end, out) == (0.0, float(size), size):
        first = np.arange(size)
    elif method == "nearest":
        first = _nearest(start, (end - start) / out, size, out)
    else:
        return _filtered(method, size, (start, end), out)
    return Taps(first, np.ones(out, np.int64), np.full((out, 1), 1 << PRECISION))


def _nearest(start: float, step: float, size: int, out: int) -> np.ndarray:
    """Find the pixel of each output; Pillow adds up the step, which rounds."""
    at, found = start + step * 0.5, []
    for _ in range(out):
        found.append(min(int(at), size - 1))
        at += step
    return np.array(found)


_FILTERS: dict[str, tuple[float, Callable[[float], float]]] = {
    "box": (0.5, lambda x: float(-0.5 < x <= 0.5)),
    "bilinear": (1.0, lambda x: max(1 - abs(x), 0.0)),
    "bicubic": (2.0, lambda x: _cubic(abs(x)))}


def _cubic(x: float) -> float:
    a = -0.5
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


def _filtered(method: str, size: int, box: tuple[float, float], out: int) -> Taps:
    """Weigh the pixels around each output's centre, as Pillow's resample does in double precision."""
    reach, weigh = _FILTERS[method]
    scale = float(np.float32(box[1]) - np.float32(box[0])) / out
    stretch = max(scale, 1.0)
    firsts, rows = [], []
    for place in range(out):
        centre = box[0] + (place + 0.5) * scale
        first = max(int(centre - reach * stretch + 0.5), 0)
        last = min(int(centre + reach * stretch + 0.5), size)
        weights = [weigh((x - centre + 0.5) * (1 / stretch)) for x in range(first, last)]
        total = 0.0
        for weight in weights:
            total += weight
        whole = [weight / total if total else weight for weight in weights]
        rows.append([int(math.copysign(0.5, weight) + weight * (1 << PRECISION)) for weight in whole])
        firsts.append(first)
    most = max(map(len, rows))
    padded = np.array([row + [0] * (most - len(row)) for row in rows])
    return Taps(np.array(firsts), np.array([len(row) for row in rows]), padded)


def _codes(one: Picture, fitted: Normalisation, grid: Grid) -> np.ndarray:
    """Find the code of each pixel by the front end's own arithmetic; one row where all channels have the same."""
    low, high = map(np.float32, one.scale)
    pixels = np.arange(256, dtype=np.float32)[:, None].repeat(one.values_shape[2], axis=1) / np.float32(255)
    values = np.zeros((256, *one.values_shape), np.float32)
    values[:] = (pixels * (high - low) + low)[:, None, None, :]
    inputs = apply(one, fitted, values).reshape(256, -1)[:, : one.values_shape[2]].T
    steps = np.round(inputs.astype(np.float32) / np.float32(grid.scale)).astype(np.int64) + grid.zero_point
    codes = np.clip(steps, grid.low, grid.high)
    return codes[:1] if np.all(codes == codes[0]) else codes


def pixels_of(frame: np.ndarray, form: PixelFormat, size: tuple[int, int], *, grey: bool) -> np.ndarray:
    """Read a frame, uint8 bytes of (height, width) = ``size``, as uint8 [h, w] (``grey``) or [h, w, 3]."""
    if form not in PIXEL_FORMATS:
        raise DataError(f"pixel format '{form}'; allowed: {', '.join(PIXEL_FORMATS)}")
    if frame.dtype != np.uint8 or frame.size != size[0] * size[1] * BYTES[form] or (form == "yuyv" and size[1] % 2):
        raise DataError(f"a frame is {frame.size} values of {frame.dtype}; {size[1]}x{size[0]} pixels of {form} are "
                        f"{size[0] * size[1] * BYTES[form]} bytes, in rows of even width for yuyv")
    raw = frame.reshape(*size, BYTES[form]).astype(np.int32)
    if form == "grey":
        return _as_bytes(raw[..., 0] if grey else raw.repeat(3, axis=2))
    if form == "yuyv":
        return _of_yuyv(raw, grey=grey)
    red, green, blue = _of_565(raw, form) if form != "rgb888" else (raw[..., 0], raw[..., 1], raw[..., 2])
    if grey:
        return _as_bytes((red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16)
    return _as_bytes(np.stack([red, green, blue], axis=-1))


def _of_565(raw: np.ndarray, form: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    word = raw[..., 0] << 8 | raw[..., 1] if form == "rgb565-be" else raw[..., 1] << 8 | raw[..., 0]
    red, green, blue = word >> 11, word >> 5 & 63, word & 31
    return red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2


def _of_yuyv(raw: np.ndarray, *, grey: bool) -> np.ndarray:
    """Read luma, or colour by JFIF's full range in 16-bit fractions."""
    luma = raw[..., 0]
    if grey:
        return _as_bytes(luma)
    u, v = (raw[:, place::2, 1].repeat(2, axis=1) - 128 for place in (0, 1))
    planes = [luma + ((91881 * v + 32768) >> 16), luma - ((22554 * u + 46802 * v + 32768) >> 16),
              luma + ((116130 * u + 32768) >> 16)]
    return _as_bytes(np.clip(np.stack(planes, axis=-1), 0, 255))


def _as_bytes(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.uint8)


def resized(tables: PictureTables, pixels: np.ndarray) -> np.ndarray:
    """Crop, resize and pad uint8 [h, w] or [h, w, 3], to uint8 of the front end's size."""
    planes = pixels.reshape(*tables.frame, tables.channels)
    if tables.rows_first:
        inner = _across(tables.columns, _resampled(tables.rows, planes))
    else:
        inner = _resampled(tables.rows, _across(tables.columns, planes))
    made = np.zeros(tables.front_end.values_shape, np.uint8)
    (row, column), (height, width) = tables.corner, inner.shape[:2]
    made[row : row + height, column : column + width] = inner
    return made


def _across(taps: Taps, planes: np.ndarray) -> np.ndarray:
    return np.swapaxes(_resampled(taps, np.swapaxes(planes, 0, 1)), 0, 1)


def _resampled(taps: Taps, values: np.ndarray) -> np.ndarray:
    """Resample the first axis of uint8 values."""
    made = np.empty((len(taps.first), *values.shape[1:]), np.uint8)
    for place, (first, count) in enumerate(zip(taps.first, taps.counts, strict=True)):
        total = np.tensordot(taps.weights[place, :count], values[first : first + count].astype(np.int64), 1)
        made[place] = np.clip((total + (1 << (PRECISION - 1))) >> PRECISION, 0, 255)
    return made


def picture_codes(tables: PictureTables, frame: np.ndarray, form: PixelFormat) -> np.ndarray:
    """Compute input codes, int32 [*shape], of one frame, uint8 bytes of ``tables.frame`` in ``form``."""
    grey = tables.channels == 1
    made = resized(tables, pixels_of(frame.reshape(-1), form, tables.frame, grey=grey))
    rows = np.broadcast_to(tables.codes, (tables.channels, 256))
    codes = np.stack([rows[channel][made[..., channel]] for channel in range(tables.channels)], axis=-1)
    cells = np.full(math.prod(tables.front_end.shape), tables.grid.zero_code, np.int32)
    cells[: codes.size] = codes.reshape(-1)
    return cells.reshape(tables.front_end.shape)
