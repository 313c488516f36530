"""``tinyfuse quantize``."""

from __future__ import annotations

import argparse

from tinyfuse import api
from tinyfuse.cli import options
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.quantize.recipe import EXAMPLE, read_recipe

HELP = "write a network as .tflite with 2 to 9 bit weights, 6 to 9 bit activations, and prove it"
EXAMPLES = f"""\
  tinyfuse quantize runs/mine/early.keras --recipe w6
  tinyfuse quantize own.h5 --data own.npz --recipe camera4-mic6-shared8
  tinyfuse quantize runs/mine/early.keras --recipe w4-mse-gptq-bias --recipe mine.toml --out runs/mine/integer

a recipe file:

{EXAMPLE}"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", metavar="MODEL",
                        help="trained here (.keras), or your own: .keras, .h5, the folder of a SavedModel, a float "
                             ".tflite")
    parser.add_argument("--recipe", required=True, action="append", metavar="NAME|FILE.toml",
                        help="w6 .. w9, w6a7, camera6-mic9-shared8 by input names, w4-mse-gptq-bias, w4-qat or a "
                             "recipe file; repeatable")
    parser.add_argument("--out", metavar="DIR", help="folder for the .tflite files (default: beside the network)")
    parser.add_argument("--calibration-samples", type=options.positive, default=200, metavar="N",
                        help="training samples that give the ranges of activations (default 200)")
    parser.add_argument("--qat-epochs", type=options.positive, default=2, metavar="N",
                        help="epochs of quantisation-aware training, for recipes with -qat (default 2)")
    options.add_choice(parser)
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    for recipe in args.recipe:
        read_recipe(recipe)
    options.need_network(args.network)
    for path in api.convert_many(args.network, args.recipe, load_from(args), out=args.out,
                                 calibration_samples=args.calibration_samples, qat_epochs=args.qat_epochs,
                                 output=args.output, signature=args.signature):
        print(path)
    return 0
