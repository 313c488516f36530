"""Which recipes are worth measuring: the cheapest allocations by several criteria, and what a user would try anyway."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinyfuse.core.errors import UsageError
from tinyfuse.quantize.recipe import BRANCHES, Precision, precision
from tinyfuse.search.allocate import Problem, allocate
from tinyfuse.search.budget import Budget
from tinyfuse.search.criteria import Evidence, cost_table, with_tie_break
from tinyfuse.search.groups import Unit, recipe, widths_of
from tinyfuse.search.measure import uniform

PROPOSED: Mapping[str, Mapping[str, int]] = {
    "robust": {"robust": 5, "kl": 2, "margin": 2, "mse": 2, "hessian": 1},
    "clean": {"kl": 5, "margin": 2, "mse": 2, "robust": 1, "hessian": 1},
}
"""By objective how many of the cheapest allocations each criterion proposes."""
AROUND = (0.7, 0.85, 1.2, 1.5)
"""Shares of a budget of flash at which one allocation each shows what less or more of it is worth."""


@dataclass(frozen=True)
class Candidate:
    """A recipe and who proposed it, such as "robust 1" (cheapest by that criterion), "uniform" or "grid"."""

    precision: Precision
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
        if not allocate(self._problem(np.zeros(self.allowed.shape), budget)):
            raise UsageError(f"the limits on {' and '.join(budget.limits)} can be met one by one, but not together; "
                             "give more of one of them")

    def allocations(self, criterion: str, budget: Budget, evidence: Evidence, count: int = 1) -> list[dict[str, int]]:
        """The ``count`` cheapest widths by unit name within ``budget``, by one criterion."""
        cost, other = (cost_table(name, self.units, self.widths, evidence) for name in (criterion, "mse"))
        return [dict(zip((unit.name for unit in self.units), chosen, strict=True))
                for chosen in allocate(self._problem(with_tie_break(cost, other), budget), count)]

    def expected(self, resource: str, precision: Precision) -> int | None:
        """What ``precision`` takes of ``resource`` by the sums that the allocation knows; None where it has a width
        that may not be chosen, or nothing is known.
        """
        widths = widths_of(self.units, precision)
        if resource not in self.sizes or not set(widths.values()) <= set(self.widths):
            return None
        columns = [list(self.widths).index(widths[unit.name]) for unit in self.units]
        return int(np.ceil(self.sizes[resource][np.arange(len(self.units)), columns].sum()))

    def _problem(self, cost: np.ndarray, budget: Budget) -> Problem:
        known = {name: limit for name, limit in budget.limits.items() if name in self.sizes}
        return Problem(tuple(self.widths), cost, {name: self.sizes[name] for name in known}, known, self.allowed)


def mixed(units: Sequence[Unit], widths: Mapping[str, int], methods: tuple[str, ...]) -> Precision:
    """The recipe of a mixed allocation; its name holds the mean width and a digest of all of them."""
    if len(set(widths.values())) == 1:
        return uniform(next(iter(widths.values())), methods)
    if set(widths) <= set(BRANCHES):
        return by_branch([widths.get(branch, max(widths.values())) for branch in BRANCHES], methods)
    mean = np.average([widths[unit.name] for unit in units], weights=[unit.weights for unit in units])
    digest = hashlib.sha256(repr([(unit.name, widths[unit.name]) for unit in units]).encode()).hexdigest()[:6]
    return recipe("-".join([f"mix{mean:.2f}-{digest}", *methods]), units, widths, methods)


def proposals(objective: str, space: Space, budget: Budget, evidence: Evidence,
              methods: tuple[str, ...]) -> list[Candidate]:
    """Candidates within ``budget``, as far as the sizes of ``space`` can tell; none twice."""
    found: dict[str, tuple[Precision, list[str]]] = {}
    for criterion, count in PROPOSED[objective].items():
        for place, widths in enumerate(space.allocations(criterion, budget, evidence, count), start=1):
            made = mixed(space.units, widths, methods)
            found.setdefault(made.name, (made, []))[1].append(f"{criterion} {place}")
    for column, bits in enumerate(space.widths):
        fits = all(size[:, column].sum() <= budget.limits.get(name, np.inf) for name, size in space.sizes.items())
        if fits and space.allowed[:, column].all():
            made = uniform(bits, methods)
            found.setdefault(made.name, (made, []))[1].append("uniform")
    return [Candidate(made, tuple(sources)) for made, sources in found.values()]


def around(objective: str, space: Space, budget: Budget, evidence: Evidence,
           methods: tuple[str, ...]) -> list[Candidate]:
    """The cheapest allocations by the first criterion at other sizes of flash, as far as these are reachable."""
    criterion = next(iter(PROPOSED[objective]))
    found = []
    for share in AROUND if "flash" in budget.limits else ():
        other = replace(budget, limits={**budget.limits, "flash": int(share * budget.limits["flash"])})
        for widths in space.allocations(criterion, other, evidence):
            found.append(Candidate(mixed(space.units, widths, methods), (f"{criterion} at {share:.0%} of flash",)))
    return found


def grid(branches: Sequence[str], widths: Sequence[int], methods: tuple[str, ...]) -> list[Precision]:
    """All combinations of ``widths`` over the ``branches`` that a network has; the others have the last width."""
    chosen = [widths if branch in branches else widths[-1:] for branch in BRANCHES]
    return [uniform(bits[0], methods) if len(set(bits)) == 1 else by_branch(bits, methods)
            for bits in itertools.product(*chosen)]


def by_branch(bits: Sequence[int], methods: tuple[str, ...]) -> Precision:
    """The recipe of ``bits`` for image, audio and shared layers."""
    return precision("-".join([*(f"{branch}{width}" for branch, width in zip(BRANCHES, bits, strict=True)), *methods]))
