"""Every tensor of the five networks at four widths in the twin and in TFLite Micro: values compared and differing.

    python benchmarks/twin_parity.py [--data DIR] [--models DIR] [--samples 10] [--epsilon 0.1]

Each network of ``--models`` (default: those committed) is converted at 6 to 9 bits. Inputs: clean samples, the same
after five steps of PGD on the integers, and random codes (the first two saturated). Exit code 3: a value differs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tinyfuse.attacks import PGD, Threat, TwinTarget, code_problem
from tinyfuse.cli import options
from tinyfuse.core.errors import ParityError
from tinyfuse.data import Batch, Input, Samples
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.integer.compare import compare
from tinyfuse.integer.model import IntegerModel, load_model, random_codes
from tinyfuse.nn import zoo
from tinyfuse.nn.network import load_network
from tinyfuse.quantize import convert
from tinyfuse.quantize.recipe import read_recipe

NETWORKS = Path(__file__).resolve().parent.parent / "models" / "digits"
WIDTHS = ("w6", "w7", "w8", "w9")
CALIBRATION, STEPS = 200, 5


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--models", type=Path, default=NETWORKS, metavar="DIR", help="folder of .keras networks")
    parser.add_argument("--samples", type=options.positive, default=10, help="samples of each kind (default 10)")
    parser.add_argument("--epsilon", type=float, default=0.1, help="budget of PGD in input units (default 0.1)")
    return options.guarded(run, parser.parse_args())


def run(args: argparse.Namespace) -> int:
    """Compare, print a line for each model and a total, and raise `ParityError` if anything differs."""
    dataset = load_from(args)
    calibration = dataset.train.balanced(CALIBRATION, seed=0)
    samples = dataset.test.balanced(args.samples, seed=0)
    total = np.zeros((2, 3), np.int64)
    for name in zoo.DIGIT_NETWORKS:
        network = load_network(args.models / f"{name}.keras")
        base = convert.baseline(network, calibration)
        for width in WIDTHS:
            model = load_model(convert.convert(base, read_recipe(width)).data, name=f"{name} {width}")
            counts = np.array(list(_counts(model, network.inputs, samples, args.epsilon))).T
            total += counts
            print(f"{model.name:18s} values {_three(counts[0])}   differing {_three(counts[1])}", flush=True)
    print(f"{'all':18s} values {_three(total[0])}   differing {_three(total[1])}   (clean, adversarial, random)")
    if total[1].any():
        raise ParityError(f"{total[1].sum()} of {total[0].sum()} values differ")
    return 0


def _counts(model: IntegerModel, inputs: Sequence[Input], samples: Samples,
            epsilon: float) -> Iterator[tuple[int, int]]:
    """(values, differing) over all tensors, by kind of input."""
    target = TwinTarget(model)
    wanted = Threat.of(inputs, dict.fromkeys(model.grids, epsilon))
    threat, clean = code_problem(wanted, samples.inputs, model.grids, "codes")
    attacked = PGD(steps=STEPS).run(target, clean, samples.label, threat).strongest
    for codes in (_integers(clean, model), _integers(attacked, model), random_codes(model, len(samples), seed=0)):
        (difference,) = compare(model, ["twin", "tflm"], codes).differences
        yield difference.values, difference.differing


def _integers(batch: Batch, model: IntegerModel) -> dict[str, np.ndarray]:
    return {name: batch[name].astype(np.int32) for name in model.grids}


def _three(counts: np.ndarray) -> str:
    return " ".join(f"{count:>11,}" for count in counts)


if __name__ == "__main__":
    raise SystemExit(main())
