"""The networks of models/certified: train them, convert them, and print what is certified of them and what they cost.

    python benchmarks/certified_networks.py --data DIR --limit 60000 [--networks late,image] [--models DIR]
        [--samples 2000] [--train-only] [--again FOLDER]

Trains each network with its objective where its ``.keras`` is missing, converts it with w8, w6, w4 and w4-qat where the
``.tflite`` is missing, and prints the Markdown table of the card: accuracy, alone too (the other input at its training
mean), the share of test pairs that `tinyfuse certify` proves within the whole budget of the training, all inputs
attacked (threat model G of whole codes; float: intervals on the whole test part, integers: ``--samples`` pairs), the
share that PGD-20 does not break, and the costs of the firmware on an emulated Cortex-M4 (ram plan). Images are not
changed in training, recordings are replaced by their variants. ``--again`` trains anew into FOLDER and ends with an
error unless every file has the bytes of the one in ``--models``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from firmware_costs import costs
from objective_verdicts import Judged, undisturbed

import tinyfuse
from tinyfuse import api
from tinyfuse.cli import options
from tinyfuse.core.errors import ParityError, UsageError, nearest
from tinyfuse.data import Dataset
from tinyfuse.data.digits.augmentation import Augmentation
from tinyfuse.data.samples import Batch
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.nn.network import load_network
from tinyfuse.study.rows import SAMPLE_SEED

RECIPES = ("w8", "w6", "w4", "w4-qat")
BATCH = 128


@dataclass(frozen=True)
class Entry:
    """How a network of the folder of this name was trained: the network of the zoo, the budget, the epochs."""

    network: str
    budget: Mapping[str, float]
    epochs: int
    objective: str = "ibp"

    @property
    def training(self) -> dict[str, Any]:
        """Settings of :func:`tinyfuse.train`."""
        return {"objective": self.objective, "settings": {"ibp": {"budget": dict(self.budget)}}, "epochs": self.epochs,
                "batch_size": BATCH}


ENTRIES: Mapping[str, Entry] = {
    "late": Entry("plain-late", {"image": 0.1, "audio": 0.02}, 8),
    "image": Entry("plain-image", {"image": 0.1}, 12),
    "image-8-255": Entry("plain-image", {"image": 8 / 255}, 14),
}


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--networks", type=lambda text: text.split(","), default=list(ENTRIES), metavar="NAMES",
                        help=f"from {', '.join(ENTRIES)} (default: all)")
    parser.add_argument("--models", type=Path, default=Path("models/certified"))
    parser.add_argument("--samples", type=options.positive, default=2000, help="test pairs (default 2000)")
    parser.add_argument("--train-only", action="store_true", help="train and convert what is missing and end")
    parser.add_argument("--again", type=Path, metavar="FOLDER", help="train anew there and compare all bytes")
    return options.guarded(run, parser.parse_args())


def run(args: argparse.Namespace) -> int:
    """Train and convert what is missing, then measure and print, or compare."""
    for name in args.networks:
        if name not in ENTRIES:
            raise UsageError(f"unknown network '{name}'{nearest(name, ENTRIES)}; choose from {', '.join(ENTRIES)}")
    dataset = with_given_images(load_from(args))
    for name in args.networks:
        made(args.again or args.models, name, dataset)
        if args.again:
            compare(args.again / name, args.models / name)
    if not (args.train_only or args.again):
        print("| network | weights | clean | image / audio alone | certified | withstands PGD | stored KiB | "
              "flash KiB | RAM KiB | M4 Minstr |\n|" + "---|" * 10)
        for name in args.networks:
            print("\n".join(rows(args.models / name, ENTRIES[name], dataset, args.samples)))
    return 0


def with_given_images(dataset: Dataset) -> Dataset:
    """Return the digits with training images as they are and any variant of the recordings.

    A turned and moved image is harder to certify, and small networks have no room for it.
    """
    made = dataset.augment
    if not isinstance(made, Augmentation):
        raise UsageError(f"{dataset.name}: the networks of models/certified are trained on MNIST and FSDD; give --data "
                         "DIR with both")

    def augment(rows: np.ndarray, rng: np.random.Generator) -> Batch:
        variant = rng.integers(made.variants.shape[1], size=len(rows))
        return {"image": made.image[rows], "audio": made.variants[made.utterance[rows], variant]}

    return replace(dataset, augment=augment)


def made(folder: Path, name: str, dataset: Dataset) -> list[Path]:
    """Train and convert a network where it is missing; return the paths of its ``.tflite`` files."""
    entry = ENTRIES[name]
    path = tinyfuse.train(entry.network, dataset, out=folder / name, **entry.training)
    missing = [recipe for recipe in RECIPES if not path.with_name(f"{path.stem}__{recipe}.tflite").exists()]
    if missing:
        api.convert_many(path, missing, dataset)
    return [path.with_name(f"{path.stem}__{recipe}.tflite") for recipe in RECIPES]


def compare(again: Path, committed: Path) -> None:
    """Raise ParityError unless all networks in both folders are the same bytes."""
    for path in sorted(committed.iterdir()):
        if path.suffix in (".keras", ".tflite") and path.read_bytes() != (again / path.name).read_bytes():
            raise ParityError(f"{again / path.name} differs from {path}")
    print(f"{committed}: the same bytes again")


def rows(folder: Path, entry: Entry, dataset: Dataset, count: int) -> list[str]:
    """Write the lines of a table: the float network on the whole test part, then each width on ``count`` samples."""
    table = load_network(folder / f"{entry.network}.keras").table
    samples = dataset.test.balanced(count, seed=SAMPLE_SEED)
    shares = table["accuracy"]["test"], table["objective"]["ibp"]["certified"]["test"]
    lines = [f"| {folder.name} | float | {percent(shares[0])} | | {percent(shares[1])} | | | | | |"]
    for recipe in RECIPES:
        path = folder / f"{entry.network}__{recipe}.tflite"
        right = undisturbed(Judged.of(path), dataset, samples)
        alone = " / ".join(percent(right[f"{name} alone"].mean()) for name in entry.budget if len(entry.budget) > 1)
        found = {row["quantity"]: row for row in api.certify(path, dataset, epsilon=entry.budget, samples=count,
                                                             modality=",".join(entry.budget)).rows}
        certified = found["certified"]
        lines.append(f"| {folder.name} | {recipe} | {percent(right['none'].mean())} | {alone} | "
                     f"{percent(certified['value'])} ({percent(certified['low'])}–{percent(certified['high'])}) | "
                     f"{percent(1 - found['falsified']['value'])} | {costs(path, dataset)} |")
    return lines


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


if __name__ == "__main__":
    raise SystemExit(main())
