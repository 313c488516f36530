"""Clean accuracy at few bits after training: plain rounding, clipping, compensated rounding, bias correction.

    python benchmarks/low_bits.py --data DIR [--samples 2000] [--recipe w4 --recipe w4-mse-gptq ...] [--network early]
                                  [--attack] [--json]

Each network of ``--models`` (default: those committed) is converted with every recipe (default: 2 to 6 bits and a
mixture, each by all combinations below) and judged by the twin on balanced test samples. Tables: accuracy with its 95 %
Wilson interval, and the difference to the float network on the same samples, in points. ``--attack`` adds what is left
after PGD-10 at epsilon 0.03 on either input, on ``--attack-samples`` samples: float in real values, integers in whole
codes, each with its own gradients, any iterate. A recipe with the method "qat" needs training: its
``<network>__<recipe>.tflite`` in ``--models`` is taken as it is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tinyfuse.attacks import PGD, KerasTarget, Threat, TwinTarget, code_problem, misclassified
from tinyfuse.cli import options
from tinyfuse.core.console import progress
from tinyfuse.core.statistics import paired_difference, wilson
from tinyfuse.data import Dataset
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import load_network
from tinyfuse.quantize.convert import Baseline, baseline, convert
from tinyfuse.quantize.recipe import Recipe, read_recipe

NETWORKS = Path(__file__).resolve().parent.parent / "models" / "digits"
FUSIONS = ("early", "intermediate", "late")
WIDTHS = ("w2", "w3", "w4", "w5", "w6", "image3-audio4-shared4")
METHODS = ("", "mse", "gptq", "bias", "mse-gptq", "gptq-bias", "mse-gptq-bias")
CALIBRATION, STEPS, EPSILON = 200, 10, 0.03


@dataclass(frozen=True)
class Line:
    """Figures of one network at one precision, shares of 1; ``difference`` is to float on the same samples."""

    network: str
    widths: str
    methods: str
    accuracy: float
    interval: tuple[float, float]
    difference: float
    difference_interval: tuple[float, float]
    robust: dict[str, float]
    n: int
    n_attacked: int


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--models", type=Path, default=NETWORKS, metavar="DIR", help="folder of .keras networks")
    parser.add_argument("--network", action="append", choices=FUSIONS, help="default: all three fusions")
    parser.add_argument("--recipe", action="append", metavar="NAME", help="default: all widths by all methods")
    parser.add_argument("--samples", type=options.positive, default=2000, help="test samples (default 2000)")
    parser.add_argument("--attack", action="store_true", help="attack either input as well")
    parser.add_argument("--attack-samples", type=options.positive, default=200,
                        help="attacked samples (default 200)")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each line")
    return options.guarded(run, parser.parse_args())


def run(args: argparse.Namespace) -> int:
    """Judge every network at every precision, then print."""
    names = args.recipe or ["-".join(filter(None, (w, m))) for w in WIDTHS for m in METHODS]
    recipes = [read_recipe(name) for name in names]
    dataset, networks = load_from(args), args.network or FUSIONS
    with progress("few bits", len(networks) * (1 + len(recipes))) as advance:
        lines = []
        for network in networks:
            for line in _lines(args, network, recipes, dataset):
                lines.append(line)
                advance(note=f"{network} {line.widths} {line.methods}")
    print("\n".join(json.dumps(asdict(line)) for line in lines) if args.json else "\n".join(_tables(lines, args)))
    return 0


def _lines(args: argparse.Namespace, network: str, recipes: list[Recipe], dataset: Dataset) -> Iterator[Line]:
    """The float network, then each of ``recipes``."""
    trained = load_network(args.models / f"{network}.keras")
    dataset = dataset.as_trained(trained.table, network)
    base = baseline(trained, dataset.train.balanced(CALIBRATION, seed=0))
    float_target = KerasTarget(trained.model)
    truth = _correct(float_target, dataset, args.samples)
    yield _line(args, dataset, (network, "float", ""), float_target, truth)
    for recipe in recipes:
        methods = "-".join(recipe.methods)
        target = TwinTarget(load_model(_tflite(args.models, base, recipe), name=f"{network} {recipe.name}"))
        yield _line(args, dataset, (network, recipe.name.removesuffix(f"-{methods}"), methods), target, truth)


def _tflite(models: Path, base: Baseline, recipe: Recipe) -> bytes:
    if "qat" in recipe.methods:
        return (models / f"{base.model}__{recipe.name}.tflite").read_bytes()
    return convert(base, recipe).data


def _line(args: argparse.Namespace, dataset: Dataset, name: tuple[str, str, str], target: KerasTarget | TwinTarget,
          truth: np.ndarray) -> Line:
    correct = _correct(target, dataset, args.samples)
    found = paired_difference(truth, correct)
    robust = {one.name: _robust(target, dataset, args.attack_samples, one.name)
              for one in dataset.inputs} if args.attack else {}
    return Line(*name, float(correct.mean()), wilson(int(correct.sum()), len(correct)), found.value,
                (found.low, found.high), robust, len(correct), args.attack_samples if args.attack else 0)


def _correct(target: KerasTarget | TwinTarget, dataset: Dataset, n: int) -> np.ndarray:
    """Which of ``n`` balanced test samples are classified correctly, bool [n]."""
    samples = dataset.test.balanced(n, seed=0)
    inputs = samples.inputs
    if target.grids is not None:
        inputs = {name: grid.quantise(inputs[name]) for name, grid in target.grids.items()}
    return np.asarray(~misclassified(target.logits(inputs), samples.label))


def _robust(target: KerasTarget | TwinTarget, dataset: Dataset, n: int, attacked: str) -> float:
    """Share of ``n`` balanced test samples that no iterate of PGD on the input ``attacked`` breaks."""
    samples = dataset.test.balanced(n, seed=0)
    threat, batch = Threat.of(dataset.inputs, {attacked: EPSILON}), samples.inputs
    if target.grids is not None:
        threat, batch = code_problem(threat, batch, target.grids, "codes")
    return float(1 - PGD(steps=STEPS).run(target, batch, samples.label, threat).broken.mean())


def _tables(lines: list[Line], args: argparse.Namespace) -> Iterator[str]:
    """Markdown: a table for each figure, a row for each network and widths, a column for each method."""
    yield from _table(f"Accuracy in percent, {lines[0].n} test samples (95 % interval)", lines,
                      {_key(x): f"{100 * x.accuracy:.2f} ({_span(x.interval)})" for x in lines})
    yield from _table("Points above float on the same samples (95 % interval)", lines,
                      {_key(x): f"{100 * x.difference:+.2f} ({_span(x.difference_interval)})" for x in lines})
    for one in lines[0].robust:
        yield from _table(f"Accuracy in percent after PGD-{STEPS} on the {one}, epsilon {EPSILON}, "
                          f"{args.attack_samples} test samples", lines,
                          {_key(x): f"{100 * x.robust[one]:.1f}" for x in lines})


def _key(line: Line) -> tuple[str, str, str]:
    return line.network, line.widths, line.methods


def _span(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}"


def _table(title: str, lines: list[Line], cells: dict[tuple[str, str, str], str]) -> Iterator[str]:
    methods = list(dict.fromkeys(line.methods for line in lines))
    yield f"{title}:\n"
    yield "| network | weights | " + " | ".join(one or "plain" for one in methods) + " |"
    yield "| --- | --- |" + " ---: |" * len(methods)
    for network, widths in dict.fromkeys((line.network, line.widths) for line in lines):
        yield f"| {network} | {widths} | " + " | ".join(cells.get((network, widths, one), "") for one in methods) + " |"
    yield ""


if __name__ == "__main__":
    raise SystemExit(main())
