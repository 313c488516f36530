"""`tinyfuse select`: the best bit widths under a budget, with the evidence."""

from __future__ import annotations

import argparse

from tinyfuse.cli import options
from tinyfuse.core.console import console

EXAMPLES = """\
examples:
  tinyfuse select --data DIR --model intermediate --budget flash=60kB
  tinyfuse select --data DIR --model runs/mine/late.keras --budget flash=120kB,instructions=24M --granularity modality
  tinyfuse select --model early --budget flash=45kB --objective clean --quick
"""


def add_select(parser: argparse.ArgumentParser) -> None:
    """Options of ``tinyfuse select``."""
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, EXAMPLES
    parser.add_argument("--model", required=True, metavar="MODEL",
                        help="a trained .keras file; or image, audio, early, intermediate or late, trained first")
    parser.add_argument("--budget", required=True, action="append", metavar="NAME=SIZE",
                        help="limits on flash (packed bytes), ram (arena), macs or instructions, such as flash=60kB; "
                             "separated by commas or repeated")
    parser.add_argument("--objective", choices=("robust", "clean"),
                        help="what is best: the mean accuracy under attacks on the weaker modality and on both "
                             "(default), or that on clean pairs")
    parser.add_argument("--granularity", choices=("layer", "modality"),
                        help="what has a width of its own (default layer)")
    parser.add_argument("--widths", type=_widths, metavar="BITS", help="widths to choose from, such as 4-8 or 2,4,8 "
                                                                       "(default 2-9)")
    parser.add_argument("--fix", type=_fixed, action="append", metavar="NAME=BITS",
                        help="leave a layer (or pattern of layers), image, audio or shared at this width; repeatable")
    parser.add_argument("--methods", type=_methods, metavar="NAMES",
                        help="how weights are rounded: mse, gptq and bias, separated by commas, or none (default all)")
    parser.add_argument("--epsilon", type=options.budget, help="L-inf budget of the attacks (default 0.03)")
    parser.add_argument("--out", metavar="DIR", help="folder of rows, models and report (default runs/select-MODEL)")
    parser.add_argument("--epochs", type=options.positive, help="of the training of a model given by name (default 12)")
    parser.add_argument("--quick", action="store_true", help="few pairs and widths: a smoke run within three minutes")
    parser.add_argument("--jobs", type=options.positive, metavar="N", help="processes (default: the number of cores)")
    parser.add_argument("--json", action="store_true", help="print the selection as JSON")
    options.add_data(parser)


def _widths(text: str) -> tuple[int, ...]:
    """``4-8`` or ``2,4,8``."""
    low, dash, high = text.partition("-")
    parts = [low, high] if dash else text.split(",")
    if not all(part.isascii() and part.isdigit() and len(part) == 1 for part in parts):
        raise argparse.ArgumentTypeError(f"'{text}' are no widths; give 2-9, or single ones such as 2,4,8")
    numbers = [int(part) for part in parts]
    return tuple(range(numbers[0], numbers[1] + 1)) if dash else tuple(numbers)


def _fixed(text: str) -> tuple[str, int]:
    """``shared_head=8``."""
    name, _, bits = text.partition("=")
    if not name or not (bits.isascii() and bits.isdigit() and len(bits) == 1):
        raise argparse.ArgumentTypeError(f"'{text}' fixes nothing; give a name and a width, such as shared_head=8")
    return name, int(bits)


def _methods(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(text.split(","))


def select(args: argparse.Namespace) -> int:
    """Select, then print the reasons."""
    from tinyfuse.report.selection_file import FILE
    from tinyfuse.search import run as selection
    from tinyfuse.search.budget import parse_budget

    parse_budget(args.budget)  # a slip here is told before data are loaded
    found = selection.select(
        args.model, options.load_data(args), budget=args.budget, out=args.out, epochs=args.epochs, seed=args.seed,
        quick=args.quick, jobs=args.jobs or options.cores(), objective=args.objective, granularity=args.granularity,
        widths=args.widths, methods=args.methods, epsilon=args.epsilon, fixed=tuple(args.fix) if args.fix else None)
    folder = found.study.folder
    print((folder / FILE).read_text() if args.json else "\n".join(found.reasons))
    console.print(f"wrote {found.path}, its recipe {folder / found.chosen.name}.toml and {folder}/report/index.html",
                  markup=False)
    return 0
