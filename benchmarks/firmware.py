"""Firmware of the five networks, and of MLPerf Tiny's six, on emulated cores: exactness, flash, RAM, instructions.

    python benchmarks/firmware.py [--data DIR] [--out runs/firmware] [--core m4,m55,rv32] [--only early] [--mlperf DIR]

Each network of ``--models`` (default: those committed) is converted at 6 to 9 bits and at two mixed precisions,
exported with 200 test samples and verified on every core (`tinyfuse verify`). Of MLPerf Tiny the official int8 files in
``--mlperf DIR`` are taken, else networks of the same shapes with random weights; they are exported with 50 random
vectors for RAM and for speed (see ``mlperf_networks.py``, also for CMSIS-NN's figures). A line for each
package goes into ``OUT/firmware.jsonl``; what is there already is not done again. Prints the table of
``benchmarks/README.md``. Exit code 3: a code differs from TFLite Micro's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlperf_networks

from tinyfuse.api import convert_many
from tinyfuse.cli import options
from tinyfuse.core.console import console
from tinyfuse.core.errors import ParityError
from tinyfuse.core.files import sha256_hex, write_text
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.firmware import deploy
from tinyfuse.firmware.measure import runtime_sha256
from tinyfuse.firmware.verify import summary, verify
from tinyfuse.nn import zoo
from tinyfuse.nn.network import load_network

NETWORKS = Path(__file__).resolve().parent.parent / "models" / "digits"
WIDTHS = ("w6", "w7", "w8", "w9")
MIXES = ("image6-audio8-shared8", "image8-audio6-shared8")
LAYER_MIXES = {"stem8-rest6": ("*_stem_conv", 8, 6), "block3at6-rest9": ("*_block3_*", 6, 9)}
"""Mixed precisions of networks with one modality: (layers, their bits, bits of the rest)."""
CORES = ("m0+", "m3", "m4", "m7", "m33", "m55", "rv32")
MLPERF_VECTORS = 50


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--models", type=Path, default=NETWORKS, metavar="DIR", help="folder of .keras networks")
    parser.add_argument("--out", type=Path, default=Path("runs/firmware"), metavar="DIR")
    parser.add_argument("--core", default=",".join(CORES), metavar="NAMES")
    parser.add_argument("--only", metavar="NAME", help="one network")
    parser.add_argument("--mlperf", type=Path, metavar="DIR", help="folder of MLPerf Tiny's int8 files")
    return options.guarded(run, parser.parse_args())


def run(args: argparse.Namespace) -> int:
    """Export and verify everything that is not there yet, then print the tables."""
    args.out.mkdir(parents=True, exist_ok=True)
    record = args.out / "firmware.jsonl"
    for model, recipe, path, optimize in (*_models(args), *_mlperf(args)):
        key = f"{model} {recipe} {optimize} {args.core} {sha256_hex(path.read_bytes())} {runtime_sha256()}"
        if any(line["key"] == key for line in _lines(record)):
            continue
        console.print(f"{model} {recipe} {optimize}")
        ours = model in zoo.DIGIT_NETWORKS
        folder = deploy.export(path, args.out / f"{model}-{recipe}-{optimize}", optimize=optimize, force=True,
                               name="net", dataset=load_from(args) if ours else None,
                               vectors=200 if ours else MLPERF_VECTORS)
        found = summary(verify(folder, cores=args.core))
        with record.open("a", encoding="utf-8") as stream:
            identity = {"key": key, "model": model, "recipe": recipe, "optimize": optimize}
            stream.write(json.dumps({**identity, **found}) + "\n")
    lines = [line for line in _lines(record) if line["key"].endswith(runtime_sha256())]
    write_text(args.out / "firmware.md", _table(lines))
    print(_table(lines), end="")
    wrong = [line["key"] for line in lines for core in line["cores"].values() if not core["parity"]]
    if wrong:
        raise ParityError(f"codes differ from TFLite Micro's: {wrong[0]}")
    return 0


def _lines(record: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()] if record.exists() else []


def _models(args: argparse.Namespace) -> Iterator[tuple[str, str, Path, str]]:
    """(network, recipe, .tflite, optimize) of every package."""
    for name in zoo.DIGIT_NETWORKS if args.only is None else [one for one in zoo.DIGIT_NETWORKS if one == args.only]:
        network = args.models / f"{name}.keras"
        recipes = [*WIDTHS, *(MIXES if len(load_network(network).inputs) > 1 else _recipes(args.out))]
        paths = convert_many(network, recipes, load_from(args), out=args.out / "models")
        for path in paths:
            yield name, path.stem.split("__")[1], path, "ram"
        yield name, "w6", paths[0], "speed"


def _mlperf(args: argparse.Namespace) -> Iterator[tuple[str, str, Path, str]]:
    """The same of MLPerf Tiny's networks."""
    files = (mlperf_networks.official(args.mlperf) if args.mlperf is not None else
             mlperf_networks.random(args.out / "models"))
    for name, path in files if args.only not in zoo.DIGIT_NETWORKS else ():
        for optimize in ("ram", "speed") if args.only in (None, name) else ():
            yield name, "official" if args.mlperf is not None else "w8", path, optimize


def _recipes(out: Path) -> list[str]:
    """Recipe files of mixed precision by layer."""
    paths = []
    for name, (pattern, bits, rest) in LAYER_MIXES.items():
        path = out / "recipes" / f"{name}.toml"
        path.parent.mkdir(exist_ok=True)
        write_text(path, f'name = "{name}"\n[weights]\nshared = {rest}\n'
                         f'[[layers]]\npattern = "{pattern}"\nbits = {bits}\n')
        paths.append(str(path))
    return paths


def _table(lines: list[dict[str, Any]]) -> str:
    """Markdown: what each package costs, then instructions for each multiply-accumulate."""
    rows = ["| network | weights | planned for | MMAC | packed weights | code (M4) | tables | flash (M4) | arena | "
            "stack (M4) | RAM / TFLM arena | " + " | ".join(f"{core} instr/MAC" for core in CORES) +
            " | vectors | values | differing |", "| --- | --- | --- |" + " ---: |" * (8 + len(CORES) + 3)]
    for line in lines:
        cores = line["cores"]
        one = cores.get("m4") or next(iter(cores.values()))
        counts = [f"{cores[name]['instructions'] / cores[name]['macs']:.3f}" if name in cores else "-"
                  for name in CORES]
        rows.append(
            f"| {line['model']} | {line['recipe']} | {line['optimize']} | {one['macs'] / 1e6:.1f} | "
            f"{one['weight_bytes']} | {one['text_bytes']} | {one['table_bytes']} | {one['flash_bytes']} | "
            f"{one['arena_bytes']} | {one['stack_bytes']} | {one['ram_bytes'] / line['tflm_arena_bytes']:.2f} | "
            f"{' | '.join(counts)} | {sum(core['vectors'] for core in cores.values())} | "
            f"{sum(core['tensor_values'] for core in cores.values())} | "
            f"{sum(core['differing_vectors'] + bool(core['first_difference']) for core in cores.values())} |")
    for name, peers in mlperf_networks.CMSIS_NN.items():
        if any(line["model"] == name for line in lines):
            counts = [f"{peers[core]:.2f}" if core in peers else "-" for core in CORES]
            rows.append(f"| {name} | CMSIS-NN | | | | | | | | | | {' | '.join(counts)} | | | |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
