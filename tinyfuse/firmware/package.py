"""One folder that CMake, Arduino, PlatformIO, Zephyr and ESP-IDF take as it is; the same model gives the same bytes."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse import __version__
from tinyfuse.core.errors import UsageError
from tinyfuse.core.files import sha256_hex
from tinyfuse.firmware import emit, resources, tflm
from tinyfuse.firmware.arena import ALIGNMENT
from tinyfuse.firmware.boards import BOARDS
from tinyfuse.firmware.build import OPTIMIZATION
from tinyfuse.firmware.c_text import table
from tinyfuse.firmware.emit import Port, Program
from tinyfuse.firmware.interface import header
from tinyfuse.firmware.operators.convolution import Conv
from tinyfuse.firmware.operators.plain_conv import Direct
from tinyfuse.firmware.program import program_of
from tinyfuse.firmware.templates import render
from tinyfuse.firmware.vectors import Vectors, crc32
from tinyfuse.integer.arena import tflm_arena_bytes
from tinyfuse.integer.interpreters import IntegerModel

FORMAT = 1
CODE_BYTES = 10 * 1024
STACK_BYTES = 1024
"""What code and stack take about: more than on any emulated core for the fusion models (tests)."""
SELF_TEST = 4
"""Vectors that travel in C."""


@dataclass(frozen=True, eq=False)
class Package:
    """All that a package is made of. ``provenance``: the table beside the ``.tflite``, where there is one."""

    model: IntegerModel
    program: Program
    optimize: str
    vectors: Vectors = field(repr=False)
    vectors_source: str
    provenance: Mapping[str, Any] = field(repr=False)

    @property
    def weight_bytes(self) -> int:
        """Packed weights in flash."""
        return sum(layer.words().nbytes for layer in weighted(self.program))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, those of doubled channels counted once."""
        return sum(layer.macs for layer in weighted(self.program))

    def needs(self) -> tuple[int, int]:
        """Bytes of flash and RAM beside the application, about: with CODE_BYTES of code and STACK_BYTES of stack."""
        return (self.weight_bytes + table_bytes(self.program) + CODE_BYTES,
                self.program.plan.arena_bytes + STACK_BYTES)


def weighted(program: Program) -> list[Conv | Direct]:
    """The layers that have weights."""
    return [layer for layer in program.layers if isinstance(layer, (Conv, Direct))]


def package(model: IntegerModel, name: str, vectors: Vectors, *, optimize: str = "ram", vectors_source: str,
            provenance: Mapping[str, Any] | None = None) -> Package:
    """Plan ``model`` under ``name``, a C identifier; errors as :func:`tinyfuse.firmware.program.program_of`."""
    return Package(model, program_of(model, name, optimize), optimize, vectors, vectors_source, provenance or {})


def write(found: Package, folder: Path, *, force: bool = False) -> Path:
    """Write the package as ``folder``, whole or not at all; ``force`` replaces an older package.

    Raises:
        UsageError: ``folder`` is there and not empty; with ``force`` also if it is no package.
    """
    check_free(folder, force=force)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        made = Path(temporary) / "package"
        contents = dict(_contents(found))
        contents["metadata.json"] = _json(metadata(found, contents))
        for path, data in contents.items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_bytes(data)
        older = Path(temporary) / "older"
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
        table = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
        known = {"metadata.json", *table["files"]}
        whole = table["format"] == FORMAT and f"src/{table['name']}.h" in known
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        whole, known = False, set()
    if not whole:
        return "no package of tinyfuse"
    for path in sorted(folder.rglob("*")):
        if (path.is_symlink() or not path.is_dir()) and str(path.relative_to(folder)) not in known:
            return f"{path.name}, which is no file of its package"
    return ""


def _contents(found: Package) -> Iterator[tuple[str, bytes]]:
    """All files but metadata.json, as (path, content)."""
    program, name = found.program, found.program.name
    for file, text in sources(program).items():
        yield f"src/{file}", text.encode()
    skeleton, values = resources.folder("skeleton"), _values(found)
    for template in sorted(path for path in skeleton.rglob("*") if path.is_file()):
        target = str(template.relative_to(skeleton)).replace("NAME", name)
        if target.endswith(".j2"):
            yield target.removesuffix(".j2"), render(template, **values).encode()
        else:
            yield target, template.read_bytes()
    yield f"extras/{name}.tflite", found.model.data
    yield "extras/vectors.bin", found.vectors.stream()
    yield "extras/outputs.bin", found.vectors.output_stream()


def sources(program: Program) -> dict[str, str]:
    """The files of ``src`` by their path in it."""
    name = program.name
    found = {f"{name}.h": header(program), f"{name}.c": emit.source(program),
             f"{name}_weights.h": emit.weights(program)}
    for path in resources.files("runtime", "*.h"):
        found[f"runtime/{path.name}"] = path.read_text(encoding="ascii")
    return found


