"""One folder that CMake, Arduino, PlatformIO, Zephyr and ESP-IDF take as it is; the same model gives the same bytes.

It is opened again only after its metadata and its vectors were checked, before anything is compiled.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tinyfuse import __version__
from tinyfuse.core.errors import DataError, TinyfuseError, UsageError
from tinyfuse.core.files import sha256_hex, temporary_folder
from tinyfuse.core.strict import encode
from tinyfuse.firmware import emit
from tinyfuse.firmware.boards import BOARDS
from tinyfuse.firmware.c_names import namespace_of
from tinyfuse.firmware.c_text import export_folder, render, table
from tinyfuse.firmware.certified import FILE as CERTIFIED
from tinyfuse.firmware.certified import Certified, read_certified
from tinyfuse.firmware.frontend_emit import (
    front_end_flash_bytes,
    front_end_sources,
    front_end_tables,
    front_ends_in,
    interface_of,
)
from tinyfuse.firmware.frontend_plan import FrontEnds
from tinyfuse.firmware.licence import licensed
from tinyfuse.firmware.live_plan import Live, live_files, live_of, means_in
from tinyfuse.firmware.metadata import FILE, FORMAT, Metadata, TensorTable, VectorTable, read_metadata, read_plain
from tinyfuse.firmware.plan import ALIGNMENT
from tinyfuse.firmware.program import Member, Program, program_of
from tinyfuse.firmware.toolchain import OPTIMIZE
from tinyfuse.firmware.vectors import Vectors, crc32, read_vectors, separated
from tinyfuse.integer.arena import tflm_arena_bytes
from tinyfuse.integer.model import IntegerModel, Port, load_model

CODE_BYTES, NINE_BIT_CODE_BYTES = 14 * 1024, 19 * 1024
STACK_BYTES = 1152
"""What code and stack take about: of the fusion models no emulated core takes more (tests), most take far less.

Layers that these models lack (depthwise, int16 and others) take code of their own.
"""
MEANS = "extras/means.bin"
SELF_TEST = 4
"""Vectors that travel in C."""


@dataclass(frozen=True, eq=False)
class Package:
    """All that a package is made of. ``provenance``: the table beside the ``.tflite``, where there is one."""

    model: IntegerModel
    program: Program
    vectors: Vectors = field(repr=False)
    vectors_source: str
    provenance: Mapping[str, Any] = field(repr=False)
    keep_constant: bool = False
    front_ends: FrontEnds | None = None
    live: Live | None = None
    certified: Certified | None = None

    @cached_property
    def metadata(self) -> Metadata:
        """What ``metadata.json`` says, but for the files; with what code and stack take about."""
        program, model, vectors, figures = self.program, self.model, self.vectors, figures_of(self.program, self.model)
        return Metadata(
            format=FORMAT, name=program.name, tinyfuse=__version__, optimize=program.optimize,
            cores=2 if program.schedule else 1, keep_constant_channels=self.keep_constant, arena_alignment=ALIGNMENT,
            ram_bytes_about=self._memory_bytes + STACK_BYTES,
            flash_bytes_about=figures["packed_weight_bytes"] + table_bytes(program) + code_bytes(program) +
            front_end_flash_bytes(self.front_ends), **figures,
            tflite_sha256=sha256_hex(model.source),
            operators=tuple(sorted(set(model.file_operators))),
            inputs=tuple(map(_tensor, program.inputs, model.inputs)),
            outputs=tuple(map(_tensor, program.outputs, model.outputs)),
            vectors=VectorTable(len(vectors), vectors.extreme, self.vectors_source, crc32(vectors.stream()),
                                crc32(vectors.output_stream())),
            provenance={key: self.provenance[key] for key in PROVENANCE if key in self.provenance}, files={},
            front_ends=front_end_tables(self.front_ends),
            means_source=self.live.means_source if self.live else "",
            certificates=self.certified.tables if self.certified else (),
            certified_crc32=self.certified.crc32 if self.certified else "")

    @property
    def _memory_bytes(self) -> int:
        return self.front_ends.memory_bytes if self.front_ends else self.program.plan.arena_bytes


PROVENANCE = ("model", "classes", "recipe", "fitted", "front_ends", "data", "training", "qat", "float_sha256",
              "layers")
"""What a package keeps of the table beside the ``.tflite``."""


def write(found: Package, folder: Path, *, force: bool = False) -> Path:
    """Write the package as ``folder``, whole or not at all; ``force`` replaces an older package.

    Raises UsageError if ``folder`` is there and not empty; with ``force`` if it is no package.
    """
    check_free(folder, force=force)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder.parent, folder.name) as temporary:
        made = temporary / "package"
        contents = dict(_contents(found))
        files = {path: sha256_hex(data) for path, data in sorted(contents.items())}
        table = encode(replace(found.metadata, files=files))
        contents[FILE] = (json.dumps(table, indent=2, allow_nan=False) + "\n").encode()
        for path, data in contents.items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_bytes(data)
        older = temporary / "older"
        if folder.exists():
            folder.rename(older)
        try:
            made.rename(folder)
        except OSError:
            if older.exists():
                older.rename(folder)
            raise
    return folder


def check_free(folder: Path, *, force: bool) -> None:
    """Raise :class:`UsageError` if ``folder`` must not be written."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"{folder} is not a folder; give another --out")
    if folder.resolve() in (Path.cwd(), *Path.cwd().parents):
        raise UsageError(f"{folder} is the folder that you are in, or above it; give another --out")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not force:
        raise UsageError(f"{folder} exists and is not empty; give another --out, or --force to replace the package in "
                         "it")
    foreign = _foreign(folder)
    if foreign:
        raise UsageError(f"{folder} holds {foreign}, so --force does not replace it; give another --out")


