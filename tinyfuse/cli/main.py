"""``tinyfuse VERB``: each step of the main job by itself; every verb is a file of this folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from tinyfuse import __version__
from tinyfuse.cli import options
from tinyfuse.cli.parser import Parser
from tinyfuse.core.console import open_streams

VERBS = ("train", "quantize", "attack", "certify", "compare", "analyse", "select", "export", "verify", "bench", "study",
         "report", "validate", "ls", "doctor")
"""Each is a module of this folder with HELP, EXAMPLES, add(parser) and run(args) -> exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``tinyfuse`` command; return its exit code."""
    open_streams()
    given = list(sys.argv[1:] if argv is None else argv)
    # One verb alone is imported if it comes first, as it nearly always does: half of the time until a mistake is named.
    args = build_parser(given[:1] if given[:1] and given[0] in VERBS else VERBS).parse_args(given)
    return options.guarded(_module(args.verb).run, args)


def _module(verb: str) -> Any:
    return import_module(f"tinyfuse.cli.{verb}")


def build_parser(names: Sequence[str] = VERBS) -> argparse.ArgumentParser:
    """Build the parser of the verbs ``names``."""
    shape = argparse.RawDescriptionHelpFormatter
    modules = {name: _module(name) for name in names}
    first = "".join(module.EXAMPLES.splitlines(keepends=True)[0] for module in modules.values())
    parser = Parser(prog="tinyfuse", description="TinyML fusion networks from training to a microcontroller, judged "
                    "per modality.", epilog=f"examples:\n{first}", formatter_class=shape)
    parser.add_argument("--version", action="version", version=f"tinyfuse {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, module in modules.items():
        verb = verbs.add_parser(name, help=module.HELP, description=module.HELP + ".",
                                epilog=f"examples:\n{module.EXAMPLES}", formatter_class=shape)
        module.add(verb)
    return parser
