"""What a study of a paper is: networks to train, attacks, figures and claims, as plain frozen values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tinyfuse.attacks.profiles import Profile
from tinyfuse.study.papers.claims import Claim, Curve, Quantity
from tinyfuse.study.worst_case import FLOAT
from tinyfuse.threats.budgets import Spent

FORMS = {FLOAT: "float, as in the paper", "w8": "integers, 8 bits", "w6": "integers, 6 bits"}
"""What figures show side by side, by precision."""
_QUICK_PRECISIONS = (FLOAT, "minmax6", "w6")


@dataclass(frozen=True)
class Training:
    """A ``network`` of the zoo trained with an ``objective``, known in rows as ``name``."""

    name: str
    network: str
    objective: str = "plain"
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Campaign:
    """``suite`` at every one of ``budgets`` on each of the ``precisions`` of each of the ``trainings``.

    ``modes``: attacked inputs of each attack; default: each input alone and all together. ``masked``: padding is not
    attackable.
    """

    trainings: tuple[str, ...]
    precisions: tuple[str, ...]
    suite: Profile
    budgets: tuple[Spent, ...]
    norm: str = "linf"
    modes: tuple[tuple[str, ...], ...] = ()
    masked: bool = False


@dataclass(frozen=True)
class Examination:
    """``analyses`` by name with ``settings``, on ``samples`` test samples of each of the ``trainings`` in float."""

    trainings: tuple[str, ...]
    analyses: tuple[str, ...]
    samples: int = 200
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Panel:
    """One set of axes: ``lines`` by label."""

    title: str
    lines: Mapping[str, Quantity]


@dataclass(frozen=True)
class Figure:
    """A figure of the paper, drawn again: rows of panels, with the ``expected`` shape in words."""

    place: str
    title: str
    expected: str
    rows: tuple[tuple[Panel, ...], ...]
    ratio: bool = False


def by_attack(attacks: Sequence[str], suite: str, place: str, title: str, expected: str,
              lines: Mapping[str, tuple[str, tuple[str, ...]]]) -> Figure:
    """Return accuracy against the budget: a row for each of the ``attacks``, a column for each of FORMS.

    ``lines``: (training, attacked inputs) by label.
    """
    return Figure(place, title, expected, tuple(tuple(
        Panel(f"{attack.upper()}: {said}", {label: Curve(name, mode, attack, precision, suite)
                                            for label, (name, mode) in lines.items()})
        for precision, said in FORMS.items()) for attack in attacks))


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A study: what is trained, attacked, drawn and claimed.

    ``data``: what the paper used, ``aside``: what differs here beside the data. ``campaigns`` run in this order, the
    most telling first, then the ``examinations``. ``trainings_needed``: fewer decide no claim. So many ``samples`` are
    attacked. A smoke run takes the first ``quick_trainings``.
    """

    name: str
    title: str
    data: str
    aside: str
    trainings: tuple[Training, ...]
    campaigns: tuple[Campaign, ...]
    figures: tuple[Figure, ...]
    claims: tuple[Claim, ...]
    inputs: tuple[str, ...]
    examinations: tuple[Examination, ...] = ()
    trainings_needed: int = 3
    samples: int = 1000
    epochs: int = 12
    batch_size: int = 128
    quick_trainings: int = 3

    @property
    def precisions(self) -> dict[str, list[str]]:
        """What each training is converted to, by its name."""
        found: dict[str, list[str]] = {one.name: [] for one in self.trainings}
        for campaign in self.campaigns:
            for name in campaign.trainings:
                found[name] += [one for one in campaign.precisions if one not in found[name]]
        return found

    def quick(self) -> Paper:
        """Return a smoke run of minutes: few samples, budgets, steps and widths; it decides nothing."""
        kept = tuple(one.name for one in self.trainings[:self.quick_trainings])
        campaigns: dict[tuple[Any, ...], Campaign] = {}
        for one in (_quick(campaign, kept) for campaign in self.campaigns):
            if one.precisions and one.trainings:
                campaigns.setdefault((one.suite.name, one.norm, one.modes, one.masked, one.precisions, one.trainings),
                                     one)
        looks = [replace(one, samples=20, trainings=tuple(name for name in one.trainings if name in kept)[:1])
                 for one in self.examinations]
        return replace(self, samples=20, epochs=1, batch_size=64, trainings_needed=1, campaigns=(*campaigns.values(),),
                       examinations=(*looks,))


def _quick(campaign: Campaign, trainings: tuple[str, ...]) -> Campaign:
    suite = replace(campaign.suite, attacks=tuple(_few_steps(one) for one in campaign.suite.attacks))
    budgets = campaign.budgets if len(campaign.budgets) < 3 else (campaign.budgets[1], campaign.budgets[-1])
    kept = tuple(one for one in campaign.precisions if one in _QUICK_PRECISIONS)
    return replace(campaign, suite=suite, budgets=budgets, precisions=kept,
                   trainings=tuple(one for one in campaign.trainings if one in trainings))


def _few_steps(attack: Any) -> Any:
    return replace(attack, steps=2) if hasattr(attack, "steps") else attack


def rounded(first: float, last: float, count: int) -> tuple[float, ...]:
    """Return ``count`` budgets evenly from first to last, rounded to six decimals."""
    return tuple(round(first + (last - first) * place / (count - 1), 6) for place in range(count))
