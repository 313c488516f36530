"""Attack cells as tasks of workers that see a model and clean samples: one suite in one mode, at all its budgets."""

from __future__ import annotations

import functools
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.attacks import KerasTarget
from tinyfuse.attacks.profiles import Profile
from tinyfuse.attacks.suite import CellKey
from tinyfuse.attacks.targets.anomaly import AnomalyNetwork, AnomalyTwin, IntegerTarget
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.core.errors import DataError, ParityError
from tinyfuse.core.files import load_arrays
from tinyfuse.data import Input, Samples
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import Network, open_model
from tinyfuse.quantize.minmax import simulate
from tinyfuse.quantize.recipe import Recipe
from tinyfuse.study.cell_study import Arrays, CellPlan, ThreatModel

Cells = list[tuple[CellKey, Arrays]]


@dataclass(frozen=True, eq=False)
class FloatForm:
    """What a worker needs beside its file to attack a float network, of data with these ``inputs``.

    ``recipe``: its weights are rounded in float; ``threshold``: of the anomaly score of an autoencoder.
    """

    name: str
    inputs: tuple[Input, ...]
    seen: tuple[Input, ...]
    classes: tuple[str, ...]
    table: Mapping[str, Any] = field(repr=False)
    batch_size: int
    recipe: Recipe | None = None
    threshold: float | None = None

    def open(self, path: Path) -> KerasTarget:
        """Load the target from the file of the network."""
        model = open_model(path, self.inputs, len(self.classes), self.name)
        if self.recipe is not None:
            model = simulate(Network(self.name, model, self.seen, self.classes, self.table, path), self.recipe)
        if self.threshold is None:
            return KerasTarget(model, batch_size=self.batch_size)
        return AnomalyNetwork(model, self.threshold, batch_size=self.batch_size)


@dataclass(frozen=True)
class IntegerForm:
    """What a worker needs beside its file to attack an integer model; see :class:`FloatForm`."""

    threshold: float | None = None

    def open(self, path: Path) -> IntegerTarget:
        """Load the target from the file of the model."""
        model = load_model(path)
        return TwinTarget(model) if self.threshold is None else AnomalyTwin(model, self.threshold)


@dataclass(frozen=True, eq=False)
class CellOrder:
    """Attack in ``mode``; beside it what the plan of the cells says, without samples.

    ``known``: by cell, bool [n] of what is broken there, for all cells of fewer inputs and those of the mode that are
    done. ``threads``: of TensorFlow in a process that has not loaded it (0: as many as it likes).
    """

    mode: str
    form: FloatForm | IntegerForm
    plan: Profile
    threat_model: ThreatModel
    modes: Mapping[str, tuple[str, ...]]
    budgets: tuple[Mapping[str, float], ...]
    carried: Mapping[CellKey, np.ndarray] = field(repr=False)
    known: Mapping[CellKey, np.ndarray] = field(repr=False)
    threads: int = 0

    def cells(self, samples: Samples) -> CellPlan:
        """Return the plan on ``samples``."""
        return CellPlan(plan=self.plan, threat_model=self.threat_model, modes=self.modes, budgets=self.budgets,
                        samples=samples, carried=self.carried)


def attack_cells_of(order: CellOrder, model: Path, clean: Path) -> Cells | None:
    """Do an order on the file ``model`` and the samples in ``clean``; return what is to be saved, by cell.

    None if the model cannot be attacked: whoever asked says why when he tries it himself.
    """
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS") if order.threads else ():
        os.environ.setdefault(name, str(order.threads))
    from tinyfuse.study.stages.attack import suite_results

    held = load_arrays(clean, "label")
    label = held.pop("label")
    samples = Samples(held, label, np.zeros(len(label), np.int64))
    try:
        target = _opened(pickle.dumps(order.form), model, model.stat().st_mtime_ns)
        return list(suite_results(order.cells(samples), target, order.known, (order.mode,)))
    except (DataError, ParityError, OSError):
        raise
    except Exception:
        return None


@functools.lru_cache(maxsize=2)
def _opened(form: bytes, path: Path, modified: int) -> KerasTarget | IntegerTarget:
    """Open what several tasks attack one after the other, once: TensorFlow takes seconds to compile a gradient."""
    opener: FloatForm | IntegerForm = pickle.loads(form)
    return opener.open(path)
