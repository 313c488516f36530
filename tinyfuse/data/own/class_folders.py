"""A folder of files by class: which files are samples of which input, class, group and part, by their places alone.

``DIR/CLASS/FILE``, ``DIR/CLASS/GROUP/FILE``, both under ``DIR/INPUT`` for each input, all of it under ``DIR/PART``.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tinyfuse.core.errors import DataError, nearest
from tinyfuse.data.own.labels import PART_WORDS
from tinyfuse.data.own.media import kind_of_suffix
from tinyfuse.data.own.settings import DatasetSettings, GroupField

LAYOUTS = "DIR/CLASS/files, or DIR/INPUT/CLASS/files for several inputs"
SHOWN = 3
NO_CLASS = "a folder that is no class of the table"


class File(NamedTuple):
    """One file of one input: ``group`` is empty where nothing tells it, ``part`` an index of ``PARTS`` or -1.

    ``kind``: picture, sound or sequence, by what its name ends in.
    """

    path: str
    label: str
    group: str
    stem: str
    part: int
    kind: str


@dataclass
class Ignored:
    """What was left out, by reason: how many files, and the first few of them."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, path: Path | str) -> None:
        """Count one file or folder."""
        self.counts[reason] += 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < SHOWN:
            shown.append(str(path))

    def lines(self) -> list[str]:
        """Say it, a line for each reason."""
        return [f"ignored {count} ({reason}): {', '.join(self.examples[reason])}{', ...' if count > SHOWN else ''}"
                for reason, count in self.counts.items()]


def files_of_inputs(root: Path, settings: DatasetSettings, ignored: Ignored) -> dict[str, list[File]]:
    """Find the files of every input under ``root``, of an input without a name where classes lie directly in it.

    Nothing is opened. DataError: a layout that is none of ours.
    """
    found: dict[str, list[File]] = {}
    for part, folder in _part_folders(root, ignored):
        for one, classes_in in _input_folders(folder, settings, ignored).items():
            for place in _class_folders(classes_in, settings, ignored):
                found.setdefault(one, []).extend(_files_of(place, part, settings.group, ignored))
    return found


def _folders(folder: Path, ignored: Ignored | None = None) -> list[Path]:
    """List the folders in ``folder`` that can hold samples; ``ignored`` counts others, and files beside them."""
    kept = []
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith((".", "_"))
        if path.is_dir() and not hidden:
            kept.append(path)
        elif ignored is not None and path.name != "dataset.toml":
            ignored.add("a name that begins with . or _" if hidden else "no class folder around it", path)
    return kept


def _part_folders(root: Path, ignored: Ignored) -> list[tuple[int, Path]]:
    """Find the folders of parts, with their indices; -1 and ``root`` itself where it has none."""
    folders = _folders(root)
    if not folders:
        raise DataError(f"{root}: no folders in it; expected one for each class: {LAYOUTS}")
    words = [folder.name.lower() in PART_WORDS for folder in folders]
    if all(words):
        _folders(root, ignored)
        return [(PART_WORDS[folder.name.lower()], folder) for folder in folders]
    if {"train", "test"} <= {folder.name.lower() for folder in folders}:
        other = next(folder.name for folder, known in zip(folders, words, strict=True) if not known)
        raise DataError(f"{root}: holds the folders of parts, train and test, and beside them '{other}'; move it into "
                        "the parts, or away")
    return [(-1, root)]


def _input_folders(folder: Path, settings: DatasetSettings, ignored: Ignored) -> dict[str, Path]:
    """Find the folder of each input in ``folder``; one without a name where classes lie directly in it."""
    folders = {path.name: path for path in _folders(folder)}
    wanted = {one: own.folder or one for one, own in settings.inputs.items()}
    if set(wanted.values()) & set(folders):
        for one, name in wanted.items():
            if name not in folders:
                raise DataError(f"{folder}: no folder '{name}' for input '{one}'{nearest(name, folders)}; it holds "
                                f"{', '.join(folders)}")
        _folders(folder, ignored)
        for name in sorted(folders.keys() - set(wanted.values())):
            ignored.add("a folder that is no input of the table", folders[name])
        return {one: folders[name] for one, name in wanted.items()}
    flat = any(path.is_file() and kind_of_suffix(path.suffix) for one in folders.values() for path in one.iterdir())
    if wanted or flat or not all(_holds_folders(one) for one in folders.values()):
        return {"": folder}
    _folders(folder, ignored)
    return folders


def _holds_folders(folder: Path) -> bool:
    return any(path.is_dir() for path in folder.iterdir())


def _class_folders(folder: Path, settings: DatasetSettings, ignored: Ignored) -> list[Path]:
    kept = []
    for path in _folders(folder, ignored):
        if settings.classes and path.name not in settings.classes:
            ignored.add(NO_CLASS, path)
        else:
            kept.append(path)
    return kept


def _files_of(place: Path, part: int, group: GroupField | None, ignored: Ignored) -> list[File]:
    """List the files of a class, directly in its folder or one folder deeper, which is then their group."""
    kept = []
    for entry in _sorted_entries(place):
        deeper = entry.is_dir() and not entry.name.startswith(".")
        for file in _sorted_entries(entry.path) if deeper else [entry]:
            stem, suffix = os.path.splitext(file.name)
            kind = kind_of_suffix(suffix)
            if kind is None or file.name.startswith(".") or not file.is_file():
                ignored.add("no picture, recording or sequence", file.path)
            else:
                own = entry.name if deeper else _group_of(stem, group)
                kept.append(File(file.path, place.name, own, stem, part, kind))
    return kept


def _sorted_entries(folder: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _group_of(stem: str, group: GroupField | None) -> str:
    """Tell the group of a file by its stem; DataError if the stem has too few pieces."""
    if group is None:
        return ""
    pieces = stem.split(group.separator)
    if len(pieces) < group.field:
        raise DataError(f"group: '{stem}' has {len(pieces)} pieces between '{group.separator}', no number "
                        f"{group.field}; give another separator or field, or rename the file")
    return pieces[group.field - 1]