def _foreign(folder: Path) -> str:
    """What in ``folder`` no export has written ("" if nothing)."""
    try:
        given = read_metadata(folder / FILE)
    except TinyfuseError:
        return "no package of tinyfuse"
    known = {FILE, *given.files}
    if f"src/{given.name}.h" not in known:
        return "no package of tinyfuse"
    for path in sorted(folder.rglob("*")):
        if (path.is_symlink() or not path.is_dir()) and str(path.relative_to(folder)) not in known:
            return f"{path.name}, which is no file of its package"
    return ""


def _contents(found: Package) -> Iterator[tuple[str, bytes]]:
    """All files but metadata.json, as (path, content)."""
    program, name = found.program, found.program.name
    for file, text in (sources(program) | front_end_sources(found.front_ends)).items():
        yield f"src/{file}", text.encode()
    skeleton, values = export_folder("skeleton"), _values(found)
    for template in sorted(path for path in skeleton.rglob("*") if path.is_file()):
        target = str(template.relative_to(skeleton)).replace("NAME", name)
        if target.endswith(".j2"):
            target = target.removesuffix(".j2")
            yield target, licensed(target, render(template, **values)).encode()
        else:
            yield target, licensed(target, template.read_text(encoding="utf-8")).encode()
    if found.live is not None:
        classes = [str(one) for one in found.provenance.get("classes") or ()]
        for path, text in live_files(found.live, found.front_ends, classes, values):
            target = f"examples/live/{path}"
            yield target, licensed(target, text).encode()
        yield MEANS, found.live.mean_bytes()
    yield f"extras/{name}.tflite", found.model.source
    yield "extras/vectors.bin", found.vectors.stream()
    yield "extras/outputs.bin", found.vectors.output_stream()
    if found.certified is not None:
        yield f"extras/{CERTIFIED}", found.certified.vectors.stream()


def sources(program: Program) -> dict[str, str]:
    """Write the files of ``src`` by their path in it."""
    name = program.name
    found = {f"{name}.h": emit.header(program), f"{name}.hpp": emit.wrapper(program),
             f"{name}.c": emit.source(program), f"{name}_weights.h": emit.weights(program)}
    if program.schedule:
        found[f"{name}_cores.h"] = emit.cores_header(program)
    for path in sorted(export_folder("runtime").glob("tny_*.h")):
        found[f"runtime/{path.name}"] = path.read_text(encoding="ascii")
    return {path: licensed(path, text) for path, text in found.items()}


