"""Rows of outcomes: who was judged, on what, after which attack, and which samples were still right."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.core import toml
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.core.files import sha256_hex
from tinyfuse.core.results import ResultStore, Row, row_key
from tinyfuse.core.statistics import accuracy_fields
from tinyfuse.data import Dataset, Input
from tinyfuse.nn.network import Network
from tinyfuse.quantize.recipe import Recipe
from tinyfuse.study.worst_case import FLOAT_EXECUTOR

SAMPLE_SEED = 0
"""Which samples are judged does not depend on the training seed, so that trainings pair up."""
KERAS_BATCH = 40
"""Samples that a float network computes at a time; full batches of 50 round differently by place in the batch."""


@dataclass(frozen=True)
class Subject:
    """What is judged: a network in a precision by an executor, the file that holds it, and the spans of its inputs."""

    model: str
    precision: str
    executor: str
    sha256: str
    inputs: Mapping[str, float]

    @classmethod
    def of(cls, network: Network, precision: str, executor: str, sha256: str) -> Subject:
        """Name ``network`` in one ``precision``, judged by ``executor`` as the file of checksum ``sha256``."""
        return cls(network.name, precision, executor, sha256, {one.name: one.span for one in network.inputs})

    @classmethod
    def simulated(cls, network: Network, recipe: Recipe) -> Subject:
        """Name ``network`` with its weights rounded by ``recipe`` in float."""
        digest = sha256_hex(f"{network.sha256} {toml.dumps(recipe.to_table())}".encode())
        return cls.of(network, recipe.name, FLOAT_EXECUTOR, digest)

    def fields(self) -> dict[str, Any]:
        """Return the row fields that name the subject."""
        return {name: value for name, value in vars(self).items() if name != "sha256"}


SHARE = 0.03
"""Of an input's range of values: the budget if none is given."""


def budget_of(inputs: Sequence[Input], attacked: Sequence[str], epsilon: float | Mapping[str, float] | None,
              norm: str) -> dict[str, float]:
    """Return the budget of each ``attacked`` one of ``inputs``, in its own units.

    ``epsilon``: one for all of them, or one for each; without it SHARE of the range of an input's values. Raises
    UsageError unless every attacked input, and no other, has a budget that lies within its range.
    """
    given = epsilon if isinstance(epsilon, Mapping) else {
        one.name: SHARE * one.span if epsilon is None else epsilon for one in inputs if one.name in attacked}
    check_names(given, attacked)
    check_budget(inputs, given, norm)
    return {name: float(given[name]) for name in attacked}


def check_names(given: Iterable[str], attacked: Sequence[str]) -> None:
    """Raise UsageError unless budgets are ``given`` for every ``attacked`` input and no other."""
    for name in given:
        if name not in attacked:
            raise UsageError(f"a budget for '{name}'{nearest(name, attacked)}, but what is attacked is "
                             f"{' and '.join(attacked)}; name attacked inputs alone")
    missing = [name for name in attacked if name not in set(given)]
    if missing:
        raise UsageError(f"no budget for the attacked input {' and '.join(missing)}; give one for each, or one number "
                         "for all")


def check_budget(inputs: Iterable[Input], budget: Mapping[str, float], norm: str) -> None:
    """Raise UsageError for a ``budget`` (by input name) below 0 or, L-inf, wider than the input's range of values."""
    for one in inputs:
        # A comparison with NaN is false; L2 lengths may be larger, and Threat refuses what is no length.
        if norm == "linf" and one.name in budget and not 0 <= budget[one.name] <= one.span:
            raise UsageError(f"epsilon of '{one.name}' is {budget[one.name]}; its values lie in [{one.low:g}, "
                             f"{one.high:g}], so give 0 to {one.span:g}")


@dataclass(frozen=True)
class Scope:
    """On what it is judged: ``part`` of a data set, by a network trained with ``seed``."""

    dataset: Dataset
    seed: int
    part: str = "test"

    def fields(self) -> dict[str, Any]:
        """Return the row fields that name the data."""
        return {"data": self.dataset.name, "data_checksum": self.dataset.checksum, "split": self.dataset.split,
                "part": self.part, "seed": self.seed}


@dataclass(frozen=True, kw_only=True)
class AttackSettings:
    """Which attack made the inputs: fields as in :class:`tinyfuse.core.schema.OutcomeRow`; clean by default."""

    profile: str = ""
    attack: Mapping[str, Any] = field(default_factory=lambda: {"name": "none"})
    criterion: str = "clean"
    source: str = ""
    norm: str = ""
    budget: Mapping[str, float] = field(default_factory=dict)
    threat: str = ""
    mask: str = ""

    def fields(self) -> dict[str, Any]:
        """Return the row fields that name the attack."""
        kind = "clean" if self.criterion == "clean" else "attack"
        return {"kind": kind, "attacked": list(self.budget), **vars(self)}


CLEAN = AttackSettings()


def outcome_key(subject: Subject, scope: Scope, settings: AttackSettings, n: int, made_by: str) -> str:
    """Return the key of a row before it is measured; ``made_by``: such as the models whose gradients were used."""
    return row_key({**vars(subject), **scope.fields(), **settings.fields(), "n": n, "made_by": made_by})


def failed_row(scope: Scope, model: str, precision: str, stage: str, reason: str) -> Row:
    """Make the row of a ``model`` in a ``precision`` that failed at ``stage``; the report keeps showing it."""
    identity = {"kind": "failed", "model": model, "precision": precision, "stage": stage, "seed": scope.seed,
                "data_checksum": scope.dataset.checksum, "reason": reason}
    return {**identity, "key": row_key(identity)}


def parity_row(key: str, scope: Scope, subject: Subject, found: Mapping[str, Any]) -> Row:
    """Make the row of what was ``found`` when another executor ran inputs of ``subject`` that the twin had judged."""
    return {"kind": "parity", "key": key, "model": subject.model, **found, "precision": subject.precision,
            "seed": scope.seed, "data_checksum": scope.dataset.checksum}


@dataclass(frozen=True)
class OutcomeLog:
    """Writes the outcome rows of one ``scope`` into ``store``; what the store holds is not measured again."""

    store: ResultStore
    scope: Scope

    def write(self, subject: Subject, settings: AttackSettings, made_by: str, correct: np.ndarray, *, seconds: float,
              queries: int = 0, zero_gradient_share: float | None = None) -> None:
        """Append the row of ``correct``, bool [n]: still classified correctly, unless it is there."""
        self.store.append({
            "key": outcome_key(subject, self.scope, settings, len(correct), made_by), **subject.fields(),
            **settings.fields(), **self.scope.fields(), **accuracy_fields(correct), "queries": queries,
            "zero_gradient_share": zero_gradient_share, "seconds": round(seconds, 3)})

    def judge(self, subject: Subject, settings: AttackSettings, n: int, made_by: str,
              judged: Callable[[], np.ndarray]) -> str:
        """Append the row of what ``judged`` finds, bool [n]: correct; it is not called if the row is there."""
        key, began = outcome_key(subject, self.scope, settings, n, made_by), time.monotonic()
        if not self.store.has(key):
            correct = judged()
            self.write(subject, settings, made_by, correct, seconds=time.monotonic() - began)
        return key
