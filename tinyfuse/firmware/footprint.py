"""Flash of a package: its code, its packed weights, and its tables, from the object file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Footprint:
    """Bytes in flash: ``text`` is code, ``weights`` packed weights, ``tables`` all other constants; ``data`` is RAM."""

    text: int
    weights: int
    tables: int
    data: int

    @property
    def flash(self) -> int:
        """All bytes in flash."""
        return self.text + self.weights + self.tables + self.data


def footprint(package: Path) -> Footprint:
    """Sizes of the sections of an object file compiled with -ffunction-sections -fdata-sections."""
    from elftools.elf.elffile import ELFFile

    sizes = {"text": 0, "weights": 0, "tables": 0, "data": 0}
    with package.open("rb") as stream:
        for section in ELFFile(stream).iter_sections():
            if section["sh_flags"] & _ALLOCATED:
                sizes[_kind(section.name, section["sh_flags"])] += section["sh_size"]
    return Footprint(**sizes)


_WRITABLE, _ALLOCATED, _CODE = 1, 2, 4


def _kind(name: str, flags: int) -> str:
    if flags & _WRITABLE:
        return "data"
    if flags & _CODE:
        return "text"
    return "weights" if name.startswith(".rodata.weights") else "tables"
