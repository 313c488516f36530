"""``tinyfuse bench``, also ``python -m tinyfuse.bench``: the whole job, resumable, ending in one HTML page."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tinyfuse.cli import options
from tinyfuse.core import provenance
from tinyfuse.core.console import console
from tinyfuse.core.errors import GateError, ParityError, UsageError
from tinyfuse.core.results import ResultStore
from tinyfuse.core.run_log import RunLog
from tinyfuse.data.dataset import PARTS
from tinyfuse.data.sources import add_options, load_from

if TYPE_CHECKING:
    from tinyfuse.study.matrix import Matrix
    from tinyfuse.study.run import Run

HELP = "the whole matrix: train, convert, attack, report"
EXAMPLES = """\
  tinyfuse bench                                   the embedded data, everything, some minutes on two cores
  tinyfuse bench --quick                           a smoke run in under a minute
  tinyfuse bench --data DIR --matrix benchmarks/matrices/digits.toml --out runs/digits
"""


def add(parser: argparse.ArgumentParser) -> None:
    add_options(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--matrix", metavar="FILE.toml", help="what to run; keys that are not given have the defaults")
    what.add_argument("--quick", action="store_true", help="a small matrix that ends within a minute")
    parser.add_argument("--out", metavar="DIR", help="run folder (default: runs/ and the name of the data)")
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True,
                        help="go on with what the folder holds (default); --no-resume refuses a folder with results")
    parser.add_argument("--jobs", type=options.positive, metavar="N",
                        help="worker processes that judge integer models (default: the number of cores)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    from tinyfuse.study.matrix import Matrix, quick, read_matrix
    from tinyfuse.study.sweep import sweep

    matrix = read_matrix(args.matrix) if args.matrix else quick() if args.quick else Matrix()
    job = _open(args, matrix)
    parts = ", ".join(f"{len(job.dataset.part(part))} {part}" for part in PARTS)
    facts = provenance.begin(data=f"{job.dataset.name}, {job.dataset.split} split, {parts} samples", seeds=(args.seed,),
                             settings=matrix.to_table())
    log = RunLog(job.folder, lambda: len(job.store), facts)
    log.finish(sweep(job, jobs=args.jobs or options.cores(), after_stage=log.write))
    _show(job.folder, as_json=args.json)
    check(job.folder)
    return 0


def check(folder: Path) -> None:
    """Raise :class:`ParityError` or :class:`GateError` if a figure of the run in ``folder`` must not be trusted."""
    from tinyfuse.checks.firmware_cost import check_firmware
    from tinyfuse.checks.run_checks import gate
    from tinyfuse.report import load
    from tinyfuse.study.sweep import ATTACK_STAGE

    store = ResultStore(folder / "results.jsonl")
    for row in store.rows("parity"):
        if row["differing"]:
            raise ParityError(f"{row['model']} {row['precision']}: {row['a']} and {row['b']} differ in "
                              f"{row['differing']} of {row['values']} output codes; the twin's figures of this model "
                              "are wrong, report it")
    check_firmware(store)
    for row in store.rows("failed", stage=ATTACK_STAGE):
        # Probes come last: where there are some, a later attempt went through.
        if not store.rows("probe", model=row["model"], precision=row["precision"], seed=row["seed"]):
            raise GateError(f"{row['model']} {row['precision']} could not be attacked, so it has no figures to trust: "
                            f"{row['reason']}")
    failed = gate(load(folder).flags)
    if failed:
        first = failed[0]
        raise GateError(f"{len(failed)} checks failed, so some figures must not be trusted; the first: {first.model} "
                        f"{first.precision}: {first.text} (check {first.code}; all are in the report)")


def _open(args: argparse.Namespace, matrix: Matrix) -> Run:
    from tinyfuse.study.run import Run

    dataset = load_from(args)
    name = "quick" if args.quick else f"{dataset.name}-{dataset.split}".replace("+", "-")
    folder = Path(args.out or f"runs/{name}")
    rows = folder / "results.jsonl"
    if rows.exists() and not args.resume:
        raise UsageError(f"{rows} holds results; give another --out, or leave out --no-resume to go on with it")
    return Run(folder, folder / "models", matrix, dataset, args.seed, ResultStore(rows))


def _show(folder: Path, *, as_json: bool) -> None:
    """Summary on stdout; ``summary.csv`` and the report in ``folder``."""
    from tinyfuse import report
    from tinyfuse.report.summary import as_table

    page, view = report.render(folder), report.load(folder)
    if as_json:
        print(json.dumps([as_table(line) for line in view.summary], indent=2))
    else:
        report.print_summary(view.summary, view.flags, failed=view.failed, scope=view.scope)
    console.print(f"wrote {folder / 'results.jsonl'}, {folder / 'summary.csv'} and {page}", markup=False)
