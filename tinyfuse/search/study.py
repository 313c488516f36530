"""One network under study: its integer graph, its units, and the rows that were measured so far."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tinyfuse.data import Dataset, Pairs
from tinyfuse.errors import DataError
from tinyfuse.nn.fusion import modalities_of
from tinyfuse.nn.obtain import Network
from tinyfuse.quantize.convert import MIN_CALIBRATION_PAIRS, Baseline, Conversion, baseline, convert
from tinyfuse.quantize.precision import Precision, from_table
from tinyfuse.results import ResultStore, Row, row_key
from tinyfuse.search.settings import Settings
from tinyfuse.search.units import Part, Unit, fixed_widths, parts_of, units_of

PART = "validation"
"""Candidates are chosen on pairs that neither training nor calibration saw; the test part only judges the choice."""
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
        least = {"train": MIN_CALIBRATION_PAIRS, PART: MIN_CALIBRATION_PAIRS}
        for part, count in least.items():
            if len(getattr(self.dataset, part)) < count:
                raise DataError(f"{self.dataset.name}: {len(getattr(self.dataset, part))} {part} pairs are too few to "
                                f"select on; at least {count} are needed: use more data, or a larger --limit")

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

    def held_out(self, count: int) -> Pairs:
        """Balanced pairs that neither training nor calibration saw."""
        pairs: Pairs = getattr(self.dataset, PART)
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


def recipe_json(precision: Precision) -> str:
    """A recipe as one line of JSON."""
    return json.dumps(precision.to_table(), sort_keys=True)


def recipe_of(row: Row) -> Precision:
    """The recipe of a trial row."""
    return from_table(json.loads(row["recipe"]), f"row {row['key']}")
