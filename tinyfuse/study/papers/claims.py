"""Claims of a paper: small frozen objects, written down before the run, with the contrast and the rule that decide."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from tinyfuse.core.files import sha256_hex
from tinyfuse.study.worst_case import FLOAT

BOTH = "mean"
"""In place of an attack: the mean over all attacks of the suite, pair by pair."""
LEVEL = 0.05
"""Of all claims of a study together (Holm)."""


@dataclass(frozen=True)
class Curve:
    """Accuracy of ``model`` in one ``precision`` with the inputs ``attacked`` (none: clean) by one ``attack``.

    ``suite``: whose attack it is. ``masked``: padding was not attackable. ``epsilons``: budgets that count (default:
    all that were measured), of an attack on several inputs the largest one.
    """

    model: str
    attacked: tuple[str, ...] = ()
    attack: str = BOTH
    precision: str = FLOAT
    suite: str = "paper"
    masked: bool = False
    epsilons: tuple[float, ...] = ()


@dataclass(frozen=True)
class Ratio:
    """Accuracy ``after`` over accuracy ``before``, budget by budget; nothing where ``before`` is under 5 %."""

    after: Curve
    before: Curve


Quantity = Curve | Ratio


@dataclass(frozen=True)
class Contrast:
    """``more`` minus ``less``, averaged over the budgets that both have: what is above 0 if the claim is true.

    Where both name their budgets, those in the same place are compared, which may differ.
    """

    text: str
    more: Quantity
    less: Quantity

    def budgets(self, more: Collection[float], less: Collection[float]) -> list[tuple[float, float]]:
        """Pair the budgets of ``more`` with those of ``less`` that they are compared with, of those measured."""
        named = [side.epsilons for side in (self.more, self.less) if isinstance(side, Curve) and side.epsilons]
        if len(named) == 2:
            return list(zip(*named, strict=True))
        return [(one, one) for one in sorted(more) if one in less]


@dataclass(frozen=True)
class Claim:
    """A ``statement`` of a paper at a ``place`` of it: true if every contrast lies above ``margin``."""

    name: str
    statement: str
    place: str
    contrasts: tuple[Contrast, ...]
    margin: float = 0.0

    @property
    def rule(self) -> str:
        """Say how the verdict is made."""
        every = "the contrast lies" if len(self.contrasts) == 1 else f"each of {len(self.contrasts)} contrasts lies"
        return (f"holds: {every} above {self.margin:g} (largest one-sided p of them); does not hold: one lies below "
                f"(smallest one-sided p times their number); at {LEVEL:.0%} over all claims of the study (Holm), "
                "interval and p over trainings and samples; otherwise it cannot be decided")

    @property
    def sha256(self) -> str:
        """Checksum of everything that decides the verdict."""
        return sha256_hex(repr(self).encode())

    def deployed(self, bits: int) -> Claim | None:
        """Return the same claim about integers of so many bits; None if it is about other widths."""
        found = tuple(replace(one, more=more, less=less) for one in self.contrasts
                      if (more := _deployed(one.more, bits)) and (less := _deployed(one.less, bits)))
        return replace(self, contrasts=found) if found else None

    def curves(self) -> Iterator[Curve]:
        """Yield every accuracy that the contrasts are made of."""
        for contrast in self.contrasts:
            for side in (contrast.more, contrast.less):
                yield from (side,) if isinstance(side, Curve) else (side.after, side.before)


def simulated(bits: int) -> str:
    """Name the weights of a layer rounded to 2^bits values from min to max in a float network, as papers do."""
    return f"minmax{bits}"


def integers(bits: int) -> str:
    """Name the deployed integers with weights of so many bits."""
    return f"w{bits}"


def _deployed(side: Quantity, bits: int) -> Quantity | None:
    if isinstance(side, Curve):
        return replace(side, precision=integers(bits)) if side.precision == FLOAT else None
    if side.after.precision != simulated(bits):
        return None
    return replace(side, after=replace(side.after, precision=integers(bits)))
