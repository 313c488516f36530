"""Labels, groups and parts as users write them: class names, numbers, or one-hot rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyfuse.core.errors import DataError, nearest
from tinyfuse.data.own.settings import MAX_CLASSES
from tinyfuse.data.samples import PARTS

PART_WORDS = {"train": 0, "training": 0, "validation": 1, "valid": 1, "val": 1, "dev": 1, "test": 2, "testing": 2}
"""Names of parts that are understood, as indices of ``PARTS``; numbers 0, 1, 2 are the same."""


def read_labels(values: np.ndarray, classes: Sequence[str], where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Turn labels [n] into int64 [n] and the names of the classes.

    Texts are class names; whole numbers count from 0 in ``classes``. Without ``classes``, the different values are the
    classes, in their order. DataError says which label does not fit.
    """
    flat = _flat(values, where)
    if flat.dtype.kind == "U":
        return _named(flat, classes, where)
    if flat.dtype.kind == "f" and not (np.isfinite(flat) & (flat == np.rint(flat))).all():
        first = int(np.argmax(~(np.isfinite(flat) & (flat == np.rint(flat)))))
        raise DataError(f"{where}: label {flat[first]} of sample {first} is no class; give whole numbers or names")
    numbers = flat.astype(np.int64)
    if not classes:
        found, label = np.unique(numbers, return_inverse=True)
        return label.astype(np.int64), _checked([str(value) for value in found], where)
    if (wrong := (numbers < 0) | (numbers >= len(classes))).any():
        first = int(np.argmax(wrong))
        raise DataError(f"{where}: label {numbers[first]} of sample {first} is out of range ({int(wrong.sum())} such "
                        f"labels); allowed: 0 to {len(classes) - 1} for the {len(classes)} classes")
    return numbers, tuple(classes)


def _flat(values: np.ndarray, where: str) -> np.ndarray:
    """Bring labels to [n] of texts or numbers; rows of zeros and a one become the place of the one."""
    flat = values.reshape(len(values)) if values.ndim and values.size == len(values) else values
    if flat.dtype.kind in "biuf" and flat.ndim == 2 and len(flat):
        if not (np.isin(flat, (0, 1)).all() and (flat.sum(axis=1) == 1).all()):
            raise DataError(f"{where}: label has shape {list(values.shape)} and {_not_one_hot(flat)}")
        return np.asarray(flat.argmax(axis=1))
    if flat.ndim != 1 or not len(flat):
        raise DataError(f"{where}: label has shape {list(values.shape)}; give one label for each sample")
    if flat.dtype.kind not in "biufU":
        raise DataError(f"{where}: label has dtype {flat.dtype}; give whole numbers or texts (numpy: astype(str))")
    return flat


def _not_one_hot(rows: np.ndarray) -> str:
    """Say what rows of labels are instead of one-hot, and what to give."""
    ones = rows.sum(axis=1)
    if not np.isin(rows, (0, 1)).all() or ones.max() < 2:
        return "is not one-hot; give one label for each sample, a number or the name of its class"
    several = ones > 1
    return (f"marks {int(ones[several][0])} classes in sample {int(np.argmax(several))} ({int(several.sum())} such "
            "samples): a sample has one class here; leave those out, make each combination a class, or train one "
            "network for each label")


def _named(texts: np.ndarray, classes: Sequence[str], where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    found, label = np.unique(texts, return_inverse=True)
    classes = classes or _checked(list(in_order(set(map(str, found)))), where)
    places = {name: place for place, name in enumerate(classes)}
    for name in map(str, found):
        if name not in places:
            raise DataError(f"{where}: label '{name}' is no class{nearest(name, classes)}; allowed: "
                            f"{', '.join(classes)}")
    return np.array([places[str(name)] for name in found], np.int64)[label], tuple(classes)


def in_order(names: set[str]) -> tuple[str, ...]:
    """Sort class names: numbers by their value, others as texts."""
    numbers = all(name.isascii() and name.isdigit() for name in names)
    return tuple(sorted(names, key=lambda name: (int(name) if numbers else 0, name)))


def _checked(names: list[str], where: str) -> tuple[str, ...]:
    """Check class names that were found: not one alone, and not a measurement."""
    if not all(name.strip() for name in names):
        raise DataError(f"{where}: an empty text is among the labels; give every sample the name of its class")
    if not 2 <= len(names) <= MAX_CLASSES:
        raise DataError(f"{where}: label has {len(names)} different value{'s' * (len(names) != 1)}; expected 2 to "
                        f"{MAX_CLASSES} classes")
    return tuple(names)


def read_groups(values: np.ndarray, count: int, where: str) -> np.ndarray:
    """Number the groups of ``count`` samples, texts or whole numbers [n], in their order: int64 [n]."""
    if values.shape != (count,) or values.dtype.kind not in "biuU":
        raise DataError(f"{where}: group is {values.dtype} of shape {list(values.shape)}; give one text or whole "
                        f"number for each of the {count} samples")
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def read_parts(values: np.ndarray, count: int, where: str) -> np.ndarray:
    """Turn the parts of ``count`` samples into indices of ``PARTS``, int8 [n]."""
    if values.shape != (count,) or values.dtype.kind not in "iuU":
        raise DataError(f"{where}: part is {values.dtype} of shape {list(values.shape)}; give {', '.join(PARTS)} (or "
                        f"0, 1, 2) for each of the {count} samples")
    found, inverse = np.unique(values, return_inverse=True)
    return np.array([part_index(str(one), where) for one in found], np.int8)[inverse]


def part_index(word: str, where: str) -> int:
    """Return the index in ``PARTS`` of a part that a user named."""
    index = PART_WORDS.get(word.strip().lower(), int(word) if word in ("0", "1", "2") else None)
    if index is None:
        raise DataError(f"{where}: part '{word}'{nearest(word, PART_WORDS)}; allowed: {', '.join(PARTS)}")
    return index
