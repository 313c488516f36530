"""A suite of attacks over modes and budgets, with every short cut that leaves the answer as it is.

Robust means: correct when clean, and broken by no attack of the suite at any budget up to this one, nor in a mode that
changes fewer modalities (union semantics). So a sample broken at a smaller budget, or by one modality alone, is not
attacked again: its perturbation is legal here too. One gradient serves the fast gradient method at all budgets and
in all modes, and the first step of the others. A target that computes batches of a fixed size has places left when
samples leave; the next budgets of the mode fill them, ahead of time: what they find out about a sample that a smaller
budget breaks after all is dropped. Suites that count the last iterate alone allow no short cut and run in full.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial, misclassified
from tinyfuse.attacks.fgsm import one_step
from tinyfuse.attacks.guards import check_request, checked_gradient, checked_logits
from tinyfuse.attacks.oracle import Ask, Asking, Oracle, answered, taken
from tinyfuse.attacks.pgd import climbing
from tinyfuse.attacks.profiles import Entry, Profile
from tinyfuse.attacks.registry import ITERATIVE, attack
from tinyfuse.attacks.steps import step_sizes, zero_gradient
from tinyfuse.attacks.target import Batch, DifferentiableTarget, Gradient
from tinyfuse.threats.audit import audit
from tinyfuse.threats.threat import Threat

CellKey = tuple[str, float]


@dataclass(frozen=True, eq=False)
class Cell:
    """One mode (image, audio, both) at one budget; ``threat`` is in the units of the target's inputs."""

    mode: str
    epsilon: float
    threat: Threat = field(repr=False)

    @property
    def key(self) -> CellKey:
        """What names the cell."""
        return self.mode, self.epsilon


@dataclass(frozen=True, eq=False)
class CellOutcome:
    """What the suite did in one cell, for n samples.

    ``broken`` bool [n]: the union. ``rows`` int [m]: the samples attacked here, the others being broken already;
    ``point`` holds for these the attacked modalities of what broke them, or else of the last attempt. ``by_attack``:
    flags bool [n] of attacks that ran on every sample; ``zero_gradient`` bool [n] at the clean point; ``queries``:
    gradients and forward passes spent.
    """

    cell: Cell
    broken: np.ndarray = field(repr=False)
    rows: np.ndarray = field(repr=False)
    point: dict[str, np.ndarray] = field(repr=False)
    by_attack: dict[str, np.ndarray] = field(repr=False)
    zero_gradient: np.ndarray = field(repr=False)
    queries: int


def run_suite(target: DifferentiableTarget, batch: Batch, labels: np.ndarray, cells: Sequence[Cell],
              profile: Profile, *, known: Mapping[CellKey, np.ndarray] | None = None,
              carried: Mapping[CellKey, np.ndarray] | None = None, by_attack: bool = True,
              tick: Callable[[str], None] = lambda note: None) -> Iterator[CellOutcome]:
    """Yield the outcome of each of ``cells`` that is not ``known``, by mode as given and rising budget.

    ``known``: union flags bool [n] of cells that an earlier, interrupted call finished. ``carried``: flags bool [n]
    of samples that are broken in a cell for another reason, such as a threat whose every input is legal here.
    Without ``by_attack`` the fast gradient method, too, runs on nothing but samples that are not broken yet.
    Every adversarial input is audited before it counts.
    """
    labels = np.asarray(labels)
    check_request(target, batch, labels, [cell.threat for cell in cells])
    found = dict(known or {})
    order = [cell.mode for cell in cells]
    waiting = sorted((cell for cell in cells if cell.key not in found),
                     key=lambda cell: (len(cell.threat.modalities), order.index(cell.mode), cell.epsilon))
    if not waiting:
        return
    suite = _Suite(target, batch, labels, profile, by_attack,
                   misclassified(checked_logits(target, batch, labels), labels),
                   checked_gradient(target, batch, labels, tuple(dict.fromkeys(
                       name for cell in waiting for name in cell.threat.modalities))))
    modalities = {cell.mode: set(cell.threat.modalities) for cell in cells}
    for _, group in itertools.groupby(waiting, key=lambda cell: cell.mode):
        ladder = list(group)
        given = [[flags for (mode, epsilon), flags in found.items()
                  if epsilon <= cell.epsilon and modalities.get(mode, {"?"}) <= modalities[cell.mode]]
                 + ([carried[cell.key]] if carried and cell.key in carried else []) for cell in ladder]
        for outcome in (suite.in_full(ladder, tick) if profile.last_iterate else
                        _Ladder(suite, ladder, given).climbed(tick)):
            found[outcome.cell.key] = outcome.broken
            yield outcome


