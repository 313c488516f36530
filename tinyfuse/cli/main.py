"""``tinyfuse VERB``: each step of the main job by itself; every verb is a file of this folder."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module

from tinyfuse import __version__
from tinyfuse.cli import options

VERBS = {name: import_module(f"tinyfuse.cli.{name}") for name in (
    "train", "quantize", "attack", "compare", "select", "export", "verify", "bench", "report", "validate", "ls",
    "doctor")}
"""Each has HELP, EXAMPLES, add(parser) and run(args) -> exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``tinyfuse`` command; return its exit code."""
    args = build_parser().parse_args(argv)
    return options.guarded(VERBS[args.verb].run, args)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all verbs."""
    shape = argparse.RawDescriptionHelpFormatter
    first = "".join(module.EXAMPLES.splitlines(keepends=True)[0] for module in VERBS.values())
    parser = argparse.ArgumentParser(prog="tinyfuse", description="TinyML fusion networks from training to a "
                                     "microcontroller, judged per modality.", epilog=f"examples:\n{first}",
                                     formatter_class=shape)
    parser.add_argument("--version", action="version", version=f"tinyfuse {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, module in VERBS.items():
        verb = verbs.add_parser(name, help=module.HELP, description=module.HELP + ".",
                                epilog=f"examples:\n{module.EXAMPLES}", formatter_class=shape)
        module.add(verb)
    return parser
