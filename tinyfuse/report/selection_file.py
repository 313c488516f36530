"""``selection.json`` as typed values, read as a file from outside."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tinyfuse.checks.run_checks import LEVELS
from tinyfuse.core.errors import DataError
from tinyfuse.core.statistics import Difference
from tinyfuse.quantize.recipe import BITS, BRANCHES, Precision
from tinyfuse.report.selection_decode import decode
from tinyfuse.search.settings import Settings
from tinyfuse.study.summary import ATTACKED, Accuracy

FILE = "selection.json"
MAX_BYTES = 1 << 24
_SLACK = 1e-9


@dataclass(frozen=True)
class Mark:
    """A finding of a check: its letter, its level ("E" or "W") and one sentence."""

    code: str
    level: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A recipe ``name`` as it was judged: ``clean``, and ``robust`` by attacked modality; ``needs`` by resource."""

    name: str
    needs: Mapping[str, int | None]
    clean: Accuracy
    robust: Mapping[str, Accuracy]
    weaker: str
    flags: tuple[Mark, ...]

    def share(self, what: str) -> Accuracy | None:
        """Accuracy under attack on a modality, or "clean"; None if that was not judged."""
        return self.clean if what == "clean" else self.robust.get(what)


@dataclass(frozen=True, kw_only=True)
class Trial(Figures):
    """A measured ``recipe``, who proposed it, which limits it exceeds, and whether none is smaller and as good."""

    sources: tuple[str, ...]
    recipe: Precision
    exceeded: tuple[str, ...]
    front: bool


@dataclass(frozen=True)
class Compared:
    """``a`` minus ``b`` on the same pairs: paired ``difference`` of ``what``, McNemar's ``p``."""

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


@dataclass(frozen=True)
class Sensitivity:
    """``costs`` by criterion, float [parts, widths], at least 0; ``meaning`` of the criteria in words.

    ``branches`` of the parts. Training ``pairs`` and ``attacked`` ones, and ``curvature_pairs`` of the Hessian.
    """

    parts: tuple[str, ...]
    widths: tuple[int, ...]
    costs: Mapping[str, tuple[tuple[float, ...], ...]]
    meaning: Mapping[str, str]
    branches: tuple[str, ...]
    pairs: int
    attacked: int
    curvature_pairs: int


@dataclass(frozen=True)
class DataName:
    """Which data: ``name``, ``split`` and ``checksum``."""

    name: str
    split: str
    checksum: str


@dataclass(frozen=True, kw_only=True)
class SelectionFile:
    """What :func:`tinyfuse.search.record.to_json` writes; ``validation`` and ``test`` have the chosen recipe first."""

    model: str
    network: str
    training_seed: int
    data: DataName
    settings: Settings
    budget: Mapping[str, int]
    chosen: str
    recipe: Precision
    file: str
    units: tuple[UnitBits, ...]
    sensitivity: Sensitivity
    trials: tuple[Trial, ...]
    validation: tuple[Figures, ...]
    test: tuple[Figures, ...]
    comparisons: Mapping[str, tuple[Compared, ...]]
    reasons: tuple[str, ...]

    @property
    def modes(self) -> list[str]:
        """The attacked modalities, in the order of every table."""
        judged = (*self.trials, *self.validation, *self.test)
        return [mode for mode in ATTACKED if any(mode in one.robust for one in judged)]

    def attacked(self, part: str) -> int:
        """Attacked pairs of the "trials", of "validation" or "test"."""
        first: Figures = getattr(self, part)[0]
        return first.robust[first.weaker].n

    @property
    def best(self) -> Figures:
        """The chosen recipe on held-out pairs, under the name of its trial."""
        return self.validation[0]


def read_selection(path: str | Path) -> SelectionFile:
    """Read ``selection.json``.

    Raises:
        DataError: it is missing, too large, no JSON, or not what a selection writes; one line with the place.
    """
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise DataError(f"{path}: more than {MAX_BYTES} bytes; a selection is smaller")
        table = json.loads(data.decode("utf-8"))
    except OSError as cause:
        raise DataError(f"{path}: cannot be read ({cause.strerror or cause})") from cause
    except (ValueError, RecursionError) as cause:
        raise DataError(f"{path}: not valid JSON ({cause})") from cause
    found = decode(SelectionFile, table, str(path))
    for problem in _problems(found):
        raise DataError(f"{path}: {problem}; run the same `tinyfuse select` again, it measures nothing twice")
    return found


def _problems(found: SelectionFile) -> Iterator[str]:
    """What is well-formed and yet cannot be."""
    for name in ("units", "trials", "validation", "test"):
        if not getattr(found, name):
            yield f"{name}: nothing there"
    for part in ("validation", "test"):
        if part not in found.comparisons:
            yield f"comparisons: none on {part} pairs"
    for unit in found.units:
        if unit.branch not in BRANCHES or unit.bits not in BITS or unit.weights < 1:
            yield f"unit '{unit.name}': {unit.weights} weights of {unit.bits} bits in branch '{unit.branch}'"
    yield from _sensitivity_problems(found.sensitivity)
    for one in (*found.trials, *found.validation, *found.test):
        yield from (f"'{one.name}': {problem}" for problem in _figure_problems(one))


def _sensitivity_problems(found: Sensitivity) -> Iterator[str]:
    if not found.parts or not found.widths or not found.costs:
        yield "sensitivity: no parts, widths or criteria"
    if len(found.branches) != len(found.parts) or not set(found.branches) <= set(BRANCHES):
        yield "sensitivity: every part belongs to one of the branches " + ", ".join(BRANCHES)
    for name, rows in found.costs.items():
        if len(rows) != len(found.parts) or any(len(row) != len(found.widths) for row in rows):
            yield f"sensitivity: '{name}' has not one cost for each part and width"
        if any(cost < 0 for row in rows for cost in row):
            yield f"sensitivity: '{name}' has costs below 0"
        if name not in found.meaning:
            yield f"sensitivity: the meaning of '{name}' is missing"


def _figure_problems(one: Figures) -> Iterator[str]:
    if not one.robust or not set(one.robust) <= set(ATTACKED) or one.weaker not in one.robust:
        yield "no accuracy under attack on " + ", ".join(ATTACKED)
    for share in (one.clean, *one.robust.values()):
        ordered = (0, share.low, share.value, share.high, 1)
        if share.n < 1 or any(a > b + _SLACK for a, b in pairwise(ordered)):
            yield f"{share.value:g} ({share.low:g} to {share.high:g}) of {share.n} is no accuracy with its interval"
    if not one.needs.get("flash") or any((need or 0) < 0 for need in one.needs.values()):
        yield "its packed bytes are not known"
    if any(flag.level not in LEVELS for flag in one.flags):
        yield "a flag that is neither error nor warning"


def part_bits(found: SelectionFile, recipe: Precision) -> list[int]:
    """The widths that ``recipe`` gives to the parts of the sensitivities."""
    return [_bits(recipe, *each) for each in zip(found.sensitivity.parts, found.sensitivity.branches, strict=True)]


def unit_bits(found: SelectionFile, recipe: Precision) -> list[int]:
    """The widths that ``recipe`` gives to the units of the search."""
    return [_bits(recipe, unit.name, unit.branch) for unit in found.units]


def _bits(recipe: Precision, name: str, branch: str) -> int:
    return recipe.bits_for(name.removesuffix(f"/{branch}"), branch)


def is_plain(recipe: Precision) -> bool:
    """Whether one width for each of image, audio and shared layers says everything."""
    return not recipe.layers
