"""Budgets by input: one epsilon for all of them, or one for each in its own units, and lists of such budgets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from tinyfuse.core.errors import UsageError

Budget = Mapping[str, float]
"""Epsilon by input."""
Epsilon = float | Mapping[str, float]
"""One for all inputs, or a budget."""
Spent = float | dict[str, float]
"""An epsilon as a frozen dataclass holds it."""


def spread(epsilon: Epsilon, names: Iterable[str]) -> dict[str, float]:
    """Return the budget of the inputs ``names``; UsageError if ``epsilon`` names others but lacks one of them."""
    if not isinstance(epsilon, Mapping):
        return dict.fromkeys(names, float(epsilon))
    wanted = list(names)
    for name in wanted:
        if name not in epsilon:
            raise UsageError(f"no budget for the input '{name}' in {epsilon_text(epsilon)}; give one for each, or one "
                             "number for all")
    return {name: float(epsilon[name]) for name in wanted}


def check_epsilons(epsilons: Sequence[Epsilon], where: str) -> None:
    """Raise UsageError for a number that is no budget, and unless budgets by input rise in every input at once.

    A sample that a budget breaks counts as broken at every larger one, so larger has to mean so for each input.
    """
    for one in epsilons:
        numbers = list(one.values()) if isinstance(one, Mapping) else [one]
        for number in numbers:
            if not 0 <= number < math.inf:
                raise UsageError(f"{where}: epsilon {number!r}; a number of at least 0 is expected")
        if not numbers:
            raise UsageError(f"{where}: an empty table of epsilons; give one for each input, or one number for all")
    ordered = sorted(epsilons, key=largest)
    for smaller, larger in pairwise(ordered):
        names = [name for one in (smaller, larger) if isinstance(one, Mapping) for name in one]
        if any(spread(smaller, names)[name] >= spread(larger, names)[name] for name in names):
            raise UsageError(f"{where}: epsilon {epsilon_text(smaller)} and {epsilon_text(larger)}; of two budgets one "
                             "has to be smaller in every input: put others into a run of their own")


def largest(epsilon: Epsilon) -> float:
    """Return the largest epsilon of an input."""
    return max(epsilon.values(), default=0.0) if isinstance(epsilon, Mapping) else float(epsilon)


def epsilon_text(epsilon: Epsilon) -> str:
    """Write ``0.1``, or where inputs differ ``camera 0.1, mic 0.02``."""
    if not isinstance(epsilon, Mapping):
        return f"{epsilon:g}"
    if len(set(epsilon.values())) == 1:
        return f"{largest(epsilon):g}"
    return ", ".join(f"{name} {size:g}" for name, size in epsilon.items())


def whole_budgets(budgets: Iterable[Budget]) -> list[Spent]:
    """Return those of ``budgets`` that are no part of another one, by rising epsilon; a number where all are equal.

    An attack on some inputs alone has its part of the budget that an attack on all of them has.
    """
    distinct = {tuple(sorted(one.items())): dict(one) for one in budgets}
    whole = [one for one in distinct.values() if not any(len(other) > len(one) and is_part(one, other)
                                                         for other in distinct.values())]
    ordered = sorted(whole, key=lambda one: (largest(one), *one.values()))
    found: list[Spent] = []
    for one in ordered:
        plain = largest(one) if len(set(one.values())) == 1 else one
        found += [] if plain in found else [plain]
    return found


def is_part(budget: Budget, whole: Epsilon) -> bool:
    """Whether ``budget`` is what ``whole`` allows on the inputs that it names."""
    return all((whole.get(name) if isinstance(whole, Mapping) else whole) == size for name, size in budget.items())
