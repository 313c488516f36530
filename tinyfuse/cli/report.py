"""`tinyfuse report`: the page of a bench run or of a selection."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinyfuse.cli import bench, options
from tinyfuse.core.errors import UsageError


def add_report(parser: argparse.ArgumentParser) -> None:
    """Options of ``tinyfuse report``."""
    parser.add_argument("run", metavar="RUN", help="folder of a bench run, finished or not, or of a selection")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown instead")
    parser.add_argument("--epsilon", type=options.budget, help="budget of the table's robust columns")


def report(args: argparse.Namespace) -> int:
    """Write the page of a run or a selection, or print its tables."""
    from tinyfuse import report as pages
    from tinyfuse.report.selection import is_selection

    if is_selection(args.run):
        return _selection(args)
    if args.markdown:
        view = pages.load(args.run, epsilon=args.epsilon)
        print(pages.markdown_table(view.summary, scope=view.scope), end="")
    else:
        print(pages.render(args.run, epsilon=args.epsilon))
    bench.check(Path(args.run))
    return 0


def _selection(args: argparse.Namespace) -> int:
    from tinyfuse.report.selection import render_selection, selection_markdown

    if args.epsilon is not None:
        raise UsageError("a selection was made at one epsilon; leave out --epsilon, or select again with another")
    if args.markdown:
        print(selection_markdown(args.run), end="")
    else:
        print(render_selection(args.run))
    return 0
