"""``tinyfuse study``: a paper run again, from its trainings to verdicts on its claims."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tinyfuse.cli import options
from tinyfuse.core import provenance
from tinyfuse.core.cluster.anywhere import workers_at
from tinyfuse.core.console import console
from tinyfuse.core.faults import faults_logged
from tinyfuse.core.run_log import RunLog
from tinyfuse.data.sources import add_options, given_options

HELP = "run a paper again: train, attack float networks and integers, judge the paper's claims"
EXAMPLES = """\
  tinyfuse study nakano2024 --data DIR --seeds 0-4 --jobs 2     everything; hours, resumable
  tinyfuse study li2022 --cluster tcp://HOST:8786               on the workers of a Dask cluster; see docs/cluster.md
  tinyfuse study nakano2024 --quick                             minutes, embedded data, no claim judged
  tinyfuse ls studies                                           the papers that can be run again
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the study; see `tinyfuse ls studies`")
    add_options(parser)
    parser.add_argument("--quick", action="store_true",
                        help="one short training, few samples, budgets and widths; no claim is judged")
    parser.add_argument("--seeds", type=options.seeds, metavar="S-T|S,...",
                        help="training seeds (default: as many as the study needs, from 0; with --quick 0)")
    parser.add_argument("--samples", type=options.positive, metavar="N",
                        help="attacked test samples (default: the study's)")
    parser.add_argument("--epochs", type=options.positive, metavar="N", help="of each training (default: the study's)")
    parser.add_argument("--out", metavar="DIR", help="folder of the study (default: runs/NAME, or runs/NAME-quick)")
    parser.add_argument("--jobs", type=options.positive, default=1, metavar="N",
                        help="processes that train, convert and attack (default 1)")
    options.add_cluster(parser)
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON instead")


def run(args: argparse.Namespace) -> int:
    import dataclasses

    from tinyfuse.study.papers import study_of
    from tinyfuse.study.papers.jobs import Site
    from tinyfuse.study.papers.run_study import run_study, say_begin

    paper = study_of(args.name)
    if args.quick:
        if args.data is None and args.limit is None:
            args.limit = 200
        paper = paper.quick()
    changed = {name: getattr(args, name) for name in ("samples", "epochs") if getattr(args, name) is not None}
    paper = dataclasses.replace(paper, **changed)
    seeds = args.seeds or (tuple(range(paper.trainings_needed)) if not args.quick else (0,))
    folder = Path(args.out or f"runs/{args.name}{'-quick' * args.quick}")
    site = Site(folder, args.data, tuple(given_options(args).items()), paper.samples)
    with console.status("loading data"):
        dataset = site.dataset
    facts = provenance.begin(data=f"{dataset.name}, {dataset.split} split", seeds=seeds,
                             settings={"study": paper.name, "quick": args.quick, "samples": paper.samples,
                                       "epochs": paper.epochs})
    say_begin(paper, site, seeds, quick=args.quick)
    counted: list[int] = [0]
    with (workers_at(args.cluster, args.jobs) as workers, faults_logged(folder),
          RunLog(folder, lambda: counted[0], facts) as log):
        store = run_study(paper, site, seeds, quick=args.quick, workers=workers, after_wave=log.write)
        counted[0] = len(store)
        log.finish()
    return show(folder, as_json=args.json)


def show(folder: Path, *, as_json: bool = False) -> int:
    """Write the page of the study in ``folder`` and print its verdicts."""
    from tinyfuse.report.study_page import render_study, verdict_lines, verdict_table

    print(json.dumps(verdict_table(folder), indent=2) if as_json else "\n".join(verdict_lines(folder)))
    console.print(f"wrote {render_study(folder)}", markup=False)
    return 0
