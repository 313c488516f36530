"""``tinyfuse compare``."""

from __future__ import annotations

import argparse
import json

from tinyfuse import api
from tinyfuse.cli import options
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.integer.executors import EXECUTORS, check_executor
from tinyfuse.integer.model import load_model

HELP = "say, tensor by tensor, where executors of one integer model differ"
EXAMPLES = """\
  tinyfuse compare runs/mine/early__w6.tflite
  tinyfuse compare foreign.tflite --random 20 --executor twin --executor tflm
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL.tflite", help="any integer model of supported operators")
    parser.add_argument("--executor", action="append", metavar="NAME",
                        help=f"one of {', '.join(EXECUTORS)}; repeatable (default: all that can run it)")
    parser.add_argument("--random", type=options.positive, metavar="N", help="N random inputs instead, of any model")
    parser.add_argument("--samples", type=options.positive, default=50, metavar="N", help="default 50 test samples")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print where executors differ; exit code 3 if the twin and TFLite Micro do."""
    for name in args.executor or ():
        check_executor(name)
    options.need_model(args.model, ".tflite")
    load_model(args.model)  # what is wrong with the model is said before the data are read
    dataset = None if args.random else load_from(args)
    found = api.compare(args.model, dataset, executors=args.executor, samples=args.random or args.samples,
                        seed=args.seed)
    print(json.dumps(found.to_json()) if args.json else found.text(), end="\n" if args.json else "")
    found.check()
    return 0
