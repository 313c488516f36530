"""Seconds of an FGSM and a PGD sweep against CleverHans, ART and Foolbox: one network, the same samples, one run.

    python benchmarks/attack_speed.py [--model FILE.keras] [--samples N] [--steps 40] [--only PEER] [--json]

A sweep attacks the image, the audio and all at ten budgets, 0.01 to 0.10, and judges the result: which samples are
broken in each of the 30 cells. PGD takes steps of 0.01 from the clean point. tinyfuse answers for the union over
iterates, smaller budgets and single modalities, so it skips what is decided already; the others do what they offer:
each cell from scratch, last iterate. All of them take one input. CleverHans and Foolbox get a closure over the other
one for each mode and batch; ART gets both along the channels and a mask. "cleverhans (per call)" makes the closure
anew for each budget, as a loop over budgets around a loop over batches does, and so traces the network anew.

Seconds include what the first call costs (tracing, compiling); "warm" is without it. CPU seconds sum all threads and
suffer less from other work on the machine. Libraries run as they are; needs the extras `dev` and `peers`.
Exit code 4: somewhere tinyfuse leaves a higher robust accuracy than a peer.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse import data
from tinyfuse.attacks import FGSM, PGD, KerasTarget, Profile, Threat
from tinyfuse.attacks.suite import Cell, run_suite
from tinyfuse.cli import options
from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import GateError
from tinyfuse.nn.network import Network, load_network
from tinyfuse.threats.modes import ALL, modes_of

MODEL = Path(__file__).resolve().parent.parent / "models" / "digits" / "intermediate.keras"
EPSILONS = tuple(round(0.01 * step, 2) for step in range(1, 11))
MODES = modes_of(("image", "audio"))
STEP = 0.01
SAMPLES = {"fgsm": 100, "pgd": 40}
PEER_BATCH = 100
OUR_BATCH = 40  # survivors fill small batches better

Broken = dict[tuple[str, float], np.ndarray]
Sweep = Callable[[Sequence[float], int], Broken]
"""f(budgets, steps) -> bool [n] for each (mode, budget): the sample is misclassified."""


@dataclass(frozen=True, eq=False)
class Case:
    """What every library gets: the network, samples and labels."""

    network: Network
    inputs: Mapping[str, np.ndarray]
    label: np.ndarray

    def stacked(self, names: Sequence[str], rows: slice = slice(None)) -> np.ndarray:
        """The inputs ``names`` of ``rows`` side by side in the last axis."""
        return np.concatenate([self.inputs[name][rows] for name in names], axis=-1)

    def closure(self, names: Sequence[str], rows: slice) -> Callable[..., Any]:
        """The network as a function of one tensor that holds the inputs ``names``; the other input is fixed."""
        fixed = {name: tensorflow().constant(values[rows]) for name, values in self.inputs.items() if name not in names}

        def logits(x: Any, training: bool = False) -> Any:
            given = {name: x[..., index:index + 1] for index, name in enumerate(names)}
            return self.network.model({**fixed, **given}, training=training)

        return logits

    def batches(self) -> Iterator[slice]:
        """Rows that a peer attacks together."""
        for start in range(0, len(self.label), PEER_BATCH):
            yield slice(start, start + PEER_BATCH)

    def by_mode(self, attack: Callable[..., np.ndarray]) -> Broken:
        """Flags by cell from ``attack(names, rows)`` -> bool [budgets, m], over all modes and batches."""
        found = {mode: np.concatenate([attack(names, rows) for rows in self.batches()], axis=1)
                 for mode, names in MODES.items()}
        return {(mode, epsilon): flags for mode, table in found.items()
                for epsilon, flags in zip(EPSILONS, table, strict=False)}


def ours(case: Case, attack: str) -> Sweep:
    """The suite that holds nothing but one attack, in union semantics."""
    target = KerasTarget.of(case.network, batch_size=min(OUR_BATCH, len(case.label)))

    def sweep(epsilons: Sequence[float], steps: int) -> Broken:
        cells = [Cell(mode, epsilon, Threat.of(case.network.inputs, dict.fromkeys(names, epsilon)))
                 for mode, names in MODES.items() for epsilon in epsilons]
        ours = FGSM() if attack == "fgsm" else PGD(steps=steps, step_size=STEP)
        outcomes = run_suite(target, case.inputs, case.label, cells, Profile(attack, (ours,)), by_attack=False)
        return {outcome.cell.key: outcome.broken for outcome in outcomes}

    return sweep


def cleverhans(case: Case, attack: str, keep: bool) -> Sweep:
    """``keep``: one closure for each mode and batch serves all budgets, and later sweeps."""
    from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
    from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

    tf = tensorflow()
    closures = {(names, rows.start): case.closure(names, rows) for names in MODES.values() for rows in case.batches()}

    def sweep(epsilons: Sequence[float], steps: int) -> Broken:
        def one(names: Sequence[str], rows: slice, epsilon: float) -> np.ndarray:
            model_fn = closures[names, rows.start] if keep else case.closure(names, rows)
            x, y = tf.constant(case.stacked(names, rows)), tf.constant(case.label[rows])
            box = {"clip_min": 0.0, "clip_max": 1.0, "y": y}
            found = (fast_gradient_method(model_fn, x, epsilon, np.inf, **box) if attack == "fgsm" else
                     projected_gradient_descent(model_fn, x, epsilon, min(STEP, epsilon), steps, np.inf, **box))
            return np.argmax(model_fn(found), axis=1) != case.label[rows]

        return case.by_mode(lambda names, rows: np.stack([one(names, rows, epsilon) for epsilon in epsilons]))

    return sweep


def art(case: Case, attack: str) -> Sweep:
    """Both inputs as one tensor; the mask says which of them may change."""
    from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
    from art.estimators.classification import TensorFlowV2Classifier

    names = MODES[ALL]
    x = case.stacked(names)
    loss = tensorflow().keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier = TensorFlowV2Classifier(model=case.closure(names, slice(None)), nb_classes=len(case.network.classes),
                                        input_shape=x.shape[1:], loss_object=loss, clip_values=(0.0, 1.0))

    def one(mode: str, epsilon: float, steps: int) -> np.ndarray:
        mask = np.broadcast_to(np.array([name in MODES[mode] for name in names], np.float32), x.shape[1:])
        method = (FastGradientMethod(classifier, eps=epsilon, batch_size=PEER_BATCH) if attack == "fgsm" else
                  ProjectedGradientDescent(classifier, eps=epsilon, eps_step=min(STEP, epsilon), max_iter=steps,
                                           batch_size=PEER_BATCH, verbose=False))
        return classifier.predict(method.generate(x, case.label, mask=mask)).argmax(axis=1) != case.label

    return lambda epsilons, steps: {(mode, epsilon): one(mode, epsilon, steps)
                                    for mode in MODES for epsilon in epsilons}


def foolbox(case: Case, attack: str) -> Sweep:
    """All budgets in one call; Foolbox judges the result itself."""
    from foolbox import TensorFlowModel
    from foolbox.attacks import LinfFastGradientAttack, LinfProjectedGradientDescentAttack

    tf = tensorflow()

    def sweep(epsilons: Sequence[float], steps: int) -> Broken:
        method = (LinfFastGradientAttack(random_start=False) if attack == "fgsm" else
                  LinfProjectedGradientDescentAttack(abs_stepsize=STEP, steps=steps, random_start=False))

        def one(names: Sequence[str], rows: slice) -> np.ndarray:
            model = TensorFlowModel(case.closure(names, rows), bounds=(0, 1), device="/CPU:0")
            x, y = tf.constant(case.stacked(names, rows)), tf.constant(case.label[rows])
            return np.asarray(method(model, x, y, epsilons=list(epsilons))[2])

        return case.by_mode(one)

    return sweep


PEERS: dict[str, tuple[str, str, Callable[..., Sweep]]] = {
    "cleverhans": ("cleverhans", "cleverhans", functools.partial(cleverhans, keep=True)),
    "cleverhans (per call)": ("cleverhans", "cleverhans", functools.partial(cleverhans, keep=False)),
    "art": ("art", "adversarial-robustness-toolbox", art),
    "foolbox": ("foolbox", "foolbox", foolbox)}
"""Row -> module, distribution, and f(case, attack=...) -> sweep."""

FIGURES = ("seconds", "cpu_seconds", "warm_seconds", "warm_cpu_seconds")


@dataclass(frozen=True, eq=False)
class Row:
    """One library: ``figures`` by name, ``robust`` bool [n] for each cell; without them, the ``problem``."""

    library: str
    version: str
    figures: dict[str, float]
    robust: Broken
    problem: str = ""

    def accuracies(self) -> dict[str, list[float]]:
        """Robust accuracy by mode, for each budget."""
        return {mode: [float(np.mean(self.robust[mode, epsilon])) for epsilon in EPSILONS] for mode in MODES}

    def below(self, ours: Row) -> list[str]:
        """Cells in which this library leaves a lower robust accuracy than ``ours``."""
        return [f"{mode} {epsilon:g}" for (mode, epsilon), flags in self.robust.items()
                if flags.sum() < ours.robust[mode, epsilon].sum()]

    def table(self, ours: Row) -> dict[str, Any]:
        """All of it as one JSON object, with the ratios to ``ours``."""
        found = {"library": self.library, "version": self.version}
        if self.problem:
            return {**found, "problem": self.problem}
        ratios = {f"ratio_{name}": value / ours.figures[name] for name, value in self.figures.items()}
        return {**found, **self.figures, **ratios, "robust_accuracy": self.accuracies(),
                "below_tinyfuse": self.below(ours)}

    def text(self, ours: Row) -> str:
        """A line with the ratios to ``ours`` in brackets, and one for each mode."""
        name = f"  {self.library:22s}{self.version:8s}"
        if self.problem:
            return name + self.problem
        lower = self.below(ours)
        verdict = "" if self is ours else f"no: {', '.join(lower)}" if lower else "yes, in all cells"
        seconds = "".join(f"{value:9.1f} ({value / ours.figures[key]:5.1f})" for key, value in self.figures.items())
        return "\n".join([name + seconds + "   " + verdict, *(
            f"      {mode:6s}" + "".join(f"{100 * share:6.1f}" for share in shares)
            for mode, shares in self.accuracies().items())])


def measure(case: Case, attack: str, library: str, version: str, steps: int,
            prepare: Callable[[Case], Sweep]) -> Row:
    """Time a sweep with and without its first call: FGSM runs twice; before PGD, two steps in each mode come first."""
    clean = np.argmax(KerasTarget.of(case.network).logits(case.inputs), axis=1) == case.label
    began = _clocks()
    sweep = prepare(case)
    sweep(EPSILONS if attack == "fgsm" else EPSILONS[:1], 2)
    ready = _clocks()
    broken = sweep(EPSILONS, steps)
    done = _clocks()
    whole = ready - began if attack == "fgsm" else done - began
    figures = dict(zip(FIGURES, map(float, (*whole, *(done - ready))), strict=True))
    return Row(library, version, figures, {cell: clean & ~flags for cell, flags in broken.items()})


def _clocks() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def peer(case: Case, attack: str, library: str, steps: int) -> Row:
    """The measured peer, or why there is none. Whatever it raises is its result: peers run as they are."""
    module, distribution, prepare = PEERS[library]
    if util.find_spec(module) is None:
        return Row(library, "", {}, {}, f"skipped: {distribution} is not installed; pip install 'tinyfuse[dev,peers]'")
    version = metadata.version(distribution)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return measure(case, attack, library, version, steps, functools.partial(prepare, attack=attack))
    except Exception as error:
        return Row(library, version, {}, {}, f"fails: {type(error).__name__}: {' '.join(str(error).split())[:200]}")


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="a fusion network of `tinyfuse train`")
    parser.add_argument("--samples", type=options.positive, metavar="N", help=f"default: {SAMPLES}")
    parser.add_argument("--steps", type=options.positive, default=40, help="steps of PGD (default 40)")
    parser.add_argument("--attack", action="append", choices=tuple(SAMPLES), help="default: both")
    parser.add_argument("--only", action="append", choices=tuple(PEERS), metavar="PEER",
                        help=f"default: {', '.join(PEERS)}")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each library and attack")
    return options.guarded(run, parser.parse_args())


def run(args: argparse.Namespace) -> int:
    """Measure tinyfuse first, then each peer, for each attack."""
    network = load_network(args.model)
    missed = []
    for attack in args.attack or SAMPLES:
        samples = data.load().test.balanced(args.samples or SAMPLES[attack], seed=0)
        case = Case(network, samples.inputs, samples.label)
        # Nobody pays for TensorFlow's own start.
        network.model({name: values[:1] for name, values in case.inputs.items()})
        title = "FGSM" if attack == "fgsm" else f"PGD-{args.steps}"
        if not args.json:
            print(f"{title}, {len(MODES)} modes x {len(EPSILONS)} budgets, {len(samples)} samples, {args.model.name}\n"
                  "  seconds (ratio to tinyfuse): all, CPU, warm, CPU warm; robust accuracy of tinyfuse <= this one's?")
        own = measure(case, attack, "tinyfuse", metadata.version("tinyfuse"), args.steps,
                      functools.partial(ours, attack=attack))
        for row in itertools.chain([own], (peer(case, attack, name, args.steps) for name in args.only or PEERS)):
            facts = {"attack": title, "samples": len(samples), "model": args.model.name}
            print(json.dumps({**facts, **row.table(own)}) if args.json else row.text(own), flush=True)
            missed += [f"{title} {row.library} {cell}" for cell in row.below(own)]
    if missed:
        raise GateError(f"a peer leaves less in {len(missed)} cells: {', '.join(missed[:5])}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
