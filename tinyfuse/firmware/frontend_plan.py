"""Which inputs of a program get a front end in C, and where their work lies in the arena."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.core.errors import DataError, UsageError, nearest
from tinyfuse.firmware.plan import aligned
from tinyfuse.firmware.program import Member, Program
from tinyfuse.frontend.array import Array
from tinyfuse.frontend.device_picture import PictureTables, picture_tables
from tinyfuse.frontend.device_sound import Grid, SoundTables
from tinyfuse.frontend.fixed_sound import ARITHMETICS
from tinyfuse.frontend.front_end import read_front_end
from tinyfuse.frontend.normalisation import identity, read_normalisation
from tinyfuse.frontend.picture import Picture
from tinyfuse.frontend.spectrum import Frames

Cameras = Mapping[str, tuple[int, int]]
NUMBER_BYTES = 4


@dataclass(frozen=True, eq=False)
class Part:
    """The front end of one input, which the ``.tflite`` calls ``name``."""

    name: str
    member: Member
    tables: SoundTables | PictureTables = field(repr=False)

    @property
    def work_bytes(self) -> int:
        """Memory that it needs while it computes."""
        if isinstance(self.tables, PictureTables):
            return self.tables.work_bytes
        one, tables = self.tables.front_end, self.tables
        if not isinstance(one, Frames):
            return 0
        held = one.frames if one.top_db is not None else 1
        return NUMBER_BYTES * (one.fft_size + 2 + tables.powers * (1 + held))

    @property
    def cannot_stream(self) -> str:
        """Why its sound has no stream in C; "" where it has one."""
        one = self.tables.front_end
        if not isinstance(one, Frames) or isinstance(self.tables, PictureTables):
            return "its samples are the input; keep the last ones yourself"
        if one.center:
            return "with center, the first and the last frame see silence around the recording"
        if one.level_rms is not None and self.tables.covered % one.hop:
            return (f"level_rms needs the squares of whole hops, and {self.tables.covered} samples are no whole number "
                    f"of {one.hop}")
        return ""


@dataclass(frozen=True, eq=False)
class FrontEnds:
    """The front ends of ``program``: their work lies at ``work_offset``, where no input does."""

    program: Program = field(repr=False)
    parts: tuple[Part, ...]
    work_offset: int

    @property
    def work_bytes(self) -> int:
        """The most that one of them needs at a time."""
        return max((part.work_bytes for part in self.parts), default=0)

    @property
    def memory_bytes(self) -> int:
        """Arena with their work in it."""
        return max(self.program.plan.arena_bytes, aligned(self.work_offset + self.work_bytes))


def front_ends_of(program: Program, names: Sequence[str], origin: Mapping[str, Any],
                  cameras: Cameras | None = None, arithmetic: str = "float") -> FrontEnds:
    """Build the front ends that ``origin`` (the table beside the ``.tflite``) has for the inputs of ``program``.

    ``names``: what the ``.tflite`` calls these inputs, in their order.
    ``cameras``: (height, width) of the frames, by input; the default is the input's own size. ``arithmetic`` of sounds:
    one of ARITHMETICS; pictures are whole numbers.

    Raises:
        UsageError: a camera for an input that is no picture.
        DataError: settings that have no C code; one line says which, and what is allowed.
    """
    given = dict(cameras or {})
    found = [part for member, name in zip(program.inputs, names, strict=True)
             if (part := _part(member, name, origin, given.get(name), arithmetic)) is not None]
    pictures = {part.name for part in found if isinstance(part.tables, PictureTables)}
    for name in cameras or {}:
        if name not in pictures:
            raise UsageError(f"a camera for '{name}'{nearest(name, pictures)}; inputs that are pictures: "
                             f"{', '.join(sorted(pictures)) or 'none'}")
    work = max((part.work_bytes for part in found), default=0)
    return FrontEnds(program, tuple(found), _free_offset(program, work))


def front_ends_asked(text: str | None, program: Program, names: Sequence[str], origin: Mapping[str, Any],
                     arithmetic: str = "float") -> FrontEnds | None:
    """Build what ``--frontend`` asks for: None, all that ``origin`` has; "none", none; "camera=160x120", a camera.

    "float" and "fixed" among them say how sounds are computed, else ``arithmetic`` does.

    Raises UsageError for another text, and what :func:`front_ends_of` raises.
    """
    if text == "none":
        return None
    cameras, given = read_asked(text)
    made = front_ends_of(program, names, origin, cameras, given or arithmetic)
    return made if made.parts else None


def read_asked(text: str | None) -> tuple[Cameras, str]:
    """Read the text of ``--frontend``: frames by camera, and the arithmetic or ""; UsageError for another text."""
    cameras, arithmetic = dict[str, tuple[int, int]](), ""
    for one in () if text in (None, "none") else str(text).split(","):
        if one.strip() in ARITHMETICS:
            arithmetic = one.strip()
            continue
        found = _CAMERA.fullmatch(one.strip())
        if found is None:
            raise UsageError(f"--frontend '{one}'; give none alone, float or fixed, or what cameras give, such as "
                             "camera=160x120")
        cameras[found[1]] = int(found[3]), int(found[2])
    return cameras, arithmetic


_CAMERA = re.compile(r"(.+)=(\d{1,5})x(\d{1,5})")


def _part(member: Member, name: str, origin: Mapping[str, Any], camera: tuple[int, int] | None,
          arithmetic: str) -> Part | None:
    table = (origin.get("front_ends") or {}).get(name)
    if table is None:
        return None
    one = read_front_end(table, f"front_ends.{name}")
    if isinstance(one, Array):
        return None
    if int(np.prod(one.shape)) != member.size:
        raise DataError(f"front_ends.{name}: its input has {int(np.prod(one.shape))} values, that of the model "
                        f"{member.size}; export with --frontend none")
    fitted = (origin.get("fitted") or {}).get(name)
    if fitted is None and one.normalise != "none":
        raise DataError(f"front_ends.{name}: no fitted normalisation beside the model; export with --frontend "
                        "none")
    normalisation = (identity(one, *(one.natural_range or (-1.0, 1.0))) if fitted is None else
                     read_normalisation(one, fitted, f"fitted.{name}"))
    grid = Grid(member.scale, member.zero_point, *member.limits)
    try:
        if isinstance(one, Picture):
            return Part(name, member, picture_tables(one, normalisation, grid, camera))
        return Part(name, member, ARITHMETICS[arithmetic](one, normalisation, grid))
    except DataError as error:
        raise DataError(f"input '{name}': {error}; or export with --frontend none") from error


def _free_offset(program: Program, size: int) -> int:
    """Find the first gap of ``size`` bytes between the inputs, which all wait there for the network."""
    taken = sorted((program.plan.place(one.tensor), one.bytes) for one in program.inputs)
    offset = 0
    for start, length in taken:
        if start >= offset + size:
            break
        offset = max(offset, aligned(start + length))
    return offset
