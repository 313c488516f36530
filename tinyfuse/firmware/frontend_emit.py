"""Front ends as C99: a header, one for C++, and a source file with their tables."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.firmware.c_names import namespace_of
from tinyfuse.firmware.c_text import array, braced, export_folder, render, struct
from tinyfuse.firmware.frontend_plan import FrontEnds, Part, front_ends_of
from tinyfuse.firmware.licence import licensed
from tinyfuse.firmware.metadata import FILE, FrontEndTable, Metadata
from tinyfuse.firmware.program import Program
from tinyfuse.frontend.device_picture import PictureTables, Taps
from tinyfuse.frontend.device_sound import SoundTables
from tinyfuse.frontend.fft import FftPlan
from tinyfuse.frontend.fixed_sound import DB_BITS, FixedTables, decibels_of
from tinyfuse.frontend.picture import Picture
from tinyfuse.frontend.spectrum import Frames, Spectrogram

RUNTIME = {kind: (f"tny_frontend_{kind}.h", "tny_frontend_fft.h", "tny_frontend_recording.h",
                  f"tny_frontend_bands_{kind}.h", "tny_frontend_sound.h", "tny_frontend_stream.h")
           for kind in ("float", "fixed")} | {"picture": ("tny_frontend_picture.h",)}
"""Files of the runtime by kind, in the order in which they are included."""
NUMBERS = {"float": "float", "fixed": "int32_t"}
PLACEMENTS = {"start": "TNY_AT_START", "centre": "TNY_AT_CENTRE", "loudest": "TNY_AT_LOUDEST"}


CODE_BYTES = 6 * 1024
"""What the code of front ends takes about, without floating point in hardware (tests)."""


def front_end_sources(front_ends: FrontEnds | None) -> dict[str, str]:
    """Write the files that front ends add to ``src``, by their path in it; none without front ends."""
    if front_ends is None or not front_ends.parts:
        return {}
    name, values = front_ends.program.name, _values(front_ends)
    kinds = {_kind(part) for part in front_ends.parts}
    headers = [header for kind in RUNTIME if kind in kinds for header in RUNTIME[kind]]
    interface, runtime = export_folder("interface"), export_folder("runtime") / "frontend"
    tables = "\n".join(text for part in front_ends.parts for text in tables_of(part))
    found = {f"{name}_frontend.h": render(interface / "frontend.h.j2", **values),
             f"{name}_frontend.hpp": render(interface / "frontend.hpp.j2", **values),
             f"{name}_frontend.c": render(interface / "frontend.c.j2", **values, headers=headers, tables=tables),
             **{f"runtime/{header}": (runtime / header).read_text(encoding="ascii") for header in headers}}
    return {path: licensed(path, text) for path, text in found.items()}


def _kind(part: Part) -> str:
    return "picture" if isinstance(part.tables, PictureTables) else _arithmetic(part.tables)


def _arithmetic(tables: SoundTables) -> Literal["float", "fixed"]:
    return "fixed" if isinstance(tables, FixedTables) else "float"


def front_end_flash_bytes(front_ends: FrontEnds | None) -> int:
    """Estimate the flash of front ends: all arrays, and CODE_BYTES of code; 0 without."""
    if front_ends is None or not front_ends.parts:
        return 0
    text = "\n".join(line for part in front_ends.parts for line in tables_of(part))
    arrays: list[tuple[str, str]] = _ARRAY.findall(text)
    sizes = {"uint16_t": 2, "int16_t": 2, "int64_t": 8}
    return CODE_BYTES + sum(sizes.get(kind, 4) * content.count(",") for kind, content in arrays)


_ARRAY = re.compile(r"static const (float|u?int\d+_t) \w+\[\] = \{(.*?)\};", re.DOTALL)


def front_end_tables(front_ends: FrontEnds | None) -> dict[str, FrontEndTable]:
    """Describe the front ends for ``metadata.json``, by the input's name in the ``.tflite``."""
    return {part.name: _described(part) for part in (front_ends.parts if front_ends else ())}


def front_ends_in(table: Metadata, program: Program) -> FrontEnds | None:
    """Build the front ends that a package was exported with; DataError if its table does not give them."""
    if not table.front_ends:
        return None
    cameras = {name: (one.frame[0], one.frame[1]) for name, one in table.front_ends.items() if len(one.frame) == 2}
    arithmetic = "fixed" if any(one.arithmetic == "fixed" for one in table.front_ends.values()) else "float"
    found = front_ends_of(program, [one.tensor for one in table.inputs], table.provenance, cameras, arithmetic)
    if front_end_tables(found) != dict(table.front_ends):
        raise DataError(f"{FILE}: front_ends are not those of its provenance; export the package again")
    return found


