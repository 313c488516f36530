"""``tinyfuse train``."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from tinyfuse import api
from tinyfuse.cli import options
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.nn import zoo
from tinyfuse.nn.objectives import OBJECTIVES
from tinyfuse.nn.train import TrainConfig

HELP = "train one network, or go on with an interrupted training"
EXAMPLES = """\
  tinyfuse train early --out runs/mine
  tinyfuse train late --data DIR --epochs 20 --out runs/mine
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help=f"one of {', '.join(zoo.names())}")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for MODEL.keras and MODEL.toml")
    parser.add_argument("--epochs", type=options.positive, default=TrainConfig.epochs)
    parser.add_argument("--batch-size", type=options.positive, default=TrainConfig.batch_size)
    parser.add_argument("--learning-rate", type=float, default=TrainConfig.learning_rate)
    parser.add_argument("--objective", default=TrainConfig.objective, metavar="NAME",
                        help=f"what training minimises: {', '.join(OBJECTIVES)} (default {TrainConfig.objective})")
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    zoo.check_name(args.model)
    config = TrainConfig(args.epochs, args.batch_size, args.learning_rate, args.seed, args.objective)
    print(api.train(args.model, load_from(args), out=args.out, **asdict(config)))
    return 0
