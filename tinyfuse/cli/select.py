"""``tinyfuse select``."""

from __future__ import annotations

import argparse

from tinyfuse import api
from tinyfuse.cli import options
from tinyfuse.core.console import console
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.nn import zoo
from tinyfuse.search.budget import parse_budget
from tinyfuse.search.explain import answer
from tinyfuse.search.record import FILE
from tinyfuse.search.settings import Settings

HELP = "choose the bit widths of layers or modalities under a budget, for accuracy or robustness"
EXAMPLES = """\
  tinyfuse select --data DIR --model intermediate --budget flash=60kB
  tinyfuse select --data DIR --model runs/mine/late.keras --budget flash=120kB,instructions=24M --granularity modality
  tinyfuse select --model early --budget flash=45kB --objective clean --quick
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="MODEL",
                        help=f"a trained .keras file; or one of {', '.join(zoo.names())}, trained first")
    parser.add_argument("--budget", required=True, action="append", metavar="NAME=SIZE",
                        help="limits on flash (packed bytes), ram (arena), macs or instructions, such as flash=60kB; "
                             "separated by commas or repeated")
    parser.add_argument("--objective", choices=("robust", "clean", "certified"),
                        help="what is best: the mean accuracy under attacks on the weakest modality and on all "
                             "(default), that on clean samples, or the share that no attack on all can break")
    parser.add_argument("--granularity", choices=("layer", "modality"),
                        help="what has a width of its own (default layer)")
    parser.add_argument("--widths", type=_widths, metavar="BITS", help="to choose from: 4-8 or 2,4,8 (default 2-9)")
    parser.add_argument("--fix", type=_fixed, action="append", metavar="NAME=BITS",
                        help="leave a layer (or pattern of layers), an input or shared at this width; repeatable")
    parser.add_argument("--methods", metavar="NAMES", type=lambda one: tuple(one.split(",")) if one != "none" else (),
                        help="how weights are rounded: mse, gptq and bias, separated by commas, or none (default all)")
    parser.add_argument("--epsilon", type=options.budgets, metavar="E|NAME=E,...",
                        help="L-inf budget of the attacks, or one for each input in its own units (default 0.03)")
    parser.add_argument("--out", metavar="DIR", help="folder of rows, models and report (default runs/select-MODEL)")
    parser.add_argument("--epochs", type=options.positive, help="of the training of a model given by name (default 12)")
    parser.add_argument("--quick", action="store_true", help="few samples and widths: a smoke run within three minutes")
    parser.add_argument("--jobs", type=options.positive, metavar="N", help="processes (default: the number of cores)")
    options.add_cluster(parser)
    parser.add_argument("--json", action="store_true", help="print the selection as JSON")
    add_options(parser)


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


def run(args: argparse.Namespace) -> int:
    settings = {name: getattr(args, name) for name in ("objective", "granularity", "widths", "methods", "epsilon")}
    settings["fixed"] = tuple(args.fix) if args.fix else None
    parse_budget(args.budget)
    Settings().changed(**settings)
    options.need_network_or_name(args.model)
    found = api.select(args.model, load_from(args), budget=args.budget, out=args.out, epochs=args.epochs,
                       seed=args.seed, quick=args.quick, jobs=args.jobs or options.cores(), cluster=args.cluster,
                       **settings)
    folder = found.folder
    said = [*(f"{branch}: {text}" for branch, text in answer(found.record)), *found.record.reasons]
    print((folder / FILE).read_text() if args.json else "\n".join(said))
    console.print(f"wrote {found.path}, its recipe {folder / found.chosen.name}.toml and {folder}/report/index.html",
                  markup=False)
    return 0
