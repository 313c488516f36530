"""Which recipes are worth measuring: the cheapest allocations by several criteria, and what a user would try anyway."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinyfuse.core.errors import UsageError
from tinyfuse.core.files import sha256_hex
from tinyfuse.quantize.recipe import Recipe, uniform
from tinyfuse.search.allocate import allocate
from tinyfuse.search.budget import Budget
from tinyfuse.search.criteria import Evidence, cost_table, with_tie_break
from tinyfuse.search.groups import Unit, branches_of, by_branch, recipe_of, widths_of
from tinyfuse.search.selection_study import SelectionStudy
from tinyfuse.search.sensitivity import REFERENCE

PROPOSED: Mapping[str, Mapping[str, int]] = {
    "robust": {"robust": 5, "kl": 2, "margin": 2, "mse": 2, "hessian": 1},
    "clean": {"kl": 5, "margin": 2, "mse": 2, "robust": 1, "hessian": 1},
    "certified": {"robust": 5, "kl": 2, "margin": 2, "mse": 2, "hessian": 1},
}
"""By objective how many of the cheapest allocations each criterion proposes."""
AROUND = (0.7, 0.85, 1.2, 1.5)
"""Shares of a budget of flash at which one allocation each shows what less or more of it is worth."""
MOST_COMBINATIONS = 64
"""Recipes of a grid: four widths of three branches."""


@dataclass(frozen=True)
class Candidate:
    """A recipe and who proposed it, such as "robust 1" (cheapest by that criterion), "uniform" or "grid"."""

    recipe: Recipe
    sources: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Space:
    """What may be chosen: ``widths`` [w] for ``units`` [u] where ``allowed`` (bool [u, w]).

    ``sizes``: by resource float [u, w], what each takes.
    """

    units: Sequence[Unit]
    widths: Sequence[int]
    allowed: np.ndarray
    sizes: Mapping[str, np.ndarray]

    def check_reachable(self, budget: Budget) -> None:
        """Raise :class:`UsageError` with the smallest reachable size if some limit cannot be met."""
        for name, limit in budget.limits.items():
            if name in self.sizes:
                least = int(np.ceil(np.where(self.allowed, self.sizes[name], np.inf).min(axis=1).sum()))
                if least > limit:
                    about = "about " if name == "instructions" else ""
                    raise UsageError(f"a budget of {name} {limit} cannot be met: the smallest reachable is "
                                     f"{about}{least}, with widths {', '.join(map(str, self.widths))}; give more, or "
                                     "allow fewer bits with --widths")
        if not self._cheapest(np.zeros(self.allowed.shape), budget):
            raise UsageError(f"the limits on {' and '.join(budget.limits)} can be met one by one, but not together; "
                             "give more of one of them")

    def allocations(self, criterion: str, budget: Budget, evidence: Evidence, count: int = 1) -> list[dict[str, int]]:
        """Find the ``count`` cheapest widths by unit name within ``budget``, by one criterion."""
        cost, other = (cost_table(name, self.units, self.widths, evidence) for name in (criterion, "mse"))
        return [{unit.name: self.widths[index] for unit, index in zip(self.units, chosen, strict=True)}
                for chosen in self._cheapest(with_tie_break(cost, other), budget, count)]

    def _cheapest(self, cost: np.ndarray, budget: Budget, count: int = 1) -> list[np.ndarray]:
        budgets = [(self.sizes[name], limit) for name, limit in budget.limits.items() if name in self.sizes]
        return allocate(cost, budgets, self.allowed, count)

    def expected(self, resource: str, recipe: Recipe) -> int | None:
        """Sum what ``recipe`` takes of ``resource``; None if that is not known, or a width may not be chosen."""
        widths = widths_of(self.units, recipe)
        if resource not in self.sizes or not set(widths.values()) <= set(self.widths):
            return None
        columns = [list(self.widths).index(widths[unit.name]) for unit in self.units]
        return int(np.ceil(self.sizes[resource][np.arange(len(self.units)), columns].sum()))


def mixed(units: Sequence[Unit], widths: Mapping[str, int], methods: tuple[str, ...]) -> Recipe:
    """Make the recipe of a mixed allocation; its name holds the mean width and a digest of all of them."""
    if len(set(widths.values())) == 1 or all(unit.name == unit.branch for unit in units):
        return by_branch({unit.branch: widths[unit.name] for unit in units}, methods)
    mean = np.average([widths[unit.name] for unit in units], weights=[unit.weights for unit in units])
    digest = sha256_hex(repr([(unit.name, widths[unit.name]) for unit in units]).encode())[:6]
    return recipe_of("-".join([f"mix{mean:.2f}-{digest}", *methods]), units, widths, methods)


def proposals(study: SelectionStudy, space: Space, budget: Budget, evidence: Evidence) -> Iterator[Candidate]:
    """Propose the cheapest allocations within ``budget`` by each criterion, then the uniform widths that fit it.

    Beside these, whether or not they fit: the cheapest by the first criterion at other sizes of flash, as far as they
    are reachable, the reference, and all combinations of the grid's widths.
    """
    methods, counts = study.settings.methods, PROPOSED[study.settings.objective]
    for criterion, count in counts.items():
        for place, widths in enumerate(space.allocations(criterion, budget, evidence, count), start=1):
            yield Candidate(mixed(space.units, widths, methods), (f"{criterion} {place}",))
    for column, bits in enumerate(space.widths):
        fits = all(size[:, column].sum() <= budget.limits.get(name, np.inf) for name, size in space.sizes.items())
        if fits and space.allowed[:, column].all():
            yield Candidate(uniform(bits, methods), ("uniform",))
    criterion = next(iter(counts))
    for share in AROUND if "flash" in budget.limits else ():
        other = replace(budget, limits={**budget.limits, "flash": int(share * budget.limits["flash"])})
        for widths in space.allocations(criterion, other, evidence):
            yield Candidate(mixed(space.units, widths, methods), (f"{criterion} at {share:.0%} of flash",))
    yield Candidate(uniform(REFERENCE, methods), ("reference",))
    if len(study.network.inputs) > 1:
        branches = branches_of(study.base.layers, study.network.input_names)
        yield from (Candidate(recipe, ("grid",)) for recipe in grid(branches, study.settings.grid, methods))


def grid(branches: Sequence[str], widths: Sequence[int], methods: tuple[str, ...]) -> list[Recipe]:
    """Combine ``widths`` over ``branches`` in all ways; the least and the largest alone where those are too many."""
    if len(widths)**len(branches) > MOST_COMBINATIONS:
        widths = sorted({min(widths), max(widths)})
    return [by_branch(dict(zip(branches, bits, strict=True)), methods)
            for bits in itertools.product(widths, repeat=len(branches))]
