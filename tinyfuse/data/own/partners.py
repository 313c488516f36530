"""Which files make one sample: those of one stem, or of one class, drawn within each part and never across."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.data.own.assemble import PartRows
from tinyfuse.data.own.class_folders import File, Ignored
from tinyfuse.data.own.settings import DatasetSettings
from tinyfuse.data.own.split import TRAIN, divide, with_validation
from tinyfuse.data.samples import PARTS

Files = Mapping[str, Sequence[File]]
Key = tuple[int, str, str, str]


def pair_files(files: Files, classes: Sequence[str], settings: DatasetSettings, ignored: Ignored, *, seed: int,
               where: str) -> tuple[tuple[PartRows, ...], str]:
    """Join the files of all inputs to samples, rows into ``files``, in three parts; and say in words how.

    By stem (the same class, group and part): files without a partner in every input are counted as ``ignored``. By
    class: each file is used in training, the fewer ones more than once; in the other parts each at most once.
    """
    by_stem = settings.pair == "stem" or len(files) == 1 or (settings.pair == "" and bool(_shared(files)))
    if by_stem:
        parts, split = _by_stem(files, classes, settings, ignored, seed=seed, where=where)
        return parts, split if len(files) == 1 else f"{split}, paired by stem"
    parts, split = _by_class(files, classes, settings, seed=seed, where=where)
    return parts, f"{split}, paired by class"


def _key(file: File) -> Key:
    return file.part, file.label, file.group, file.stem


def _shared(files: Files) -> set[Key]:
    sets = [{_key(file) for file in own} for own in files.values()]
    return set.intersection(*sets)


def _by_stem(files: Files, classes: Sequence[str], settings: DatasetSettings, ignored: Ignored, *, seed: int,
             where: str) -> tuple[tuple[PartRows, ...], str]:
    places = {name: {_key(file): row for row, file in enumerate(own)} for name, own in files.items()}
    shared = sorted(_shared(files))
    if not shared:
        raise DataError(f"{where}: no file stem is in every input ({', '.join(files)}); name the files of one sample "
                        'alike, or pair = "class" in dataset.toml')
    for own in files.values():
        for file in own if len(shared) < len(own) else ():
            if any(_key(file) not in place for place in places.values()):
                ignored.add("no file of the same stem in every input", file.path)
    label = _labels([key[1] for key in shared], classes)
    group, known = _groups([key[2] for key in shared])
    part, split = _parts([key[0] for key in shared], label, group if known else None, classes, settings, seed, where)
    rows = {name: np.array([place[key] for key in shared], np.int64) for name, place in places.items()}
    whole = PartRows(rows, label, group)
    return tuple(whole.take(np.flatnonzero(part == index)) for index in range(len(PARTS))), split


def _labels(names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    places = {name: place for place, name in enumerate(classes)}
    return np.array([places[name] for name in names], np.int64)


def _groups(names: Sequence[str]) -> tuple[np.ndarray, bool]:
    """Number the groups, int64 [n], each sample without a name its own; and tell whether there are any names."""
    own = [name or f"\0{place}" for place, name in enumerate(names)]
    return np.unique(own, return_inverse=True)[1].astype(np.int64), any(names)


def _parts(given: Sequence[int], label: np.ndarray, group: np.ndarray | None, classes: Sequence[str],
           settings: DatasetSettings, seed: int, where: str) -> tuple[np.ndarray, str]:
    """Put each sample into its part, int8 [n]: that of its folder where there are such, else drawn.

    A validation part that no folder gives is drawn from the training part.
    """
    part = np.array(given, np.int8)
    if (part == -1).all():
        drawn = divide(label, group, settings.split, classes, seed=seed, where=where)
        return drawn, "sample" if group is None else "group"
    return with_validation(part, label, group, settings.split, seed=seed, where=where), "given"


def _by_class(files: Files, classes: Sequence[str], settings: DatasetSettings, *, seed: int,
              where: str) -> tuple[tuple[PartRows, ...], str]:
    """Divide the files of all inputs at once, so that a group is in one part with all its files; then pair."""
    everything = [(place, file) for place, own in enumerate(files.values()) for file in own]
    label = _labels([file.label for _, file in everything], classes)
    group, known = _groups([file.group for _, file in everything])
    kind = np.array([place for place, _ in everything])
    named = [f"{one} of {name}" for name in files for one in classes]
    part, split = _parts([file.part for _, file in everything], kind * len(classes) + label, group if known else None,
                         named, settings, seed, where)
    first = np.cumsum([0, *(len(own) for own in files.values())])
    fewest = int(np.argmin([len(np.unique(group[kind == place])) for place in range(len(files))]))
    made = []
    for index in range(len(PARTS)):
        rows = [[np.flatnonzero((part == index) & (label == number) & (kind == place)) for place in range(len(files))]
                for number in range(len(classes))]
        joined = _joined(rows, list(files), classes, train=index == TRAIN, where=where,
                         generator=np.random.default_rng([seed, 23, index]))
        made.append(PartRows({name: joined[place] - first[place] for place, name in enumerate(files)}, label[joined[0]],
                             group[joined[fewest]]))
    return tuple(made), split


def _joined(rows: Sequence[Sequence[np.ndarray]], names: Sequence[str], classes: Sequence[str], *, train: bool,
            where: str, generator: np.random.Generator) -> np.ndarray:
    """Pair ``rows`` (by class, then input) at random, int64 [inputs, pairs]; in training the fewer ones come again."""
    pairs = [np.zeros((len(names), 0), np.int64)]
    for number, own in enumerate(rows):
        counts = [len(one) for one in own]
        if min(counts) > 0:
            count = max(counts) if train else min(counts)
            pairs.append(np.stack([_repeated(one, count, generator) for one in own]))
        elif max(counts) and train:
            raise DataError(f"{where}: input '{names[counts.index(0)]}' has no '{classes[number]}' in the train part; "
                            "give some")
    return np.concatenate(pairs, axis=1)


def _repeated(rows: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw ``count`` of ``rows`` in random order: each once before any comes again."""
    rounds = -(-count // len(rows))
    return np.concatenate([generator.permutation(rows) for _ in range(rounds)])[:count].astype(np.int64)
