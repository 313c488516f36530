"""``tinyfuse export``."""

from __future__ import annotations

import argparse

from tinyfuse import api
from tinyfuse.cli import options
from tinyfuse.core.console import console
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.firmware.boards import board

HELP = ("write an integer model as C99 for microcontrollers, weights packed, ready for CMake, Arduino, PlatformIO, "
        "Zephyr and ESP-IDF")
EXAMPLES = """\
  tinyfuse export runs/mine/early__w6.tflite --out runs/mine/firmware
  tinyfuse export runs/mine/early__w6.tflite --out runs/mine/camera --frontend camera=160x120
  tinyfuse export foreign.tflite --out firmware --random --optimize size --board nucleo-l4r5zi
  tinyfuse export runs/mine/late__w6.tflite --out runs/mine/pico --cores 2 --board rp2040
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL.tflite", help="any integer model of supported operators")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the package; new or empty")
    parser.add_argument("--force", action="store_true", help="replace the package that is in DIR")
    parser.add_argument("--name", help="C identifier, the prefix of every symbol (default: from the file's name)")
    parser.add_argument("--output", metavar="NAME", help="the output that names the class, of several (default: the "
                                                         "first); the package has all of them")
    parser.add_argument("--optimize", default="ram", metavar="WHAT",
                        help="ram (default): the smallest arena; speed: weights are decoded less often, for more "
                             "memory; size: the least code")
    parser.add_argument("--keep-constant-channels", action="store_true",
                        help="compute channels that have one code whatever goes in, instead of removing them exactly")
    parser.add_argument("--frontend", metavar="WHAT",
                        help="none: the package begins at the network's inputs; fixed: sounds in whole numbers, for "
                             "cores without floating point (default on a --board without it); camera=160x120: input "
                             "'camera' is made of frames of this size; several with commas (default: front ends as the "
                             "table beside the model has them, in float)")
    parser.add_argument("--application", metavar="NAME",
                        help="live: add examples/live, which reads sensors, votes over time and prints decisions")
    parser.add_argument("--certificate", metavar="DIR",
                        help="what `tinyfuse certify --out DIR` wrote of this model, or a bench run: the certificates "
                             "travel in metadata.json, and verify attacks certified samples on the cores")
    parser.add_argument("--board", metavar="NAME", help="refuse if the model does not fit it (tinyfuse ls boards)")
    parser.add_argument("--cores", type=int, default=1, metavar="N",
                        help="2: a function for each of two cores of one chip, and one for what joins them, where the "
                             "network has two branches that share no input (default 1)")
    parser.add_argument("--vectors", type=options.positive, default=200, metavar="N",
                        help="test vectors that travel with the package (default 200)")
    parser.add_argument("--random", action="store_true", help="random test vectors, for inputs that the data lacks")
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    from tinyfuse.firmware import deploy

    if args.board is not None:
        board(args.board)
    options.need_file(args.model)
    deploy.check_asked(args.frontend, args.application, data=not args.random)
    dataset = None if args.random else load_from(args)
    if dataset is not None and args.data is None and not deploy.fits_data(args.model, dataset):
        console.print(f"{args.model} has other inputs than the {dataset.name} data; its test vectors are random")
        dataset = None
    folder = api.export(args.model, args.out, dataset=dataset, certificate=args.certificate, name=args.name,
                        optimize=args.optimize, vectors=args.vectors, board=args.board, force=args.force,
                        seed=args.seed, output=args.output, keep_constant=args.keep_constant_channels,
                        frontend=args.frontend, application=args.application, cores=args.cores)
    print("\n".join([str(folder), deploy.judged_line(), *deploy.named_lines(folder, args.model),
                     *deploy.removed_lines(folder), *deploy.describe(folder, args.board)]))
    return 0
