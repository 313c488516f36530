"""What the search gives a width to: layers, slices of a layer that reads both modalities, or whole modalities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.quantize.folded_layers import FoldedLayer
from tinyfuse.quantize.recipe import BRANCHES, LayerRule, Precision

GRANULARITIES = ("layer", "modality")
Widths = Mapping[str, int]
"""Weight bits by the name of the unit."""


@dataclass(frozen=True)
class Part:
    """Input channels ``start`` to ``stop`` of ``layer``, which belong to ``branch`` (image, audio or shared)."""

    layer: FoldedLayer
    branch: str
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The layer's name; for one of several slices with its branch behind it: ``shared_stem_conv/audio``."""
        return self.layer.name if len(self.layer.parts) == 1 else f"{self.layer.name}/{self.branch}"

    @property
    def weights(self) -> int:
        """Number of weights."""
        return int(self.layer.kernel[..., self.start:self.stop].size)


@dataclass(frozen=True)
class Unit:
    """One choice of the search: ``parts`` that share a width."""

    name: str
    parts: tuple[Part, ...]

    @property
    def branch(self) -> str:
        """The branch of its parts."""
        return self.parts[0].branch

    @property
    def weights(self) -> int:
        """Number of weights."""
        return sum(part.weights for part in self.parts)


def parts_of(layers: Iterable[FoldedLayer]) -> list[Part]:
    """All parts of a network's layers, in their order."""
    found = []
    for layer in layers:
        start = 0
        for branch, channels in layer.parts:
            found.append(Part(layer, branch, start, start + channels))
            start += channels
    return found


def units_of(layers: Sequence[FoldedLayer], granularity: str) -> tuple[Unit, ...]:
    """The units of a network: its parts ("layer"), or the branches that it has ("modality")."""
    if granularity not in GRANULARITIES:
        raise UsageError(f"granularity '{granularity}'{nearest(granularity, GRANULARITIES)}; use one of "
                         f"{', '.join(GRANULARITIES)}")
    parts = parts_of(layers)
    if granularity == "layer":
        return tuple(Unit(part.name, (part,)) for part in parts)
    branches = {branch: tuple(part for part in parts if part.branch == branch) for branch in BRANCHES}
    return tuple(Unit(branch, found) for branch, found in branches.items() if found)


def recipe(name: str, units: Sequence[Unit], widths: Widths, methods: tuple[str, ...] = ()) -> Precision:
    """The recipe that gives each of ``units`` its entry of ``widths``.

    A branch has its most frequent width, and layers that differ from it a rule. A layer of several slices takes its
    widths from the branches, which therefore hold nothing else where there is such a layer (early fusion).
    """
    bits = [(part, widths[unit.name]) for unit in units for part in unit.parts]
    sliced = {part.branch: width for part, width in bits if len(part.layer.parts) > 1}
    usual = {branch: Counter(width for part, width in bits if part.branch == branch).most_common(1)
             for branch in BRANCHES}
    by_branch = {branch: sliced.get(branch, found[0][0] if found else 8) for branch, found in usual.items()}
    rules = tuple(LayerRule(part.layer.name, width) for part, width in bits
                  if len(part.layer.parts) == 1 and width != by_branch[part.branch])
    return Precision(name, by_branch["image"], by_branch["audio"], by_branch["shared"], rules, methods=methods)


def fixed_widths(units: Sequence[Unit], given: Iterable[tuple[str, int]]) -> dict[str, int]:
    """By unit name the widths that are not to be chosen; a later entry wins.

    ``given``: (name, bits), a name being a unit's, a shell pattern of such names, or a branch.

    Raises:
        UsageError: a name that fits nothing.
    """
    found: dict[str, int] = {}
    names = [unit.name for unit in units]
    branches = dict.fromkeys(unit.branch for unit in units)
    for name, bits in given:
        own = [unit.name for unit in units if unit.branch == name or fnmatchcase(unit.name, name)]
        if not own:
            raise UsageError(f"nothing here is called '{name}'{nearest(name, [*branches, *names])}; what has a width: "
                             f"{', '.join(dict.fromkeys([*branches, *names]))}")
        found |= dict.fromkeys(own, bits)
    return found


def widths_of(units: Sequence[Unit], precision: Precision) -> dict[str, int]:
    """The widths that a recipe gives to ``units``; :class:`UsageError` if it is finer than they are."""
    found = {}
    for unit in units:
        own = {precision.bits_for(part.layer.name, part.branch) for part in unit.parts}
        if len(own) > 1:
            raise UsageError(f"recipe '{precision.name}' gives '{unit.name}' several widths; search layer by layer")
        found[unit.name] = own.pop()
    return found
