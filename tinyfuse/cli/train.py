"""``tinyfuse train``."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from tinyfuse import api
from tinyfuse.cli import options
from tinyfuse.core.strict import encode
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.nn import objectives, zoo
from tinyfuse.nn.axis_augmentation import parse_changes
from tinyfuse.nn.train import CLASS_WEIGHTS, TrainConfig
from tinyfuse.nn.train_own import is_function

HELP = "train one network, or go on with an interrupted training"
EXAMPLES = """\
  tinyfuse train early --out runs/mine
  tinyfuse train late --data DIR --epochs 20 --out runs/mine
  tinyfuse train late --objective crmt+adversarial --epsilon image=0.1,audio=0.03 --out runs/robust
  tinyfuse train mynet:build --data own.npz --class-weights balanced --patience 5 --out runs/own
  tinyfuse train trained.keras --data own.npz --epochs 3 --out runs/further
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help=f"one of {', '.join(zoo.names())}; or MODULE:FUNCTION, your own function from "
                        "the data set to a tf_keras or Keras model; or a trained network that goes on: .keras, .h5, "
                        "the folder of a SavedModel, a float .tflite")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for MODEL.keras and MODEL.toml")
    parser.add_argument("--epochs", type=options.positive, default=TrainConfig.epochs)
    parser.add_argument("--batch-size", type=options.positive, default=TrainConfig.batch_size)
    parser.add_argument("--learning-rate", type=float, default=TrainConfig.learning_rate)
    parser.add_argument("--objective", default=TrainConfig.objective, metavar="NAME[+NAME...]",
                        help=f"what training minimises, its parts joined by +: {', '.join(objectives.names())} "
                             f"(default {TrainConfig.objective})")
    parser.add_argument("--set", action="append", default=[], metavar="PART.KEY=VALUE",
                        help="a setting of a part of the objective, such as adversarial.method=pgd; repeatable; "
                             "`tinyfuse ls objectives` lists them")
    parser.add_argument("--epsilon", type=options.budgets, metavar="E|NAME=E,...",
                        help="the adversary's budget in training, for every input or for each by name: the setting "
                             "budget of each part that has one")
    parser.add_argument("--norm", metavar="NAME", help="the adversary's norm in training: linf, l2 or l2-joint")
    parser.add_argument("--class-weights", default=TrainConfig.class_weights, metavar="NAME",
                        help=f"{' or '.join(CLASS_WEIGHTS)} (default none); balanced gives each class the same weight "
                             "in all")
    parser.add_argument("--patience", type=options.positive, default=TrainConfig.patience, metavar="N",
                        help="stop after N epochs without a better one on the validation part (default: never)")
    parser.add_argument("--augment", action="append", metavar="NAME:KEY=VALUE,...",
                        help="change an input's training samples at random, such as mic:time_shift=4,noise=0.02 or "
                             "camera:shift=2,level=0.1; repeatable")
    options.add_choice(parser)
    add_options(parser)


def settings_of(args: argparse.Namespace) -> objectives.Settings:
    """Collect the settings of an objective's parts from --set, --epsilon and --norm; see :func:`objectives.given`."""
    adversary = {"budget": args.epsilon, "norm": args.norm}
    everywhere = {key: value for key, value in adversary.items() if value is not None}
    return objectives.given(args.objective, args.set, everywhere)


def run(args: argparse.Namespace) -> int:
    if not is_function(args.model):
        options.need_network_or_name(args.model)
    chosen = settings_of(args)
    objectives.check(args.objective, chosen)
    config = TrainConfig(args.epochs, args.batch_size, args.learning_rate, args.seed, args.objective, args.patience,
                         args.class_weights, settings=chosen)
    dataset = load_from(args)
    objectives.check(args.objective, chosen, dataset.inputs)
    settings = asdict(config) | {"augment": encode(parse_changes(args.augment or [], dataset.inputs))}
    print(api.train(args.model, dataset, out=args.out, output=args.output, signature=args.signature, **settings))
    return 0