def _described(part: Part) -> FrontEndTable:
    tables = part.tables
    if isinstance(tables, PictureTables):
        return FrontEndTable(tables.front_end.kind, frame=tables.frame)
    one = tables.front_end
    hop = one.hop if isinstance(one, Frames) and not part.cannot_stream else 0
    return FrontEndTable(one.kind, one.rate, one.length, hop, arithmetic=_arithmetic(tables))


def _values(front_ends: FrontEnds) -> dict[str, Any]:
    program = front_ends.program
    return {"name": program.name, "space": namespace_of(program.name), "upper": program.name.upper(),
            "work_offset": front_ends.work_offset,
            "fixed": any(_kind(part) == "fixed" for part in front_ends.parts),
            "work_bytes": front_ends.work_bytes, "memory_bytes": front_ends.memory_bytes,
            "more_bytes": front_ends.memory_bytes - program.plan.arena_bytes, **interface_of(front_ends)}


def interface_of(front_ends: FrontEnds) -> dict[str, list[dict[str, Any]]]:
    """Describe what the templates need of each sound and each picture."""
    program = front_ends.program.name
    found: dict[str, list[dict[str, Any]]] = {"sounds": [], "pictures": []}
    for part in front_ends.parts:
        name = part.member.name
        shared = {"name": name, "prefix": f"{program}_{name}", "upper": f"{program}_{name}".upper(),
                  "symbol": f"{name}_front_end", "size": part.member.size}
        if isinstance(part.tables, PictureTables):
            found["pictures"].append({**shared, "height": part.tables.frame[0], "width": part.tables.frame[1]})
        else:
            found["sounds"].append({**shared, **_sound_interface(part, part.tables)})
    return found


