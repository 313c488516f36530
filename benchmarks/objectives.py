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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import tinyfuse
from tinyfuse import api
from tinyfuse.attacks import TwinTarget, profiles
from tinyfuse.attacks.pgd import FGSM, PGD
from tinyfuse.attacks.square import Square
from tinyfuse.cli import options
from tinyfuse.core.console import console
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.core.files import locked, write_text
from tinyfuse.core.results import pack_survivors, unpack_survivors
from tinyfuse.data import Dataset, Samples
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import load_network
from tinyfuse.nn.objectives.view import View
from tinyfuse.nn.predict import predict
from tinyfuse.study.rows import SAMPLE_SEED

WHITE_BOX = (FGSM(), PGD(steps=10), PGD(steps=10, loss="margin"))
SUITES = {"linf": profiles.Profile("objectives-linf", (*WHITE_BOX, Square(queries=100))),
          "l2": profiles.Profile("objectives-l2", WHITE_BOX)}
BUDGETS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "linf .03": ("linf", {"image": 0.03, "audio": 0.03}),
    "linf .1/.03": ("linf", {"image": 0.1, "audio": 0.03}),
    "l2 1/.5": ("l2", {"image": 1.0, "audio": 0.5})}
"""By name the norm and the budget of each attack; each input alone is attacked as well."""
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


class Figures:
    """Verdicts on test pairs, kept line by line: a key of names and numbers, and who is right."""

    def __init__(self, path: Path) -> None:
        self.path, self.lines = path, list[dict[str, Any]]()
        if path.exists():
            whole = path.read_bytes().split(b"\n")[:-1]  # a line that a kill cut short has no end
            self.lines = [json.loads(line) for line in whole]

    def find(self, **key: Any) -> dict[str, Any] | None:
        """Return the line whose entries are ``key``, or None."""
        return next((line for line in self.lines if all(line.get(name) == value for name, value in key.items())), None)

    def add(self, key: Mapping[str, Any], right: np.ndarray) -> None:
        """Append the verdicts ``right``, bool [n], under ``key``."""
        line = dict(key) | {"n": len(right), "right": pack_survivors(right)}
        self.lines.append(line)
        with self.path.open("ab") as stream:
            stream.write(json.dumps(line).encode() + b"\n")


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
    args.limit = args.pairs
    dataset, store = load_from(args), Figures(args.figures or args.out / "figures.jsonl")
    wanted = [(network, seed, name) for seed in args.seeds for network in args.networks for name in args.objectives]
    profiles.PROFILES |= {suite.name: suite for suite in SUITES.values()}
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


def _trained(args: argparse.Namespace, dataset: Dataset, network: str, name: str, seed: int) -> Path:
    entry, folder = ENTRIES[name], args.out / "networks" / f"{name}-{seed}"
    console.print(f"{network}, {name}, seed {seed}")
    return tinyfuse.train(network, dataset, out=folder, objective=entry.objective, settings=entry.settings, seed=seed,
                          epochs=args.epochs)


def _measure(args: argparse.Namespace, dataset: Dataset, path: Path, store: Figures,
             subject: Mapping[str, Any]) -> None:
    """Add the figures of one trained network and of its integers that are not there yet."""
    samples = dataset.test.balanced(args.samples, seed=SAMPLE_SEED)
    files = {"float": path} | dict(zip(args.recipes, api.convert_many(path, list(args.recipes), dataset),
                                       strict=True))
    for bits, file in files.items():
        place = dict(subject) | {"bits": bits, "samples": args.samples}
        if store.find(**place, attack="none", inputs="none") is None:
            for inputs, right in undisturbed(file, dataset, samples).items():
                store.add(place | {"attack": "none", "inputs": inputs}, right)
        for name in ENTRIES[subject["objective"]].budgets:
            norm, budget = BUDGETS[name]
            if store.find(**place, attack=name, inputs="all") is None:
                suite = SUITES[norm].name
                found = tinyfuse.profile(file, dataset, suite, norm=norm, epsilon=budget, samples=args.samples)
                for row in found.rows:
                    if row["kind"] == "attack" and row["attack"]["name"] == suite:
                        inputs = "all" if len(row["attacked"]) > 1 else row["attacked"][0]
                        store.add(place | {"attack": name, "inputs": inputs},
                                  unpack_survivors(row["survivors"], row["n"]))


