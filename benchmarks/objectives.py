"""Training objectives beside each other: accuracy, each input alone and under attack, in float and as integers.

    python benchmarks/objectives.py --data DIR [--networks late] [--objectives joint,mixup,...] [--seeds 0,1,2]
        [--recipes w8,w6,w4] [--pairs 12000] [--samples 500] [--out runs/objectives] [--table-only] [--figures FILE]

Each objective trains each network on ``--pairs`` training pairs (8 epochs, Adam 2e-3 with a cosine, batch 64; test
pairs are those of the official splits), converts it, and attacks float network and integers (white box, on the twin;
threat model G of whole codes) on the same class-balanced test pairs with FGSM, PGD-10 of the cross-entropy and of the
margin loss, and in L-inf Square (100 queries): any iterate counts, and a pair that is broken with fewer inputs attacked
or at a smaller budget stays broken. TFLite Micro judges the codes again; a differing one ends the run. "alone": the
other inputs at the mean of the training part. Trainings and verdicts are kept in ``--out``: a killed run goes on.
Prints Markdown; intervals are 95 % bootstraps over utterances and trainings.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from objective_intervals import clustered_interval
from objective_orderings import orderings
from objective_seconds import Training, few_batches, measure
from objective_verdicts import BUDGETS, Figures, Judged, Verdicts, attacked, undisturbed

import tinyfuse
from tinyfuse import api
from tinyfuse.cli import options
from tinyfuse.core.backend import tensorflow
from tinyfuse.core.console import console
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.core.files import locked, write_text
from tinyfuse.core.results import unpack_survivors
from tinyfuse.data import Dataset
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.nn.train import TrainConfig
from tinyfuse.study.rows import SAMPLE_SEED

TIMED_PAIRS = 1024
THREAT = {"image": 0.1, "audio": 0.03}
"""What adversarial training is trained against."""


@dataclass(frozen=True)
class Entry:
    """An objective as trained: its parts and their settings.

    ``budgets``: attacks that tell something about it. What withstands the larger L-inf budget is not attacked with the
    smaller one within it.
    """

    objective: str
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def budgets(self) -> tuple[str, ...]:
        """Names of the budgets that it is attacked with."""
        hardened = any(part in self.objective for part in ("adversarial", "trades"))
        return tuple(name for name in BUDGETS if not (hardened and name == "linf .03"))


def against(method: str = "fgsm", attacked: str = "all", **others: Any) -> dict[str, Any]:
    """Return the settings of adversarial training against :data:`THREAT`."""
    return {"budget": THREAT, "method": method, "attacked": attacked, **others}


ENTRIES: Mapping[str, Entry] = {
    "joint": Entry("plain"),
    "mixup": Entry("mixup"),
    "density-mixup": Entry("density-mixup"),
    "gblend": Entry("gblend"),
    "ogm": Entry("ogm"),
    "pmr": Entry("pmr"),
    "pmr-paper": Entry("pmr-paper"),
    "single": Entry("single"),
    "minsim": Entry("minsim"),
    "exfmem": Entry("exfmem"),
    "crmt": Entry("crmt"),
    "crmt-head": Entry("crmt", {"crmt": {"steps": "head"}}),
    "crmt-step1": Entry("crmt", {"crmt": {"steps": "first"}}),
    "crmt-step2": Entry("crmt", {"crmt": {"steps": "second"}}),
    "crmt-least": Entry("crmt", {"crmt": {"radius": "least"}}),
    "crmt+mixup": Entry("crmt+mixup"),
    "fgsm": Entry("adversarial", {"adversarial": against()}),
    "n-fgsm": Entry("adversarial", {"adversarial": against("n-fgsm")}),
    "gradalign": Entry("adversarial+grad-align", {"adversarial": against(start="zero")}),
    "mmat": Entry("adversarial", {"adversarial": against("pgd")}),
    "mmat-l2": Entry("adversarial", {"adversarial": {"budget": {"image": 0.5, "audio": 0.5}, "norm": "l2-joint",
                                                     "method": "pgd", "step": 0.2}}),
    "trades": Entry("trades", {"trades": {"budget": THREAT}}),
    "awp": Entry("adversarial+awp", {"adversarial": against()}),
    "crmt+at": Entry("crmt+adversarial", {"adversarial": against()}),
    "drawn": Entry("adversarial", {"adversarial": against(attacked="drawn")}),
    "drawn-pgd": Entry("adversarial", {"adversarial": against("pgd", "drawn")}),
    "drawn+single": Entry("single+adversarial", {"adversarial": against(attacked="drawn")}),
    "drawn-n-fgsm+single": Entry("single+adversarial", {"adversarial": against("n-fgsm", "drawn")}),
    "drawn-pgd+single": Entry("single+adversarial", {"adversarial": against("pgd", "drawn", steps=5)}),
    "drawn+dropout": Entry("adversarial+input-dropout", {"adversarial": against(attacked="drawn")}),
    "drawn-pgd+dropout": Entry("adversarial+input-dropout", {"adversarial": against("pgd", "drawn", steps=5)}),
    "drawn+crmt1": Entry("crmt+adversarial", {"adversarial": against(attacked="drawn"), "crmt": {"steps": "first"}}),
}


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--networks", type=_names, default=("late",))
    parser.add_argument("--objectives", type=_names, default=tuple(ENTRIES), help="default: all")
    parser.add_argument("--seeds", type=_numbers, default=(0, 1, 2), help="training seeds (default 0,1,2)")
    parser.add_argument("--recipes", type=_names, default=("w8", "w6", "w4"))
    parser.add_argument("--pairs", type=options.positive, default=12000, help="training pairs (default 12000)")
    parser.add_argument("--epochs", type=options.positive, default=8)
    parser.add_argument("--samples", type=options.positive, default=500, help="attacked test pairs (default 500)")
    parser.add_argument("--train-only", action="store_true", help="train what is missing and end")
    parser.add_argument("--table-only", action="store_true", help="print what was measured so far and end")
    parser.add_argument("--seconds", type=options.positive, metavar="STEPS", help="time STEPS steps of each objective "
                        "beside joint training, on one thread, and end; adds lines to OUT/seconds.jsonl")
    parser.add_argument("--figures", type=Path, help="verdicts on test pairs (default OUT/figures.jsonl)")
    parser.add_argument("--out", type=Path, default=Path("runs/objectives"))
    return options.guarded(run, parser.parse_args())


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def run(args: argparse.Namespace) -> int:
    """Train, attack and print."""
    for name in args.objectives:
        if name not in ENTRIES:
            raise UsageError(f"unknown objective '{name}'{nearest(name, ENTRIES)}; choose from {', '.join(ENTRIES)}")
    if args.seconds:
        return time_all(args)
    args.limit = args.pairs
    dataset, store = load_from(args), Figures(args.figures or args.out / "figures.jsonl")
    wanted = [(network, seed, name) for seed in args.seeds for network in args.networks for name in args.objectives]
    with locked(args.out):
        for network, seed, name in () if args.table_only else wanted:
            path = _trained(args, dataset, network, name, seed)
            if not args.train_only:
                _measure(args, dataset, path, store, {"network": network, "objective": name, "seed": seed})
    if not args.train_only:
        text = table(store, dataset, args.samples)
        write_text(args.out / "objectives.md", text)
        print(text)
    return 0


def time_all(args: argparse.Namespace) -> int:
    """Print what each objective takes beside joint training; those that are in the file already are not timed again."""
    tensorflow().config.threading.set_intra_op_parallelism_threads(1)
    tensorflow().config.threading.set_inter_op_parallelism_threads(1)
    args.limit, (network, *_) = TIMED_PAIRS, args.networks
    dataset, path, size = load_from(args), args.out / "seconds.jsonl", TrainConfig().batch_size
    trainings = {name: Training(network, ENTRIES[name].objective, ENTRIES[name].settings, args.epochs,
                                args.pairs // size) for name in args.objectives}
    args.out.mkdir(parents=True, exist_ok=True)
    there = {} if not path.exists() else {one.pop("objective"): one for one in map(json.loads, path.open())}
    joint = Training(network, "plain", {}, args.epochs, args.pairs // size)
    print("| objective | step | of steps | s of a step | s more of an epoch | s once | whole |\n|" + "---|" * 7)
    for name in there:
        print(_timed(name, there[name]))
    left = {name: one for name, one in trainings.items() if name not in there}
    for name, one in measure(left, joint, few_batches(dataset, TIMED_PAIRS // size, size), args.seconds, path):
        print(_timed(name, one), flush=True)
    return 0


def _timed(name: str, one: Mapping[str, Any]) -> str:
    return (f"| {name} | {one['step']:.2f} | {one['low']:.2f}–{one['high']:.2f} | {one['step_seconds']:.2f} | "
            f"{one['epoch_seconds']:.1f} | {one['once_seconds']:.1f} | {one['whole']:.2f} |")


def _trained(args: argparse.Namespace, dataset: Dataset, network: str, name: str, seed: int) -> Path:
    entry, folder = ENTRIES[name], args.out / "networks" / f"{name}-{seed}"
    console.print(f"{network}, {name}, seed {seed}")
    began = time.process_time()
    path = tinyfuse.train(network, dataset, out=folder, objective=entry.objective, settings=entry.settings, seed=seed,
                          epochs=args.epochs)
    console.print(f"training: {time.process_time() - began:.0f} CPU s")
    return path


def _measure(args: argparse.Namespace, dataset: Dataset, path: Path, store: Figures,
             subject: Mapping[str, Any]) -> None:
    """Add the figures of one trained network and of its integers that are not there yet."""
    samples, names = dataset.test.balanced(args.samples, seed=SAMPLE_SEED), ENTRIES[subject["objective"]].budgets
    files = {"float": path} | dict(zip(args.recipes, api.convert_many(path, list(args.recipes), dataset),
                                       strict=True))
    for bits, file in files.items():
        place = dict(subject) | {"bits": bits, "samples": args.samples}
        known = {name: _known(store, place, name) for name in names if store.find(**place, attack=name, inputs="all")}
        clean = store.find(**place, attack="none", inputs="none")
        if clean and len(known) == len(names):
            continue
        began, judged = time.process_time(), Judged.of(file)
        if clean is None:
            for inputs, right in undisturbed(judged, dataset, samples).items():
                store.add(place | {"attack": "none", "inputs": inputs}, right)
        for name, verdicts in attacked(judged, dataset, samples, names, known):
            for inputs, right in verdicts.items():
                store.add(place | {"attack": name, "inputs": inputs}, right)
        console.print(f"{bits}: {time.process_time() - began:.0f} CPU s")


def _known(store: Figures, place: Mapping[str, Any], name: str) -> Verdicts:
    found = {inputs: store.right(**place, attack=name, inputs=inputs) for inputs in (*BUDGETS[name][1], "all")}
    return {inputs: right for inputs, right in found.items() if right is not None}


def table(store: Figures, dataset: Dataset, samples: int) -> str:
    """Write the figures of ``samples`` pairs as Markdown: a table by network and width, and what was published."""
    group = dataset.test.balanced(samples, seed=SAMPLE_SEED).group
    lines = [line for line in store.lines if line["samples"] == samples]
    parts = []
    for network, bits in dict.fromkeys((line["network"], line["bits"]) for line in lines):
        here = [line for line in lines if (line["network"], line["bits"]) == (network, bits)]
        columns = list(dict.fromkeys((line["attack"], line["inputs"]) for line in here))
        heads = [inputs if attack == "none" else f"{attack}: {inputs}" for attack, inputs in columns]
        parts.append(f"### {network}, {bits}\n\n| objective | trainings | " + " | ".join(
            "clean" if head == "none" else head for head in heads) + " |\n|" + "---|" * (len(columns) + 2))
        for name in dict.fromkeys(line["objective"] for line in here):
            own = [line for line in here if line["objective"] == name]
            cells = [cell([line for line in own if (line["attack"], line["inputs"]) == column], group)
                     for column in columns]
            parts[-1] += f"\n| {name} | {len({line['seed'] for line in own})} | " + " | ".join(cells) + " |"
    parts.append(f"### What was published\n\n{orderings(store, samples, group)}")
    return "\n\n".join(parts)


def cell(lines: Sequence[Mapping[str, Any]], group: np.ndarray) -> str:
    if not lines:
        return ""
    right = np.stack([unpack_survivors(line["right"], line["n"]) for line in lines]).astype(float)
    low, high = clustered_interval(right, group)
    return f"{100 * right.mean():.1f} ({100 * low:.1f}–{100 * high:.1f})"


if __name__ == "__main__":
    raise SystemExit(main())
