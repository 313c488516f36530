"""``tinyfuse report``."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinyfuse.cli import options
from tinyfuse.core.errors import UsageError
from tinyfuse.core.results import ResultStore

HELP = "write the HTML page of a bench run, a selection or analyses"
EXAMPLES = """\
  tinyfuse report runs/quick
  tinyfuse report runs/quick --markdown
  tinyfuse report --columns

exit codes: as of `tinyfuse bench`.
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", nargs="?",
                        help="folder of a bench run, finished or not, of a selection or of analyses")
    parser.add_argument("--columns", action="store_true",
                        help="print what every column of summary.csv and every field of results.jsonl means")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown instead")
    parser.add_argument("--epsilon", type=options.budgets, metavar="E|NAME=E,...",
                        help="budget of the table's robust columns")


def run(args: argparse.Namespace) -> int:
    from tinyfuse import report
    from tinyfuse.checks.gating import check_run
    from tinyfuse.report.analysed import write_page
    from tinyfuse.report.dictionary import dictionary
    from tinyfuse.report.selection import is_selection, render_selection, selection_markdown
    from tinyfuse.report.study_page import render_study
    from tinyfuse.report.view import only_analyses
    from tinyfuse.report.wave_page import write_page as write_waves
    from tinyfuse.report.waves import only_waves
    from tinyfuse.study.papers.run_study import is_study

    if args.columns:
        print(dictionary(), end="")
        return 0
    if args.run is None:
        raise UsageError("give the folder of a bench run, a selection or analyses, such as runs/quick")
    if is_study(args.run):
        if args.markdown or args.epsilon is not None:
            raise UsageError(f"{args.run} holds a study; leave out --markdown and --epsilon")
        print(render_study(args.run))
        return 0
    if is_selection(args.run):
        if args.epsilon is not None:
            raise UsageError("a selection was made at one epsilon; leave out --epsilon, or select again with another")
        print(selection_markdown(args.run) if args.markdown else f"{render_selection(args.run)}\n", end="")
        return 0
    store = ResultStore(Path(args.run) / "results.jsonl")
    if only_waves(store.rows()):
        if args.markdown or args.epsilon is not None:
            raise UsageError(f"{args.run} holds attacks before the front end alone; leave out --markdown and --epsilon")
        print(write_waves(store.rows(), args.run))
        return 0
    if only_analyses(store.rows()):
        if args.markdown or args.epsilon is not None:
            raise UsageError(f"{args.run} holds analyses alone; leave out --markdown and --epsilon")
        print(write_page(store.rows(), args.run))
        return 0
    view = report.load(args.run, epsilon=args.epsilon, store=store)
    if args.markdown:
        print(report.markdown_table(view.summary, scope=view.scope), end="")
    else:
        print(report.render(args.run, view=view))
    check_run(store, view.flags)
    return 0
