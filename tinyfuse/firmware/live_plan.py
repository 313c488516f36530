"""The application around a network: sensors by input, training means for those that are missing, votes over time.

What it computes is in ``firmware_export/application/live``; :mod:`tinyfuse.firmware.live_twin` decides the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.firmware.c_text import array, comment, export_folder, render, table
from tinyfuse.firmware.frontend_emit import interface_of
from tinyfuse.firmware.frontend_plan import FrontEnds, Part
from tinyfuse.firmware.program import Member, Program
from tinyfuse.frontend.device_picture import PictureTables
from tinyfuse.frontend.spectrum import Frames
from tinyfuse.integer.class_values import ending
from tinyfuse.integer.model import IntegerModel

APPLICATIONS = ("live",)
VOTES, THRESHOLD = 5, 500
PERIOD_SECONDS = 0.25
QUIET = 33
"""RMS of int16 samples, -60 dB of full scale."""
FLAT_SHARE = 16
"""A picture whose codes differ by less than this part of their range says nothing."""
WEIGHTS, FULL_WEIGHT, SHARE = 256, 65535, 32767
LEAST_EXPONENT = 11.0
"""exp of less than minus this is nothing beside FULL_WEIGHT."""
MAX_SENSORS = 32
ARDUINO = {"640x480": "VGA", "352x288": "CIF", "320x240": "QVGA", "176x144": "QCIF", "160x120": "QQVGA"}
"""What Arduino_OV767X calls the sizes of its frames."""
ESPRESSIF = {"96x96": "96X96", "160x120": "QQVGA", "176x144": "QCIF", "240x176": "HQVGA", "240x240": "240X240",
             "320x240": "QVGA", "400x296": "CIF", "480x320": "HVGA", "640x480": "VGA"}
"""What esp32-camera calls them."""


@dataclass(frozen=True, eq=False)
class Sensor:
    """One input: ``kind`` stream, recording, picture or codes. ``hops`` of a stream for each decision.

    ``cover``: hops that its frames see. ``values``: how many of its codes carry something. ``mean``: codes [size].
    """

    name: str
    member: Member
    kind: str
    part: Part | None
    values: int
    mean: np.ndarray = field(repr=False)
    hops: int = 1
    cover: int = 1

    @property
    def flat(self) -> int:
        """Codes that differ by less say nothing; of what is no picture only one value everywhere."""
        low, high = self.member.limits
        return (high - low + 1) // FLAT_SHARE if self.kind == "picture" else 1


@dataclass(frozen=True, eq=False)
class Live:
    """The application of one package. ``probabilities``: the outputs are; else they are logits.

    ``weights`` int [WEIGHTS]: exp of a logit that lies so many times ``step`` codes below the largest.
    """

    program: Program = field(repr=False)
    sensors: tuple[Sensor, ...]
    probabilities: bool
    step: int
    weights: np.ndarray = field(repr=False)
    means_source: str
    votes: int = VOTES
    threshold: int = THRESHOLD

    @property
    def classes(self) -> int:
        """How many classes are voted on; one sigmoid names two."""
        return self.program.output.size if self.program.half is None else 2

    def mean_bytes(self) -> bytes:
        """Write the means of all inputs, one after the other, little-endian."""
        kinds = [one.member.dtype.newbyteorder("<") for one in self.sensors]
        return b"".join(one.mean.astype(kind).tobytes() for one, kind in zip(self.sensors, kinds, strict=True))


def means_in(model: IntegerModel, program: Program, data: bytes) -> dict[str, np.ndarray]:
    """Read what :meth:`Live.mean_bytes` wrote, by the model's names; DataError for another number of bytes."""
    if len(data) != sum(one.bytes for one in program.inputs):
        raise DataError(f"{len(data)} bytes of training means are not those of the inputs; export the package again")
    found, at = {}, 0
    for one, port in zip(program.inputs, model.inputs, strict=True):
        found[port.name] = np.frombuffer(data, one.dtype.newbyteorder("<"), one.size, at).astype(one.dtype)
        at += one.bytes
    return found


def live_of(model: IntegerModel, program: Program, front_ends: FrontEnds | None, means: Mapping[str, np.ndarray],
            source: str) -> Live:
    """Plan the application; ``means``: codes [...] of each input at its training mean, by the model's names.

    Raises UsageError for a network that names no class, or has more sensors than a word has bits.
    """
    output = program.output
    classes = output.size >= 2 or program.half is not None
    if not classes or output.ctype not in ("int8_t", "int16_t") or len(program.inputs) > MAX_SENSORS:
        raise UsageError(f"the application live votes on classes: its first output needs 2 or more int8 or int16 codes "
                         f"(it has {output.size} of {output.ctype}), of at most {MAX_SENSORS} inputs; export without "
                         "--application, or choose one with --output")
    if program.name.startswith("live"):
        raise UsageError(f"'{program.name}' begins as the names of the application live do; give another --name")
    parts = {part.member.name: part for part in (front_ends.parts if front_ends else ())}
    sensors = tuple(_sensor(member, parts.get(member.name), means[port.name]) for member, port in
                    zip(program.inputs, model.inputs, strict=True))
    step = max(1, int(np.ceil(LEAST_EXPONENT / output.scale / WEIGHTS)))
    weights = np.round(FULL_WEIGHT * np.exp(-output.scale * step * np.arange(WEIGHTS))).astype(np.int64)
    return Live(program, sensors, bool(ending(model.graph)), step, weights, source)


