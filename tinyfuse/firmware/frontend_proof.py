"""Front ends on this machine and on emulated cores: every code from the sample to the output is Python's."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.core.errors import ParityError
from tinyfuse.firmware.build import Footprint, footprint, linked
from tinyfuse.firmware.c_text import export_folder, render
from tinyfuse.firmware.frontend_emit import interface_of
from tinyfuse.firmware.frontend_plan import FrontEnds
from tinyfuse.firmware.frontend_scenes import Scene, codes_of_scene, scene_bytes, stream_codes
from tinyfuse.firmware.host import said_on_host
from tinyfuse.firmware.machine import EmulationError, records
from tinyfuse.firmware.measure import Setup
from tinyfuse.firmware.toolchain import OPTIMIZE, SANITIZE, STRICT, host_compiler, run
from tinyfuse.firmware.vectors import tflm_outputs
from tinyfuse.integer.model import IntegerModel

EACH_SOUND = 3
"""Numbers of a stream among the results: ticks of a hop, ticks of its codes, bytes of its structure."""

WRAPPED = 0xFFFFFFFF
"""Ticks that the harness writes where its counter did not reach."""


@dataclass(frozen=True, eq=False)
class Told:
    """What a run must give: bytes by record and order. 'I' codes of inputs, 'O' of outputs, 'S' of streams."""

    inputs: list[bytes] = field(repr=False)
    outputs: list[bytes] = field(repr=False)
    streams: list[bytes] = field(repr=False)


@dataclass(frozen=True)
class FrontEndResult:
    """One core: codes compared and those that differ, by what they are; and what the front ends cost.

    ``instructions`` by stage: "network", each input, and "NAME hop" and "NAME codes" of its stream;
    ``stream_bytes`` by input. ``outputs`` [scenes, k] are the network's codes.
    """

    core: str
    scenes: int
    compared: Mapping[str, int]
    differing: Mapping[str, int]
    instructions: Mapping[str, int]
    stream_bytes: Mapping[str, int]
    flash: Footprint | None
    outputs: np.ndarray = field(repr=False)

    def check(self) -> None:
        """Raise :class:`ParityError` if a code is not Python's."""
        wrong = {kind: count for kind, count in self.differing.items() if count}
        if wrong:
            said = ", ".join(f"{count} of {self.compared[kind]} codes of {kind}" for kind, count in wrong.items())
            raise ParityError(f"front ends on {self.core}: {said} are not Python's")


def told_of(front_ends: FrontEnds, model: IntegerModel, scenes: Sequence[Scene]) -> Told:
    """Compute in Python what the C code must give; TFLite Micro gives the outputs."""
    names = {member.name: port for member, port in zip(front_ends.program.inputs, model.inputs, strict=True)}
    codes = [codes_of_scene(front_ends, scene) for scene in scenes]
    batch = {port.name: np.stack([one[name] for one in codes]).reshape(len(codes), *port.shape[1:]).astype(port.dtype)
             for name, port in names.items()}
    outputs = tflm_outputs(model, batch)
    streams = []
    for scene in scenes:
        for part in front_ends.parts:
            raw = scene[part.member.name]
            if isinstance(raw, np.ndarray) and not part.cannot_stream:
                kind = part.member.dtype.newbyteorder("<")
                streams += [row.astype(kind).tobytes() for row in stream_codes(part, raw)]
    inputs = [one[name].astype(one[name].dtype.newbyteorder("<")).tobytes() for one in codes for name in names]
    return Told(inputs, [row.astype(row.dtype.newbyteorder("<")).tobytes() for row in outputs], streams)


def _interface(front_ends: FrontEnds) -> dict[str, Any]:
    """What the harness's template needs."""
    described, program = interface_of(front_ends), front_ends.program
    pictures = {one["name"]: one for one in described["pictures"]}
    sounds = {one["name"]: one for one in described["sounds"]}
    inputs = []
    for place, member in enumerate(program.inputs):
        kind = "picture" if member.name in pictures else "sound" if member.name in sounds else "codes"
        inputs.append({**pictures.get(member.name, {}), "name": member.name, "kind": kind, "bytes": member.bytes})
        if kind == "sound":
            sounds[member.name] |= {"input": place, "bytes": member.bytes}
    for number, one in enumerate(sounds.values()):
        one["place"] = 1 + len(inputs) + EACH_SOUND * number
    return {"name": program.name, "inputs": inputs, "sounds": list(sounds.values()),
            "outputs": [{"name": one.name, "size": one.size} for one in program.outputs]}


