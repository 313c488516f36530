"""``tinyfuse certify``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping

from tinyfuse import api
from tinyfuse.cli import options
from tinyfuse.core.errors import UsageError
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.nn.zoo.user import TFLITE
from tinyfuse.threats.masks import masks_of

HELP = "prove for how many test samples no attack within a budget changes what an integer .tflite answers"
EXAMPLES = """\
  tinyfuse certify runs/mine/late__w8.tflite --epsilon image=0.1,audio=0.02 --out runs/mine/proofs
  tinyfuse certify runs/mine/late__w8.tflite --codes image=2 --modality image --radius 16
  tinyfuse certify runs/mine/late__w8.tflite --epsilon image=0.1,audio=0.02 --modality all --seconds-per-sample 10
"""


def whole_codes(text: str) -> float | dict[str, float]:
    """Read one budget of whole codes, or one for each input."""
    found = options.budgets(text)
    numbers = list(found.values()) if isinstance(found, dict) else [found]
    if any(number != int(number) for number in numbers if isinstance(number, float)):
        raise argparse.ArgumentTypeError(f"'{text}': codes are whole numbers")
    return found  # type: ignore[return-value]


def seconds(text: str) -> float:
    """Read how long something may take, in seconds."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' are no seconds; give a number such as 10")
    return value


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL.tflite", help="an integer model")
    what = parser.add_argument_group("what an adversary may do")
    size = what.add_mutually_exclusive_group()
    size.add_argument("--epsilon", type=options.budgets, metavar="E|NAME=E,...",
                      help="budget in the units of each input (default: 0.03 of the range of its values)")
    size.add_argument("--codes", type=whole_codes, metavar="K|NAME=K,...", help="budget in whole codes instead")
    what.add_argument("--modality", default="", metavar="NAMES|all",
                      help="which inputs change: names between commas, or all (default: each alone, then all)")
    what.add_argument("--norm", choices=("linf", "l2", "l2-joint"), default="linf", help="default linf")
    what.add_argument("--threat", choices=("codes", "real"), default="codes",
                      help="codes (default): the adversary writes codes; real: real values that the device rounds, up "
                           "to half a code further")
    what.add_argument("--mask", action="append", default=[], metavar="NAME=AXIS:A-B|NAME=valid",
                      help="change only there, such as mic=time:10-14; repeatable")
    how = parser.add_argument_group("how hard to try")
    how.add_argument("--recursive", action="store_true",
                     help="where lines do not suffice, also bound every layer by lines: seconds to minutes a sample")
    how.add_argument("--seconds-per-sample", type=seconds, default=0.0, metavar="S",
                     help="split what is still open into cases, each with closer bounds, for up to so many seconds: a "
                          "proof, codes that break it, or open (default: not at all)")
    how.add_argument("--steps", type=options.positive, default=20, metavar="N",
                     help="of the PGD that looks for counterexamples; default 20")
    how.add_argument("--radius", type=options.positive, default=0, metavar="CODES",
                     help="also search each sample's largest certified budget, up to so many codes, beside the largest "
                          "that PGD does not break")
    noise = parser.add_argument_group("randomised smoothing")
    noise.add_argument("--smooth", type=options.budgets, metavar="NAME=SIGMA,...",
                       help="also certify what the model answers most often under Gaussian noise on these inputs (L2)")
    noise.add_argument("--draws", type=options.positive, default=1000, metavar="N",
                       help="of noise for each sample; default 1000")
    parser.add_argument("--samples", type=options.positive, default=100, metavar="N", help="default 100 test samples")
    parser.add_argument("--out", metavar="DIR", help="folder for results.jsonl; what is there is not computed again")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON lines")
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Certify, print a line for each mode of attack; exit code 4 if an attack in --out breaks a certificate."""
    options.need_model(args.model, TFLITE)
    if args.smooth is not None and not isinstance(args.smooth, Mapping):
        raise UsageError(f"--smooth {args.smooth:g}: name the inputs that get noise, such as mic={args.smooth:g}")
    dataset = load_from(args)
    found = api.certify(args.model, dataset, epsilon=args.epsilon, codes=args.codes, modality=args.modality,
                        norm=args.norm, threat=args.threat, mask=masks_of(args.mask, dataset.inputs),
                        samples=args.samples, recursive=args.recursive,
                        seconds_per_sample=args.seconds_per_sample, steps=args.steps, radius=args.radius,
                        smooth=args.smooth, draws=args.draws, out=args.out)
    print("\n".join(json.dumps(row) for row in found.rows) if args.json else found)
    found.check()
    return 0
