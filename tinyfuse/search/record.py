"""The record of a selection: what ``selection.json`` holds, written and read back as one frozen dataclass."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tinyfuse.checks.certificates import CERTIFIED
from tinyfuse.checks.run_checks import LEVELS, Flag
from tinyfuse.core.errors import DataError, TinyfuseError
from tinyfuse.core.files import read_limited
from tinyfuse.core.plain_json import parse_json
from tinyfuse.core.statistics import Difference
from tinyfuse.core.strict import decode
from tinyfuse.nn.origin import SHARED
from tinyfuse.quantize.recipe import BITS, Recipe
from tinyfuse.search.settings import Settings
from tinyfuse.study.worst_case import Accuracy
from tinyfuse.threats.modes import modes_of

FILE = "selection.json"
MAX_BYTES = 1 << 24
LARGEST = 1 << 53
"""Larger numbers are no counts of bytes, samples or weights, and not exact as floats."""
_SLACK = 1e-9


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DataError(otherwise)


@dataclass(frozen=True)
class DataName:
    """Which data."""

    name: str
    split: str
    checksum: str


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A recipe ``name`` as it was judged: ``clean``, and ``robust`` by mode of attack; ``needs`` by resource.

    ``weakest``: the mode of one attacked input that leaves the fewest samples correct. ``auc``: of an autoencoder, of
    "clean" samples and by mode. ``certified``: of the attacked samples, what no attack on all inputs can break.
    """

    name: str
    needs: Mapping[str, int | None] = field(hash=False)
    clean: Accuracy
    robust: Mapping[str, Accuracy] = field(hash=False)
    weakest: str
    flags: tuple[Flag, ...]
    auc: Mapping[str, float] = field(default_factory=dict, hash=False)
    certified: Accuracy | None = None

    def __post_init__(self) -> None:
        _expect(not self.auc or (set(self.auc) == {"clean", *self.robust} and all(
            0 <= value <= 1 for value in self.auc.values())), f"'{self.name}': an AUC for another mode, or beyond 1")
        _expect(self.weakest in self.robust, f"'{self.name}': no accuracy under attack on '{self.weakest}'")
        _expect(bool(self.needs.get("flash")) and all((need or 0) >= 0 for need in self.needs.values()),
                f"'{self.name}': its packed bytes are not known")
        _expect(all(flag.level in LEVELS for flag in self.flags), f"'{self.name}': a flag of no known level")
        for one in (self.clean, *self.robust.values(), *filter(None, [self.certified])):
            ordered = all(a <= b + _SLACK for a, b in pairwise((0, one.low, one.value, one.high, 1)))
            _expect(one.n >= 1 and ordered, f"'{self.name}': {one.value:g} ({one.low:g} to {one.high:g}) of {one.n} is "
                                            "no accuracy with its interval")

    def share(self, what: str) -> Accuracy | None:
        """Return the accuracy in a mode of attack, "clean" or "certified"; None if that was not judged."""
        return {"clean": self.clean, CERTIFIED: self.certified, **self.robust}.get(what)


@dataclass(frozen=True, kw_only=True)
class Trial(Figures):
    """A measured ``recipe``, who proposed it, which limits it exceeds, and whether none is smaller and as good."""

    sources: tuple[str, ...]
    recipe: Recipe
    exceeded: tuple[str, ...]
    front: bool


@dataclass(frozen=True)
class Compared:
    """``a`` minus ``b`` on the same samples: paired ``difference`` of ``what``, McNemar's ``p``."""

    a: str
    b: str
    what: str
    difference: Difference
    p: float
    significant: bool


@dataclass(frozen=True)
class UnitBits:
    """The chosen ``bits`` of one unit of the search with so many ``weights`` of a ``branch``."""

    name: str
    branch: str
    weights: int
    bits: int

    def __post_init__(self) -> None:
        _expect(self.bits in BITS and self.weights >= 1,
                f"unit '{self.name}': {self.weights} weights of {self.bits} bits")


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """``costs`` of ``parts`` by criterion, float [parts, widths], at least 0; ``meaning`` of the criteria in words.

    ``samples``, ``attacked_samples`` and ``curvature_samples`` of the training part.
    """

    parts: tuple[str, ...]
    branches: tuple[str, ...]
    widths: tuple[int, ...]
    costs: Mapping[str, tuple[tuple[float, ...], ...]] = field(hash=False)
    meaning: Mapping[str, str] = field(hash=False)
    samples: int
    attacked_samples: int
    curvature_samples: int

    def __post_init__(self) -> None:
        _expect(bool(self.parts and self.widths and self.costs), "sensitivity: no parts, widths or criteria")
        _expect(len(self.branches) == len(self.parts), "sensitivity: every part belongs to one branch")
        for name, rows in self.costs.items():
            _expect(len(rows) == len(self.parts) and all(len(row) == len(self.widths) for row in rows),
                    f"sensitivity: '{name}' has not one cost for each part and width")
            _expect(all(cost >= 0 for row in rows for cost in row), f"sensitivity: '{name}' has costs below 0")
            _expect(name in self.meaning, f"sensitivity: the meaning of '{name}' is missing")


