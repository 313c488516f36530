"""A package as it comes back from disk: its metadata and its vectors are checked before anything is compiled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyfuse.errors import DataError
from tinyfuse.files import sha256_hex
from tinyfuse.firmware.build import OPTIMIZATION
from tinyfuse.firmware.interface import check_identifier, member_names
from tinyfuse.firmware.package import FORMAT, sources
from tinyfuse.firmware.program import program_of
from tinyfuse.firmware.vectors import Vectors, crc32, read
from tinyfuse.integer.interpreters import IntegerModel, load

METADATA_LIMIT = 4 << 20
FILE_LIMIT = 64 << 20


@dataclass(frozen=True, eq=False)
class Exported:
    """A package: ``interface`` is what the harness needs; ``changed``: files of ``src`` that this version of tinyfuse
    does not generate from the model in the package.
    """

    folder: Path
    table: Mapping[str, Any] = field(repr=False)
    interface: Mapping[str, Any] = field(repr=False)
    model: IntegerModel = field(repr=False)
    vectors: Vectors = field(repr=False)
    changed: tuple[str, ...]


def open_package(folder: str | Path) -> Exported:
    """Read the package in ``folder``; the outputs of its vectors are computed anew by TFLite Micro.

    Raises:
        DataError: it is not there, not whole, or its model or vectors are not those it was exported with.
    """
    folder = Path(folder)
    table = read_table(folder)
    try:
        name, optimize = check_identifier(str(table["name"])), str(table["optimize"])
        extreme, layers = int(table["vectors"]["extreme"]), [str(layer) for layer in table["layers"]]
        digests = str(table["tflite_sha256"]), str(table["vectors"]["inputs_crc32"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{folder}/metadata.json lacks {error}; export the package again") from error
    if optimize not in OPTIMIZATION:
        raise DataError(f"{folder}/metadata.json: optimize '{optimize}'; allowed: {', '.join(OPTIMIZATION)}")
    tflite, stream = (_read(folder / "extras" / file) for file in (f"{name}.tflite", "vectors.bin"))
    if (sha256_hex(tflite), crc32(stream)) != digests:
        raise DataError(f"{folder}: the .tflite or the test vectors are not those of metadata.json; export again")
    model = load(tflite, name=name)
    vectors = read(model, stream, extreme)
    if vectors.output_stream() != _read(folder / "extras" / "outputs.bin"):
        raise DataError(f"{folder}: TFLite Micro gives other codes than extras/outputs.bin holds; export again")
    return Exported(folder, table, _interface(model, name, layers, optimize), model, vectors,
                    tuple(_changed(folder / "src", sources(program_of(model, name, optimize)))))


def read_table(folder: Path) -> dict[str, Any]:
    """The metadata of the package in ``folder``, of this format; :class:`DataError` if it cannot be read."""
    try:
        table = json.loads(_read(folder / "metadata.json", METADATA_LIMIT))
    except ValueError as error:
        raise DataError(f"{folder}/metadata.json is no JSON ({error}); export the package again") from error
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        raise DataError(f"{folder}/metadata.json is not of format {FORMAT}; export the package again with this version")
    return table


def _read(path: Path, limit: int = FILE_LIMIT) -> bytes:
    try:
        if path.stat().st_size > limit:
            raise DataError(f"{path} has more than {limit} bytes; that is no file of a package")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; give the folder that `tinyfuse export` wrote") from error


def _interface(model: IntegerModel, name: str, layers: list[str], optimize: str) -> dict[str, Any]:
    """From the model, not from the table: it goes into code that is compiled."""
    ports = [*model.inputs, model.output]
    found = [{"name": member, "size": size} for member, size in zip(
        member_names(port.name for port in ports), (_size(port.shape) for port in ports), strict=True)]
    return {"name": name, "inputs": found[:-1], "output": found[-1], "layers": len(layers), "optimize": optimize}


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for axis in shape:
        size *= axis
    return size


def _changed(folder: Path, wanted: Mapping[str, str]) -> list[str]:
    """Files that differ from what is ``wanted``, are missing, or were added."""
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return sorted((there ^ wanted.keys()) | {path for path in there & wanted.keys()
                                             if _read(folder / path) != wanted[path].encode()})
