"""What firmware costs: the columns of the model cards and of docs/results.md.

    python benchmarks/firmware_costs.py --data DIR [--core m4,m55] [--recipes w7,w9] FILE...

FILE is a ``.tflite``, or a ``.keras`` that is converted with each of ``--recipes``. The exported firmware (ram plan)
runs on the emulated cores. Prints a Markdown table: KiB of the ``.tflite``, KiB of flash and RAM (arena and stack) on
the first core, millions of instructions of one inference on each core.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tinyfuse import api
from tinyfuse.cli import options
from tinyfuse.data import Dataset
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.measure import measure, setups
from tinyfuse.integer.model import load_model
from tinyfuse.study.rows import SAMPLE_SEED


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--core", default="m4,m55")
    parser.add_argument("--recipes", default="w8,w6", help="of FILEs that are .keras (default w8,w6)")
    return options.guarded(run, parser.parse_args())


def run(args: argparse.Namespace) -> int:
    """Convert what has to be, measure and print."""
    dataset, cores = load_from(args), args.core.split(",")
    print("| network | stored KiB | flash KiB | RAM KiB | " + " | ".join(f"{core.upper()} Minstr" for core in cores)
          + " |\n|" + "---|" * (4 + len(cores)))
    with tempfile.TemporaryDirectory() as made:
        for path in integer_files(args.files, args.recipes.split(","), dataset, Path(made)):
            print(f"| {path.stem} | {costs(path, dataset, cores)} |", flush=True)
    return 0


def integer_files(files: Sequence[Path], recipes: Sequence[str], dataset: Dataset, out: Path) -> Iterator[Path]:
    """Yield every ``.tflite`` of ``files``, and of each ``.keras`` one for each recipe, written to ``out``."""
    for path in files:
        yield from [path] if path.suffix == ".tflite" else api.convert_many(path, recipes, dataset, out=out)


def costs(path: Path, dataset: Dataset, cores: Sequence[str] = ("m4",)) -> str:
    """Return stored bytes of a ``.tflite`` and flash, RAM and instructions of its firmware, as cells of a row."""
    model = load_model(path)
    codes = model.codes_of(dataset.test.balanced(4, seed=SAMPLE_SEED).inputs)
    found = measure(model, codes, list(setups([CORES[core] for core in cores]).values()), "ram")
    first = found[cores[0]]
    return " | ".join((f"{path.stat().st_size / 1024:.1f}", f"{first.flash.flash / 1024:.1f}",
                       f"{first.ram_bytes / 1024:.1f}", *(f"{found[core].instructions / 1e6:.1f}" for core in cores)))


if __name__ == "__main__":
    raise SystemExit(main())