def on_host(front_ends: FrontEnds, sources: Path, work: Path, scenes: Sequence[Scene], told: Told,
            options: Sequence[str] = SANITIZE) -> FrontEndResult | None:
    """Compile ``sources`` for this machine with ``options`` in folder ``work``; None without a C compiler."""
    command = host_compiler()
    if command is None:
        return None
    work.mkdir(parents=True, exist_ok=True)
    name, main = front_ends.program.name, work / "frontend.c"
    main.write_text(render(export_folder("harness") / "frontend.c.j2", **_interface(front_ends)), encoding="ascii")
    run([command, *STRICT, *options, "-DTNY_HOST", f"-I{sources}", f"-I{export_folder('harness')}", str(main),
         str(sources / f"{name}.c"), str(sources / f"{name}_frontend.c"), "-o", str(work / "scenes")])
    said = said_on_host(work / "scenes", scene_bytes(front_ends, scenes), f"the front ends of {name}")
    found = list(records(struct.pack("<I", len(said)) + said, "host"))
    return _judged("host", front_ends, found, told, len(scenes), 0.0, None)


def on_core(front_ends: FrontEnds, sources: Path, work: Path, scenes: Sequence[Scene], told: Told,
            setup: Setup, *, counted: bool = True) -> FrontEndResult:
    """Compile ``sources`` for one core in folder ``work``, run it there, and compare; ``counted``: instructions too."""
    work.mkdir(parents=True, exist_ok=True)
    core, compiler, name = setup.core, setup.compiler, front_ends.program.name
    main = work / "frontend.c"
    main.write_text(render(export_folder("harness") / "frontend.c.j2", **_interface(front_ends)), encoding="ascii")
    options = [*STRICT, OPTIMIZE[front_ends.program.optimize], f"-I{sources}"]
    # These names, for no name of a network may be that of an object of the harness.
    network, front = (compiler.compile(core, sources / f"{name}{end}.c", work / f"package{end}.o", options)
                      for end in ("", "_frontend"))
    program = linked(core, compiler, [network, front], main, work, [f"-I{sources}"])
    ran = setup.emulator.run(core, program, scene_bytes(front_ends, scenes), counted=counted)
    return _judged(core.name, front_ends, list(ran.records), told, len(scenes), ran.instructions_per_tick if counted
                   else 0.0, footprint(front))


def _judged(core: str, front_ends: FrontEnds, records: list[tuple[str, bytes]], told: Told, scenes: int,
            per_tick: float, flash: Footprint | None) -> FrontEndResult:
    found = {tag: [content for one, content in records if one == tag] for tag in "IOSER"}
    if any(struct.unpack("<I", one)[0] for one in found["E"]) or len(found["E"]) != scenes:
        raise EmulationError(f"{core}: {len(found['E'])} of {scenes} scenes came back, or one was refused")
    count = len(front_ends.program.outputs)
    outputs = [b"".join(found["O"][first : first + count]) for first in range(0, len(found["O"]), count)]
    pairs = {"inputs": (found["I"], told.inputs), "outputs": (outputs, told.outputs),
             "streams": (found["S"], told.streams)}
    ticks = np.frombuffer(found["R"][0], "<u4").astype(np.float64)
    return FrontEndResult(
        core, scenes, {kind: sum(map(len, wanted)) for kind, (_, wanted) in pairs.items()},
        {kind: _differing(*pair) for kind, pair in pairs.items()}, _instructions(front_ends, ticks, per_tick, core),
        {part.member.name: int(ticks[place + 2]) for part, place in _streams(front_ends)}, flash,
        np.frombuffer(b"".join(outputs), np.int8).reshape(scenes, -1))


def _streams(front_ends: FrontEnds) -> Iterator[tuple[Any, int]]:
    places = {one["name"]: one["place"] for one in _interface(front_ends)["sounds"]}
    for part in front_ends.parts:
        if part.member.name in places and not part.cannot_stream:
            yield part, places[part.member.name]


def _instructions(front_ends: FrontEnds, ticks: np.ndarray, per_tick: float, core: str) -> dict[str, int]:
    if not per_tick:
        return {}
    named = {"network": 0}
    with_front_end = {part.member.name for part in front_ends.parts}
    named |= {one.name: 1 + place for place, one in enumerate(front_ends.program.inputs) if one.name in with_front_end}
    for part, place in _streams(front_ends):
        named |= {f"{part.member.name} hop": place, f"{part.member.name} codes": place + 1}
    if any(ticks[place] >= WRAPPED for place in named.values()):
        raise EmulationError(f"{core}: a front end takes more ticks than the harness counts")
    return {name: round(ticks[place] * per_tick) for name, place in named.items()}


def _differing(found: list[bytes], wanted: list[bytes]) -> int:
    """Count the bytes that differ; all of what is missing."""
    if [len(one) for one in found] != [len(one) for one in wanted]:
        return max(1, sum(map(len, wanted)))
    mine, given = (np.frombuffer(b"".join(part), np.uint8) for part in (found, wanted))
    return int(np.count_nonzero(mine != given))
