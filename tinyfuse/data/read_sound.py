"""Recordings from outside, read by libsndfile: WAV (also with the extensible header), FLAC, OGG; never half of one."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.data.read_files import damage_explained, read_file

MAX_WAV_BYTES = 16 << 20
MAX_SAMPLES = 1 << 26
UNKNOWN_SIZES = (0, 0xFFFFFFFF)
"""Sizes that a program writes into the header of a WAV file when it cannot go back to it."""

BITS = {"PCM_U8": "8 bit", "PCM_S8": "8 bit", "PCM_16": "16 bit", "PCM_24": "24 bit", "PCM_32": "32 bit",
        "FLOAT": "32-bit float", "DOUBLE": "64-bit float"}


@contextmanager
def opened_sound(data: bytes) -> Iterator[Any]:
    """Open the bytes of a recording as a ``soundfile.SoundFile``; ValueError if its samples end too early."""
    import soundfile

    _check_riff(data)
    with soundfile.SoundFile(io.BytesIO(data)) as stream:
        if not 0 < stream.frames * stream.channels <= MAX_SAMPLES:
            raise ValueError(f"it has {stream.frames} samples; allowed: 1 to {MAX_SAMPLES}")
        yield stream


def samples_of(stream: Any, dtype: str) -> np.ndarray:
    """Read all samples of an open recording, [n] or [n, channels]; ValueError if it holds fewer than it says."""
    samples = stream.read(dtype=dtype)
    if len(samples) != stream.frames:
        raise ValueError(f"its header announces {stream.frames} samples, it holds {len(samples)}")
    return np.asarray(samples)


def _check_riff(data: bytes) -> None:
    """Raise ValueError for a WAV file whose samples end before its header says: libsndfile would read on silently."""
    if data[:4] != b"RIFF":
        return
    place = 12
    while place + 8 <= len(data):
        name, size_bytes = struct.unpack_from("<4sI", data, place)
        left = len(data) - place - 8
        if name == b"data":
            if size_bytes not in UNKNOWN_SIZES and size_bytes > left:
                raise ValueError(f"its header announces {size_bytes} bytes of samples, it holds {left}")
            return
        place += 8 + size_bytes + size_bytes % 2
    raise ValueError("it has no samples")


def read_wav(path: Path, *, rate_hz: int) -> np.ndarray:
    """Read the samples of a mono 16-bit PCM file at ``rate_hz``, int16 [n] with n > 0."""
    data = read_file(path, expected=f"a WAV file at {rate_hz} Hz", max_bytes=MAX_WAV_BYTES)
    return parse_wav(path, data, rate_hz=rate_hz)


def parse_wav(path: Path, data: bytes, *, rate_hz: int) -> np.ndarray:
    """Decode what :func:`read_wav` reads; ``path`` only names it in errors."""
    expected = f"mono 16-bit WAV at {rate_hz} Hz"
    with damage_explained(path, expected), opened_sound(data) as stream:
        kind = (stream.channels, BITS.get(stream.subtype, stream.subtype), stream.samplerate)
        if kind != (1, "16 bit", rate_hz):
            raise DataError(f"{path}: {kind[0]} channel(s), {kind[1]}, {kind[2]} Hz; expected {expected}")
        return samples_of(stream, "int16")
