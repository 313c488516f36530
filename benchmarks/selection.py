"""Bit selection methods at equal packed bytes: clean and robust accuracy per input, on several trainings.

    python benchmarks/selection.py --data DIR [--model intermediate] [--seeds 0,1,2] [--bits 6,3] [--out runs/selection]

For each training seed and for the packed bytes of each uniform width of ``--bits``: that width; the cheapest allocation
by Hessian trace x squared rounding error (HAWQ) and by the error of the logits (Model Compression Toolkit); greedy (the
narrowing that costs least divergence for each byte saved, until it fits); the mean of two random allocations of at
least 98 % of the bytes; and what ``tinyfuse select`` (robust) finds best in its trials on held-out samples (its finals,
which attack the best again with all checks, are left out). 7, 8 and 9 bits stand beside them as they are. All take the
same rounding methods. Every recipe is judged on the same test samples: twin, codes (G), L-inf 0.03, the worst case over
the profile "standard". Networks are trained into ``--out`` where they are not there (seed 0 may be copied from
models/digits to OUT/seed0/networks). What was measured is kept: a killed run goes on. Prints Markdown, and writes it to
OUT/selection.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinyfuse.attacks import TwinTarget, misclassified
from tinyfuse.cli import options
from tinyfuse.core.console import console, progress
from tinyfuse.core.errors import UsageError
from tinyfuse.core.files import write_text
from tinyfuse.core.results import ResultStore
from tinyfuse.core.statistics import wilson
from tinyfuse.core.workers import Processes
from tinyfuse.data import Dataset, Samples
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.integer.model import load_model
from tinyfuse.nn.train import TrainConfig, steps_per_epoch
from tinyfuse.nn.train_or_load import train_or_load
from tinyfuse.quantize.recipe import Recipe, uniform
from tinyfuse.search import costs
from tinyfuse.search.budget import Budget, parse_budget
from tinyfuse.search.candidates import Space, mixed
from tinyfuse.search.criteria import Evidence, cost_table
from tinyfuse.search.measure import trials
from tinyfuse.search.promote import finalists, tried
from tinyfuse.search.rank import Judged
from tinyfuse.search.select import gather, space_of, try_out
from tinyfuse.search.selection_study import SelectionStudy
from tinyfuse.search.settings import Settings

FUSIONS = ("early", "intermediate", "late")
RANDOM, FULL, DRAWS = 2, 0.98, 1_000_000
WIDER = (7, 8, 9)
MODES = ("image", "audio", "all")
OURS = "tinyfuse select, trials"
RESAMPLES = 5000


@dataclass(frozen=True)
class Entry:
    """One method's recipes for one network; the figures of several are averaged."""

    method: str
    recipes: Sequence[Recipe]


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--model", choices=FUSIONS, default="intermediate", help="network (default intermediate)")
    parser.add_argument("--seeds", type=_numbers, default=(0, 1, 2), help="training seeds (default 0,1,2)")
    parser.add_argument("--bits", type=_numbers, default=(6, 3), help="uniform widths whose bytes are spent (6,3)")
    parser.add_argument("--epochs", type=options.positive, default=12)
    parser.add_argument("--batch-size", type=options.positive, default=128)
    parser.add_argument("--samples", type=options.positive, default=Settings.test_samples, help="attacked test samples")
    parser.add_argument("--clean-samples", type=options.positive, default=2000, help="test samples judged clean")
    parser.add_argument("--jobs", type=options.positive, default=options.cores())
    parser.add_argument("--out", type=Path, default=Path("runs/selection"))
    return options.guarded(run, parser.parse_args())


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def run(args: argparse.Namespace) -> int:
    """Measure everything that is missing and print the tables."""
    # No mixed recipe of the grid fits the bytes of its narrowest width, so that it need not be measured here.
    dataset, settings = load_from(args), replace(Settings(), test_samples=args.samples, grid=(max(args.bits),))
    found: dict[tuple[int, str], list[list[Judged]]] = {}
    for seed in args.seeds:
        study = _study(args, dataset, settings, seed)
        evidence = gather(study)
        for bits in args.bits:
            entries = list(_entries(study, evidence, bits))
            recipes = {recipe.name: recipe for entry in entries for recipe in entry.recipes}
            with progress(f"seed {seed}, test samples", len(recipes)) as advance:
                rows = trials(study, list(recipes.values()), lambda note: advance(note=note), part="test",
                              count=args.samples)
            clean = study.judged("test", args.clean_samples)
            judged = {name: replace(tried(row), clean=_clean(study, recipes[name], clean))
                      for name, row in rows.items()}
            for entry in entries:
                found.setdefault((bits, entry.method), []).append([judged[recipe.name] for recipe in entry.recipes])
            console.print(f"seed {seed}, bytes of {bits} bits: done")
    text = "\n".join(_report(args, found, args.bits))
    write_text(args.out / "selection.md", text)
    print(text)
    return 0


