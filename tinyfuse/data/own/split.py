"""Who goes where: samples into parts, groups kept whole and classes as even as they allow, seeded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.data.own.settings import SplitSettings
from tinyfuse.data.samples import PARTS, draw_rows

TRAIN, VALIDATION, TEST = range(len(PARTS))


def divide(label: np.ndarray, group: np.ndarray | None, settings: SplitSettings, classes: Sequence[str], *, seed: int,
           where: str) -> np.ndarray:
    """Put each sample into TRAIN, VALIDATION or TEST, int8 [n]: by ``group`` where there are groups, else one by one.

    Every class is in the training and in the test part, or DataError says which cannot be. The validation part is cut
    one by one where too few groups are left for it.
    """
    part, generator = np.full(len(label), TRAIN, np.int8), np.random.default_rng([seed, 21])
    for index, share in ((TEST, settings.test), (VALIDATION, settings.validation / (1 - settings.test))):
        _cut(part, index, share, label, group, generator)
    _check(label, group, part, classes, where)
    return part


def with_validation(part: np.ndarray, label: np.ndarray, group: np.ndarray | None, settings: SplitSettings, *,
                    seed: int, where: str) -> np.ndarray:
    """Check parts that the user gave, int8 [n], and draw the validation part from training if none was given.

    Each part has samples, and none share a group, or DataError says what to do.
    """
    _check_groups(group, part, where)
    made = part.copy()
    if not (part == VALIDATION).any():
        share = settings.validation / (1 - settings.test)
        _cut(made, VALIDATION, share, label, group, np.random.default_rng([seed, 21]))
    for index, name in enumerate(PARTS):
        if not (made == index).any():
            raise DataError(f"{where}: no sample is in the {name} part; give some, or give no parts and the samples "
                            "are divided for you")
    return made


def _cut(part: np.ndarray, index: int, share: float, label: np.ndarray, group: np.ndarray | None,
         generator: np.random.Generator) -> None:
    """Move a ``share`` of the training samples of ``part`` to part ``index``, in place."""
    rows = np.flatnonzero(part == TRAIN)
    counts = np.bincount(label[rows], minlength=int(label.max()) + 1)
    wanted = share * counts
    drawn = None if group is None else _draw_groups(label[rows], group[rows], wanted, generator)
    if drawn is None and (group is None or index == VALIDATION):
        quota = np.clip(np.rint(wanted).astype(np.int64), 1, np.maximum(counts - 1, 0))
        drawn = draw_rows(label[rows], quota, generator)
    if drawn is not None:
        part[rows[drawn]] = index


def _draw_groups(label: np.ndarray, group: np.ndarray, wanted: np.ndarray,
                 generator: np.random.Generator) -> np.ndarray | None:
    """Draw whole groups that come near ``wanted`` (float [classes]) and leave every class some; None: they cannot.

    Groups are taken in random order while they bring the classes nearer to their shares, then for the classes that
    still have nothing.
    """
    number, table = _counts(label, group, len(wanted))
    here = np.flatnonzero(table.sum(axis=0))
    weight = np.zeros(len(wanted))
    weight[here] = 1 / np.maximum(wanted[here], 1e-9)
    taken, have, left = np.zeros(len(table), bool), np.zeros(len(wanted)), (table > 0).sum(axis=0)
    order = generator.permutation(len(table))

    def gain(index: int) -> float:
        return float(((np.abs(wanted - have) - np.abs(wanted - have - table[index])) * weight).sum())

    def take(index: int) -> None:
        nonlocal have
        taken[index] = True
        have = have + table[index]
        left[:] -= table[index] > 0

    for index in order:
        if gain(index) > 0 and (left[table[index] > 0] > 1).all():
            take(index)
    for missing in here:
        if have[missing]:
            continue
        open_groups = [index for index in order if not taken[index] and table[index, missing]
                       and (left[table[index] > 0] > 1).all()]
        if open_groups:
            take(max(open_groups, key=gain))
    return np.flatnonzero(taken[number]) if (have[here] > 0).all() else None


def _counts(label: np.ndarray, group: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Number the groups that occur: number of each sample, and samples by number and class, int64 [groups, classes]."""
    found, number = np.unique(group, return_inverse=True)
    table = np.bincount(number * classes + label, minlength=len(found) * classes)
    return number, table.reshape(len(found), classes)


def _check(label: np.ndarray, group: np.ndarray | None, part: np.ndarray, classes: Sequence[str], where: str) -> None:
    """Raise DataError for a class that could not be in the training and the test part."""
    for index, name in enumerate(classes):
        own = label == index
        if {TRAIN, TEST} <= set(part[own].tolist()):
            continue
        if not own.any():
            raise DataError(f"{where}: no sample of class '{name}'; give some, or leave it out of the classes")
        if group is not None and own.sum() > 1:
            count = len(np.unique(group[own]))
            raise DataError(f"{where}: class '{name}' lies in {count} group{'s' * (count != 1)}, which cannot be "
                            "divided into training and test beside the other classes; give more groups, a part for "
                            "each sample, or no groups")
        raise DataError(f"{where}: class '{name}' has {int(own.sum())} sample{'s' * (int(own.sum()) != 1)}; at least 3 "
                        "are needed, one for each part: add some, or leave the class out")


def _check_groups(group: np.ndarray | None, part: np.ndarray, where: str) -> None:
    """Raise DataError if two parts share a group."""
    if group is None:
        return
    first = np.full(int(group.max()) + 1, -1)
    first[group] = part
    if (first[group] != part).any():
        row = int(np.argmax(first[group] != part))
        raise DataError(f"{where}: the group of sample {row} is in the {PARTS[part[row]]} and in the "
                        f"{PARTS[first[group[row]]]} part; give whole groups to a part, or leave out groups or parts")


def thin_classes(label: np.ndarray, part: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Name, in words, the classes that a part lacks."""
    return [f"the {PARTS[index]} part has no sample of class '{name}'" for index in range(len(PARTS))
            for place, name in enumerate(classes) if not ((label == place) & (part == index)).any()]
