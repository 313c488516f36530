"""What a report shows, gathered once from a run folder that may be complete, still growing or interrupted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tinyfuse.checks.line_rows import by_line
from tinyfuse.checks.run_checks import Flag, Gap, coverage, run_checks
from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.core.provenance import RunFacts, read_run
from tinyfuse.core.results import ResultStore, Row
from tinyfuse.report.summary import LineCurves, SummaryRow, summarise
from tinyfuse.report.trainings import pooled
from tinyfuse.report.vocabulary import NORMS
from tinyfuse.report.waves import is_wave, wave_section
from tinyfuse.study.latest_rows import latest_rows
from tinyfuse.study.stages.examples import Example, read_examples
from tinyfuse.study.worst_case import FLOAT_EXECUTOR, INTEGER_EXECUTOR, budgets_among, reference_epsilon
from tinyfuse.threats.budgets import Epsilon, Spent
from tinyfuse.threats.modes import mode_name


@dataclass(frozen=True, kw_only=True)
class RunView:
    """Rows in scope and everything derived from them; ``curves`` and ``drawn`` are by (model, precision).

    The table has the lines of every training. Figures show ``drawn``: the mean, with its interval, over the trainings
    with ``seeds``, which judged the same samples. What is told of one training (``curves``, text) is about ``seed``,
    the lowest. ``gaps`` are the checks that could not be made. ``missing`` results and ``notes`` are sentences for the
    reader; ``examples`` show attacks, ``waves`` those before the front end.
    """

    rows: Sequence[Row]
    facts: RunFacts | None
    norm: str
    epsilon: Epsilon | None
    seed: int
    flags: Sequence[Flag]
    gaps: Sequence[Gap]
    summary: Sequence[SummaryRow]
    failed: Sequence[Row]
    curves: dict[tuple[str, str], LineCurves]
    missing: Sequence[str]
    notes: Sequence[str]
    seeds: Sequence[int]
    drawn: Mapping[tuple[str, str], LineCurves]
    examples: Sequence[Example] = ()
    waves: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lines(self) -> list[SummaryRow]:
        """The summary lines of the training with ``seed``."""
        return [line for line in self.summary if line.seed == self.seed]

    def lines_of(self, model: str) -> list[SummaryRow]:
        """Return those of one model."""
        return [line for line in self.lines if line.model == model]

    @property
    def scope(self) -> str:
        """On what and in which norm was judged, for captions: "embedded, official split, test part, L∞"."""
        judged = [row for row in self.rows if row["kind"] in ("clean", "attack")]
        where = f"{judged[-1]['data']}, {judged[-1]['split']} split, {judged[-1]['part']} part, " if judged else ""
        return where + NORMS.get(self.norm, self.norm)

    @property
    def seed_rows(self) -> list[Row]:
        """The rows of the seed that the figures show."""
        return [row for row in self.rows if row["seed"] == self.seed]

    @property
    def budgets(self) -> list[Spent]:
        """The budgets that were attacked in the norm of the page."""
        return budgets_among(self.rows, self.norm)

    @property
    def models(self) -> list[str]:
        """Model names in the order of the table."""
        return list(dict.fromkeys(line.model for line in self.summary))


def only_analyses(rows: Sequence[Row]) -> bool:
    """Return whether ``rows`` are what `tinyfuse analyse` left, and no run of anything else."""
    return bool(rows) and all(row["kind"] == "analysis" for row in rows)


def load(run_dir: str | Path, *, epsilon: Epsilon | None = None, store: ResultStore | None = None) -> RunView:
    """Read ``run.json`` and ``results.jsonl`` of a run folder; either may be missing, but not both.

    ``store``: the rows, where they have been read.
    """
    folder = Path(run_dir)
    facts_path, rows_path = folder / "run.json", folder / "results.jsonl"
    if not facts_path.exists() and not rows_path.exists():
        raise UsageError(f"{folder}: neither run.json nor results.jsonl here; give the folder of a bench run, a "
                         "selection or analyses")
    facts, notes = None, []
    try:
        facts = read_run(facts_path) if facts_path.exists() else None
    except DataError as error:
        notes.append(str(error))
    examples: list[Example] = []
    try:
        examples = read_examples(folder)
    except DataError as error:
        notes.append(str(error))
    rows = (ResultStore(rows_path) if store is None else store).rows()
    if facts is None and only_analyses(rows):
        raise UsageError(f"{folder} holds analyses alone, no bench run; their page is analyses.html, which `tinyfuse "
                         f"report {folder}` writes")
    inputs = [row for row in rows if not is_wave(row)]
    return replace(view_of(inputs, facts, notes=notes, epsilon=epsilon), examples=examples,
                   waves=wave_section(rows, folder))


def view_of(rows: Iterable[Row], facts: RunFacts | None = None, *, notes: Iterable[str] = (),
            epsilon: Epsilon | None = None) -> RunView:
    """Derive the view from rows in memory; ``epsilon`` is the budget of the table's robust columns."""
    known, scope_notes = latest_rows(rows)
    norms = {row["norm"] for row in known if row["kind"] == "attack"}
    norm = "linf" if "linf" in norms or not norms else min(norms)
    extra = [f"attacks in norm {name} are in results.jsonl but not shown" for name in sorted(norms - {norm})]
    flags = run_checks(known)
    budget = reference_epsilon(known, norm=norm) if epsilon is None else epsilon
    summary = summarise(known, epsilon=budget, norm=norm, executor=INTEGER_EXECUTOR, flags=flags)
    seed = min((line.seed for line in summary), default=0)
    done = {(line.model, line.precision, line.seed) for line in summary}
    failed = [row for row in known if row["kind"] == "failed" and
              (row["model"], row["precision"], row["seed"]) not in done]
    groups = by_line(known)
    # Trainings on other data did not judge the same samples.
    data = {row["seed"]: row["data_checksum"] for row in known}
    seeds = sorted({line.seed for line in summary if data[line.seed] == data[seed]})
    found: dict[tuple[str, str], dict[int, LineCurves]] = defaultdict(dict)
    for line in summary:
        if line.seed in seeds:
            found[line.model, line.precision][line.seed] = LineCurves.of(
                groups[line.model, line.precision, line.seed], line.executor, norm)
    curves = {name: trainings[seed] for name, trainings in found.items() if seed in trainings}
    drawn = {name: pooled(list(trainings.values())) for name, trainings in found.items()}
    return RunView(rows=known, facts=facts, norm=norm, epsilon=budget, seed=seed, flags=flags, gaps=coverage(known),
                   summary=summary, failed=failed, curves=curves, missing=_missing_rows(known, summary),
                   notes=[*notes, *scope_notes, *extra], seeds=seeds, drawn=drawn)