def _study(args: argparse.Namespace, dataset: Dataset, settings: Settings, seed: int) -> SelectionStudy:
    config = TrainConfig(epochs=args.epochs, batch_size=args.batch_size, seed=seed)
    folder = args.out / f"seed{seed}"
    with progress(f"training {args.model}, seed {seed}", config.epochs * steps_per_epoch(dataset, config)) as advance:
        network = train_or_load(args.model, dataset, config, folder / "networks", tick=advance, report=console.print)
    folder /= args.model
    return SelectionStudy(network, dataset, settings, folder, ResultStore(folder / "results.jsonl"),
                          Processes(args.jobs))


def _entries(study: SelectionStudy, evidence: Evidence, bits: int) -> Iterator[Entry]:
    """Every method within the packed bytes of ``bits`` bits, then the wider uniform recipes."""
    methods = study.settings.methods
    plain = uniform(bits, methods)
    size = costs.needs(study.convert(plain))["flash"]
    budget = parse_budget(f"flash={size}")
    space = space_of(study, budget)
    yield Entry(f"uniform {bits}", [plain])
    for name, criterion in (("HAWQ (Hessian)", "hessian"), ("MCT (MSE)", "mse")):
        (widths,) = space.allocations(criterion, budget, evidence)
        yield Entry(name, [mixed(study.units, widths, methods)])
    yield Entry("greedy", [mixed(study.units, _greedy(study, evidence, space.sizes["flash"], size), methods)])
    yield Entry(f"random, mean of {RANDOM}", [
        mixed(study.units, _random(study, space.sizes["flash"], size, number), methods) for number in range(RANDOM)])
    yield Entry(OURS, [_ours(study, space, budget, evidence)])
    for width in WIDER:
        yield Entry(f"uniform {width}", [uniform(width, methods)])


def _clean(study: SelectionStudy, recipe: Recipe, samples: Samples) -> np.ndarray:
    """Bool [n]: ``samples`` that the integers classify correctly."""
    model = load_model(study.convert(recipe).data, name=recipe.name)
    codes = {name: values.astype(np.float32) for name, values in model.codes_of(samples.inputs).items()}
    return np.asarray(~misclassified(TwinTarget(model).logits(codes), samples.label))


def _ours(study: SelectionStudy, space: Space, budget: Budget, evidence: Evidence) -> Recipe:
    candidates, measured = try_out(study, space, budget, evidence)
    return finalists(study, budget, candidates, measured)[0].recipe


def _greedy(study: SelectionStudy, evidence: Evidence, sizes: np.ndarray, limit: int) -> dict[str, int]:
    """From the widest: always the narrowing by one width that costs least divergence for each byte saved."""
    widths = study.settings.widths
    cost = cost_table("kl", study.units, widths, evidence)
    place = np.full(len(study.units), len(widths) - 1)
    rows = np.arange(len(study.units))
    while sizes[rows, place].sum() > limit:
        lower = np.maximum(place - 1, 0)
        saved = sizes[rows, place] - sizes[rows, lower]
        rate = np.where(saved > 0, (cost[rows, lower] - cost[rows, place]) / np.where(saved > 0, saved, 1), np.inf)
        best = int(np.lexsort((-saved, rate))[0])
        place[best] -= 1
    return {unit.name: widths[index] for unit, index in zip(study.units, place, strict=True)}


def _random(study: SelectionStudy, sizes: np.ndarray, limit: int, number: int) -> dict[str, int]:
    """Independent uniform widths, drawn until they fill the limit to at least 98 %."""
    generator, rows = np.random.default_rng(number), np.arange(len(study.units))
    for _ in range(DRAWS):
        place = generator.integers(0, len(study.settings.widths), len(rows))
        if FULL * limit <= sizes[rows, place].sum() <= limit:
            return {unit.name: study.settings.widths[index] for unit, index in zip(study.units, place, strict=True)}
    raise UsageError(f"no random allocation fills {limit} bytes to {FULL:.0%}; take other --bits")


