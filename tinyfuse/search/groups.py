"""What the search gives a width to: layers, slices of a layer that reads several inputs, or whole branches.

A branch is an input's own layers, by its name, or the shared ones, by data flow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.nn.origin import SHARED
from tinyfuse.quantize.folded_layers import FoldedLayer
from tinyfuse.quantize.recipe import LayerRule, Recipe, mix_name, uniform

Widths = Mapping[str, int]
"""Weight bits by the name of the unit."""


@dataclass(frozen=True)
class Part:
    """Input channels ``start`` to ``stop`` of ``layer``, which belong to ``branch`` (an input's name or "shared")."""

    layer: FoldedLayer
    branch: str
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The layer's name; for one of several slices with its branch behind it: ``shared_stem_conv/mic``."""
        return self.layer.name if len(self.layer.parts) == 1 else f"{self.layer.name}/{self.branch}"

    @property
    def weights(self) -> int:
        """Number of weights."""
        return int(self.layer.kernel[..., self.start:self.stop].size)


@dataclass(frozen=True)
class Unit:
    """One choice of the search: ``parts`` of one branch that share a width."""

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
    """List all parts of a network's layers, in their order."""
    found = []
    for layer in layers:
        start = 0
        for branch, channels in layer.parts:
            found.append(Part(layer, branch, start, start + channels))
            start += channels
    return found


def branches_of(layers: Iterable[FoldedLayer], inputs: Sequence[str]) -> list[str]:
    """List the branches that have weights: those of ``inputs`` in their order, then "shared"."""
    found = {branch for layer in layers for branch, _ in layer.parts}
    return [branch for branch in (*inputs, SHARED) if branch in found]


def units_of(layers: Sequence[FoldedLayer], granularity: str, inputs: Sequence[str]) -> tuple[Unit, ...]:
    """List the units of a network that looks at ``inputs``: its parts ("layer"), or its branches ("modality")."""
    parts = parts_of(layers)
    if granularity == "layer":
        return tuple(Unit(part.name, (part,)) for part in parts)
    return tuple(Unit(branch, tuple(part for part in parts if part.branch == branch))
                 for branch in branches_of(layers, inputs))


def by_branch(widths: Widths, methods: tuple[str, ...]) -> Recipe:
    """Make the recipe with one of ``widths`` for each branch."""
    weights = {**widths, SHARED: widths.get(SHARED, max(widths.values()))}
    if len(set(weights.values())) == 1:
        return uniform(weights[SHARED], methods)
    return Recipe("-".join([mix_name(weights), *methods]), weights, methods=methods)


def recipe_of(name: str, units: Sequence[Unit], widths: Widths, methods: tuple[str, ...] = ()) -> Recipe:
    """Make the recipe that gives each of ``units`` its entry of ``widths``.

    A branch has its most frequent width, and layers that differ from it a rule. A layer of several slices takes its
    widths from the branches, which therefore hold nothing else where there is such a layer (early fusion).
    """
    bits = [(part, widths[unit.name]) for unit in units for part in unit.parts]
    sliced = {part.branch: width for part, width in bits if len(part.layer.parts) > 1}
    usual = {branch: Counter(width for part, width in bits if part.branch == branch).most_common(1)[0][0]
             for branch in dict.fromkeys(part.branch for part, _ in bits)}
    weights = {**usual, **sliced, SHARED: usual.get(SHARED, 8)}
    rules = tuple(LayerRule(part.layer.name, width) for part, width in bits
                  if len(part.layer.parts) == 1 and width != weights[part.branch])
    return Recipe(name, weights, rules, methods=methods)


def fixed_widths(units: Sequence[Unit], given: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Find by unit name the widths that are not to be chosen; a later entry wins.

    ``given``: (name, bits), a name being a unit's, a shell pattern of such names, or a branch. Raises
    :class:`UsageError` for a name that fits nothing.
    """
    found: dict[str, int] = {}
    known = list(dict.fromkeys([*(unit.branch for unit in units), *(unit.name for unit in units)]))
    for name, bits in given:
        own = [unit.name for unit in units if unit.branch == name or fnmatchcase(unit.name, name)]
        if not own:
            raise UsageError(f"nothing here is called '{name}'{nearest(name, known)}; what has a width: "
                             f"{', '.join(known)}")
        found |= dict.fromkeys(own, bits)
    return found


def widths_of(units: Sequence[Unit], recipe: Recipe) -> dict[str, int]:
    """Find the widths that a recipe gives to ``units``; :class:`UsageError` if it is finer than they are."""
    found = {}
    for unit in units:
        own = {recipe.bits_for(part.layer.name, part.branch) for part in unit.parts}
        if len(own) > 1:
            raise UsageError(f"recipe '{recipe.name}' gives '{unit.name}' several widths; search layer by layer")
        found[unit.name] = own.pop()
    return found