def _sound_interface(part: Part, tables: SoundTables) -> dict[str, Any]:
    one = tables.front_end
    what = f"{one.kind} of {one.length} samples at {one.rate} Hz"
    shared = {"what": what, "rate": one.rate, "length": one.length, "stream": not part.cannot_stream,
              "why": part.cannot_stream}
    if not isinstance(one, Frames) or part.cannot_stream:
        return shared
    keeps_powers = one.level_rms is not None or one.top_db is not None
    return {**shared, "hop": one.hop, "fft": one.fft_size, "covered": tables.covered,
            "blocks": tables.covered // one.hop if one.level_rms is not None else 0,
            "ring_type": NUMBERS[_arithmetic(tables)] if keeps_powers else part.member.ctype,
            "ring_size": one.frames * (tables.powers if keeps_powers else one.band_count),
            "ready": -(-one.fft_size // one.hop) + one.frames - 1,
            "note": " Level and floor are those of these samples." if keeps_powers else ""}


def tables_of(part: Part) -> Iterable[str]:
    """Write the constants of one front end as C."""
    tables, name = part.tables, part.member.name
    return _picture(tables, part, name) if isinstance(tables, PictureTables) else _sound(tables, part, name)


class _Writer:
    """Writes the numbers of one sound in its arithmetic."""

    def __init__(self, tables: SoundTables) -> None:
        self.tables, self.fixed = tables, isinstance(tables, FixedTables)

    def array(self, name: str, values: np.ndarray, *, steps: bool = False) -> str:
        """Define an array; ``steps``: of codes, which take 64 bits in fixed point."""
        ctype = "int64_t" if steps and self.fixed else NUMBERS[_arithmetic(self.tables)]
        return array(ctype, name, [self.number(value) for value in np.asarray(values).reshape(-1)])

    def number(self, value: Any) -> str:
        """Write a number exactly."""
        return _int64(int(value)) if self.fixed else f"{float(np.float32(value)).hex()}f"

    def decibels(self, value: float) -> str:
        """Write decibels."""
        return str(round(value * 2**DB_BITS)) if self.fixed else self.number(value)


def _int64(value: int) -> str:
    return str(value) if abs(value) < 1 << 31 else f"INT64_C({value})"


def _sound(tables: SoundTables, part: Part, name: str) -> Iterable[str]:
    one, write = tables.front_end, _Writer(tables)
    yield write.array(f"{name}_slope", tables.slope)
    yield write.array(f"{name}_offset", tables.offset, steps=True)
    members: dict[str, Any] = {
        "slope": f"{name}_slope", "offset": f"{name}_offset", "least": write.number(tables.least),
        "most": write.number(tables.most), "level": write.number(tables.level), "length": f"{one.length}u",
        "window_least": "1u", "cells": part.member.size, "values": one.values_shape[-1], "frames": 1, "frame_step": 1,
        "value_step": 1, "low": tables.grid.low, "zero_code": tables.grid.zero_code,
        "placement": PLACEMENTS[one.placement], "wide": part.member.ctype == "int16_t",
        "levelled": one.level_rms is not None}
    if isinstance(tables, FixedTables):
        members |= {"level": tables.level_db, "code_bits": tables.code_bits, "sample_bits": tables.sample_bits,
                    "exponent": tables.exponent}
    if isinstance(one, Frames) and tables.fft is not None:
        yield from _fft(tables.fft, name, write)
        yield write.array(f"{name}_taper", tables.taper)
        members |= _frames(one, tables, name, write)
        if tables.filters:
            yield array("uint16_t", f"{name}_first", [first for first, _ in tables.filters])
            yield array("uint16_t", f"{name}_count", [len(weights) for _, weights in tables.filters])
            yield write.array(f"{name}_weights", np.concatenate([weights for _, weights in tables.filters]))
        if tables.dct.size:
            yield write.array(f"{name}_dct", tables.dct)
    else:
        members |= {"values": 1, "frames": one.length}
    yield struct("tny_sound_t", f"{name}_front_end", members)


def _frames(one: Frames, tables: SoundTables, name: str, write: _Writer) -> dict[str, Any]:
    steps = {key: stride for key, (stride, _) in one.axes.items()}
    scale = one.scale.upper() if isinstance(one, Spectrogram) else "DECIBEL"
    bands = {"first": f"{name}_first", "count": f"{name}_count", "weights": f"{name}_weights"} if tables.filters else {}
    amin, share = ((decibels_of(one.amin), tables.energy_db) if isinstance(tables, FixedTables) else
                   (write.number(one.amin), write.number(tables.energy_share)))
    return {"fft": f"&{name}_fft", "taper": f"{name}_taper", **bands,
            **({"dct": f"{name}_dct"} if tables.dct.size else {}), "amin": amin,
            "top_db": write.decibels(one.top_db or 0), "energy_share": share,
            "window_least": f"{one.window}u", "window": one.window, "lead": (one.fft_size - one.window) // 2,
            "hop": one.hop, "frames": one.frames, "around": one.fft_size // 2 if one.center else 0,
            "bands": tables.powers - int(tables.energy), "values": one.band_count, "frame_step": steps["frames"],
            "value_step": steps[one.band_axis], "energy": tables.energy, "scale": f"TNY_{scale}"}


def _fft(plan: FftPlan, name: str, write: _Writer) -> Iterable[str]:
    yield array("uint16_t", f"{name}_order", plan.order)
    for number, stage in enumerate(plan.stages):
        if stage.span > 1:
            yield write.array(f"{name}_twiddles{number}", stage.twiddles)
    yield write.array(f"{name}_split", plan.split)
    yield array("tny_stage_t", f"{name}_stages", [braced({
        "radix": stage.radix, "span": stage.span,
        "twiddles": f"{name}_twiddles{number}" if stage.span > 1 else "NULL"}) for number, stage in
        enumerate(plan.stages)])
    yield struct("tny_fft_t", f"{name}_fft", {"size": plan.size, "stages": len(plan.stages), "order": f"{name}_order",
                                              "stage": f"{name}_stages", "split": f"{name}_split"})


def _picture(tables: PictureTables, part: Part, name: str) -> Iterable[str]:
    one: Picture = tables.front_end
    (height, width, channels), (top, left) = one.values_shape, tables.corner
    members: dict[str, Any] = {}
    for axis, taps in (("rows", tables.rows), ("columns", tables.columns)):
        yield from _taps(taps, f"{name}_{axis}")
        members[axis] = braced({
            "first": f"{name}_{axis}_first", "count": f"{name}_{axis}_count", "weights": f"{name}_{axis}_weights",
            "size": len(taps.first), "most": taps.weights.shape[1]})
    yield array("int16_t", f"{name}_codes", tables.codes.reshape(-1))
    yield struct("tny_picture_t", f"{name}_front_end", members | {
        "codes": f"{name}_codes", "height": f"{tables.frame[0]}u", "width": f"{tables.frame[1]}u", "out_height": height,
        "out_width": width, "top": top, "left": left, "cells": f"{part.member.size}u",
        "zero_code": tables.grid.zero_code, "channels": channels,
        "by_channel": len(tables.codes) > 1, "wide": part.member.ctype == "int16_t",
        "rows_first": tables.rows_first})


def _taps(taps: Taps, name: str) -> Iterable[str]:
    yield array("uint16_t", f"{name}_first", taps.first)
    yield array("uint16_t", f"{name}_count", taps.counts)
    yield array("int32_t", f"{name}_weights", taps.weights.reshape(-1))
