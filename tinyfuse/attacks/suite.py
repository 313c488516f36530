"""A suite of attacks over modes and budgets, with every short cut that leaves the answer as it is.

Robust means: correct when clean, and broken by no attack of the suite at any budget up to this one, nor in a mode that
changes fewer inputs (union semantics). So a sample broken at a smaller budget, or through fewer inputs, is not
attacked again: its perturbation is legal here too. One gradient serves the fast gradient method at all budgets and
in all modes, and the first step of the others. A target that computes batches of a fixed size has places left when
samples leave; the next budgets of the mode fill them, ahead of time (packing.py): what they find out about a sample
that a smaller budget breaks after all is dropped. Suites that count the last iterate alone allow no short cut and run
in full.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial, misclassified
from tinyfuse.attacks.attack import GradientAttack
from tinyfuse.attacks.guards import check_request, checked_logits, sound_gradient
from tinyfuse.attacks.oracle import Oracle, Problem
from tinyfuse.attacks.packing import Climbing, Packing
from tinyfuse.attacks.pgd import FGSM
from tinyfuse.attacks.profiles import Profile
from tinyfuse.attacks.target import DifferentiableTarget, zero_gradient
from tinyfuse.data.samples import Batch
from tinyfuse.threats.audit import audit
from tinyfuse.threats.threat import Threat

CellKey = tuple[str, float]
Tick = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Cell:
    """One mode of attack at one budget; ``threat`` is in the units of the target's inputs.

    ``epsilon`` orders the budgets: in every mode, what a smaller one allows a larger one does.
    """

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
    ``point`` holds for these the attacked inputs of what broke them, or else of the last attempt. ``by_attack``: by
    title, flags bool [n] of attacks that ran on every sample; ``zero_gradient`` bool [n] at the clean point;
    ``queries``: gradients and forward passes spent.
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
              modes: Collection[str] | None = None, tick: Tick = lambda note: None) -> Iterator[CellOutcome]:
    """Yield the outcome of each of ``cells`` that is not ``known``, by mode as given and rising budget.

    ``known``: union flags bool [n] of cells that an earlier, interrupted call finished. ``carried``: flags bool [n]
    of samples that are broken in a cell for another reason, such as a threat whose every input is legal here.
    Without ``by_attack`` the fast gradient method, too, runs on nothing but samples that are not broken yet.
    ``modes``: attack in these alone (default: all); what is not known of others does not count in the union.
    Every adversarial input is audited before it counts.
    """
    labels = np.asarray(labels)
    check_request(target, batch, labels, [cell.threat for cell in cells])
    found = dict(known or {})
    order = [cell.mode for cell in cells]
    waiting = sorted((cell for cell in cells if cell.key not in found and (modes is None or cell.mode in modes)),
                     key=lambda cell: (len(cell.threat.attacked), order.index(cell.mode), cell.epsilon))
    if not waiting:
        return
    # Also where few cells wait: which inputs are differentiated together decides how the gradient is compiled.
    every = tuple(dict.fromkeys(name for cell in cells for name in cell.threat.attacked))
    wrong = misclassified(checked_logits(target, batch, labels), labels)
    gradient = sound_gradient(target.gradient(batch, labels, every), target.name, batch, labels, every)
    rows = np.arange(len(labels))
    problem = Problem(batch, labels, waiting[0].threat, rows, rows, target.grids, gradient, not profile.last_iterate)
    suite = _Suite(target, problem, profile, by_attack, wrong)
    attacked = {cell.mode: set(cell.threat.attacked) for cell in cells}
    for mode, group in itertools.groupby(waiting, key=lambda cell: cell.mode):
        ladder = list(group)
        within = [name for name, names in attacked.items() if names <= attacked[mode]]
        given = [[flags for (name, epsilon), flags in found.items() if epsilon <= cell.epsilon and name in within]
                 + ([carried[cell.key]] if carried and cell.key in carried else []) for cell in ladder]
        outcomes = suite.in_full(ladder, tick) if profile.last_iterate else _Ladder(suite, ladder, given).climbed(tick)
        for outcome in outcomes:
            found[outcome.cell.key] = outcome.broken
            yield outcome


@dataclass(frozen=True, eq=False)
class _Suite:
    """One target and the problem of all samples; ``wrong``: misclassified when clean."""

    target: DifferentiableTarget
    every: Problem
    profile: Profile
    by_attack: bool
    wrong: np.ndarray

    def in_full(self, cells: Sequence[Cell], tick: Tick) -> Iterator[CellOutcome]:
        """Run every attack on every sample of the ``cells`` of one mode; only last iterates count."""
        oracle = self.oracle(cells[0])
        for cell in cells:
            tick(f"{cell.mode} {cell.epsilon:g}")
            problem, broken = self.problem(cell), self.wrong.copy()
            state = _State(cell, problem)
            for attack in self.profile.attacks:
                found = attack.solve(problem, oracle)
                audit(found.last, problem.batch, cell.threat)
                state.by_attack[attack.title] = found.broken_last
                state.take(found, found.last, problem.places, found.broken_last | ~broken)
                broken |= found.broken_last
            yield state.outcome(broken, problem.places)

    def oracle(self, cell: Cell) -> Oracle:
        """Return what answers the attacks on all cells of a mode."""
        return Oracle(self.target, self.every.batch, self.every.labels, cell.threat.attacked)

    def problem(self, cell: Cell) -> Problem:
        """Return what an attack on all samples of a cell works on."""
        return replace(self.every, threat=cell.threat)


class _State:
    """What is known of a cell while attacks run on it."""

    def __init__(self, cell: Cell, problem: Problem) -> None:
        self.cell, self.problem = cell, problem
        self.point = {name: problem.batch[name].copy() for name in cell.threat.attacked}
        self.by_attack: dict[str, np.ndarray] = {}
        self.queries = 0

    def take(self, found: Adversarial, point: Batch, rows: np.ndarray, chosen: np.ndarray) -> None:
        """Copy those samples of ``point``, which stands for ``rows``, that are ``chosen`` (bool)."""
        for name, values in self.point.items():
            values[rows[chosen]] = point[name][chosen]
        self.queries += found.queries

    def outcome(self, broken: np.ndarray, rows: np.ndarray) -> CellOutcome:
        """Return what to tell about the cell."""
        assert self.problem.known is not None
        return CellOutcome(self.cell, broken, rows, {name: values[rows] for name, values in self.point.items()},
                           self.by_attack, zero_gradient(self.problem.known.wrt, self.cell.threat), self.queries)


class _Ladder:
    """The cells of one mode by rising budget, each attack only on what is not broken yet.

    ``hit``: by cell, flags of what is broken there, whether or not at smaller budgets; ``given``: broken before.
    """

    def __init__(self, suite: _Suite, cells: Sequence[Cell], given: Sequence[Sequence[np.ndarray]]) -> None:
        self.suite, self.cells = suite, cells
        self.given = [np.logical_or.reduce([suite.wrong, *flags]) for flags in given]
        self.hit = [flags.copy() for flags in self.given]
        self.states: dict[int, _State] = {}
        self.problems = [suite.problem(cell) for cell in cells]
        self.oracle = suite.oracle(cells[0])
        attacks = suite.profile.attacks
        self.in_full = [attack for attack in attacks if suite.by_attack and isinstance(attack, FGSM)]
        self.climbs = [one for one in attacks if isinstance(one, GradientAttack) and one not in self.in_full]
        self.rest = [attack for attack in attacks if not isinstance(attack, GradientAttack)]

    def climbed(self, tick: Tick) -> Iterator[CellOutcome]:
        """Yield the outcomes from the bottom up."""
        packing = Packing(self, self.oracle, 2 * int(getattr(self.suite.target, "batch_size", 0)))
        for index, cell in enumerate(self.cells):
            tick(f"{cell.mode} {cell.epsilon:g}")
            self.open(index)
            if self.climbs:
                packing.finish(index)
            for attack in self.rest:
                left = np.flatnonzero(~self.broken(index))
                if len(left):
                    problem = self.problems[index].take(left)
                    self._believe(index, attack.solve(problem, self.oracle), problem)
            before = np.logical_or.reduce([*self.hit[:index], self.given[index]])
            yield self.states.pop(index).outcome(self.broken(index), np.flatnonzero(~before))

    def __len__(self) -> int:
        return len(self.cells)

    def broken(self, index: int) -> np.ndarray:
        """Return bool [n]: broken in this cell or at a smaller budget, as far as is known."""
        return np.asarray(np.logical_or.reduce(self.hit[:index + 1]))

    def open(self, index: int) -> None:
        """Begin a cell with the attacks that run on every sample."""
        if index in self.states:
            return
        self.states[index] = _State(self.cells[index], self.problems[index])
        for attack in self.in_full:
            found = attack.solve(self.problems[index], self.oracle)
            self.states[index].by_attack[attack.title] = found.broken
            self._believe(index, found, self.problems[index])

    def climb(self, index: int, rows: np.ndarray) -> Climbing:
        """Run the attacks by gradients one after the other, each on what is left of ``rows``."""
        for attack in self.climbs:
            left = rows[~self.broken(index)[rows]]
            if len(left):
                problem = self.problems[index].take(left)
                found = yield from attack.climb(problem)
                self._believe(index, found, problem)

    def _believe(self, index: int, found: Adversarial, problem: Problem) -> None:
        """Count what an attack did to ``problem`` if all that it made is legal."""
        rows = problem.places
        audit(found.strongest, problem.batch, problem.threat)
        self.states[index].take(found, found.strongest, rows, ~self.broken(index)[rows])
        self.hit[index][rows] |= found.broken
