"""What a report shows, gathered once from a run folder that may be complete, still growing or interrupted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyfuse.checks.run_checks import Flag, Gap, coverage, run_checks
from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.core.latest_rows import current_rows
from tinyfuse.core.provenance import RunFacts, read_run
from tinyfuse.core.results import ResultStore, Row
from tinyfuse.report.curve_data import LineCurves, curves_of
from tinyfuse.report.vocabulary import NORMS
from tinyfuse.study.summary import FLOAT, FLOAT_EXECUTOR, INTEGER_EXECUTOR, SummaryRow, reference_epsilon, summarise


@dataclass(frozen=True, kw_only=True)
class RunView:
    """Rows in scope and everything derived from them; ``curves`` is by (model, precision).

    ``seed`` is the training seed that the figures show; the table has the lines of every seed. ``gaps`` are the
    checks that could not be made. ``missing`` and ``notes`` are sentences for the reader.
    """

    rows: Sequence[Row]
    facts: RunFacts | None
    norm: str
    epsilon: float | None
    seed: int
    flags: Sequence[Flag]
    gaps: Sequence[Gap]
    summary: Sequence[SummaryRow]
    failed: Sequence[Row]
    curves: dict[tuple[str, str], LineCurves]
    missing: Sequence[str]
    notes: Sequence[str]

    @property
    def lines(self) -> list[SummaryRow]:
        """The summary lines of the seed that the figures show."""
        return [line for line in self.summary if line.seed == self.seed]

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
    def models(self) -> list[str]:
        """Model names in the order of the table."""
        return list(dict.fromkeys(line.model for line in self.summary))


def load(run_dir: str | Path, *, epsilon: float | None = None) -> RunView:
    """Read ``run.json`` and ``results.jsonl`` of a run folder; either may be missing, but not both."""
    folder = Path(run_dir)
    facts_path, rows_path = folder / "run.json", folder / "results.jsonl"
    if not facts_path.exists() and not rows_path.exists():
        raise UsageError(f"{folder}: neither run.json nor results.jsonl here; give the folder of a bench run")
    facts, notes = None, []
    try:
        facts = read_run(facts_path) if facts_path.exists() else None
    except DataError as error:
        notes.append(str(error))
    return view_of(ResultStore(rows_path).rows(), facts, notes=notes, epsilon=epsilon)


def view_of(rows: Iterable[Row], facts: RunFacts | None = None, *, notes: Iterable[str] = (),
            epsilon: float | None = None) -> RunView:
    """Derive the view from rows in memory; ``epsilon`` is the budget of the table's robust columns."""
    kept, scope_notes = current_rows(rows)
    norms = {row["norm"] for row in kept if row["kind"] == "attack"}
    norm = "linf" if "linf" in norms or not norms else min(norms)
    extra = [f"attacks in norm {name} are in results.jsonl but not shown" for name in sorted(norms - {norm})]
    flags = run_checks(kept)
    budget = reference_epsilon(kept, norm=norm) if epsilon is None else epsilon
    summary = summarise(kept, epsilon=budget, norm=norm, executor=INTEGER_EXECUTOR, flags=flags)
    seed = min((line.seed for line in summary), default=0)
    done = {(line.model, line.precision, line.seed) for line in summary}
    failed = [row for row in kept if row["kind"] == "failed" and
              (row["model"], row["precision"], row["seed"]) not in done]
    return RunView(rows=kept, facts=facts, norm=norm, epsilon=budget, seed=seed, flags=flags,
                   gaps=coverage(kept), summary=summary, failed=failed,
                   curves=curves_of(kept, [line for line in summary if line.seed == seed], norm),
                   missing=[*_missing_facts(facts, kept), *_missing_rows(kept, summary)],
                   notes=[*notes, *scope_notes, *extra])


def _missing_facts(facts: RunFacts | None, rows: Sequence[Row]) -> list[str]:
    missing = []
    if facts is None:
        missing.append("the facts of the run (run.json): command, duration, versions and memory are unknown")
    elif not facts.finished:
        missing.append("the end of the run: interrupted or still going on; the same command resumes it")
    if not rows:
        missing.append("all results: nothing has been evaluated yet")
    return missing


def _missing_rows(rows: Sequence[Row], summary: Sequence[SummaryRow]) -> list[str]:
    """Compare each line with all that was evaluated on lines of its kind."""
    judges = {(line.model, line.precision, line.seed): line.executor for line in summary}
    done: dict[tuple[str, str, int], set[tuple[object, ...]]] = defaultdict(set)
    for row in rows:
        key = (row["model"], row["precision"], row["seed"])
        if row["kind"] in ("clean", "attack") and row["executor"] == judges[key]:
            done[key].add(_measurement(row))
    expected: dict[tuple[object, ...], set[tuple[object, ...]]] = defaultdict(set)
    for line in summary:
        expected[_kind(line)] |= done[line.model, line.precision, line.seed]
    sentences = []
    for line in summary:
        # Nothing is replayed on the precision that it was made for.
        total = {each for each in expected[_kind(line)] if each[0] != line.precision}
        found = done[line.model, line.precision, line.seed]
        if line.clean is None:
            sentences.append(f"{line.model} {line.precision}: the clean accuracy ({line.executor})")
        elif any(modality != "none" for *_, modality, _ in found) and not line.robust:
            sentences.append(f"{line.model} {line.precision}: clean verdicts on the attacked samples or an attack "
                             f"at the shown ε ({line.executor})")
        elif total - found:
            sentences.append(f"{line.model} {line.precision}: {len(total - found)} of {len(total)} results "
                             f"({line.executor})")
    return sentences


def _measurement(row: Row) -> tuple[object, ...]:
    """What was measured; the source is named only where inputs were made for another precision."""
    source = row["source"] if row["source"] not in ("", row["precision"]) else ""
    return (source, row["profile"], row["attack"], row["criterion"], row["threat"], row["modality"], row["epsilon"])


def _kind(line: SummaryRow) -> tuple[object, ...]:
    single_input = line.model if line.model in ("image", "audio") else ""
    return (single_input, line.precision == FLOAT, line.executor == FLOAT_EXECUTOR)
