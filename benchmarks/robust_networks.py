"""The networks of models/robust: what their firmware costs, and the figures of benchmarks/objectives.py for them.

    python benchmarks/robust_networks.py --data DIR --limit 12000 [--models DIR] [--figures FILE.jsonl]

Converts each ``.keras`` of the folder with w8, w6 and w4 where the ``.tflite`` is missing, runs the firmware of every
``.tflite`` on an emulated Cortex-M4 (ram plan), and prints the Markdown table of the card. Accuracies are those that
benchmarks/objectives.py wrote for the same training.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from firmware_costs import costs
from objective_verdicts import Figures
from objectives import cell

from tinyfuse import api
from tinyfuse.cli import options
from tinyfuse.data import Dataset
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.study.rows import SAMPLE_SEED

RECIPES = ("w8", "w6", "w4")
CHOSEN = {"early": "drawn-pgd+dropout", "intermediate": "drawn-pgd+dropout", "late": "drawn-pgd+single"}
"""By network the objective of benchmarks/objectives.py that it was trained with."""
COLUMNS = (("none", "none"), ("none", "image alone"), ("none", "audio alone"), ("linf .1/.03", "image"),
           ("linf .1/.03", "audio"), ("linf .1/.03", "all"), ("l2 1/.5", "all"))


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--models", type=Path, default=Path("models/robust"))
    parser.add_argument("--figures", type=Path, default=Path("runs/objectives/figures.jsonl"))
    parser.add_argument("--samples", type=options.positive, default=500)
    return options.guarded(run, parser.parse_args())


def run(args: argparse.Namespace) -> int:
    """Convert what is missing, measure and print."""
    dataset, figures = load_from(args), Figures(args.figures)
    heads = [" ".join(pair).replace("none ", "").replace("none", "clean") for pair in COLUMNS]
    print("| network | weights | " + " | ".join(heads) + " | stored KiB | flash KiB | RAM KiB | M4 Minstr |\n|"
          + "---|" * (len(COLUMNS) + 6))
    for network, objective in CHOSEN.items():
        path = args.models / f"{network}.keras"
        missing = [recipe for recipe in RECIPES if not (args.models / f"{network}__{recipe}.tflite").exists()]
        if missing:
            api.convert_many(path, missing, dataset, out=args.models)
        for bits in ("float", *RECIPES):
            place = {"network": network, "objective": objective, "seed": 0, "bits": bits, "samples": args.samples}
            cost = "| | | " if bits == "float" else costs(args.models / f"{network}__{bits}.tflite", dataset)
            print(f"| {network} | {bits} | " + " | ".join(_cells(figures, place, dataset)) + f" | {cost} |")
    return 0


def _cells(figures: Figures, place: Mapping[str, object], dataset: Dataset) -> list[str]:
    group = dataset.test.balanced(int(str(place["samples"])), seed=SAMPLE_SEED).group
    found = [figures.find(**place, attack=attack, inputs=inputs) for attack, inputs in COLUMNS]
    return [cell([line] if line else [], group) for line in found]


if __name__ == "__main__":
    raise SystemExit(main())
