"""A package as it comes back from disk: its metadata and its vectors are checked before anything is compiled."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyfuse.core.errors import DataError
from tinyfuse.core.files import sha256_hex
from tinyfuse.firmware.build import OPTIMIZATION, interface_of
from tinyfuse.firmware.emit import Program
from tinyfuse.firmware.interface import check_identifier
from tinyfuse.firmware.package import FORMAT, figures_of, sources
from tinyfuse.firmware.program import program_of
from tinyfuse.firmware.vectors import Vectors, crc32, read
from tinyfuse.integer.interpreters import IntegerModel, load

METADATA_LIMIT = 4 << 20
FILE_LIMIT = 64 << 20


@dataclass(frozen=True, eq=False)
class Exported:
    """A package. All figures are those of ``program``, what this version of tinyfuse makes of the model in it.

    ``interface`` is what the harness needs; ``changed``: files of ``src`` that are not ``program``'s.
    """

    folder: Path
    interface: Mapping[str, Any] = field(repr=False)
    model: IntegerModel = field(repr=False)
    program: Program = field(repr=False)
    vectors: Vectors = field(repr=False)
    figures: Mapping[str, Any] = field(repr=False)
    changed: tuple[str, ...]

    @property
    def name(self) -> str:
        """The prefix of its symbols."""
        return self.program.name

    @property
    def layers(self) -> list[str]:
        """The names of the layers in the order of the graph."""
        return [layer.name for layer in self.program.layers]


def open_package(folder: str | Path) -> Exported:
    """Read the package in ``folder``; the outputs of its vectors are computed anew by TFLite Micro.

    Raises:
        DataError: it is not there, not whole, or its model, vectors or figures are not those it was exported with.
    """
    folder = Path(folder)
    table = read_table(folder)
    _check_plain(folder)
    try:
        name, optimize = check_identifier(str(table["name"])), str(table["optimize"])
        extreme = int(table["vectors"]["extreme"])
        digests = str(table["tflite_sha256"]), str(table["vectors"]["inputs_crc32"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{folder}/metadata.json lacks {error}; export the package again") from error
    if optimize not in OPTIMIZATION:
        raise DataError(f"{folder}/metadata.json: optimize '{optimize}'; allowed: {', '.join(OPTIMIZATION)}")
    tflite, stream = (_read(folder / "extras" / file) for file in (f"{name}.tflite", "vectors.bin"))
    if (sha256_hex(tflite), crc32(stream)) != digests:
        raise DataError(f"{folder}: the .tflite or the test vectors are not those of metadata.json; export again")
    model = load(tflite, name=name)
    program = program_of(model, name, optimize)
    figures = figures_of(program, model)
    for key, value in figures.items():
        if table.get(key) != value:
            raise DataError(f"{folder}/metadata.json: {key} is {str(table.get(key))[:40]}, but by this version of "
                            f"tinyfuse it is {str(value)[:40]}; export the package again")
    vectors = read(model, stream, extreme)
    if vectors.output_stream() != _read(folder / "extras" / "outputs.bin"):
        raise DataError(f"{folder}: TFLite Micro gives other codes than extras/outputs.bin holds; export again")
    return Exported(folder, interface_of(program, optimize), model, program, vectors, figures,
                    tuple(_changed(folder / "src", sources(program))))


def _check_plain(folder: Path) -> None:
    """Raise unless everything in ``folder`` is a file or a folder of its own: links lead elsewhere, pipes never end."""
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            mode = os.lstat(os.path.join(root, name)).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise DataError(f"{os.path.join(root, name)} is a link or a special file, which no package has")


def read_table(folder: Path) -> dict[str, Any]:
    """The metadata of the package in ``folder``, of this format; :class:`DataError` if it cannot be read."""
    try:
        table = json.loads(_read(folder / "metadata.json", METADATA_LIMIT))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{folder}/metadata.json is no JSON ({str(error)[:80]}); export the package again") from error
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        raise DataError(f"{folder}/metadata.json is not of format {FORMAT}; export the package again with this version")
    return table


def _read(path: Path, limit: int = FILE_LIMIT) -> bytes:
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise DataError(f"{path} is no plain file; give the folder that `tinyfuse export` wrote")
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; give the folder that `tinyfuse export` wrote") from error
    if len(data) > limit:
        raise DataError(f"{path} has more than {limit} bytes; that is no file of a package")
    return data


def _changed(folder: Path, wanted: Mapping[str, str]) -> list[str]:
    """Files that differ from what is ``wanted``, are missing, or were added."""
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return sorted((there ^ wanted.keys()) | {path for path in there & wanted.keys()
                                             if _read(folder / path) != wanted[path].encode()})