def _sensor(member: Member, part: Part | None, mean: np.ndarray) -> Sensor:
    codes = np.asarray(mean).reshape(-1)
    if part is None:
        return Sensor(member.name, member, "codes", None, member.size, codes)
    one = part.tables.front_end
    values = int(np.prod(one.values_shape))
    if isinstance(part.tables, PictureTables):
        return Sensor(member.name, member, "picture", part, values, codes)
    if not isinstance(one, Frames) or part.cannot_stream:
        return Sensor(member.name, member, "recording", part, values, codes)
    return Sensor(member.name, member, "stream", part, values, codes,
                  max(1, round(PERIOD_SECONDS * one.rate / one.hop)), -(-part.tables.covered // one.hop))


def live_files(live: Live, front_ends: FrontEnds | None, classes: Sequence[str],
               shared: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Write the application's files, as (path in ``examples/live``, text); ``shared``: what all templates know."""
    folder = export_folder("application") / "live"
    values = {**shared, **live_values(live, front_ends, classes)}
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        target = str(path.relative_to(folder))
        text = path.read_text(encoding="utf-8") if not target.endswith(".j2") else render(path, **values)
        yield target.removesuffix(".j2"), text


def live_values(live: Live, front_ends: FrontEnds | None, classes: Sequence[str]) -> dict[str, Any]:
    """What the templates of the application need to know."""
    program, described = live.program, interface_of(front_ends) if front_ends else {"sounds": [], "pictures": []}
    tables = {one["name"]: one for part in described.values() for one in part}
    arena = "&live->memory.arena" if tables else "&live->memory"
    return {
        "name": program.name, "front_end_sources": bool(tables), **described,
        **_sensors([_described(one, tables.get(one.name, {})) for one in live.sensors]), "votes": live.votes,
        "threshold": live.threshold, "classes": live.classes, "half": program.half, "output": program.output,
        "arena": arena, "inputs_of": f"{program.name}_inputs({arena})", "probabilities": live.probabilities,
        "step": live.step, "class_names": table([_quoted(one) for one in class_names(live, classes)]),
        "means_source": comment(live.means_source),
        "means": "\n".join(array(one.member.ctype, f"live_mean_{one.name}", one.mean.tolist())
                           for one in live.sensors),
        "weights": array("uint16_t", "live_weights", live.weights.tolist())}


def class_names(live: Live, classes: Sequence[object]) -> list[str]:
    """Name the classes as the application prints them; numbers where ``classes`` are not theirs."""
    given = [str(one) for one in classes]
    names = given if len(given) == live.classes else [str(place) for place in range(live.classes)]
    return ["".join(letter if " " <= letter <= "~" else "?" for letter in name) for name in names]


def _sensors(described: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The microphone and the camera that the boards' skeletons connect are the first of their kind."""
    mic = next((one for one in described if one["kind"] in ("stream", "recording")), None)
    camera = next((one for one in described if one["kind"] == "picture"), None)
    return {"sensors": described, "mic": mic, "camera": camera,
            "left": [one["name"] for one in described if one is not mic and one is not camera],
            "other_than_mic": [one["name"] for one in described if one is not mic]}


def _described(one: Sensor, front_end: Mapping[str, Any]) -> dict[str, Any]:
    """What templates need of one sensor: its front end, when it is silent, and what boards call its frames."""
    shared = {**front_end, "name": one.name, "capital": one.name.upper(), "kind": one.kind, "hops": one.hops,
              "cover": one.cover, "ctype": one.member.ctype, "size": one.member.size, "carried": one.values}
    if one.kind in ("stream", "recording"):
        return {**shared, "quiet": QUIET, "count": front_end["hop" if one.kind == "stream" else "length"]}
    if one.kind == "codes" or one.part is None:
        return {**shared, "flat": one.flat}
    size = f"{front_end['width']}x{front_end['height']}"
    return {**shared, "flat": one.flat, "colour": one.part.tables.front_end.values_shape[-1] == 3,
            "arduino": ARDUINO.get(size, ""), "espressif": ESPRESSIF.get(size, "")}


def _quoted(text: str) -> str:
    """Write a C string of printable ASCII."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("??", "?\\?")
    return f'"{escaped}"'


