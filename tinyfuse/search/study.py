"""One network under study: its integer graph, its units, and the rows that were measured so far."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.core.files import write_text
from tinyfuse.core.results import ResultStore, Row, row_key
from tinyfuse.data import Dataset, Pairs
from tinyfuse.nn.train_or_load import Network
from tinyfuse.nn.zoo.fusion import modalities_of
from tinyfuse.quantize.convert import MIN_CALIBRATION_PAIRS, Baseline, Conversion, baseline, convert
from tinyfuse.quantize.qat import trained_for
from tinyfuse.quantize.recipe import Precision
from tinyfuse.search.groups import Part, Unit, fixed_widths, parts_of, units_of
from tinyfuse.search.settings import Settings

PART = "validation"
"""Candidates are chosen on pairs that no weight was fitted to (they chose the epoch of the float network); the test
part only judges the choice."""
SAMPLE_SEED = 0
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Study:
    """``network`` on ``dataset``; rows go to ``store`` in ``folder``; ``jobs`` processes measure."""

    network: Network
    dataset: Dataset
    settings: Settings
    folder: Path
    store: ResultStore = field(repr=False)
    jobs: int

    def __post_init__(self) -> None:
        for part in ("train", PART, "test"):
            if len(getattr(self.dataset, part)) < MIN_CALIBRATION_PAIRS:
                raise DataError(f"{self.dataset.name}: {len(getattr(self.dataset, part))} {part} pairs are too few to "
                                f"select on; at least {MIN_CALIBRATION_PAIRS} are needed: use more data, or a larger "
                                "--limit")
        if trained_for(self.network) is not None:
            raise UsageError(f"{self.network.path} was trained for one recipe, so its widths are chosen already; give "
                             f"the float network {self.network.name}.keras")

    def claim(self) -> None:
        """Make the folder this study's own; :class:`UsageError` if it holds a selection that this one cannot go on."""
        settings, path = self.settings, self.folder / "study.json"
        own = {"network": self.network.sha256, "data": self.dataset.checksum,
               **{name: getattr(settings, name) for name in ("calibration_pairs", "epsilon", "final_pairs",
                                                             "final_steps", "test_pairs")}}
        if not path.exists():
            if len(self.store):
                raise UsageError(f"{self.folder} holds results of something else than a selection; give another --out")
            write_text(path, json.dumps(own, indent=1) + "\n")
        found = read_object(path)
        for name, value in own.items():
            if found.get(name) != value:
                raise UsageError(f"{self.folder} holds a selection with {name} = {found.get(name)}, but {value} is "
                                 "asked for; give another --out")

    @property
    def modalities(self) -> tuple[str, ...]:
        """The inputs that the network looks at."""
        return modalities_of(self.network.name)

    @property
    def seed(self) -> int:
        """The training seed."""
        return int(self.network.table["training"]["seed"])

    @cached_property
    def base(self) -> Baseline:
        """The network's int8 graph."""
        return baseline(self.network.model, self.training(self.settings.calibration_pairs), inputs=self.modalities)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """What the search gives widths to."""
        return units_of(self.base.layers, self.settings.granularity)

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

    def training(self, count: int) -> Pairs:
        """Balanced training pairs."""
        return self.dataset.train.balanced(count, seed=SAMPLE_SEED)

    def judged(self, part: str, count: int) -> Pairs:
        """Balanced pairs of a part that no weight was fitted to."""
        pairs: Pairs = getattr(self.dataset, part)
        return pairs.balanced(count, seed=SAMPLE_SEED)

    def convert(self, precision: Precision) -> Conversion:
        """The network in ``precision``."""
        return convert(self.base, precision)

    def key(self, kind: str, **identity: Any) -> str:
        """The key of a row: everything that decides it."""
        return row_key({"kind": kind, "network": self.network.sha256, "data": self.dataset.checksum,
                        "calibration": self.settings.calibration_pairs, **identity})

    def common(self) -> dict[str, Any]:
        """Fields that all rows have."""
        return {"model": self.network.name, "seed": self.seed, "data_checksum": self.dataset.checksum}

    def rows(self, kind: str, keys: Iterable[str]) -> dict[str, Row]:
        """The rows of one kind with these keys."""
        wanted = set(keys)
        return {row["key"]: row for row in self.store.rows(kind) if row["key"] in wanted}

    def each(self, function: Callable[..., Result], tasks: Mapping[str, Sequence[Any]]) -> Iterator[tuple[str, Result]]:
        """``function(*arguments)`` for each of ``tasks`` in worker processes; yields (key, result) as they end."""
        from joblib import Parallel, delayed

        if tasks:
            jobs = min(self.jobs, len(tasks))
            yield from Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)(
                delayed(_keyed)(key, function, arguments) for key, arguments in tasks.items())


def _keyed(key: str, function: Callable[..., Result], arguments: Sequence[Any]) -> tuple[str, Result]:
    return key, function(*arguments)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a small file; :class:`DataError` if it is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read ({type(error).__name__}); delete it, or give another --out") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: no JSON object; delete it, or give another --out")
    return found


def recipe_json(precision: Precision) -> str:
    """A recipe as one line of JSON."""
    return json.dumps(precision.to_table(), sort_keys=True)
