"""From what a user asks to questions for each mode of attack, and what was found as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.analyses.certificates.record import RADIUS, SMOOTHED, UNBROKEN, Question, sentence, smoothed_sentence
from tinyfuse.checks.certificates import broken_despite, is_certificate
from tinyfuse.core.errors import GateError, UsageError
from tinyfuse.core.results import ResultStore, Row
from tinyfuse.data.samples import Input
from tinyfuse.threats.budgets import Epsilon
from tinyfuse.threats.code_grid import Grids
from tinyfuse.threats.code_threats import whole_codes
from tinyfuse.threats.modes import attacked_by, modes_of

_UNSOUND = "a bound is wrong or a file was changed: trust neither, and report this model"
BudgetOf = Callable[[Sequence[Input], Sequence[str], Any, str], dict[str, float]]


def questions_of(inputs: tuple[Input, ...], grids: Grids, modality: str, epsilon: Epsilon | None,
                 codes: Epsilon | None, common: Mapping[str, Any], budget_of: BudgetOf) -> list[Question]:
    """Return a question for each mode: the inputs of ``modality`` together, or by default each alone and all.

    ``codes`` are turned into the units of the inputs. ``budget_of`` checks budgets and knows the default.
    """
    if common["largest"] and common["norm"] != "linf":
        raise UsageError(f"a radius counts codes, in L-inf, not in {common['norm']}; leave out the one or the other")
    if not 0 <= common["seconds"] < float("inf"):
        raise UsageError(f"{common['seconds']:g} seconds for each sample; give a number such as 10, or 0 for no branch "
                         "and bound")
    names = [one.name for one in inputs]
    attacked = attacked_by(modality, names) if modality else tuple(names)
    idle = next((name for name in common["mask"] if name not in attacked), None)
    if idle is not None:
        raise UsageError(f"a mask for '{idle}', which is not attacked; attacked here: {', '.join(attacked)}")
    given = epsilon if codes is None else _units(codes, attacked, grids)
    budget = budget_of(inputs, attacked, given, str(common["norm"]))
    whole = Question(inputs, budget, **common)
    return [whole] if modality else [whole.on(chosen) for chosen in modes_of(attacked).values()]


def _units(codes: Epsilon, attacked: Sequence[str], grids: Grids) -> dict[str, float]:
    """Turn whole codes into the units of each input."""
    by_name = codes if isinstance(codes, Mapping) else dict.fromkeys(attacked, codes)
    return {name: whole_codes(size, (name,), grids)[name] for name, size in by_name.items()}


@dataclass(frozen=True, eq=False, repr=False)
class Certified:
    """The rows of each question, and the store that holds them with everything else of the run."""

    answers: list[list[Row]]
    store: ResultStore = field(repr=False)

    @property
    def rows(self) -> list[Row]:
        """All rows (see docs/certificates.md)."""
        return [row for rows in self.answers for row in rows]

    def __repr__(self) -> str:
        return "\n".join(smoothed_sentence(rows[0]) if rows[0]["quantity"] == SMOOTHED else sentence(rows)
                         for rows in self.answers)

    def check(self) -> None:
        """Raise :class:`GateError` if an attack of the run broke a sample that is certified."""
        first = self.rows[0]
        own = {name: first[name] for name in ("model", "precision", "seed", "data_checksum")}
        for proved, unbroken in self._radii():
            if (proved > unbroken).any():
                raise GateError(f"{int((proved > unbroken).sum())} samples break at a budget that is certified; "
                                f"{_UNSOUND}")
        broken, _ = broken_despite(filter(is_certificate, self.rows), self.store.rows("attack", **own))
        if broken:
            raise GateError(f"attacks of the same run broke certified samples ({broken} verdicts); {_UNSOUND}")

    def _radii(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """By question the certified and the unbroken radii, where they were searched."""
        for rows in self.answers:
            found = {row["quantity"]: np.asarray(row["each"]) for row in rows if row["quantity"] in (RADIUS, UNBROKEN)}
            if found:
                yield found[RADIUS], found[UNBROKEN]
