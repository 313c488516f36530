"""The application of a package on this machine and on emulated cores: every line that it prints is Python's."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinyfuse.core.errors import DataError, ParityError
from tinyfuse.firmware.build import linked
from tinyfuse.firmware.c_text import export_folder, render
from tinyfuse.firmware.frontend_plan import FrontEnds
from tinyfuse.firmware.frontend_scenes import Raw
from tinyfuse.firmware.host import said_on_host
from tinyfuse.firmware.live_plan import Live, Sensor, live_values
from tinyfuse.firmware.live_twin import Moment, moment_bytes
from tinyfuse.firmware.machine import EmulationError, records
from tinyfuse.firmware.measure import Setup
from tinyfuse.firmware.toolchain import OPTIMIZE, SANITIZE, STRICT, host_compiler, run
from tinyfuse.frontend.device_sound import SoundTables
from tinyfuse.frontend.spectrum import Frames


@dataclass(frozen=True)
class Played:
    """What the application printed on ``core``; ``instructions`` of the costliest decision (0: not counted)."""

    core: str
    lines: tuple[str, ...] = field(repr=False)
    instructions: int
    ram_bytes: int

    def check(self, wanted: Sequence[str]) -> None:
        """Raise :class:`ParityError` unless each decision is ``wanted``."""
        for number, pair in enumerate(zip(self.lines, wanted, strict=False)):
            if pair[0] != pair[1]:
                raise ParityError(f"decision {number} on {self.core} is '{pair[0]}', in Python '{pair[1]}'")
        if len(self.lines) != len(wanted):
            raise ParityError(f"{len(self.lines)} of {len(wanted)} decisions came back from {self.core}")


def play_on_host(live: Live, front_ends: FrontEnds | None, package: Path, work: Path,
                 moments: Sequence[Moment], options: Sequence[str] = SANITIZE) -> Played | None:
    """Compile the application in ``package`` for this machine with ``options``; None without a C compiler."""
    command = host_compiler()
    if command is None:
        return None
    main, sources, folders = _parts(live, front_ends, package, work)
    run([command, *STRICT, *options, *folders, "-DTNY_HOST", f"-I{export_folder('harness')}", str(main),
         *map(str, sources), "-o", str(work / "live")])
    said = said_on_host(work / "live", moment_bytes(live, moments), f"the application of {live.program.name}")
    return _played("host", list(records(struct.pack("<I", len(said)) + said, "host")), 0.0)


def play_on_core(live: Live, front_ends: FrontEnds | None, package: Path, work: Path, moments: Sequence[Moment],
                 setup: Setup, *, counted: bool = False) -> Played:
    """Compile it for one core in folder ``work`` and play ``moments`` there; ``counted``: instructions too."""
    main, sources, options = _parts(live, front_ends, package, work)
    flags = [*STRICT, OPTIMIZE[live.program.optimize], *options]
    # Numbered, for no name of a network may be that of an object of the harness.
    objects = [setup.compiler.compile(setup.core, source, work / f"part{number}.o", flags)
               for number, source in enumerate(sources)]
    renamed = main.rename(work / "harness.c")
    program = linked(setup.core, setup.compiler, objects, renamed, work, options)
    ran = setup.emulator.run(setup.core, program, moment_bytes(live, moments), counted=counted)
    return _played(setup.core.name, list(ran.records), ran.instructions_per_tick if counted else 0.0)


def _parts(live: Live, front_ends: FrontEnds | None, package: Path, work: Path) -> tuple[Path, list[Path], list[str]]:
    """Write the harness; return it, the sources around it, and the options that find them."""
    work.mkdir(parents=True, exist_ok=True)
    values = live_values(live, front_ends, ())
    for one, sensor in zip(values["sensors"], live.sensors, strict=True):
        one["each"] = {"stream": 2 * one.get("hop", 0), "recording": 2 * one.get("length", 0),
                       "codes": sensor.member.bytes}.get(sensor.kind, 0)
    main = work / "main.c"
    main.write_text(render(export_folder("harness") / "live.c.j2", **values), encoding="ascii")
    folder, name = package / "src", live.program.name
    sources = [folder / f"{name}.c", *([folder / f"{name}_frontend.c"] if values["front_end_sources"] else []),
               package / "examples" / "live" / "live.c"]
    return main, sources, [f"-I{folder}", f"-I{package / 'examples' / 'live'}"]


def _played(core: str, found: Sequence[tuple[str, bytes]], per_tick: float) -> Played:
    lines = tuple(content.decode("ascii").removesuffix("\r\n") for tag, content in found if tag == "L")
    results = [np.frombuffer(content, "<u4") for tag, content in found if tag == "R"]
    if len(results) != 1:
        raise EmulationError(f"{core}: the application ended without results")
    return Played(core, lines, round(float(results[0][0]) * per_tick), int(results[0][1]))


def moments_of(live: Live, raws: Mapping[str, Raw]) -> list[Moment]:
    """Cut what sensors gave, by the names of C, into moments: streams flow, other inputs stay; the rest is missing."""
    flows = {one.name: _hops(one, raws[one.name]) for one in live.sensors if one.kind == "stream" and one.name in raws}
    count = min((len(flow) for flow in flows.values()), default=live.votes)
    stays = {one.name: _cut_to_length(one, raws[one.name]) if one.name in raws else None for one in live.sensors
             if one.name not in flows}
    return [{one.name: flows[one.name][place] if one.name in flows else stays[one.name] for one in live.sensors}
            for place in range(count)]


def _hops(one: Sensor, raw: Raw) -> np.ndarray:
    assert isinstance(raw, np.ndarray) and one.part is not None and isinstance(one.part.tables.front_end, Frames)
    size = one.hops * one.part.tables.front_end.hop
    if len(raw) < size:
        raise DataError(f"input '{one.name}': {len(raw)} samples are less than the {size} of one decision; give a "
                        "longer recording")
    return raw[: len(raw) // size * size].reshape(-1, size)


def _cut_to_length(one: Sensor, raw: Raw) -> Raw:
    if one.kind != "recording" or not isinstance(raw, np.ndarray) or one.part is None:
        return raw
    assert isinstance(one.part.tables, SoundTables)
    length = one.part.tables.front_end.length
    return np.pad(raw[:length], (0, max(0, length - len(raw))))
