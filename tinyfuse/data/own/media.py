"""One file of a user's as an array: a picture, a recording or a sequence, or one line that says what was expected."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tinyfuse.data.read_files import damage_explained, parse_npy, read_file
from tinyfuse.data.read_sound import opened_sound, samples_of
from tinyfuse.frontend.array import Array
from tinyfuse.frontend.base import FrontEnd
from tinyfuse.frontend.picture import Picture

MAX_MEDIA_BYTES = 64 << 20
RATES_HZ = (8000, 48000)
SUFFIXES = {"picture": (".png", ".jpg", ".jpeg", ".pgm", ".ppm"), "sound": (".wav", ".flac", ".ogg"),
            "sequence": (".npy", ".csv")}
"""Kinds of files and how their names end, in lower case."""

EXPECTED = {"picture": "a picture (PNG, JPEG, PGM or PPM)",
            "sound": f"a recording (WAV, FLAC or OGG, {RATES_HZ[0]} to {RATES_HZ[1]} Hz)",
            "sequence": "a sequence (.npy or .csv of numbers)"}
Decoded = tuple[np.ndarray, int | None]
"""What a file holds, and the rate in Hz of a recording."""


def kind_of_suffix(suffix: str) -> str | None:
    """Tell which kind of file a name that ends in ``suffix`` is, in any case; None: none that is known."""
    return next((kind for kind, suffixes in SUFFIXES.items() if suffix.lower() in suffixes), None)


def kind_of_front_end(front_end: FrontEnd) -> str:
    """Tell which kind of file a front end reads."""
    return "picture" if isinstance(front_end, Picture) else "sequence" if isinstance(front_end, Array) else "sound"


def read_bytes(path: Path) -> bytes:
    """Read the bytes of a picture, recording or sequence."""
    return read_file(path, expected=EXPECTED[kind_of_suffix(path.suffix) or "sequence"], max_bytes=MAX_MEDIA_BYTES)


def decode(path: Path, data: bytes) -> Decoded:
    """Decode the bytes of the file ``path``, by what its name ends in; DataError names it and what was expected."""
    kind = kind_of_suffix(path.suffix) or "sequence"
    with damage_explained(path, EXPECTED[kind]):
        return _DECODERS[kind](path, data)


def _picture(path: Path, data: bytes) -> Decoded:
    """Decode a picture: uint8 or uint16 [h, w], or uint8 [h, w, 3], turned as its camera said."""
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "PPM")) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode in ("I;16", "I;16B", "I;16L", "I"):
            deep = np.asarray(image)
            if deep.min() < 0 or deep.max() > 65535:
                raise ValueError(f"its values lie beyond 16 bits, up to {deep.max()}")
            return deep.astype(np.uint16), None
        grey = image.mode in ("1", "L", "LA")
        return np.asarray(image.convert("L" if grey else "RGB")), None


def _sound(path: Path, data: bytes) -> Decoded:
    """Decode a recording: float32 [samples] or [samples, channels], full scale is 1, and its rate."""
    with opened_sound(data) as stream:
        rate = int(stream.samplerate)
        if not RATES_HZ[0] <= rate <= RATES_HZ[1]:
            raise ValueError(f"its rate is {rate} Hz")
        samples = samples_of(stream, "float32")
    if not np.isfinite(samples).all():
        raise ValueError("it holds NaN or infinity")
    return samples, rate


def _sequence(path: Path, data: bytes) -> Decoded:
    """Decode a sequence of numbers: an array of any shape, or the rows and columns of a ``.csv``."""
    if path.suffix.lower() == ".npy":
        return parse_npy(data, "biuf", "the array"), None
    lines = [line for line in data.decode("utf-8-sig").splitlines() if line.strip()]
    separator = next((mark for mark in (",", ";", "\t") if lines and mark in lines[0]), None)
    if lines and not _is_numbers(lines[0], separator):
        lines = lines[1:]
    if not lines:
        raise ValueError("it holds no numbers")
    table = np.loadtxt(lines, np.float64, delimiter=separator, ndmin=2, comments=None)
    if not np.isfinite(table).all():
        raise ValueError("it holds NaN or infinity")
    return table, None


def _is_numbers(line: str, separator: str | None) -> bool:
    try:
        return bool([float(field) for field in line.split(separator)])
    except ValueError:
        return False


_DECODERS: dict[str, Callable[[Path, bytes], Decoded]] = {"picture": _picture, "sound": _sound, "sequence": _sequence}
