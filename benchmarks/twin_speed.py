"""Throughput of the twin beside TFLite Micro's interpreter, LiteRT and the float network: one run, as ratios.

    python benchmarks/twin_speed.py [--model NAME] [--recipe w6] [--samples 512] [--rounds 5]

Every executor evaluates the same clean samples of the embedded digits; rounds are interleaved and the best one counts,
so that other work on the machine falls on all alike. Outputs of twin and TFLite Micro are compared as well.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tinyfuse import load_data
from tinyfuse.attacks import KerasTarget
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import IntegerModel, load_model
from tinyfuse.nn.network import load_network

MODELS = Path(__file__).resolve().parent.parent / "models" / "digits"
FUSIONS = ("early", "intermediate", "late")
TFLM_SAMPLES = 64  # TFLite Micro runs about a hundred a second; the rate does not depend on their number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=FUSIONS, help="default: all three fusions")
    parser.add_argument("--recipe", default="w6")
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    samples = load_data().test.balanced(args.samples, seed=0)
    for name in args.model or FUSIONS:
        integer = load_model(MODELS / f"{name}__{args.recipe}.tflite", name=f"{name} {args.recipe}")
        rates, differing = measure(integer, MODELS / f"{name}.keras", samples.inputs, samples.label, args.rounds)
        show(integer.name, rates, differing)


def measure(integer: IntegerModel, network: Path, inputs: Mapping[str, np.ndarray], labels: np.ndarray,
            rounds: int) -> tuple[dict[str, float], int]:
    """Samples a second of each task, and output codes in which twin and TFLite Micro differ."""
    codes = integer.codes_of(inputs)
    few = {name: values[:TFLM_SAMPLES] for name, values in codes.items()}
    batch = {name: values.astype(np.float32) for name, values in codes.items()}
    executors = {name: open_executor(integer, name) for name in ("tflm", "litert", "twin")}
    keras, twin = KerasTarget(load_network(network).model), TwinTarget(integer)
    wrt = tuple(codes)
    tasks: dict[str, tuple[int, Callable[[], object]]] = {
        "tflm": (len(next(iter(few.values()))), lambda: executors["tflm"].run(few)),
        "litert": (len(labels), lambda: executors["litert"].run(codes)),
        "twin": (len(labels), lambda: executors["twin"].run(codes)),
        "float": (len(labels), lambda: keras.logits(inputs)),
        "twin gradient": (len(labels), lambda: twin.gradient(batch, labels, wrt)),
        "float gradient": (len(labels), lambda: keras.gradient(inputs, labels, wrt))}
    best = dict.fromkeys(tasks, 0.0)
    for _ in range(rounds + 1):  # the first round also compiles; the best of all rounds counts
        for name, (count, task) in tasks.items():
            began = time.perf_counter()
            task()
            best[name] = max(best[name], count / (time.perf_counter() - began))
    return best, int(np.sum(executors["twin"].run(few) != executors["tflm"].run(few)))


def show(name: str, rates: Mapping[str, float], differing: int) -> None:
    """Print the rates and the two ratios that matter."""
    print(f"{name}: " + ", ".join(f"{task} {rate:,.0f}/s" for task, rate in rates.items()))
    print(f"    twin / tflm {rates['twin'] / rates['tflm']:.1f}, twin gradient / float gradient "
          f"{rates['twin gradient'] / rates['float gradient']:.2f}; "
          f"{differing} output codes of {TFLM_SAMPLES} samples differ from TFLite Micro's")


if __name__ == "__main__":
    main()
