"""Verdicts on test pairs, as they are, with each input alone and under attack: what benchmarks/objectives.py counts.

One target serves everything that is asked of a network, so that its graphs are traced once. A pair that is wrong when
clean, or broken with fewer inputs attacked or at a smaller budget, is not attacked again; an input whose budget is the
same at two budgets is attacked once. TFLite Micro judges every code that an attack made; a differing one ends the run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.attacks import KerasTarget, TwinTarget
from tinyfuse.attacks.pgd import FGSM, PGD
from tinyfuse.attacks.profiles import Profile
from tinyfuse.attacks.square import Square
from tinyfuse.attacks.suite import Cell, CellKey, CellOutcome, run_suite
from tinyfuse.core.results import pack_survivors, unpack_survivors
from tinyfuse.data import Dataset, Samples
from tinyfuse.integer.executors import Executor, open_executor
from tinyfuse.integer.executors.installed import ORACLE, is_here
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import load_network
from tinyfuse.nn.objectives.view import View
from tinyfuse.study.attack import check_same_codes
from tinyfuse.study.cell_study import ThreatModel
from tinyfuse.study.rows import KERAS_BATCH

WHITE_BOX = (FGSM(), PGD(steps=10), PGD(steps=10, loss="margin"))
SUITES = {"linf": Profile("objectives-linf", (*WHITE_BOX, Square(queries=100))),
          "l2": Profile("objectives-l2", WHITE_BOX)}
BUDGETS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "linf .03": ("linf", {"image": 0.03, "audio": 0.03}),
    "linf .1/.03": ("linf", {"image": 0.1, "audio": 0.03}),
    "l2 1/.5": ("l2", {"image": 1.0, "audio": 0.5})}
"""By name the norm and the budget of each attack, of one norm rising; each input alone is attacked as well."""

Verdicts = dict[str, np.ndarray]
"""Who is right, bool [n], by what is attacked: an input, or "all"."""


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

    def right(self, **key: Any) -> np.ndarray | None:
        """Return the verdicts under ``key``, bool [n], or None."""
        line = self.find(**key)
        return None if line is None else unpack_survivors(line["right"], line["n"])

    def add(self, key: Mapping[str, Any], right: np.ndarray) -> None:
        """Append the verdicts ``right``, bool [n], under ``key``."""
        line = dict(key) | {"n": len(right), "right": pack_survivors(right)}
        self.lines.append(line)
        with self.path.open("ab") as stream:
            stream.write(json.dumps(line).encode() + b"\n")


@dataclass(frozen=True, eq=False)
class Judged:
    """A float network or an integer model as one target, with its float model where it has one."""

    target: KerasTarget | TwinTarget
    network: Any = None

    @classmethod
    def of(cls, file: Path) -> Judged:
        """Open a ``.keras`` or a ``.tflite``."""
        if file.suffix != ".keras":
            return cls(TwinTarget(load_model(file)))
        model = load_network(file).model
        return cls(KerasTarget(model, batch_size=KERAS_BATCH), model)

    def given(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Turn real inputs into what the target takes: themselves, or codes as float32."""
        if isinstance(self.target, KerasTarget):
            return dict(inputs)
        return {name: codes.astype(np.float32) for name, codes in self.target.model.codes_of(inputs).items()}

    @cached_property
    def tflite_micro(self) -> Executor | None:
        """TFLite Micro with the integer model; None for a float network, and where it is not installed."""
        return open_executor(self.target.model, ORACLE) if isinstance(self.target, TwinTarget) and is_here(
            ORACLE) else None

    def right(self, samples: Samples, changed: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """Tell who is right, bool [n], with some inputs ``changed``."""
        logits = self.target.logits(self.given({**samples.inputs, **(changed or {})}))
        return np.asarray(logits.argmax(1) == samples.label)


def undisturbed(judged: Judged, dataset: Dataset, samples: Samples) -> Verdicts:
    """Judge ``samples`` as they are, with each input alone and with each one missing: bool [n] by name.

    "alone": the others are the mean of the training part; "alone, features": their features are (float networks with a
    linear head on features of each input); "zero": the input itself is 0.
    """
    right = {"none": judged.right(samples)}
    for one in samples.inputs:
        means = {name: np.broadcast_to(dataset.train.inputs[name].mean(0, dtype=np.float64).astype(np.float32),
                                       values.shape) for name, values in samples.inputs.items() if name != one}
        right[f"{one} alone"] = judged.right(samples, means)
        right[f"{one} zero"] = judged.right(samples, {one: np.zeros_like(samples.inputs[one])})
    return right if judged.network is None else right | _alone_by_features(View(judged.network), dataset, samples)


def _alone_by_features(view: View, dataset: Dataset, samples: Samples) -> Verdicts:
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


def attacked(judged: Judged, dataset: Dataset, samples: Samples, names: Sequence[str],
             known: Mapping[str, Verdicts]) -> Iterator[tuple[str, Verdicts]]:
    """Yield (name, verdicts) of each of the budgets ``names`` that is not ``known``, in the order of BUDGETS.

    The smaller budgets of a norm among ``known`` count: what they broke is broken.
    """
    found = dict(known)
    for name in (one for one in BUDGETS if one in names and one not in known):
        smaller = [(BUDGETS[other][1], found[other]) for other in found if BUDGETS[other][0] == BUDGETS[name][0]
                   and all(size <= BUDGETS[name][1][one] for one, size in BUDGETS[other][1].items())]
        found[name] = _under_attack(judged, dataset, samples, name, smaller)
        yield name, found[name]


def _under_attack(judged: Judged, dataset: Dataset, samples: Samples, name: str,
                  smaller: Sequence[tuple[Mapping[str, float], Verdicts]]) -> Verdicts:
    """Attack each input, then all together; ``smaller``: budgets within this one and their verdicts."""
    norm, budget = BUDGETS[name]
    grids = judged.target.grids
    model = ThreatModel(dataset.inputs, norm, "real" if grids is None else "codes", grids)
    modes = {one: (one,) for one in budget} | {"all": tuple(budget)}
    problems = {mode: model.problem({one: budget[one] for one in inputs}, samples.inputs)
                for mode, inputs in modes.items()}
    clean = problems["all"][1]
    known, carried = dict[CellKey, np.ndarray](), dict[CellKey, np.ndarray]()
    for sizes, right in smaller:
        for mode, inputs in modes.items():
            same = all(sizes[one] == budget[one] for one in inputs)
            (known if same else carried)[mode, 1.0] = ~right[mode]
    cells = [Cell(mode, 1.0, threat) for mode, (threat, _) in problems.items()]
    broken = {mode: flags for (mode, _), flags in known.items()}
    for outcome in run_suite(judged.target, clean, samples.label, cells, SUITES[norm], known=known, carried=carried,
                             by_attack=False):
        broken[outcome.cell.mode] = outcome.broken
        _judge_again(judged, clean, outcome)
    return {mode: ~broken[mode] for mode in modes}


def _judge_again(judged: Judged, clean: Mapping[str, np.ndarray], outcome: CellOutcome) -> None:
    """Raise ParityError unless TFLite Micro computes the twin's codes at every point that ``outcome`` made."""
    if judged.tflite_micro is not None and isinstance(judged.target, TwinTarget) and len(outcome.rows):
        codes = {name: outcome.point.get(name, values[outcome.rows]).astype(np.int32)
                 for name, values in clean.items()}
        check_same_codes(judged.target, codes, judged.tflite_micro.run(codes))
