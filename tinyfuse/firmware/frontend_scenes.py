"""Scenes for front ends: recordings and frames that say something about exactness, and the bytes the harness reads."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyfuse.firmware.frontend_plan import FrontEnds, Part
from tinyfuse.frontend.device_picture import BYTES, PIXEL_FORMATS, PictureTables, PixelFormat, picture_codes
from tinyfuse.frontend.device_sound import SoundTables, sound_codes
from tinyfuse.frontend.spectrum import Frames


@dataclass(frozen=True)
class Frame:
    """A camera's frame: its bytes, uint8 [n], and how they are to be read."""

    data: np.ndarray = field(repr=False)
    form: PixelFormat


Raw = np.ndarray | Frame
Scene = Mapping[str, Raw]
"""By input: int16 samples, a frame, or codes of an input that has no front end."""


def make_scenes(front_ends: FrontEnds, count: int, seed: int = 0) -> list[Scene]:
    """Make ``count`` scenes: silence, full scale, one step and a click first, then tones and noise of all lengths.

    Frames are black, white, waves and noise in all formats.
    """
    rng = np.random.default_rng(seed)
    parts = {part.member.name: part for part in front_ends.parts}
    found: list[Scene] = []
    for number in range(count):
        scene: dict[str, Raw] = {}
        for member in front_ends.program.inputs:
            part = parts.get(member.name)
            if part is None:
                low, high = member.limits
                scene[member.name] = rng.integers(low, high + 1, member.size).astype(member.dtype)
            else:
                scene[member.name] = _frame(part.tables, number, rng) if isinstance(
                    part.tables, PictureTables) else _sound(part.tables, number, rng)
        found.append(scene)
    return found


def _frame(tables: PictureTables, number: int, rng: np.random.Generator) -> Frame:
    forms = [form for form in PIXEL_FORMATS if form != "yuyv" or tables.frame[1] % 2 == 0]
    form = forms[number % len(forms)]
    size = tables.frame[0] * tables.frame[1] * BYTES[form]
    if number < 2:
        return Frame(np.full(size, 255 * number, np.uint8), form)
    smooth = 128 + 120 * np.sin(np.arange(size) / (3.0 + 40 * rng.random()))
    return Frame(np.clip(smooth + rng.normal(0, 10 * (number % 3), size), 0, 255).astype(np.uint8), form)


def _sound(tables: SoundTables, number: int, rng: np.random.Generator) -> np.ndarray:
    one = tables.front_end
    least = one.window if isinstance(one, Frames) else 1
    length = [one.length, one.length, one.length, max(least, one.length * 2 // 3), one.length * 5 // 4 + 1,
              least][number % 6]
    time = np.arange(length)
    if number == 0:
        return np.zeros(length, np.int16)
    if number == 1:
        return np.asarray(np.where(time // 7 % 2 == 0, 32767, -32768), np.int16)
    if number == 2:
        return np.asarray(time % 2, np.int16)
    if number == 3:
        return np.asarray(np.where(time == length // 3, -32768, 0), np.int16)
    tone = np.sin(time * time / length * rng.uniform(0.05, 1.5)) + 0.5 * np.sin(time * rng.uniform(0.05, 1.5))
    swell = np.exp(-np.square((time - length * rng.random()) / (0.3 * length)))
    sound = 10 ** rng.uniform(0.5, 4.6) * (tone * swell + rng.normal(0, 10 ** rng.uniform(-4, -1), length))
    return np.asarray(np.clip(sound, -32768, 32767), np.int16)


def codes_of_scene(front_ends: FrontEnds, scene: Scene) -> dict[str, np.ndarray]:
    """Compute the input codes of ``scene`` in Python, [size] by the names of C."""
    parts = {part.member.name: part for part in front_ends.parts}
    found = {}
    for member in front_ends.program.inputs:
        codes = codes_of_raw(parts.get(member.name), scene[member.name])
        found[member.name] = codes.reshape(-1).astype(member.dtype)
    return found


def codes_of_raw(part: Part | None, raw: Raw) -> np.ndarray:
    """Compute the codes of one input; without a front end they are what is given."""
    if part is not None and isinstance(part.tables, PictureTables):
        assert isinstance(raw, Frame)
        return picture_codes(part.tables, raw.data, raw.form)
    assert isinstance(raw, np.ndarray)
    if part is None:
        return raw
    assert isinstance(part.tables, SoundTables)
    return np.asarray(sound_codes(part.tables, [raw])[0])


def stream_codes(part: Part, samples: np.ndarray) -> np.ndarray:
    """Compute the codes of each decision of a stream that hears ``samples`` hop by hop, [decisions, size].

    A decision sees the last frames, as a recording of just these samples: this is what a stream is.
    """
    tables = part.tables
    assert isinstance(tables, SoundTables) and isinstance(tables.front_end, Frames)
    hop, covered, size = tables.front_end.hop, tables.covered, tables.front_end.fft_size
    ends = range(-(-size // hop) * hop + (tables.front_end.frames - 1) * hop, len(samples) + 1, hop)
    windows = [samples[end - covered : end] for end in ends]
    if not windows:
        return np.zeros((0, part.member.size), np.int64)
    return sound_codes(tables, windows).reshape(len(windows), -1)


def scene_bytes(front_ends: FrontEnds, scenes: Sequence[Scene]) -> bytes:
    """Write what ``harness/frontend.c.j2`` reads."""
    rates = {part.member.name: part.tables.front_end.rate for part in front_ends.parts
             if isinstance(part.tables, SoundTables)}
    made = [struct.pack("<I", len(scenes))]
    for scene in scenes:
        for member in front_ends.program.inputs:
            raw = scene[member.name]
            head = b""
            if member.name in rates:
                assert isinstance(raw, np.ndarray)
                head = struct.pack("<II", rates[member.name], len(raw))
            made += [head, raw_bytes(raw)]
    return b"".join(made)


def raw_bytes(raw: Raw) -> bytes:
    """Write samples or codes, or a frame behind its format, little-endian, padded to four bytes."""
    if isinstance(raw, Frame):
        return struct.pack("<I", PIXEL_FORMATS.index(raw.form)) + _padded(raw.data)
    return _padded(raw)


def _padded(values: np.ndarray) -> bytes:
    data = values.astype(values.dtype.newbyteorder("<")).tobytes()
    return data + bytes(-len(data) % 4)