def _missing_rows(rows: Sequence[Row], summary: Sequence[SummaryRow]) -> list[str]:
    """Compare each line with all that was evaluated on lines of its kind."""
    groups = by_line(rows)
    done = [{_measurement(row) for row in groups[line.model, line.precision, line.seed]
             if row["kind"] in ("clean", "attack") and row["executor"] == line.executor} for line in summary]
    expected: dict[tuple[object, ...], set[tuple[object, ...]]] = defaultdict(set)
    for line, found in zip(summary, done, strict=True):
        expected[_kind(line)] |= found
    sentences = []
    for line, found in zip(summary, done, strict=True):
        # Nothing is replayed on the precision that it was made for.
        total = {each for each in expected[_kind(line)] if each[0] != line.precision}
        lacking = f"{len(total - found)} of {len(total)} results" if total - found else ""
        if line.clean is None:
            lacking = "the clean accuracy"
        elif any(mode for *_, mode, _ in found) and not line.robust:
            lacking = "clean verdicts on the attacked samples or an attack at the shown ε"
        sentences += [f"{line.model} {line.precision}: {lacking} ({line.executor})"] * bool(lacking)
    return sentences


def _measurement(row: Row) -> tuple[object, ...]:
    """Return what was measured; the source is named only where inputs were made for another precision."""
    source = row["source"] if row["source"] not in ("", row["precision"]) else ""
    return (source, row["profile"], row["attack"]["name"], row["criterion"], row["threat"],
            mode_name(row["attacked"], row["inputs"]), tuple(row["budget"].values()))


def _kind(line: SummaryRow) -> tuple[object, ...]:
    """Return lines that are judged in the same ways: of networks with the same inputs, float or integer."""
    return line.inputs, line.is_float, line.executor == FLOAT_EXECUTOR
