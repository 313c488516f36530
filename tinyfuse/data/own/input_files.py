"""Which files each input reads: told apart by their folders, or by their kinds where several lie in one folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyfuse.core.errors import DataError, nearest
from tinyfuse.data.own.class_folders import LAYOUTS, NO_CLASS, File, Ignored, files_of_inputs
from tinyfuse.data.own.media import SUFFIXES, kind_of_front_end
from tinyfuse.data.own.settings import DatasetSettings

Kinds = dict[str, str]
"""Picture, sound or sequence, by input."""


@dataclass(frozen=True)
class FoundFiles:
    """The files of each input, sorted, their ``kinds``, and what was left out."""

    files: Mapping[str, Sequence[File]]
    kinds: Kinds
    ignored: Ignored


def find_files(root: Path, settings: DatasetSettings) -> FoundFiles:
    """Find the files of every input under ``root``; nothing is opened.

    DataError: a layout that is none of ours, an input that lacks a class, two files of one stem.
    """
    ignored = Ignored()
    found = files_of_inputs(root, settings, ignored)
    if set(found) == {""}:
        by_kind = _sorted_by_kind(found[""])
        kinds = _kinds_of_table(settings, root) or _kinds_of_files(by_kind, settings, root)
        for kind in sorted(by_kind.keys() - set(kinds.values())):
            for file in by_kind[kind]:
                ignored.add(f"a {kind}, which no input reads", file.path)
        files = {one: by_kind.get(kind, []) for one, kind in kinds.items()}
    else:
        kinds = {one: _wanted_kind(settings, one) or _most_frequent_kind(own) for one, own in found.items()}
        files = {one: _only(own, one, kinds[one], ignored) for one, own in found.items()}
    _check_classes(files, settings, root, ignored)
    for own in files.values():
        _check_stems(own)
    return FoundFiles({one: sorted(own) for one, own in files.items()}, kinds, ignored)


def _sorted_by_kind(files: Sequence[File]) -> dict[str, list[File]]:
    by_kind: dict[str, list[File]] = {}
    for file in files:
        by_kind.setdefault(file.kind, []).append(file)
    return by_kind


def _wanted_kind(settings: DatasetSettings, name: str) -> str:
    front_end = settings.input(name).front_end
    return "" if front_end is None else kind_of_front_end(front_end)


def _most_frequent_kind(files: Sequence[File]) -> str:
    return Counter(file.kind for file in files).most_common(1)[0][0] if files else "picture"


def _only(files: Sequence[File], name: str, kind: str, ignored: Ignored) -> list[File]:
    for file in files:
        if file.kind != kind:
            ignored.add(f"no {kind}, which input '{name}' reads", file.path)
    return [file for file in files if file.kind == kind]


def _kinds_of_table(settings: DatasetSettings, root: Path) -> Kinds:
    """Tell the kinds of the inputs that the table has front ends for; DataError if two read the same files."""
    kinds = {one: kind for one in settings.inputs if (kind := _wanted_kind(settings, one))}
    for one, kind in kinds.items():
        twin = next((other for other in kinds if other != one and kinds[other] == kind), None)
        if twin:
            raise DataError(f"{root}: inputs '{one}' and '{twin}' both read {kind}s, which lie in the same folders; "
                            f"give each a folder: {root.name}/{one}/CLASS/files and {root.name}/{twin}/CLASS/files")
    return kinds


def _kinds_of_files(by_kind: Mapping[str, Sequence[File]], settings: DatasetSettings, root: Path) -> Kinds:
    """Make an input of each kind that every class has; a kind that some lack is of stray files."""
    classes = {file.label for own in by_kind.values() for file in own}
    kinds = [kind for kind, own in by_kind.items() if {file.label for file in own} == classes]
    if not kinds and by_kind:
        where = "; ".join(f"{kind}s in {', '.join(sorted({file.label for file in own})[:4])}"
                          for kind, own in by_kind.items())
        raise DataError(f"{root}: no kind of file is in every class ({where}); give each class its pictures, "
                        "recordings or sequences")
    names = list(settings.inputs) if len(settings.inputs) == len(kinds) == 1 else kinds
    return dict(zip(names, kinds, strict=True))


def _check_classes(files: Mapping[str, Sequence[File]], settings: DatasetSettings, root: Path,
                   ignored: Ignored) -> None:
    """Raise DataError for an input that lacks a class, and for one class alone or none."""
    classes = set(settings.classes) or {file.label for own in files.values() for file in own}
    if not files or not classes:
        kinds = ", ".join(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
        raise DataError(f"{root}: no files in folders of classes; expected {LAYOUTS} ({kinds})")
    if len(classes) < 2:
        raise DataError(f"{root}: one class only, '{min(classes)}'; expected a folder for each of two classes or more: "
                        f"{LAYOUTS}")
    others = [Path(path).name for path in ignored.examples.get(NO_CLASS, ())]
    for one, own in files.items():
        for name in sorted(classes - {file.label for file in own}):
            raise DataError(f"{root}: input '{one}' has no file of class '{name}'{nearest(name, others)}; give one or "
                            "more, or leave the class out")


def _check_stems(files: Sequence[File]) -> None:
    """Raise DataError for two files of one stem in a folder: which of them is meant, or are they the same sample?"""
    seen: dict[tuple[str, str], str] = {}
    for file in files:
        key = (os.path.dirname(file.path), file.stem)
        if key in seen:
            raise DataError(f"two files of one stem: {seen[key]} and {os.path.basename(file.path)}; rename one, or "
                            "delete it if it is the same sample in another format")
        seen[key] = file.path
