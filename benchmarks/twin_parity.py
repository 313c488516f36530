"""Every tensor of the five networks at four widths in the twin and in TFLite Micro: values compared and differing.

    python benchmarks/twin_parity.py [--data DIR] [--models DIR] [--pairs 10] [--epsilon 0.1]

Each network of ``--models`` (default: those committed) is converted at 6 to 9 bits. Inputs: clean test pairs, the same
after five steps of PGD on the integers, and random codes (the first two saturated). Exit code 3: a value differs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from tinyfuse.attacks import Threat, TwinTarget, code_problem, pgd
from tinyfuse.cli import options
from tinyfuse.core.errors import ParityError
from tinyfuse.integer.compare import compare, random_codes
from tinyfuse.integer.interpreters import IntegerModel, load
from tinyfuse.nn.train_or_load import load_network
from tinyfuse.nn.zoo.fusion import MODELS, modalities_of
from tinyfuse.quantize import convert
from tinyfuse.quantize.recipe import precision
from tinyfuse.study.samples import Samples

NETWORKS = Path(__file__).resolve().parent.parent / "models" / "digits"
WIDTHS = ("w6", "w7", "w8", "w9")
CALIBRATION, STEPS = 200, 5


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_data(parser)
    parser.add_argument("--models", type=Path, default=NETWORKS, metavar="DIR", help="folder of .keras networks")
    parser.add_argument("--pairs", type=options.positive, default=10, help="samples of each kind (default 10)")
    parser.add_argument("--epsilon", type=float, default=0.1, help="budget of PGD in input units (default 0.1)")
    return options.guarded(run, parser.parse_args())


def run(args: argparse.Namespace) -> int:
    """Compare, print a line for each model and a total, and raise `ParityError` if anything differs."""
    dataset = options.load_data(args)
    calibration = dataset.train.balanced(CALIBRATION, seed=0)
    chosen = dataset.test.balanced(args.pairs, seed=0)
    pairs = Samples(chosen.inputs(), chosen.label)
    total = np.zeros((2, 3), np.int64)
    for name in MODELS:
        base = convert.baseline(load_network(args.models / f"{name}.keras").model, calibration,
                                inputs=modalities_of(name))
        for width in WIDTHS:
            model = load(convert.convert(base, precision(width)).data, name=f"{name} {width}")
            counts = np.array(list(_counts(model, pairs, args.epsilon))).T
            total += counts
            print(f"{model.name:18s} values {_three(counts[0])}   differing {_three(counts[1])}", flush=True)
    print(f"{'all':18s} values {_three(total[0])}   differing {_three(total[1])}   (clean, adversarial, random)")
    if total[1].any():
        raise ParityError(f"{total[1].sum()} of {total[0].sum()} values differ")
    return 0


def _counts(model: IntegerModel, pairs: Samples, epsilon: float) -> Iterator[tuple[int, int]]:
    """(values, differing) over all tensors, by kind of input."""
    target = TwinTarget(model)
    wanted = Threat("linf", dict.fromkeys(model.grids, epsilon))
    threat, clean = code_problem(wanted, pairs.inputs, model.grids, "codes")
    attacked = pgd(target, clean, pairs.label, threat, steps=STEPS).strongest
    for codes in (_whole(clean, model), _whole(attacked, model), random_codes(model, len(pairs), seed=0)):
        (pair,) = compare(model, ["twin", "tflm"], codes).pairs
        yield pair.values, pair.differing


def _whole(batch: Mapping[str, np.ndarray], model: IntegerModel) -> dict[str, np.ndarray]:
    return {name: batch[name].astype(np.int32) for name in model.grids}


def _three(counts: np.ndarray) -> str:
    return " ".join(f"{count:>11,}" for count in counts)


if __name__ == "__main__":
    raise SystemExit(main())
