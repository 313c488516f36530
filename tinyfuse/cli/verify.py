"""``tinyfuse verify``."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from tinyfuse.core.errors import UsageError
from tinyfuse.firmware.boards import board

if TYPE_CHECKING:
    from tinyfuse.firmware.frontend_proof import FrontEndResult
    from tinyfuse.firmware.two_cores_proof import TwoCoresResult
    from tinyfuse.firmware.verify import Verified

HELP = "run a package on emulated Cortex-M and RISC-V cores and compare every code with TFLite Micro's"
EXAMPLES = """\
  tinyfuse verify runs/mine/firmware
  tinyfuse verify runs/mine/firmware --core m4,m55 --board nucleo-l4r5zi --layers
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("package", metavar="DIR", help="folder that `tinyfuse export` wrote")
    parser.add_argument("--core", metavar="NAMES", help="m0+,m3,m4,m7,m33,m55,rv32 or some of them (default: all "
                                                        "that can be emulated here)")
    parser.add_argument("--compiler", metavar="NAME", help="arm-none-eabi-gcc, riscv64-unknown-elf-gcc or zig "
                                                           "(default: what is there)")
    parser.add_argument("--emulator", metavar="NAME", help="qemu-system-arm, qemu-system-riscv32 or unicorn "
                                                           "(default: what is there)")
    parser.add_argument("--board", action="append", default=[], metavar="NAME",
                        help="say whether the package fits, and estimate its time; repeatable")
    parser.add_argument("--play", metavar="NAME=FILE[,...]",
                        help="play a recording (WAV) or picture (PNG) for each input to one core and print the class; "
                             "with the application live, its decisions over time: inputs without a file are missing")
    parser.add_argument("--layers", action="store_true", help="print the instructions of each layer")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print what was found on each core; exit code 3 if a code is not TFLite Micro's, 4 for a broken certificate."""
    from tinyfuse.firmware.verify import board_lines, summary, verify

    for name in args.board:
        board(name)
    if args.play is not None:
        return _play(args)
    found = verify(args.package, cores=args.core, compiler=args.compiler, emulator=args.emulator)
    lines = board_lines(found, args.board)
    if args.json:
        print(json.dumps(summary(found) | ({"boards": lines} if lines else {})))
    else:
        print("\n".join([*_lines(found, layers=args.layers), *lines]))
    found.check()
    return 0


def _play(args: argparse.Namespace) -> int:
    """Play files to the first core that was named (default: m4) and print what it answers."""
    from tinyfuse.firmware.frontend_verify import play, play_live
    from tinyfuse.firmware.package import open_package
    from tinyfuse.integer.class_values import class_values

    pairs = [one.partition("=") for one in args.play.split(",")]
    if not all(name and file for name, _, file in pairs):
        raise UsageError(f"--play '{args.play}'; give NAME=FILE, several separated by commas")
    files, core = {name: file for name, _, file in pairs}, (args.core or "m4").split(",")[0]
    package = open_package(args.package)
    if package.live is not None:
        played = play_live(package, package.live, files, core)
        print("\n".join(played.lines))
        print(f"{len(played.lines)} decisions on {played.core} are Python's; at most {played.instructions} "
              f"instructions for one; {played.ram_bytes} bytes of RAM")
        return 0
    found = play(args.package, files, core)
    found.check()
    package = open_package(args.package)
    table = package.metadata
    codes = found.outputs[0][: table.output.size]
    values = class_values(codes[None], package.model)[0]
    place = int(values.argmax())
    classes = table.provenance.get("classes") or range(len(values))
    print(f"{found.core}: class {classes[place]}; {table.output.name} {' '.join(map(str, codes))}; "
          f"{sum(found.compared.values())} codes from the sample to the output are Python's")
    print("instructions: " + ", ".join(f"{name} {count}" for name, count in found.instructions.items() if count))
    return 0


def _lines(found: Verified, *, layers: bool) -> list[str]:
    """What ``verify`` prints for people."""
    from tinyfuse.firmware.verify import ENOUGH

    table, count = found.package.metadata, len(found.package.vectors)
    lines = [f"{table.name}: {table.macs} multiply-accumulates, arena {table.arena_bytes} bytes (TFLite Micro "
             f"{table.tflm_arena_bytes}), packed weights {table.packed_weight_bytes} bytes (.tflite "
             f"{table.tflite_bytes})",
             f"sanitizers on this machine: {found.host or 'passed'}"]
    if count < ENOUGH:
        lines.append(f"only {count} vectors: export with more for a proof ({ENOUGH} or more)")
    lines += [certificate.text() for certificate in table.certificates]
    lines += [f"changed since it was exported: src/{path}" for path in found.package.changed]
    for one in found.cores:
        flash = one.flash
        lines.append(
            f"{one.core}: {'exact' if one.parity else 'DIFFERS'}, {one.vectors} vectors, {one.differing} differ "
            f"({one.values} values of tensors compared); {one.instructions} instructions, "
            f"{one.instructions / max(table.macs, 1):.2f} for each multiply-accumulate; flash {flash.flash} bytes "
            f"(code {flash.text}, packed weights {flash.weights}, tables {flash.tables}); RAM {found.ram_bytes(one)} "
            f"(arena {table.arena_bytes}, stack {one.stack_bytes}) [{one.compiler}, {one.emulator}]")
        lines += [f"{one.core}: {one.broken} of {one.certified} attacked inputs of certified samples change the class"
                  ] * bool(one.certified)
        lines += [f"  {name}: {number}" for name, number in one.layers.items()] if layers else []
    lines += [_front_end_line(one) for one in found.front_ends]
    lines += [f"live on {one.played.core}: {'DIFFERS' if one.differing else 'exact'}, {one.differing} of "
              f"{len(one.wanted)} decisions differ from Python's; RAM {one.played.ram_bytes} bytes"
              for one in found.live]
    lines += [_two_cores_line(one) for one in found.two_cores]
    return [*lines, *(f"{core}: not verified, {why}" for core, why in found.missing.items())]


def _two_cores_line(one: TwoCoresResult) -> str:
    first, second, join = one.instructions
    wrong = "DIFFER" if one.differing or one.touched else "exact"
    return (f"halves for two cores, one after the other on {one.core}: {wrong}, {one.differing} of {one.values} codes "
            f"differ ({one.vectors} vectors, core 0 first and core 1 first), {one.touched} bytes of the other half's "
            f"memory changed; instructions: core 0 {first}, core 1 {second}, join {join}; estimated gain "
            f"{one.gain:.2f} (all over the longer half and the join; no contention on the bus, no start of the second "
            "core counted)")


def _front_end_line(one: FrontEndResult) -> str:
    wrong, compared = sum(one.differing.values()), sum(one.compared.values())
    cost = ", ".join(f"{name} {count}" for name, count in one.instructions.items())
    flash = f"; flash {one.flash.flash} bytes" if one.flash else ""
    return (f"front ends on {one.core}: {'DIFFER' if wrong else 'exact'}, {one.scenes} scenes, {wrong} of {compared} "
            f"codes differ from Python's{flash}{'; instructions: ' + cost if cost else ''}")
