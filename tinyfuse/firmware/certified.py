"""Certificates that travel with a package, and attacked inputs of certified samples, which no core may misclassify."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.firmware.certificate_table import CertificateTable
from tinyfuse.firmware.vectors import Vectors, crc32, read_vectors, separated
from tinyfuse.integer.class_values import class_values
from tinyfuse.integer.model import IntegerModel

FILE = "certified.bin"
"""In the folder ``extras``: codes as in vectors.bin, certificate by certificate."""


@dataclass(frozen=True, eq=False)
class Certified:
    """``tables`` and the ``vectors`` of all their answers, in their order."""

    tables: tuple[CertificateTable, ...]
    vectors: Vectors = field(repr=False)

    @property
    def answers(self) -> np.ndarray:
        """The class of each vector, int [n]."""
        return np.array([answer for table in self.tables for answer in table.answers], np.int64)

    @property
    def crc32(self) -> str:
        """The checksum of the file of the vectors."""
        return crc32(self.vectors.stream())

    def broken(self, model: IntegerModel, outputs: np.ndarray) -> int:
        """Count the ``outputs`` [n, k] of a core that name another class than was proved."""
        first = separated(outputs, model.outputs)[model.output.name]
        return int((class_values(first, model).argmax(axis=1) != self.answers).sum())


def read_certified(model: IntegerModel, tables: Sequence[CertificateTable], stream: bytes, checksum: str) -> Certified:
    """Read what a package carries; DataError unless the ``stream`` is the one of its ``checksum`` and answers."""
    if crc32(stream) != checksum:
        raise DataError(f"extras/{FILE} is not the one of metadata.json; export the package again")
    found = Certified(tuple(tables), read_vectors(model, stream, 0))
    if len(found.answers) != len(found.vectors):
        raise DataError(f"extras/{FILE}: {len(found.vectors)} inputs, but {len(found.answers)} answers in "
                        "metadata.json; export the package again")
    return found
