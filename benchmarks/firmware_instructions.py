"""Where the instructions of a network's firmware go: by function, and by block of code within the dearest ones.

    python benchmarks/firmware_instructions.py [--core m4,m55] [--optimize ram] [--blocks 6] FILE.tflite

One inference of random codes on an emulated board, counted block by block by QEMU; no loop is sampled. Prints for each
core the functions with their instructions and their share for each multiply-accumulate, and of each function the
blocks that most instructions are in: instructions of the block, and how often it ran.
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from tinyfuse.cli import options
from tinyfuse.core.errors import UsageError
from tinyfuse.core.files import temporary_folder
from tinyfuse.firmware.build import build, footprint
from tinyfuse.firmware.cores import Core, cores_of
from tinyfuse.firmware.machine import Qemu, count_instructions, outputs_of, results_of
from tinyfuse.firmware.measure import setups
from tinyfuse.firmware.package import write_sources
from tinyfuse.firmware.program import Program, program_of
from tinyfuse.firmware.toolchain import OPTIMIZE
from tinyfuse.firmware.vectors import Vectors, tflm_outputs
from tinyfuse.integer.arena import tflm_arena_bytes
from tinyfuse.integer.model import load_model, random_codes

HARNESS = ("main", "infer", "paint", "reset", "send_record", "board_", "tny_begin", "tny_reset")
"""Functions that are no part of the package."""


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--core", default="m4,m55")
    parser.add_argument("--optimize", default="ram", choices=list(OPTIMIZE))
    parser.add_argument("--blocks", type=int, default=0, metavar="N", help="the N dearest blocks of each function")
    return options.guarded(run, parser.parse_args())


def run(args: argparse.Namespace) -> int:
    """Build, run and print for each core."""
    model = load_model(args.file)
    codes = random_codes(model, 1, seed=1)
    vectors = Vectors(codes, tflm_outputs(model, codes), extreme=0)
    program = program_of(model, "net", args.optimize)
    macs = sum(layer.macs for layer in program.weighted)
    for core in cores_of(args.core):
        with temporary_folder(None, "tinyfuse") as folder:
            blocks, functions, said = traced(program, vectors, core, folder)
        print(f"{core.name} {args.optimize}: {said}; of TFLM's arena {tflm_arena_bytes(model)}")
        table(blocks, functions, macs, args.blocks)
    return 0


def traced(program: Program, vectors: Vectors, core: Core, folder: Path) -> tuple[
        dict[int, tuple[int, int]], list[tuple[int, int, str]], str]:
    """Return (instructions, runs) of each block by address, (start, size, name) of functions, and costs in words."""
    setup = setups([core]).get(core.name)
    if setup is None or not isinstance(setup.emulator, Qemu):
        raise UsageError(f"no compiler or no {core.qemu} for {core.name} here")
    write_sources(program, folder / "src")
    built = build(folder / "src", program, core, setup.compiler, "plain", folder)
    ran = setup.emulator.run(core, built.program, vectors.stream(), counted=True)
    differing = int((outputs_of(ran, vectors.outputs, core) != vectors.outputs).sum())
    count, stack, *_ = results_of(ran, core)
    sizes = footprint(built.package)
    macs = sum(layer.macs for layer in program.weighted)
    said = (f"{count} instructions, {count / macs:.3f} for each of {macs} products; {differing} codes differ; "
            f"code {sizes.text}, tables {sizes.tables}, weights {sizes.weights}; arena {program.plan.arena_bytes}, "
            f"stack {stack}, RAM {program.plan.arena_bytes + stack + sizes.data} bytes")
    log, wrapper = folder / "trace.log", folder / "traced"
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which(core.qemu)} -d in_asm,exec,nochain -D {log} "$@"\n')
    wrapper.chmod(0o755)
    Qemu(str(wrapper)).run(core, built.program, vectors.stream(), counted=False)
    with built.program.open("rb") as stream:
        elf = ELFFile(stream)
        functions = [(one["st_value"] & ~1, one["st_size"], one.name) for one in
                     _symbols(elf) if one["st_info"]["type"] == "STT_FUNC" and one["st_size"]]
        code = {segment["p_vaddr"]: segment.data() for segment in elf.iter_segments("PT_LOAD")}
    return dict(_blocks(log, code, core)), functions, said


def _symbols(elf: ELFFile) -> Iterator[Any]:
    table = elf.get_section_by_name(".symtab")
    yield from table.iter_symbols() if isinstance(table, SymbolTableSection) else ()


def _blocks(log: Path, code: dict[int, bytes], core: Core) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield address and (instructions, runs) of each block that QEMU translated, from ``code`` by address."""
    last: dict[int, int] = {}
    runs: Counter[int] = Counter()
    start: int | None = None
    with log.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if line.startswith("Trace"):
                found = re.search(r"\[[0-9a-f]+/([0-9a-f]+)/", line)
                runs[int(found[1], 16) if found else 0] += 1
            elif line.startswith("0x"):
                at = int(line.split(":")[0], 16)
                start = at if start is None else start
                last[start] = at
            elif not line.strip():
                start = None
    for at, count in runs.items():
        first, content = next((first, content) for first, content in code.items() if 0 <= at - first < len(content))
        # The disassembler does not know every instruction, and gives wrong lengths of those.
        yield at, (count_instructions(content[at - first:last[at] + 2 - first], core), count)


def table(blocks: dict[int, tuple[int, int]], functions: list[tuple[int, int, str]], macs: int, most: int) -> None:
    """Print the functions, the dearest first, with the dearest ``most`` blocks of each."""
    inside: dict[str, list[tuple[int, int, int]]] = {}
    for at, (size, count) in blocks.items():
        start, name = next(((start, name) for start, length, name in functions if start <= at < start + length),
                           (at, "?"))
        if not name.startswith(HARNESS):
            inside.setdefault(name, []).append((at - start, size, count))
    totals = {name: sum(size * count for _, size, count in found) for name, found in inside.items()}
    for name, total in sorted(totals.items(), key=lambda item: -item[1]):
        print(f"  {total:>10} {total / macs:6.3f} {name}")
        for at, size, count in sorted(inside[name], key=lambda one: -one[1] * one[2])[:most]:
            print(f"    +{at:<5} {size:>3} instructions, {count:>8} times: {size * count / macs:.3f}")


if __name__ == "__main__":
    raise SystemExit(main())
