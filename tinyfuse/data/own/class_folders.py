"""A folder of files by class: which files are samples of which input, class, group and part, by their places alone.

``DIR/CLASS/FILE``, ``DIR/CLASS/GROUP/FILE``, both under ``DIR/INPUT`` for each input, all of it under ``DIR/PART``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tinyfuse.core.errors import DataError, nearest
from tinyfuse.data.own.labels import PART_WORDS
from tinyfuse.data.own.media import SUFFIXES, kind_of_front_end, kind_of_suffix
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


@dataclass(frozen=True)
class FoundFiles:
    """The files of each input, sorted; ``kinds``: picture, sound or sequence by input."""

    files: Mapping[str, Sequence[File]]
    kinds: Mapping[str, str]
    ignored: Ignored


def find_files(root: Path, settings: DatasetSettings) -> FoundFiles:
    """Find the files of every input under ``root``; nothing is opened. DataError: a layout that is none of ours."""
    ignored = Ignored()
    found: dict[str, list[File]] = {}
    for part, folder in _part_folders(root, ignored):
        for one, classes_in in _input_folders(folder, settings, ignored).items():
            for place in _class_folders(classes_in, settings, ignored):
                found.setdefault(one, []).extend(_files_of(place, part, settings.group, ignored))
    mixed = set(found) == {""}
    by_input = _by_kind(found[""], settings, root, ignored) if mixed else _own_kind(found, settings, ignored)
    _check_classes({one: files for one, (_, files) in by_input.items()}, settings, root, ignored)
    return FoundFiles({one: sorted(files) for one, (_, files) in by_input.items()},
                      {one: kind for one, (kind, _) in by_input.items()}, ignored)


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


def _by_kind(files: list[File], settings: DatasetSettings, root: Path,
             ignored: Ignored) -> dict[str, tuple[str, list[File]]]:
    """Tell inputs apart by the kinds of their files, where all lie in the folders of the classes."""
    kinds = {one: _wanted_kind(settings, one) for one in settings.inputs}
    kinds = {one: kind for one, kind in kinds.items() if kind}
    for one, kind in kinds.items():
        twin = next((other for other in kinds if other != one and kinds[other] == kind), None)
        if twin:
            raise DataError(f"{root}: inputs '{one}' and '{twin}' both read {kind}s, which lie in the same folders; "
                            f"give each a folder: {root.name}/{one}/CLASS/files and {root.name}/{twin}/CLASS/files")
    sorted_files: dict[str, list[File]] = {}
    for file in files:
        sorted_files.setdefault(file.kind, []).append(file)
    classes = {file.label for file in files}
    if not kinds:  # a kind that some classes lack is a stray file
        kinds = {kind: kind for kind, own in sorted_files.items() if {file.label for file in own} == classes}
        if len(settings.inputs) == 1 and len(kinds) == 1:
            kinds = dict(zip(settings.inputs, kinds.values(), strict=True))
        if not kinds and files:
            raise DataError(f"{root}: no kind of file is in every class ({_where(sorted_files)}); give each class its "
                            "pictures, recordings or sequences")
    for kind, own in sorted_files.items():
        if kind not in kinds.values():
            for file in own:
                ignored.add(f"a {kind}, which no input reads", file.path)
    return {one: (kind, sorted_files.get(kind, [])) for one, kind in kinds.items()}


def _where(files: Mapping[str, Sequence[File]]) -> str:
    return "; ".join(f"{kind}s in {', '.join(sorted({file.label for file in own})[:4])}" for kind, own in files.items())


def _own_kind(found: Mapping[str, list[File]], settings: DatasetSettings,
              ignored: Ignored) -> dict[str, tuple[str, list[File]]]:
    """Choose the kind of each input's files: that of its front end, else the most frequent one."""
    chosen = {}
    for one, files in found.items():
        counts = Counter(file.kind for file in files)
        kind = _wanted_kind(settings, one) or (counts.most_common(1)[0][0] if counts else "picture")
        kept = [file for file in files if file.kind == kind]
        for file in files:
            if file.kind != kind:
                ignored.add(f"no {kind}, which input '{one}' reads", file.path)
        chosen[one] = (kind, kept)
    return chosen


def _wanted_kind(settings: DatasetSettings, name: str) -> str:
    front_end = settings.input(name).front_end
    return "" if front_end is None else kind_of_front_end(front_end)


def _check_classes(files: Mapping[str, Sequence[File]], settings: DatasetSettings, root: Path,
                   ignored: Ignored) -> None:
    """Raise DataError for an input that lacks a class, for one class alone, and for two files of one stem."""
    classes = set(settings.classes) or {file.label for own in files.values() for file in own}
    if not files or not classes:
        kinds = "; ".join(f"{', '.join(suffixes)}" for suffixes in SUFFIXES.values())
        raise DataError(f"{root}: no files in folders of classes; expected {LAYOUTS} ({kinds})")
    if len(classes) < 2:
        raise DataError(f"{root}: one class only, '{min(classes)}'; expected a folder for each of two classes or more: "
                        f"{LAYOUTS}")
    others = [Path(path).name for path in ignored.examples.get(NO_CLASS, ())]
    for one, own in files.items():
        here = {file.label for file in own}
        for name in sorted(classes - here):
            raise DataError(f"{root}: input '{one}' has no file of class '{name}'{nearest(name, others)}; give "
                            "one or more, or leave the class out")
        seen: dict[tuple[str, str], str] = {}
        for file in own:
            key = (os.path.dirname(file.path), file.stem)
            if key in seen:
                raise DataError(f"two files of one stem: {seen[key]} and {os.path.basename(file.path)}; rename one, or "
                                "delete it if it is the same sample in another format")
            seen[key] = file.path
