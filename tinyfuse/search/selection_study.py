"""One network whose widths are to be chosen: its integer graph, its units, and the rows that were measured so far."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tinyfuse.attacks.targets.anomaly import AnomalyNetwork, float_target, judged_network, threshold_samples
from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.core.files import read_limited, write_text
from tinyfuse.core.plain_json import parse_json
from tinyfuse.core.results import ResultStore, Row, row_key
from tinyfuse.core.workers import Workers
from tinyfuse.data import Dataset, Samples
from tinyfuse.nn.network import Network
from tinyfuse.nn.predict import PREDICT_BATCH, predict
from tinyfuse.quantize.convert import MIN_CALIBRATION_SAMPLES, Baseline, Conversion, baseline, convert
from tinyfuse.quantize.recipe import Recipe
from tinyfuse.search.groups import Part, Unit, fixed_widths, parts_of, units_of
from tinyfuse.search.settings import Settings
from tinyfuse.study.rows import SAMPLE_SEED, check_names
from tinyfuse.threats.budgets import spread

PART = "validation"
"""Candidates are chosen on samples that no weight was fitted to (they chose the epoch of the float network); the test
part only judges the choice."""
MARK_LIMIT = 1 << 20
_NEVER_MIXED = ("calibration_samples", "epsilon", "final_samples", "final_steps", "test_samples")
"""Settings that all rows of a folder share."""
Result = TypeVar("Result")
Subject = TypeVar("Subject")


@dataclass(frozen=True, eq=False)
class SelectionStudy:
    """``network`` on ``dataset``; rows go to ``store`` in ``folder``; ``workers`` measure."""

    network: Network
    dataset: Dataset
    settings: Settings
    folder: Path
    store: ResultStore = field(repr=False)
    workers: Workers

    def __post_init__(self) -> None:
        for part in ("train", PART, "test"):
            count = len(self.dataset.part(part))
            if count < MIN_CALIBRATION_SAMPLES:
                raise DataError(f"{self.dataset.name}: {count} {part} samples are too few to select on; at least "
                                f"{MIN_CALIBRATION_SAMPLES} are needed: use more data, or a larger --limit")
        if self.network.table.get("recipe"):
            raise UsageError(f"{self.network.path} was trained for one recipe, so its widths are chosen already; give "
                             f"the float network {self.network.name}.keras")
        names = self.network.input_names
        check_names(self.settings.epsilon if isinstance(self.settings.epsilon, Mapping) else names, names)
        for one in self.network.inputs:
            if not one.span / 255 <= self.budget[one.name] <= one.span:
                raise UsageError(f"epsilon {self.budget[one.name]:g}; for the input '{one.name}' it lies between one "
                                 f"input code, {one.span / 255:g}, and its range, {one.span:g}")

    @property
    def budget(self) -> dict[str, float]:
        """The epsilon of each input."""
        return spread(self.settings.epsilon, self.network.input_names)

    def claim(self) -> None:
        """Make the folder this study's own; :class:`UsageError` if it holds a selection that this one cannot go on."""
        path = self.folder / "study.json"
        own = {"network": self.network.sha256, "data": self.dataset.checksum,
               **{name: getattr(self.settings, name) for name in _NEVER_MIXED}}
        if not path.exists():
            if len(self.store):
                raise UsageError(f"{self.folder} holds results of something else than a selection; give another --out")
            write_text(path, json.dumps(own, indent=1) + "\n")
        found = parse_json(read_limited(path, MARK_LIMIT, DataError), str(path), DataError)
        if not isinstance(found, dict):
            raise DataError(f"{path}: it does not say what the selection is of; delete it, or give another --out")
        for name, value in own.items():
            if found.get(name) != value:
                raise UsageError(f"{self.folder} holds a selection with {name} = {found.get(name)}, but {value} is "
                                 "asked for; give another --out")

    @cached_property
    def threshold_samples(self) -> Samples | None:
        """The samples that choose the threshold of an autoencoder; None for a network of classes."""
        return threshold_samples(self.network, self.dataset)

    @cached_property
    def verdict(self) -> AnomalyNetwork | None:
        """The verdict of the float network if that is an autoencoder."""
        found = float_target(self.network, self.dataset, batch_size=PREDICT_BATCH)
        return found if isinstance(found, AnomalyNetwork) else None

    def logits(self, samples: Samples) -> np.ndarray:
        """Compute what the float network says of ``samples``, float [n, k]."""
        return predict(self.network.model, samples) if self.verdict is None else self.verdict.logits(samples.inputs)

    def judged_model(self, model: Any) -> Any:
        """Return ``model`` (``tf_keras``), the network in another form, as one that returns logits."""
        return model if self.verdict is None else judged_network(model, self.verdict.threshold)

    @cached_property
    def base(self) -> Baseline:
        """The network's int8 graph."""
        return baseline(self.network, self.judged("train", self.settings.calibration_samples))

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """What the search gives widths to."""
        return units_of(self.base.layers, self.settings.granularity, self.network.input_names)

    @cached_property
    def fixed(self) -> dict[str, int]:
        """By unit name the widths that are not to be chosen."""
        return fixed_widths(self.units, self.settings.fixed)

    @cached_property
    def allowed(self) -> np.ndarray:
        """Bool [u, w]: which of the settings' widths a unit may have."""
        return np.array([[self.fixed.get(unit.name, bits) == bits for bits in self.settings.widths]
                         for unit in self.units])

    @cached_property
    def parts(self) -> list[Part]:
        """What sensitivity is measured on."""
        return parts_of(self.base.layers)

    def judged(self, part: str, count: int) -> Samples:
        """Balanced samples of a part."""
        return self.dataset.part(part).balanced(count, seed=SAMPLE_SEED)

    def convert(self, recipe: Recipe) -> Conversion:
        """The network with ``recipe``."""
        return convert(self.base, recipe)

    def key(self, kind: str, **identity: Any) -> str:
        """The key of a row: everything that decides it."""
        return row_key({"kind": kind, "network": self.network.sha256, "data": self.dataset.checksum,
                        "calibration": self.settings.calibration_samples, **identity})

    def rows(self, kind: str, keys: Mapping[str, Subject],
             measure: Callable[[Mapping[str, Subject]], Iterable[tuple[str, Row]]]) -> dict[Subject, Row]:
        """The rows of one kind by what their ``keys`` stand for.

        ``measure`` yields key and fields of those that are missing; each row is kept as soon as it is there.
        """
        missing = {key: subject for key, subject in keys.items() if not self.store.has(key)}
        for key, fields in measure(missing) if missing else ():
            self.store.append({"kind": kind, "key": key, **fields, "model": self.network.name,
                               "seed": self.network.seed, "data_checksum": self.dataset.checksum})
        return {keys[row["key"]]: row for row in self.store.rows(kind) if row["key"] in keys}

    def each(self, function: Callable[..., Result], tasks: Mapping[str, Sequence[Any]]) -> Iterator[tuple[str, Result]]:
        """``function(*arguments)`` for each of ``tasks``, by the workers; yields (key, result) as they end."""
        yield from self.workers.start((_keyed, (key, function, arguments)) for key, arguments in tasks.items())


def _keyed(key: str, function: Callable[..., Result], arguments: Sequence[Any]) -> tuple[str, Result]:
    return key, function(*arguments)
