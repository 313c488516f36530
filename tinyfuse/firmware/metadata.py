"""``metadata.json`` of a package: what a tool, or a person in a year, needs to know of it."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from tinyfuse.core.errors import DataError, nearest
from tinyfuse.core.plain_json import parse_json
from tinyfuse.core.strict import decode
from tinyfuse.firmware.c_names import check_identifier
from tinyfuse.firmware.certificate_table import CertificateTable
from tinyfuse.firmware.toolchain import OPTIMIZE

FORMAT: Final = 1
FILE = "metadata.json"
METADATA_LIMIT = 4 << 20
FILE_LIMIT = 64 << 20


@dataclass(frozen=True)
class TensorTable:
    """An input or output: ``name`` in C, ``tensor`` is its own; real value = scale * (code - zero_point).

    ``edge``: type that the ``.tflite`` itself takes or gives; float32 values and uint8 codes become codes as QUANTIZE
    does it, which the functions ``<name>_code`` and ``<name>_value`` of the header do.
    """

    name: str
    size: int
    ctype: str
    scale: float
    zero_point: int
    shape: tuple[int, ...]
    tensor: str
    edge: str


@dataclass(frozen=True)
class VectorTable:
    """The test vectors, of which the first ``extreme`` saturate, and in words where the others come from."""

    count: int
    extreme: int
    source: str
    inputs_crc32: str
    outputs_crc32: str


@dataclass(frozen=True)
class FrontEndTable:
    """The front end of one input in C: ``kind`` and, of a sound, ``rate`` in Hz and ``length`` in samples.

    ``hop``: samples that its stream takes at a time, 0 without one. ``frame``: (height, width) of a camera's frames.
    ``arithmetic`` of a sound: "float" or "fixed"; pictures are whole numbers.
    """

    kind: str
    rate: int = 0
    length: int = 0
    hop: int = 0
    frame: tuple[int, ...] = ()
    arithmetic: Literal["float", "fixed"] = "float"


@dataclass(frozen=True)
class Metadata:
    """A package, of whose ``outputs`` the first names the class. ``files``: SHA-256 (hex) by path.

    ``provenance``: from the table beside the ``.tflite``. ``keep_constant_channels``: nothing was removed, ``macs`` are
    those of the ``.tflite``. ``front_ends``: by the input's name in the ``.tflite``. ``certificates`` of the very
    ``.tflite``, with the checksum of the attacked inputs that no core may answer otherwise.
    ``cores``: how many of one chip share the network.
    ``means_source``: whose training means the application live takes for inputs that are missing; "" without it.
    ``..._about`` is with an allowance for code and stack, see firmware/package.py.
    """

    format: Literal[1]
    name: str
    tinyfuse: str
    optimize: str
    keep_constant_channels: bool
    arena_alignment: int
    arena_bytes: int
    packed_weight_bytes: int
    macs: int
    tflm_arena_bytes: int
    tflite_bytes: int
    layers: tuple[str, ...]
    flash_bytes_about: int
    ram_bytes_about: int
    tflite_sha256: str
    operators: tuple[str, ...]
    inputs: tuple[TensorTable, ...]
    outputs: tuple[TensorTable, ...]
    vectors: VectorTable
    provenance: Mapping[str, Any]
    files: Mapping[str, str]
    front_ends: Mapping[str, FrontEndTable] = field(default_factory=dict)
    means_source: str = ""
    certificates: tuple[CertificateTable, ...] = ()
    certified_crc32: str = ""
    cores: int = 1

    @property
    def output(self) -> TensorTable:
        """The output whose largest code is the class."""
        return self.outputs[0]

    def __post_init__(self) -> None:
        if not self.inputs or not self.outputs:
            raise DataError(f"{FILE}: no inputs or no outputs")
        if self.optimize not in OPTIMIZE:
            raise DataError(f"{FILE}: optimize '{self.optimize}'{nearest(self.optimize, OPTIMIZE)}; allowed: "
                            f"{', '.join(OPTIMIZE)}")


def read_metadata(path: Path) -> Metadata:
    """Read and check a package's ``metadata.json``; DataError unless this version of tinyfuse could have written it."""
    try:
        table = parse_json(read_plain(path, METADATA_LIMIT), str(path), DataError)
        found = decode(Metadata, table, str(path), DataError)
    except DataError as error:
        raise DataError(f"{error}; export the package again with this version") from error
    check_identifier(found.name)
    return found


def read_plain(path: Path, limit: int = FILE_LIMIT) -> bytes:
    """Read a file of a package; :class:`DataError` for a link, a pipe or more than ``limit`` bytes."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise DataError(f"{path} is no plain file; give the folder that `tinyfuse export` wrote")
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; give the folder that `tinyfuse export` wrote") from error
    if len(data) > limit:
        raise DataError(f"{path} has more than {limit} bytes; that is no file of a package")
    return data