def write_sources(program: Program, folder: Path) -> Path:
    """Write :func:`sources` into ``folder``, which is made, and return it."""
    for path, text in sources(program).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def _values(found: Package) -> dict[str, Any]:
    """What the templates use."""
    program, model, stored = found.program, found.model, found.model.data
    widths = sorted({layer.bits for layer in weighted(program)})
    flash, ram = found.needs()
    boards = [{"title": board.title, "core": board.core, "mhz": board.mhz, "flash_kib": board.flash_kib,
               "ram_kib": board.ram_kib, "verdict": board.verdict(flash, ram)} for board in BOARDS.values()]
    few = found.vectors.outputs[_self_test_rows(found.vectors)]
    return {
        "name": program.name, "tinyfuse": __version__, "model": found.provenance.get("model"), "macs": found.macs,
        "sha256": sha256_hex(stored), "widths": " and ".join(map(str, widths)) + "-bit", "optimize": found.optimize,
        "flag": OPTIMIZATION[found.optimize], "arena_bytes": program.plan.arena_bytes, "alignment": ALIGNMENT,
        "tflm_arena_bytes": tflm_arena_bytes(model), "stored_bytes": len(stored), "packed_bytes": found.weight_bytes,
        "inputs": [_described(port, shape.shape) for port, shape in zip(program.inputs, model.inputs, strict=True)],
        "input_bytes": sum(value[0].nbytes for value in found.vectors.codes.values()),
        "output": _described(program.output, model.output.shape), "labels": list(found.provenance.get("labels", [])),
        "boards": boards, "flash_bytes": flash, "ram_bytes": ram, "code_bytes": CODE_BYTES,
        "stack_bytes": STACK_BYTES, "count": len(found.vectors), "vectors_source": found.vectors_source,
        "self_test_vectors": len(few), "vectors": _self_test(found),
        "crc32": crc32(few.astype(few.dtype.newbyteorder("<")).tobytes()),
        "resolver": tflm.resolver(model.graph), "model_bytes": tflm.byte_table(stored)}


def table_bytes(program: Program) -> int:
    """Constants beside the packed weights, about: all arrays (of each implementation) and 96 bytes a layer."""
    arrays = _ARRAY.findall(emit.weights(program))
    sizes: list[int] = [_SIZES.get(kind, 8) * content.count(",") for kind, name, content in arrays
                        if not name.startswith("weights")]
    return 96 * len(program.layers) + sum(sizes)


_ARRAY = re.compile(r"static const (\w+) (\w+)\[\w*\] = \{(.*?)\};", re.DOTALL)
_SIZES = {"int8_t": 1, "uint8_t": 1, "int16_t": 2, "uint16_t": 2, "int32_t": 4, "uint32_t": 4}


def _described(port: Port, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"name": port.name, "size": port.size, "ctype": port.ctype, "scale": port.scale,
            "zero_point": port.zero_point, "shape": list(shape)}


def _self_test_rows(vectors: Vectors) -> list[int]:
    """Lowest and highest codes, then the first ordinary ones."""
    extreme = list(range(min(2, vectors.extreme)))
    return [*extreme, *range(vectors.extreme, len(vectors))][:SELF_TEST]


def _self_test(found: Package) -> list[dict[str, str]]:
    rows = []
    for row in _self_test_rows(found.vectors):
        codes = {port.name: found.vectors.codes[tensor.name][row]
                 for port, tensor in zip(found.program.inputs, found.model.inputs, strict=True)}
        rows.append({name: table([str(value) for value in value.reshape(-1)], "    ")
                     for name, value in {**codes, "expected": found.vectors.outputs[row]}.items()})
    return rows


def metadata(found: Package, contents: Mapping[str, bytes]) -> dict[str, Any]:
    """``metadata.json``: what a tool, or a person in a year, needs to know."""
    program, model, vectors = found.program, found.model, found.vectors
    kept = ("model", "labels", "precision", "audio_features", "data", "training", "qat", "float_sha256",
            "layers")
    return {
        "format": FORMAT, "name": program.name, "tinyfuse": __version__, "optimize": found.optimize,
        "arena_alignment": ALIGNMENT, **figures_of(program, model),
        "flash_bytes_about": found.needs()[0], "ram_bytes_about": found.needs()[1],
        "tflite_sha256": sha256_hex(model.data), "operators": sorted({one.name for one in model.graph.operators}),
        "inputs": [_described(port, tensor.shape) | {"tensor": tensor.name}
                   for port, tensor in zip(program.inputs, model.inputs, strict=True)],
        "output": _described(program.output, model.output.shape) | {"tensor": model.output.name},
        "vectors": {"count": len(vectors), "extreme": vectors.extreme, "source": found.vectors_source,
                    "inputs_crc32": crc32(vectors.stream()), "outputs_crc32": crc32(vectors.output_stream())},
        "provenance": {key: found.provenance[key] for key in kept if key in found.provenance},
        "files": {path: sha256_hex(data) for path, data in sorted(contents.items())}}


def figures_of(program: Program, model: IntegerModel) -> dict[str, Any]:
    """What ``program`` and its ``model`` cost, as far as it is known without a compiler, and the layers' names."""
    convs = weighted(program)
    return {"arena_bytes": program.plan.arena_bytes, "packed_weight_bytes": sum(one.words().nbytes for one in convs),
            "macs": sum(one.macs for one in convs), "tflm_arena_bytes": tflm_arena_bytes(model),
            "tflite_bytes": len(model.data), "layers": [layer.name for layer in program.layers]}


def _json(table: Mapping[str, Any]) -> bytes:
    return (json.dumps(table, indent=2, allow_nan=False, default=_plain) + "\n").encode()


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} in metadata")


