"""A training step of late fusion with and without what `core.backend` sets for TensorFlow, in one run, on one thread.

    python benchmarks/training_speed.py [--steps 40] [--network late] [--xla]

Each row is a process of its own that trains the same network on the same batches: processor milliseconds of a step,
pages that the kernel had to clear in it, and how far kernels are from those of the settings in use, as a share of the
largest weight of a kernel (biases before batch norm have no effect and drift). The last lines
say what the settings in use spend the step on: its convolutions alone (each layer's forward pass and both gradients, on
the shapes of the network), what the step adds, and the input pipeline beside it. Nothing but faster convolutions can
make a step shorter than its convolutions.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse import data
from tinyfuse.cli import options
from tinyfuse.core.backend import tensorflow
from tinyfuse.nn import zoo
from tinyfuse.nn.train import TrainConfig, train

BATCH, WARM = 64, 5
OLD = {"TF_ENABLE_ONEDNN_OPTS": "0", "TF_CPU_ALLOCATOR_USE_BFC": "false"}
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
ROWS = {"in use": {}, "memory goes back to the system": {"TF_CPU_ALLOCATOR_USE_BFC": "false"},
        "no oneDNN": {"TF_ENABLE_ONEDNN_OPTS": "0"}, "neither": OLD, "in use, AVX2 alone": AVX2,
        "neither, AVX2 alone": {**OLD, **AVX2}}
"""What is set instead of what `core.backend` sets. TensorFlow alone takes oneDNN where the processor has VNNI."""


class Enough(Exception):
    """The steps are done."""


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=options.positive, default=40, help="after the first, which compiles")
    parser.add_argument("--network", default="late")
    parser.add_argument("--xla", action="store_true", help="also with every step compiled by XLA (minutes)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measured(args, Path(args.child))))
        return 0
    xla = {"compiled by XLA": {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"}}
    rows = ROWS | (xla if args.xla else {})
    print(f"{args.network}, batches of {BATCH}, {args.steps} steps\n\n| | CPU ms a step | of it the system's | pages "
          "cleared | beside what is in use | kernels differ |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        found = {name: ask(args, Path(folder) / f"{place}.npz", changed)
                 for place, (name, changed) in enumerate(rows.items())}
        first = found["in use"]
        for name, one in found.items():
            print(f"| {name} | {one['step']:.1f} | {one['system']:.1f} | {one['pages']:.0f} | "
                  f"{one['step'] / first['step']:.2f} | "
                  f"{distance(Path(first['weights']), Path(one['weights'])):.1e} |")
    print(f"\nOf a step of {first['step']:.1f} ms: convolutions alone {first['convolutions']:.1f} ms "
          f"({100 * first['convolutions'] / first['step']:.0f} %), everything else "
          f"{first['step'] - first['convolutions']:.1f} ms, of it batches and their way into TensorFlow "
          f"{first['pipeline']:.1f} ms. Compiling took {first['compiling']:.1f} s, the data of an epoch "
          f"{first['data']:.2f} s.")
    return 0


def ask(args: argparse.Namespace, weights: Path, changed: dict[str, str]) -> dict[str, Any]:
    """Measure in a process with other settings."""
    threads = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), "1")
    done = subprocess.run([sys.executable, __file__, "--child", str(weights), "--steps", str(args.steps), "--network",
                           args.network], env={**os.environ, **threads, **changed}, check=True, capture_output=True,
                          text=True)
    return {**json.loads(done.stdout.splitlines()[-1]), "weights": str(weights)}


def measured(args: argparse.Namespace, weights: Path) -> dict[str, float]:
    """Train for some steps; keep the weights, return the figures."""
    from tinyfuse.nn import train as training

    dataset, ticks, kept = data.load(), list[tuple[float, float, int]](), list[Any]()
    real = training._train_step

    def watched(run: Any, config: TrainConfig) -> Any:
        kept.append(run)
        return real(run, config)

    def tick() -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        ticks.append((time.process_time(), used.ru_stime, used.ru_minflt))
        if len(ticks) > WARM + args.steps:
            raise Enough

    training._train_step = watched
    tensorflow()
    began = time.process_time()
    try:
        train(args.network, dataset, TrainConfig(epochs=100, batch_size=BATCH), tick=tick)
    except Enough:
        np.savez(weights, *(np.asarray(one) for one in kept[0].kept if len(one.shape) > 1))
    steps = len(ticks) - 1 - WARM
    per_step = [(last - first) / steps for first, last in zip(ticks[WARM], ticks[-1], strict=True)]
    data_s, batch_ms = pipeline(dataset)
    model = zoo.build(args.network, dataset.inputs, len(dataset.classes))
    return {"step": 1000 * per_step[0], "system": 1000 * per_step[1], "pages": per_step[2], "data": data_s,
            "compiling": ticks[0][0] - began, "pipeline": batch_ms, "convolutions": convolutions(model)}


def pipeline(dataset: Any) -> tuple[float, float]:
    """Return processor seconds of an epoch's data, and milliseconds of bringing one batch to TensorFlow."""
    began = time.process_time()
    inputs, _ = dataset.epoch(0, seed=0)
    whole = time.process_time() - began
    return whole, cpu_ms(lambda: [tensorflow().constant(values[:BATCH]) for values in inputs.values()])


def convolutions(model: Any) -> float:
    """Return processor milliseconds of all convolutions of a step and their gradients, on random values."""
    tf, raw, rng = tensorflow(), tensorflow().raw_ops, np.random.default_rng(0)
    layers = [layer for layer in model.layers if type(layer).__name__ == "Conv2D"]
    data_ids = {id(one) for one in model.inputs}
    values = [[tf.constant(rng.normal(size=shape).astype(np.float32)) for shape in (
        (BATCH, *layer.input.shape[1:]), tuple(layer.kernel.shape), (BATCH, *layer.output.shape[1:]))]
        for layer in layers]

    def step(values: Any) -> list[Any]:
        found = []
        for layer, (given, kernel, slope) in zip(layers, values, strict=True):
            how = {"strides": [1, *layer.strides, 1], "padding": "SAME"}
            found += [raw.Conv2D(input=given, filter=kernel, **how),
                      raw.Conv2DBackpropFilter(input=given, filter_sizes=kernel.shape, out_backprop=slope, **how)]
            if id(layer.input) not in data_ids:  # nobody asks for the gradient of data
                found.append(raw.Conv2DBackpropInput(input_sizes=given.shape, filter=kernel, out_backprop=slope, **how))
        return found

    compiled = tf.function(step)
    return cpu_ms(lambda: compiled(values))


def cpu_ms(action: Callable[[], Any], times: int = 20) -> float:
    """Return processor milliseconds of ``action``, once it has run."""
    action()
    began = time.process_time()
    for _ in range(times):
        action()
    return 1000 * (time.process_time() - began) / times


def distance(first: Path, other: Path) -> float:
    """Return the largest difference of two sets of weights, as a share of the largest weight of its array."""
    with np.load(first) as mine, np.load(other) as theirs:
        return max(float(np.abs(mine[name] - theirs[name]).max() / max(np.abs(mine[name]).max(), 1e-12))
                   for name in mine.files)


if __name__ == "__main__":
    raise SystemExit(main())