@dataclass(frozen=True, eq=False)
class _Suite:
    """One target and batch; ``wrong``: misclassified when clean; ``gradient``: at the clean point."""

    target: DifferentiableTarget
    batch: Batch
    labels: np.ndarray
    profile: Profile
    by_attack: bool
    wrong: np.ndarray
    gradient: Gradient

    def in_full(self, cells: Sequence[Cell], tick: Callable[[str], None]) -> Iterator[CellOutcome]:
        """Every attack on every sample of the ``cells`` of one mode; only last iterates count."""
        oracle, rows = self.oracle(cells[0]), np.arange(len(self.labels))
        for cell in cells:
            tick(f"{cell.mode} {cell.epsilon:g}")
            state = _State(cell, self.batch)
            broken = self.wrong.copy()
            for entry in self.profile.entries:
                found = self.run(entry, cell, rows, oracle)
                audit(found.last, self.batch, cell.threat)
                state.by_attack[entry.name] = found.broken_last
                state.take(found, found.last, rows, found.broken_last | ~broken)
                broken |= found.broken_last
            yield state.outcome(broken, rows, self.zero(cell))

    def oracle(self, cell: Cell) -> Oracle:
        """What answers the attacks on all cells of a mode."""
        return Oracle(self.target, self.batch, self.labels, cell.threat.modalities)

    def run(self, entry: Entry, cell: Cell, rows: np.ndarray, oracle: Oracle) -> Adversarial:
        """One attack on ``rows``, alone."""
        if entry.attack in _ASKING:
            return answered(self.asking(entry, cell, rows), oracle)
        batch, labels, threat = self.some(cell, rows)
        return attack(entry.attack, self.target, batch, labels, [threat], sample_ids=rows,
                      **self.parameters(entry, threat))[0]

    def asking(self, entry: Entry, cell: Cell, rows: np.ndarray) -> Asking:
        """One attack by gradients on ``rows``."""
        batch, labels, threat = self.some(cell, rows)
        gradient = taken(self.gradient, rows)
        if entry.attack == "fgsm":
            return one_step(batch, labels, threat, gradient, places=rows)
        parameters = self.parameters(entry, threat)
        if entry.attack == "mim":
            parameters.setdefault("momentum", 1.0)
        plain = parameters.get("loss", "cross-entropy") == "cross-entropy"
        return climbing(batch, labels, threat, sample_ids=rows, places=rows, first=gradient if plain else None,
                        survivors_only=not self.profile.last_iterate, **parameters)

    def parameters(self, entry: Entry, threat: Threat) -> dict[str, Any]:
        """The entry's own, with the step in the units of the threat."""
        parameters: dict[str, Any] = dict(entry.parameters)
        if "step_size" in parameters:
            parameters["step_size"] = step_sizes(threat, 1, float(parameters["step_size"]), self.target.grids)
        return parameters

    def some(self, cell: Cell, rows: np.ndarray) -> tuple[Batch, np.ndarray, Threat]:
        """The batch, labels and threat for ``rows``."""
        if len(rows) == len(self.labels):
            return self.batch, self.labels, cell.threat
        return ({name: values[rows] for name, values in self.batch.items()}, self.labels[rows],
                cell.threat.take(rows))

    def zero(self, cell: Cell) -> np.ndarray:
        """The samples without a gradient at the clean point."""
        return zero_gradient(self.gradient.wrt, cell.threat)


_ASKING = ("fgsm", *ITERATIVE)


class _State:
    """What is known of a cell while attacks run on it."""

    def __init__(self, cell: Cell, batch: Batch) -> None:
        self.cell = cell
        self.point = {name: batch[name].copy() for name in cell.threat.modalities}
        self.by_attack: dict[str, np.ndarray] = {}
        self.queries = 0

    def take(self, found: Adversarial, point: Batch, rows: np.ndarray, chosen: np.ndarray) -> None:
        """Keep those samples of ``point``, which stands for ``rows``, that are ``chosen`` (bool)."""
        for name, values in self.point.items():
            values[rows[chosen]] = point[name][chosen]
        self.queries += found.queries

    def outcome(self, broken: np.ndarray, rows: np.ndarray, zero: np.ndarray) -> CellOutcome:
        """What to tell about the cell."""
        point = {name: values[rows] for name, values in self.point.items()}
        return CellOutcome(self.cell, broken, rows, point, self.by_attack, zero, self.queries)


@dataclass(eq=False)
class _Wave:
    """Samples of one cell that climb together, and what they ``ask`` at the moment."""

    index: int
    rows: np.ndarray
    climb: Generator[Ask, Any, None]
    ask: Ask = field(init=False)