def write_sources(program: Program, folder: Path) -> Path:
    """Write :func:`sources` into ``folder``, which is made, and return it."""
    for path, text in sources(program).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def _values(found: Package) -> dict[str, Any]:
    """What the templates use: the metadata, and what is made of it for people and compilers."""
    return {
        **vars(found.metadata), "output": found.metadata.output, "flag": OPTIMIZE[found.program.optimize],
        "front_end_sources": found.front_ends is not None and bool(found.front_ends.parts),
        "memory_bytes": found.front_ends.memory_bytes if found.front_ends else found.program.plan.arena_bytes,
        **(interface_of(found.front_ends) if found.front_ends else {"sounds": [], "pictures": []}),
        "live": found.live is not None, "space": namespace_of(found.program.name),
        "fixed": any(one.arithmetic == "fixed" for one in found.metadata.front_ends.values()),
        "boards": BOARDS.values(), "code_bytes": code_bytes(found.program), "stack_bytes": STACK_BYTES,
        "self_test": _self_test(found),
        "self_test_crc32": crc32(found.vectors.output_stream(_self_test_rows(found.vectors))),
        "widths": " and ".join(map(str, sorted({layer.bits for layer in found.program.weighted}))),
        "input_bytes": sum(value[0].nbytes for value in found.vectors.codes.values()),
        "resolver": sorted({RESOLVER_METHODS.get(name, name.title().replace("_", ""))
                            for name in found.metadata.operators}),
        "model_bytes": table([f"0x{byte:02x}" for byte in found.model.source])}


RESOLVER_METHODS = {"CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D", "FULLY_CONNECTED": "FullyConnected",
                    "AVERAGE_POOL_2D": "AveragePool2D", "MAX_POOL_2D": "MaxPool2D", "PADV2": "PadV2", "RELU": "Relu",
                    "RELU6": "Relu6", "LEAKY_RELU": "LeakyRelu", "STRIDED_SLICE": "StridedSlice",
                    "BATCH_MATMUL": "BatchMatMul"}
"""Methods of TFLM's MicroMutableOpResolver (``AddConv2D()``) whose names are not the operator's in camel case."""


def code_bytes(program: Program) -> int:
    """Estimate the code: 9-bit weights have kernels of their own, which are long on the M55."""
    return NINE_BIT_CODE_BYTES if any(layer.bits > 8 for layer in program.weighted) else CODE_BYTES


def table_bytes(program: Program) -> int:
    """Estimate the constants beside the packed weights: all arrays (of each implementation) and 96 bytes a layer."""
    arrays = _ARRAY.findall(emit.weights(program))
    sizes: list[int] = [_SIZES.get(kind, 8) * content.count(",") for kind, name, content in arrays
                        if not name.startswith("weights")]
    return 96 * len(program.layers) + sum(sizes)


_ARRAY = re.compile(r"static const (\w+) (\w+)\[\w*\] = \{(.*?)\};", re.DOTALL)
_SIZES = {"int8_t": 1, "uint8_t": 1, "int16_t": 2, "uint16_t": 2, "int32_t": 4, "uint32_t": 4}


def _tensor(member: Member, port: Port) -> TensorTable:
    return TensorTable(member.name, member.size, member.ctype, member.scale, member.zero_point, port.shape, port.name,
                       member.edge)


def _self_test_rows(vectors: Vectors) -> list[int]:
    """Lowest and highest codes, then the first ordinary ones."""
    extreme = list(range(min(2, vectors.extreme)))
    return [*extreme, *range(vectors.extreme, len(vectors))][:SELF_TEST]


def _self_test(found: Package) -> list[dict[str, str]]:
    """The vectors that travel in C, as lines of codes by input and output."""
    outputs = separated(found.vectors.outputs, found.model.outputs)
    columns = {port.name: found.vectors.codes[port.tensor] for port in found.metadata.inputs}
    columns |= {port.name: outputs[port.tensor] for port in found.metadata.outputs}
    return [{name: table([str(code) for code in values[row].reshape(-1)], "    ") for name, values in columns.items()}
            for row in _self_test_rows(found.vectors)]