def undisturbed(file: Path, dataset: Dataset, samples: Samples) -> dict[str, np.ndarray]:
    """Judge ``samples`` as they are, with each input alone and with each one missing: bool [n] by name.

    "alone": the others are the mean of the training part; "alone, features": their features are (float networks with a
    linear head on features of each input); "zero": the input itself is 0.
    """
    answer = _answers(file)
    right = {"none": answer(samples) == samples.label}
    for one in samples.inputs:
        means = {name: np.broadcast_to(dataset.train.inputs[name].mean(0, dtype=np.float64).astype(np.float32),
                                       values.shape) for name, values in samples.inputs.items() if name != one}
        right[f"{one} alone"] = answer(_with(samples, means)) == samples.label
        right[f"{one} zero"] = answer(_with(samples, {one: np.zeros_like(samples.inputs[one])})) == samples.label
    if file.suffix == ".keras":
        right |= _alone_by_features(View(load_network(file).model), dataset, samples)
    return right


def _with(samples: Samples, inputs: Mapping[str, np.ndarray]) -> Samples:
    return Samples({**samples.inputs, **inputs}, samples.label, samples.group)


def _answers(file: Path) -> Callable[[Samples], np.ndarray]:
    if file.suffix == ".keras":
        model = load_network(file).model
        return lambda samples: np.asarray(predict(model, samples).argmax(1))
    twin = TwinTarget(load_model(file))

    def integers(samples: Samples) -> np.ndarray:
        codes = {name: values.astype(np.float32) for name, values in twin.model.codes_of(samples.inputs).items()}
        return np.asarray(twin.logits(codes).argmax(1))

    return integers


def _alone_by_features(view: View, dataset: Dataset, samples: Samples) -> dict[str, np.ndarray]:
    if len(view.branches) < 2:
        return {}

    def features(part: Samples) -> dict[str, np.ndarray]:
        found = view.forward(dict(part.inputs), training=False).features
        return {branch: np.asarray(values) for branch, values in found.items()}

    means = {branch: values.mean(0) for branch, values in features(dataset.train.balanced(2000, seed=0)).items()}
    own, kernel, bias = features(samples), view.head.kernel.numpy(), view.head.bias.numpy()
    return {f"{branch} alone, features": sum(
        (own[one] if one == branch else means[one]) @ kernel[view.rows[one]] for one in view.branches
    ).__add__(bias).argmax(1) == samples.label for branch in view.branches}


def table(store: Figures, dataset: Dataset, samples: int) -> str:
    """Write the figures of ``samples`` pairs as Markdown, a table for each network and width."""
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
    return "\n\n".join(parts) + "\n"


def cell(lines: Sequence[Mapping[str, Any]], group: np.ndarray) -> str:
    if not lines:
        return ""
    right = np.stack([unpack_survivors(line["right"], line["n"]) for line in lines]).astype(float)
    low, high = clustered_interval(right, group)
    return f"{100 * right.mean():.1f} ({100 * low:.1f}–{100 * high:.1f})"


def clustered_interval(values: np.ndarray, groups: np.ndarray, *, resamples: int = 2000,
                       seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval (percentiles) of the mean of ``values`` [trainings, n].

    Two levels: trainings are drawn, and beside them whole groups of samples (``groups`` int [n], such as the
    utterance), since samples of one group are alike. One training tells nothing of its spread.
    """
    names, place = np.unique(groups, return_inverse=True)
    counts = np.bincount(place).astype(float)
    sums = np.stack([np.bincount(place, weights=row) for row in np.atleast_2d(values)])
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), resamples)
    trainings = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), resamples) / len(sums)
    means = np.einsum("rt,tg,rg->r", trainings, sums, drawn, optimize=True) / (drawn @ counts)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    raise SystemExit(main())
