"""``tinyfuse bench``, also ``python -m tinyfuse.bench``: the whole job, resumable, ending in one HTML page."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tinyfuse.cli import options
from tinyfuse.core import provenance
from tinyfuse.core.cluster.anywhere import workers_at
from tinyfuse.core.console import console
from tinyfuse.core.errors import UsageError
from tinyfuse.core.faults import faults_logged
from tinyfuse.core.results import ResultStore
from tinyfuse.core.run_log import RunLog
from tinyfuse.core.workers import Workers
from tinyfuse.data.samples import PARTS
from tinyfuse.data.sources import add_options, load_from

if TYPE_CHECKING:
    from tinyfuse.study.matrix import Matrix
    from tinyfuse.study.run import Run
    from tinyfuse.threats.budgets import Spent

HELP = "the whole matrix: train, convert, attack, report"
EXAMPLES = """\
  tinyfuse bench                                   three fusions on the embedded data, minutes on two cores
  tinyfuse bench --quick                           a smoke run in under a minute
  tinyfuse bench --certify                         also the share that no attack can break, beside what attacks found
  tinyfuse bench --data DIR --matrix benchmarks/matrices/digits.toml --out runs/digits

exit codes: 3 if the twin or the exported firmware does not compute TFLite Micro's codes; 4 if a figure must not be
trusted: a check ended in an error (A, B, Ce, F, G, J, M, O, U, V, Y or Z), or a model could not be attacked or its
firmware not be run. Warnings and D, a model that lost clean accuracy, are results: they end with 0, and a lost model
stands at the top of the page.
"""


def add(parser: argparse.ArgumentParser) -> None:
    add_options(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--matrix", metavar="FILE.toml", help="what to run; keys that are not given have the defaults")
    what.add_argument("--quick", action="store_true", help="a small matrix that ends within a minute")
    parser.add_argument("--epsilon", type=options.budgets, metavar="E|NAME=E,...",
                        help="the one budget of the attacks instead of the matrix's, or one for each input in its own "
                             "units")
    parser.add_argument("--certify", nargs="?", const=True, type=options.budgets, metavar="E|NAME=E,...",
                        help="also prove for how many of the attacked samples no attack within this budget changes the "
                             "answer of the integers; without a number at every budget that is attacked")
    parser.add_argument("--seeds", type=options.seeds, metavar="S-T|S,...",
                        help="training seeds, such as 0-4: every network is trained once with each, and judged on the "
                             "same samples (default: the matrix's, or --seed)")
    parser.add_argument("--out", metavar="DIR", help="run folder (default: runs/ and the name of the data)")
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True,
                        help="go on with what the folder holds (default); --no-resume refuses a folder with results")
    parser.add_argument("--retrain", action="store_true",
                        help="train the networks even if the same ones come with the package, trained")
    parser.add_argument("--jobs", type=options.positive, metavar="N",
                        help="processes that attack, and judge integer models (default: attacks in this one, and as "
                             "many judges as there are cores)")
    options.add_cluster(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    from tinyfuse.study import finished
    from tinyfuse.study.matrix import Matrix, quick, read_matrix

    matrix = read_matrix(args.matrix) if args.matrix else quick() if args.quick else Matrix()
    if args.epsilon is not None:
        matrix = dataclasses.replace(matrix, epsilons=(_spent(args.epsilon),), raw_epsilons=())
    if args.certify is not None:
        budgets = matrix.epsilons if args.certify is True else (_spent(args.certify),)
        matrix = dataclasses.replace(matrix, certify=budgets)
    if args.seeds is not None:
        matrix = dataclasses.replace(matrix, seeds=args.seeds)
    asked = {name: value for name, value in vars(args).items() if name not in ("cluster", "jobs", "json", "resume")}
    # Of recipes that are files, what they hold counts, not their names.
    recipes = [recipe.to_table() for recipe in matrix.recipes_for(("first", "second"))]
    identity = finished.identify({**asked, "settings": matrix.to_table(), "recipes": recipes}, args.data)
    folder = Path(args.out) if args.out else finished.folder_of(identity, Path("runs"))
    if args.resume and folder is not None and finished.is_finished(folder, identity):
        console.print(f"nothing is left to do in {folder}", markup=False)
        _show(folder, ResultStore(folder / "results.jsonl"), as_json=args.json, anew=not finished.has_page(folder))
        return 0
    job = _open(args, matrix)
    parts = ", ".join(f"{len(job.dataset.part(part))} {part}" for part in PARTS)
    facts = provenance.begin(data=f"{job.dataset.name}, {job.dataset.split} split, {parts} samples",
                             seeds=matrix.seeds or (args.seed,), settings=matrix.to_table())
    with workers_at(args.cluster, args.jobs or options.cores()) as workers:
        _work(job, workers, facts, attack_here=not workers.away and args.jobs in (None, 1))
    _show(job.folder, job.store, as_json=args.json, mark=identity)
    return 0


def _spent(given: float | Mapping[str, float]) -> Spent:
    return dict(given) if isinstance(given, Mapping) else given


def _work(job: Run, workers: Workers, facts: provenance.RunFacts, *, attack_here: bool) -> None:
    """Bring ``job`` to its end."""
    from tinyfuse.study.sweep import sweep

    with faults_logged(job.folder), RunLog(job.folder, lambda: len(job.store), facts) as log:
        log.finish(sweep(job, workers, after_stage=log.write, attack_here=attack_here))


def _open(args: argparse.Namespace, matrix: Matrix) -> Run:
    from tinyfuse.study.run import Run

    dataset = load_from(args)
    name = "quick" if args.quick else f"{dataset.name}-{dataset.split}".replace("+", "-")
    folder = Path(args.out or f"runs/{name}")
    rows = folder / "results.jsonl"
    if rows.exists() and not args.resume:
        raise UsageError(f"{rows} holds results; give another --out, or leave out --no-resume to go on with it")
    return Run(folder, folder / "models", matrix, dataset, args.seed, ResultStore(rows), retrain=args.retrain)


def _show(folder: Path, store: ResultStore, *, as_json: bool, anew: bool = True, mark: str = "") -> None:
    """Summary on stdout; ``summary.csv`` and the report in ``folder``, unless they are there and not made ``anew``.

    ``mark``: the identity that the folder then is finished for. An error says which figure must not be trusted.
    """
    from tinyfuse import report
    from tinyfuse.checks.gating import check_run
    from tinyfuse.report.advice import answer_of
    from tinyfuse.report.summary import as_table
    from tinyfuse.report.waves import wave_flags
    from tinyfuse.study import finished

    view = report.load(folder, store=store)
    page = report.render(folder, view=view) if anew else folder / finished.PAGE
    if mark:
        finished.mark_finished(folder, mark, store)
    if as_json:
        print(json.dumps([as_table(line) for line in view.summary], indent=2))
    else:
        report.print_summary(view.summary, view.flags, failed=view.failed, scope=view.scope)
        print("\n".join(answer_of(view.lines, view.curves)))
    console.print(f"{'wrote' if anew else 'see'} {folder / 'results.jsonl'}, {folder / 'summary.csv'} and {page}",
                  markup=False)
    check_run(store, [*view.flags, *wave_flags(store.rows())])
