"""Weights in HDF5 files that anybody may have written: plain arrays of bounded size that lie in the file itself."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError

MAX_WEIGHT_BYTES = 256 << 20
MAX_ENTRIES = 20_000


@dataclass(eq=False)
class WeightFile:
    """An open HDF5 file; reading it counts the bytes, so that a small file cannot fill the memory."""

    where: str
    root: Any
    left: int = MAX_WEIGHT_BYTES

    def group(self, path: str) -> Any | None:
        """Open a group by its path; None if there is none."""
        found = self.root
        for part in path.split("/"):
            found = self._entry(found, part)
            if found is None:
                return None
        return found if hasattr(found, "keys") else None

    def array(self, group: Any, name: str) -> np.ndarray | None:
        """Read an array of floats; None if there is none. ModelError: links, data elsewhere, other types, too large."""
        found = group
        for part in name.split("/"):
            found = self._entry(found, part)
            if found is None:
                return None
        if hasattr(found, "keys"):
            return None
        if found.external or found.is_virtual:
            raise ModelError(f"{self.where}: the weights '{found.name}' lie in another file, which is not read; save "
                             "the model again")
        if found.dtype.kind not in "fiu":
            raise ModelError(f"{self.where}: the weights '{found.name}' are {found.dtype}; expected floats")
        self.left -= 8 * int(found.size)
        if self.left < 0:
            raise ModelError(f"{self.where}: more than {MAX_WEIGHT_BYTES >> 20} MiB of weights; such a network fits no "
                             "microcontroller")
        values = np.asarray(found[()], np.float64)
        if not np.isfinite(values).all():
            raise ModelError(f"{self.where}: the weights '{found.name}' are not all finite; train the model again")
        return values.astype(np.float32)

    def _entry(self, group: Any, part: str) -> Any | None:
        import h5py

        if not hasattr(group, "keys") or len(group) > MAX_ENTRIES or (part not in ("",) and part not in group):
            return None
        if part == "":
            return group
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise ModelError(f"{self.where}: '{part}' is a link to another place, which is not followed; save the "
                             "model again")
        return group[part]


def open_weights(data: bytes, where: str) -> WeightFile:
    """Open the HDF5 file in ``data``; ``where`` is named in errors."""
    import h5py

    try:
        return WeightFile(where, h5py.File(io.BytesIO(data), "r"))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"{where}: its weights cannot be read ({type(error).__name__}); save the model again"
                         ) from error


@dataclass(frozen=True, eq=False)
class ArchiveWeights:
    """Weights as Keras 2 and 3 put them into a ``.keras``: ``layers/conv2d_1/vars/0``, counted by class."""

    file: WeightFile
    prefix: str
    entries: Sequence[Mapping[str, Any]]
    groups: Mapping[int, str] = field(init=False)

    def __post_init__(self) -> None:
        used: dict[str, int] = {}
        found = {}
        for place, entry in enumerate(self.entries):
            kind = snake_case(str(entry.get("class_name", "")))
            used[kind] = used.get(kind, -1) + 1
            found[place] = kind if used[kind] == 0 else f"{kind}_{used[kind]}"
        object.__setattr__(self, "groups", found)

    def of(self, place: int) -> list[np.ndarray]:
        group = self.file.group(f"{self.prefix}/{self.groups[place]}/vars")
        found = [] if group is None else [self.file.array(group, str(number)) for number in range(min(len(group), 16))]
        return [one for one in found if one is not None]

    def inside(self, place: int) -> ArchiveWeights:
        return ArchiveWeights(self.file, f"{self.prefix}/{self.groups[place]}/layers", _inner(self.entries[place]))


@dataclass(frozen=True, eq=False)
class LegacyWeights:
    """Weights as Keras puts them into an ``.h5``: one group for each outer layer, arrays named by their own layers."""

    file: WeightFile
    entries: Sequence[Mapping[str, Any]]
    outer: str = ""

    def of(self, place: int) -> list[np.ndarray]:
        name = _name(self.entries[place])
        group = self.file.group(f"model_weights/{self.outer or name}")
        if group is None:
            return []
        names = [_text(one) for one in group.attrs.get("weight_names", [])[:MAX_ENTRIES]]
        own = [one for one in names if not self.outer or f"/{name}/" in f"/{one}"]
        found = [self.file.array(group, one) for one in own]
        return [one for one in found if one is not None]

    def inside(self, place: int) -> LegacyWeights:
        entry = self.entries[place]
        return LegacyWeights(self.file, _inner(entry), self.outer or _name(entry))


def _inner(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """List the layers of a model in a model; what is no table cannot be read, which whoever builds it says."""
    layers = entry.get("config", {}).get("layers", [])
    return [one if isinstance(one, dict) else {} for one in layers] if isinstance(layers, list) else []


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("config", {}).get("name") or entry.get("name") or "")


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def snake_case(name: str) -> str:
    """Write a class name as Keras does in its archives: Conv2D as conv2d, ReLU as re_lu."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
