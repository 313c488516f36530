"""``tinyfuse export`` and ``tinyfuse verify``."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from tinyfuse.cli import options
from tinyfuse.core.console import console

if TYPE_CHECKING:
    from tinyfuse.firmware.verify import Verified


def add_export(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``export``."""
    parser.add_argument("model", metavar="MODEL.tflite", help="an integer model of supported operators, also one that "
                                                              "tinyfuse did not convert")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the package; new or empty")
    parser.add_argument("--force", action="store_true", help="replace the package that is in DIR")
    parser.add_argument("--name", help="C identifier, the prefix of every symbol (default: from the file's name)")
    parser.add_argument("--optimize", default="ram", metavar="WHAT",
                        help="ram (default): the smallest arena; speed: weights are decoded less often, for more "
                             "memory; size: the least code")
    parser.add_argument("--board", metavar="NAME", help="refuse if the model does not fit this board (tinyfuse ls "
                                                        "boards)")
    parser.add_argument("--vectors", type=options.positive, default=200, metavar="N",
                        help="test vectors that travel with the package (default 200)")
    parser.add_argument("--random", action="store_true", help="random test vectors, for models of other inputs than "
                                                              "image and audio")
    options.add_data(parser)


def export(args: argparse.Namespace) -> int:
    """Write a package; print its folder."""
    from tinyfuse.firmware import deploy
    from tinyfuse.firmware.boards import board

    if args.board is not None:
        board(args.board)
    dataset = None if args.random else options.load_data(args)
    if dataset is not None and args.data is None and not deploy.fits_data(args.model, dataset):
        console.print("the embedded digits do not fit the inputs of this model; its test vectors are random")
        dataset = None
    folder = deploy.export(args.model, args.out, dataset=dataset, name=args.name, optimize=args.optimize,
                           vectors=args.vectors, board=args.board, force=args.force, seed=args.seed)
    print("\n".join([str(folder), *deploy.described(folder, args.board)]))
    return 0


def add_verify(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``verify``."""
    parser.add_argument("package", metavar="DIR", help="folder that `tinyfuse export` wrote")
    parser.add_argument("--core", metavar="NAMES", help="m3,m4,m7,m33,m55 or some of them (default: all that can be "
                                                        "emulated here)")
    parser.add_argument("--compiler", metavar="NAME", help="arm-none-eabi-gcc or zig (default: what is there)")
    parser.add_argument("--emulator", metavar="NAME", help="qemu-system-arm or unicorn (default: what is there)")
    parser.add_argument("--board", action="append", default=[], metavar="NAME",
                        help="say whether the package fits, and estimate its time; repeatable")
    parser.add_argument("--layers", action="store_true", help="print the instructions of each layer")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def verify(args: argparse.Namespace) -> int:
    """Print what was found on each core; exit code 3 if a code differs from TFLite Micro's."""
    from tinyfuse.firmware import deploy
    from tinyfuse.firmware.boards import board
    from tinyfuse.firmware.verify import summary

    for name in args.board:
        board(name)
    found = deploy.verify(args.package, cores=args.core, compiler=args.compiler, emulator=args.emulator)
    lines = deploy.board_lines(found, args.board)
    if args.json:
        print(json.dumps(summary(found) | ({"boards": lines} if lines else {})))
    else:
        print("\n".join([text(found, layers=args.layers), *lines]))
    found.check()
    return 0


def text(found: Verified, *, layers: bool) -> str:
    """What ``verify`` prints for people."""
    from tinyfuse.firmware.verify import ENOUGH

    table = found.package.figures
    lines = [f"{found.package.name}: {table['macs']} multiply-accumulates, "
             f"arena {table['arena_bytes']} bytes (TFLite Micro {table['tflm_arena_bytes']}), "
             f"packed weights {table['packed_weight_bytes']} bytes (.tflite {table['tflite_bytes']})",
             f"sanitizers on this machine: {found.host or 'nothing found'}"]
    if len(found.package.vectors) < ENOUGH:
        lines.append(f"only {len(found.package.vectors)} vectors: export with more for a proof ({ENOUGH} or more)")
    lines += [f"changed since it was exported: src/{path}" for path in found.package.changed]
    for one in found.cores:
        flash = one.flash
        lines.append(
            f"{one.core}: {'exact' if one.parity else 'DIFFERS'}, {one.vectors} vectors, {one.differing} differ "
            f"({one.values} values of tensors compared); {one.instructions} instructions, "
            f"{one.instructions / max(table['macs'], 1):.2f} for each multiply-accumulate; flash {flash.flash} bytes "
            f"(code {flash.text}, packed weights {flash.weights}, tables {flash.tables}); RAM "
            f"{table['arena_bytes'] + one.stack_bytes + flash.data} (arena {table['arena_bytes']}, stack "
            f"{one.stack_bytes}) [{one.compiler}, {one.emulator}]")
        lines += [f"  {name}: {count}" for name, count in one.layers.items()] if layers else []
    lines += [f"{core}: not verified, {why}" for core, why in found.missing.items()]
    return "\n".join(lines)