def figures_of(program: Program, model: IntegerModel) -> dict[str, Any]:
    """Count what ``program`` and ``model`` cost, as far as it is known without a compiler; and name the layers."""
    convs = program.weighted
    return {"arena_bytes": program.plan.arena_bytes, "packed_weight_bytes": sum(one.words().nbytes for one in convs),
            "macs": sum(one.macs for one in convs), "tflm_arena_bytes": tflm_arena_bytes(model),
            "tflite_bytes": len(model.source), "layers": tuple(layer.name for layer in program.layers)}


@dataclass(frozen=True, eq=False)
class Exported:
    """A package whose figures in ``metadata`` are those of ``program``, what this version makes of the model in it.

    ``changed``: files of ``src`` that are not ``program``'s.
    """

    folder: Path
    metadata: Metadata = field(repr=False)
    model: IntegerModel = field(repr=False)
    program: Program = field(repr=False)
    vectors: Vectors = field(repr=False)
    changed: tuple[str, ...]
    front_ends: FrontEnds | None = None
    certified: Certified | None = None
    live: Live | None = None


def open_package(folder: str | Path) -> Exported:
    """Read the package in ``folder``; the outputs of its vectors are computed anew by TFLite Micro.

    Raises DataError if it is not whole, or its model, vectors or figures are not those it was exported with.
    """
    folder = Path(folder)
    table = read_metadata(folder / FILE)
    _check_plain(folder)
    tflite, stream = (read_plain(folder / "extras" / file) for file in (f"{table.name}.tflite", "vectors.bin"))
    if (sha256_hex(tflite), crc32(stream)) != (table.tflite_sha256, table.vectors.inputs_crc32):
        raise DataError(f"{folder}: the .tflite or the test vectors are not those of {FILE}; export again")
    # The first output is the one that was chosen when it was exported.
    model = load_model(tflite, name=table.name, output=table.output.tensor if len(table.outputs) > 1 else None)
    program = program_of(model, table.name, table.optimize, keep_constant=table.keep_constant_channels,
                         cores=table.cores)
    given = encode(table)
    for key, value in encode(figures_of(program, model)).items():
        if given[key] != value:
            raise DataError(f"{folder}/{FILE}: {key} is {str(given[key])[:40]}, but by this version of tinyfuse it is "
                            f"{str(value)[:40]}; export the package again")
    vectors = read_vectors(model, stream, table.vectors.extreme)
    if vectors.output_stream() != read_plain(folder / "extras" / "outputs.bin"):
        raise DataError(f"{folder}: TFLite Micro gives other codes than extras/outputs.bin holds; export again")
    front_ends = front_ends_in(table, program)
    wanted = sources(program) | front_end_sources(front_ends)
    certified = read_certified(model, table.certificates, read_plain(folder / "extras" / CERTIFIED),
                               table.certified_crc32) if table.certificates else None
    return Exported(folder, table, model, program, vectors, tuple(_changed(folder / "src", wanted)), front_ends,
                    certified, _live_in(folder, table, model, program, front_ends))


def _live_in(folder: Path, table: Metadata, model: IntegerModel, program: Program,
             front_ends: FrontEnds | None) -> Live | None:
    """Plan the application that the package in ``folder`` was exported with."""
    if not table.means_source:
        return None
    means = means_in(model, program, read_plain(folder / MEANS))
    return live_of(model, program, front_ends, means, table.means_source)


def _check_plain(folder: Path) -> None:
    """Raise unless everything in ``folder`` is a file or a folder of its own: links lead elsewhere, pipes never end."""
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            mode = os.lstat(os.path.join(root, name)).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise DataError(f"{os.path.join(root, name)} is a link or a special file, which no package has")


def _changed(folder: Path, wanted: Mapping[str, str]) -> list[str]:
    """Files that differ from what is ``wanted``, are missing, or were added."""
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return sorted((there ^ wanted.keys()) | {path for path in there & wanted.keys()
                                             if read_plain(folder / path) != wanted[path].encode()})