def _report(args: argparse.Namespace, found: Mapping[tuple[int, str], list[list[Judged]]],
            bits: Sequence[int]) -> Iterator[str]:
    seeds = ", ".join(map(str, args.seeds))
    yield (f"{args.model}, training seeds {seeds}, {args.samples} attacked and {args.clean_samples} clean test samples "
           f"each, FGSM and PGD-{Settings.trial_steps} on two losses, twin, threat model G, L-inf {Settings.epsilon:g}."
           " Mean over the seeds in percent (lowest to highest); ours - method: mean paired difference in points on "
           "the weaker input and with all attacked, 95 % bootstrap interval over samples, and that of each seed. "
           "Ours is the first of the trials of tinyfuse select on held-out samples; its finals are left out.\n")
    for width in bits:
        rows = {method: outcomes for (key, method), outcomes in found.items() if key == width}
        yield f"At the packed bytes of uniform {width} bits:\n"
        yield ("| method | packed bytes | clean | image | audio | all | ours - method, weaker input | by seed "
               "| ours - method, all | by seed |")
        yield "| --- |" + " ---: |" * 9
        ours = rows[OURS]
        for method, outcomes in rows.items():
            yield _line(method, outcomes, ours)
        yield ""
    yield _intervals(found)


def _line(method: str, outcomes: list[list[Judged]], ours: list[list[Judged]]) -> str:
    sizes = [one.needs["flash"] or 0 for judged in outcomes for one in judged]
    size = str(min(sizes)) if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    figures = [_figure([float(np.mean([_correct(one, mode).mean() for one in judged])) for judged in outcomes])
               for mode in ("clean", *MODES)]
    if method == OURS:
        changes = [""] * 4
    else:
        changes = [text for mode in (_weaker(ours), "all") for text in _difference(_changes(ours, outcomes, mode))]
    return f"| {method} | {size} | {' | '.join([*figures, *changes])} |"


def _weaker(ours: list[list[Judged]]) -> str:
    """The input on which, attacked alone, ours is weaker, over all seeds."""
    return min(MODES[:2], key=lambda name: float(np.mean([judged[0].robust[name].mean() for judged in ours])))


def _changes(ours: list[list[Judged]], theirs: list[list[Judged]], mode: str) -> np.ndarray:
    """Ours minus theirs under attack on ``mode``, float [seeds, samples]."""
    return np.array([judged[0].robust[mode] - np.mean([one.robust[mode] for one in other], axis=0)
                     for judged, other in zip(ours, theirs, strict=True)])


def _difference(changes: np.ndarray) -> tuple[str, str]:
    """The mean with its interval, and the mean of each seed, in points."""
    value, low, high = _bootstrap(changes)
    return (f"{100 * value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})",
            ", ".join(f"{100 * change:+.1f}" for change in changes.mean(axis=1)))


def _bootstrap(changes: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % interval; the samples are drawn, each with what all seeds make of it."""
    means = changes.mean(axis=0)
    drawn = np.random.default_rng(0).integers(0, len(means), (RESAMPLES, len(means)))
    low, high = np.quantile(means[drawn].mean(axis=1), [0.025, 0.975])
    return float(means.mean()), float(low), float(high)


def _correct(one: Judged, mode: str) -> np.ndarray:
    return one.clean if mode == "clean" else one.robust[mode]


def _figure(values: Sequence[float]) -> str:
    shown = [100 * value for value in values]
    return f"{np.mean(shown):.2f} ({min(shown):.1f} to {max(shown):.1f})"


def _intervals(found: Mapping[tuple[int, str], list[list[Judged]]]) -> str:
    """The widest Wilson intervals of one seed."""
    every = [one for outcomes in found.values() for judged in outcomes for one in judged]

    def widest(modes: Sequence[str]) -> float:
        spans = [wilson(int(correct.sum()), len(correct)) for one in every for mode in modes
                 for correct in [_correct(one, mode)]]
        return 50 * max(high - low for low, high in spans)

    return (f"Widest 95 % Wilson interval of one seed: clean ±{widest(['clean']):.1f} points, robust "
            f"±{widest(MODES):.1f} points.\n")


if __name__ == "__main__":
    raise SystemExit(main())