@dataclass(frozen=True, kw_only=True)
class SelectionRecord:
    """What was chosen within ``budget`` for a network of ``inputs``, and why.

    ``network``: SHA-256 of that of ``model``. ``chosen``: name of the ``recipe``, which was written as ``file``.
    ``validation`` and ``test`` have the chosen recipe first, under the name of its trial.
    """

    model: str
    network: str
    training_seed: int
    inputs: tuple[str, ...]
    data: DataName
    settings: Settings
    budget: Mapping[str, int] = field(hash=False)
    chosen: str
    recipe: Recipe
    file: str
    units: tuple[UnitBits, ...]
    sensitivity: Sensitivity
    trials: tuple[Trial, ...]
    validation: tuple[Figures, ...]
    test: tuple[Figures, ...]
    comparisons: Mapping[str, tuple[Compared, ...]] = field(hash=False)
    reasons: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ("inputs", "units", "trials", "validation", "test"):
            _expect(bool(getattr(self, name)), f"{name}: nothing there")
        for part in ("validation", "test"):
            _expect(part in self.comparisons, f"comparisons: none on {part} samples")
        for branch in (*(unit.branch for unit in self.units), *self.sensitivity.branches):
            _expect(branch in self.branches, f"no branch '{branch}'; there are {', '.join(self.branches)}")
        for one in (*self.trials, *self.validation, *self.test):
            _expect(set(one.robust) == set(self.modes), f"'{one.name}': no accuracy under attack on "
                                                        f"{', '.join(self.modes)}")

    @property
    def branches(self) -> tuple[str, ...]:
        """What a recipe gives widths to: each input's own layers, and the shared ones."""
        return *self.inputs, SHARED

    @property
    def modes(self) -> list[str]:
        """The modes of attack, in the order of every table."""
        return list(modes_of(self.inputs))

    @property
    def best(self) -> Figures:
        """The chosen recipe on held-out samples."""
        return self.validation[0]

    def attacked(self, part: str) -> int:
        """Count the attacked samples of the "trials", of "validation" or "test"."""
        first: Figures = getattr(self, part)[0]
        return first.robust[first.weakest].n


def read_selection(path: str | Path) -> SelectionRecord:
    """Read ``selection.json``.

    Raises:
        DataError: it is missing, too large, no JSON, or not what a selection writes; one line with the place.
    """
    table = parse_json(read_limited(path, MAX_BYTES, DataError), str(path), DataError)
    try:
        _check_plain(table)
        return decode(SelectionRecord, table, "selection", DataError)
    except TinyfuseError as cause:
        raise DataError(f"{path}: {' '.join(str(cause).split())}; run the same `tinyfuse select` again, it measures "
                        "nothing twice") from cause


def _check_plain(value: Any) -> None:
    """Refuse texts with control characters and numbers that nothing here can have."""
    for inner in (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_plain(inner)
    if isinstance(value, str):
        _expect(all(unicodedata.category(each) not in ("Cc", "Cs") for each in value), "a text with control characters")
    elif isinstance(value, (int, float)):
        _expect(abs(value) < LARGEST, f"{ascii(value)[:40]} given, at most {LARGEST} is plausible")


def part_bits(found: SelectionRecord, recipe: Recipe) -> list[int]:
    """List the widths that ``recipe`` gives to the parts of the sensitivities."""
    return [_bits(recipe, *each) for each in zip(found.sensitivity.parts, found.sensitivity.branches, strict=True)]


def unit_bits(found: SelectionRecord, recipe: Recipe) -> list[int]:
    """List the widths that ``recipe`` gives to the units of the search."""
    return [_bits(recipe, unit.name, unit.branch) for unit in found.units]


def _bits(recipe: Recipe, name: str, branch: str) -> int:
    return recipe.bits_for(name.removesuffix(f"/{branch}"), branch)
