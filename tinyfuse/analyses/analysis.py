"""What every analysis is: a frozen dataclass of its settings that looks at a model and some samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from tinyfuse.analyses.subject import AnalysisSubject
from tinyfuse.core.errors import UsageError
from tinyfuse.data.samples import Samples

Advance = Callable[..., None]
"""``advance(steps=1, note="")``: that much of the work is done."""
Status = Literal["measured", "estimate", "certified"]


@dataclass(frozen=True)
class Quantity:
    """A kind of figure: its ``name`` in rows, ``title`` in tables, ``unit`` ("" for a plain number) and meaning.

    ``headline``: a row that is about exactly these keys stands in the short table; None: none does.
    """

    name: str
    title: str
    unit: str
    meaning: str
    headline: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Finding:
    """One figure: a ``quantity``, of what it is (``of``: such as input, class, layer, each by name) and its value.

    ``value`` is None where there is none: a density without spread, a class without samples. ``low`` and ``high``: the
    ends of its 95 % interval. ``each``: sample by sample, None where a sample has none. ``n``: how many samples.
    ``status``: "certified" is a proof, "estimate" is one that could err to the safe-looking side.
    """

    quantity: str
    of: Mapping[str, str]
    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    each: Sequence[float | None] | np.ndarray | None = field(default=None, repr=False)
    status: Status = "measured"


@dataclass(frozen=True)
class Analysis(ABC):
    """Settings of an analysis, and as class attributes what it is about.

    ``needs``: what a model must have, keys of :data:`tinyfuse.analyses.subject.NEEDS`. ``quantities``: what its
    findings are. ``least``: the smallest value of each setting that is a number; a smaller one is a UsageError.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    quantities: ClassVar[tuple[Quantity, ...]]
    least: ClassVar[Mapping[str, float]] = {}

    def __post_init__(self) -> None:
        for name, smallest in self.least.items():
            value = getattr(self, name)
            if value is not None and not smallest <= value < float("inf"):
                raise UsageError(f"{self.name}: {name} is {value}; give at least {smallest:g}")

    def work(self, subject: AnalysisSubject, samples: Samples) -> int:
        """Tell how often :meth:`run` calls ``advance`` in all; 0: it takes a moment."""
        return 0

    @abstractmethod
    def run(self, subject: AnalysisSubject, samples: Samples, advance: Advance) -> Iterable[Finding]:
        """Look at ``subject`` on ``samples`` (real inputs of the test part); return or yield what is found."""


ANALYSES: dict[str, type[Analysis]] = {}
"""The analyses by name, in the order in which they run; a new one is one new file and its name in ``__init__``."""


def register(kind: type[Analysis]) -> type[Analysis]:
    """Add an analysis to :data:`ANALYSES`; a decorator."""
    ANALYSES[kind.name] = kind
    return kind
