"""The five networks of MLPerf Tiny from training to the chip: accuracy in float and integers, flash, RAM, instructions.

    python benchmarks/mlperf_tiny.py --data DIR [--out runs/mlperf] [--only keyword-spotting] [--recipe w8 ...]

Each network is trained on a task of the same shapes (``mlperf_tiny_data.py``; DIR holds mnist/, fsdd/ and
speech_commands/), converted at 4, 6, 8 and 9 bits, judged by the twin on the test part, compared with TFLite Micro
tensor by tensor and run on the emulated cores. For anomaly detection the figure is the AUC of the mean square error of
the reconstruction. A line for each file goes into ``OUT/mlperf_tiny.jsonl``; what is there is not done again. Prints
the table of docs/results.md. Exit code 3: a value differs from TFLite Micro's.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import mlperf_tiny_data
import numpy as np

from tinyfuse.cli import options
from tinyfuse.core.console import console
from tinyfuse.core.errors import ModelError, ParityError
from tinyfuse.core.files import write_bytes, write_text
from tinyfuse.data import Dataset, Samples
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.measure import measure, setups
from tinyfuse.integer.compare import compare
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import IntegerModel, dequantize, load_model
from tinyfuse.nn.objectives.reconstruction import anomaly_scores, auc
from tinyfuse.nn.train import TrainConfig
from tinyfuse.nn.train_or_load import train_or_load
from tinyfuse.quantize.convert import baseline, convert
from tinyfuse.quantize.recipe import read_recipe

RECIPES = ("w4", "w6", "w8", "w9")
MEASURED_ON = ("m4", "m55")
AUTOENCODER = "anomaly-detection"
EPOCHS = {"image-classification": 10, "keyword-spotting": 20, "visual-wake-words": 8, "anomaly-detection": 30,
          "streaming-wake-word": 20}
CALIBRATION, COMPARED, MEASURED = 200, 20, 3


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, default=Path("runs/mlperf"), metavar="DIR")
    parser.add_argument("--only", choices=mlperf_tiny_data.TASKS, metavar="NAME")
    parser.add_argument("--recipe", action="append", metavar="NAME", help=f"default: {', '.join(RECIPES)}")
    parser.add_argument("--seed", type=int, default=0)
    return options.guarded(run, parser.parse_args())


def run(args: argparse.Namespace) -> int:
    """Do every network and recipe that is not there yet, then print the table."""
    args.out.mkdir(parents=True, exist_ok=True)
    record = args.out / "mlperf_tiny.jsonl"
    for name in [args.only] if args.only else mlperf_tiny_data.TASKS:
        wanted = [recipe for recipe in args.recipe or RECIPES
                  if (name, recipe) not in {(line["network"], line["recipe"]) for line in _lines(record)}]
        if wanted:
            _do(name, wanted, args, record)
    text = _table(_lines(record))
    write_text(args.out / "mlperf_tiny.md", text)
    print(text, end="")
    wrong = [line for line in _lines(record) if line["differing"]]
    if wrong:
        raise ParityError(f"{wrong[0]['network']} {wrong[0]['recipe']}: {wrong[0]['differing']} values differ")
    return 0


def _do(name: str, recipes: list[str], args: argparse.Namespace, record: Path) -> None:
    """Train one network, then convert, judge and measure it with each of ``recipes``."""
    dataset = mlperf_tiny_data.TASKS[name](args.data, args.seed)
    console.print(f"{name}: {dataset!r}")
    config = TrainConfig(epochs=EPOCHS[name], seed=args.seed,
                         objective="reconstruction" if name == AUTOENCODER else "plain")
    network = train_or_load(name, dataset, config, args.out, report=console.print)
    inputs = dataset.test.inputs
    reality = _figure(name, network.model.predict(dict(inputs), verbose=0), dataset.test)
    base = baseline(network, _calibration(dataset))
    for recipe in recipes:
        converted = convert(base, read_recipe(recipe))
        path = args.out / f"{name}__{recipe}.tflite"
        write_bytes(path, converted.data)
        model = load_model(path)
        line = {"network": name, "recipe": recipe, "data": dataset.name, "n": len(dataset.test), "float": reality,
                "integer": _integer_figure(name, model, dataset.test),
                "packed_bytes": sum(layer.packed_bytes for layer in converted.layers),
                **_parity(model, dataset.test), **_firmware(model, dataset.test)}
        with record.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        console.print(f"{name} {recipe}: float {reality:.4f}, integer {line['integer']:.4f}")


def _calibration(dataset: Dataset) -> Samples:
    rows = np.random.default_rng(0).permutation(len(dataset.train))[:CALIBRATION]
    return dataset.train.take(np.sort(rows))


def _figure(name: str, outputs: np.ndarray, samples: Samples) -> float:
    """Accuracy of logits [n, classes], or AUC of the errors of reconstructions [n, values]."""
    if name == AUTOENCODER:
        return auc(anomaly_scores(outputs, samples.inputs), samples.label)
    return float(np.mean(outputs.argmax(1) == samples.label))


def _integer_figure(name: str, model: IntegerModel, samples: Samples) -> float:
    codes = open_executor(model, "twin").run(model.codes_of(samples.inputs))
    return _figure(name, dequantize(codes, model.outputs[0]), samples)


def _parity(model: IntegerModel, samples: Samples) -> dict[str, int]:
    """Compare every tensor of some samples with TFLite Micro's."""
    codes = model.codes_of(samples.take(slice(0, COMPARED)).inputs)
    (difference,) = compare(model, ("twin", "tflm"), codes).differences
    return {"values": difference.values, "differing": difference.differing}


def _firmware(model: IntegerModel, samples: Samples) -> dict[str, Any]:
    """Cost on each emulated core; the reason where the network cannot be exported."""
    codes = model.codes_of(samples.take(slice(0, MEASURED)).inputs)
    try:
        costs = measure(model, codes, list(setups([CORES[name] for name in MEASURED_ON]).values()), "ram")
    except ModelError as error:
        return {"refused": str(error)}
    if any(cost.differing for cost in costs.values()):
        raise ParityError(f"{model.name}: the firmware's codes differ from TFLite Micro's")
    return {"arena_bytes": next(iter(costs.values())).arena_bytes,
            "flash_bytes": {core: cost.flash.flash for core, cost in costs.items()},
            "instructions": {core: cost.instructions for core, cost in costs.items()}}


def _lines(record: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()] if record.exists() else []


def _table(lines: list[dict[str, Any]]) -> str:
    """Markdown: one line for each network and width."""
    rows = ["| network | weights | test samples | float % | integers % | packed bytes | arena | M4 Minstr | M55 Minstr "
            "| values compared | differing |", "| --- | --- |" + " ---: |" * 9]
    for line in lines:
        costs = [f"{line['instructions'][core] / 1e6:.2f}" if core in line.get("instructions", {}) else "-"
                 for core in MEASURED_ON]
        figures = [f"{100 * line[name]:.2f}" for name in ("float", "integer")]
        rows.append(f"| {line['network']} | {line['recipe']} | {line['n']:,} | {' | '.join(figures)} | "
                    f"{line['packed_bytes']:,} | {line.get('arena_bytes', '-')} | {' | '.join(costs)} | "
                    f"{line['values']:,} | {line['differing']} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