class _Ladder:
    """The cells of one mode by rising budget, each attack only on what is not broken yet.

    ``hit``: by cell, flags of what is broken there, whether or not at smaller budgets; ``given``: broken before.
    ``places``: how many samples climb at a time, of all cells together; two batches are fuller than one. 0: a target
    that computes any number of samples at the same price each, for which cells run one after the other.
    """

    def __init__(self, suite: _Suite, cells: Sequence[Cell], given: Sequence[Sequence[np.ndarray]]) -> None:
        self.suite, self.cells = suite, cells
        self.given = [np.logical_or.reduce([suite.wrong, *flags]) for flags in given]
        self.hit = [flags.copy() for flags in self.given]
        self.started = [np.zeros(len(suite.wrong), bool) for _ in cells]
        self.states: dict[int, _State] = {}
        self.waves: list[_Wave] = []
        self.oracle = suite.oracle(cells[0])
        self.places = 2 * int(getattr(suite.target, "batch_size", 0))
        entries = suite.profile.entries
        self.in_full = [entry for entry in entries if suite.by_attack and entry.attack == "fgsm"]
        self.climbs = [entry for entry in entries if entry.attack in _ASKING and entry not in self.in_full]
        self.rest = [entry for entry in entries if entry.attack not in _ASKING]

    def climbed(self, tick: Callable[[str], None]) -> Iterator[CellOutcome]:
        """Yield the outcomes from the bottom up."""
        for index, cell in enumerate(self.cells):
            tick(f"{cell.mode} {cell.epsilon:g}")
            self._open(index)
            while (self.climbs and self._candidates(index).any()) or any(wave.index == index for wave in self.waves):
                self._fill(index)
                self._advance()
            for entry in self.rest:
                left = np.flatnonzero(~self._broken(index))
                if len(left):
                    self._judge(index, self.suite.run(entry, cell, left, self.oracle), left)
            before = np.logical_or.reduce([*self.hit[:index], self.given[index]])
            yield self.states.pop(index).outcome(self._broken(index), np.flatnonzero(~before), self.suite.zero(cell))

    def _broken(self, index: int) -> np.ndarray:
        return np.asarray(np.logical_or.reduce(self.hit[:index + 1]))

    def _candidates(self, index: int) -> np.ndarray:
        """Bool [n]: may climb in this cell. Those that left a climb at a smaller budget seem to be broken there."""
        found = ~(self._broken(index) | self.started[index])
        for wave in self.waves:
            if wave.index < index:
                found[np.setdiff1d(wave.rows, wave.ask.rows, assume_unique=True)] = False
        return np.asarray(found)

    def _open(self, index: int) -> None:
        """Begin a cell with the attacks that run on every sample."""
        if index in self.states:
            return
        self.states[index] = _State(self.cells[index], self.suite.batch)
        rows = np.arange(len(self.suite.labels))
        for entry in self.in_full:
            found = self.suite.run(entry, self.cells[index], rows, self.oracle)
            self.states[index].by_attack[entry.name] = found.broken
            self._judge(index, found, rows)

    def _fill(self, lowest: int) -> None:
        """Begin climbs in this cell, then ahead of time, until places run out; small ones wait for company."""
        for index in range(lowest, len(self.cells)):
            while self._candidates(index).any():
                free = self.places - sum(len(wave.ask.rows) for wave in self.waves)
                if self.waves and free < max(1, self.places // 8):
                    return
                self._open(index)
                rows = np.flatnonzero(self._candidates(index))[:free if self.places else None]
                self.started[index][rows] = True
                self._send(_Wave(index, rows, self._climb(index, rows)))

    def _climb(self, index: int, rows: np.ndarray) -> Generator[Ask, Any, None]:
        for entry in self.climbs:
            left = rows[~self._broken(index)[rows]]
            if len(left):
                found = yield from self.suite.asking(entry, self.cells[index], left)
                self._judge(index, found, left)

    def _advance(self) -> None:
        """Answer what all climbs ask."""
        waves, self.waves = self.waves, []
        for wave, answer in zip(waves, self.oracle.answers([wave.ask for wave in waves]), strict=True):
            self._send(wave, answer)

    def _send(self, wave: _Wave, answer: Any = None) -> None:
        with contextlib.suppress(StopIteration):
            wave.ask = wave.climb.send(answer)
            self.waves.append(wave)

    def _judge(self, index: int, found: Adversarial, rows: np.ndarray) -> None:
        """Believe an attack on ``rows`` if what it made is legal."""
        clean, _, threat = self.suite.some(self.cells[index], rows)
        audit(found.strongest, clean, threat)
        self.states[index].take(found, found.strongest, rows, ~self._broken(index)[rows])
        self.hit[index][rows] |= found.broken
