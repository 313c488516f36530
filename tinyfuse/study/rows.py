"""From a judgement to a result row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.results import Row, row_key
from tinyfuse.core.statistics import accuracy_fields
from tinyfuse.data import Dataset


@dataclass(frozen=True)
class Subject:
    """What is judged: a network in a precision, by an executor, and the file that holds it."""

    model: str
    precision: str
    executor: str
    sha256: str


@dataclass(frozen=True)
class Scope:
    """On what it is judged: ``part`` of a data set, sampled with ``seed``."""

    dataset: Dataset
    seed: int
    part: str = "test"

    def fields(self) -> dict[str, Any]:
        """The row fields that name the data."""
        return {"data": self.dataset.name, "data_checksum": self.dataset.checksum, "split": self.dataset.split,
                "part": self.part, "seed": self.seed}


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """Which attack made the inputs: settings as in :class:`tinyfuse.core.schema.OutcomeRow`; clean by default."""

    profile: str = ""
    attack: str = "none"
    criterion: str = "clean"
    source: str = ""
    modality: str = "none"
    norm: str = ""
    epsilon: float = 0.0
    epsilon_image: float = 0.0
    epsilon_audio: float = 0.0
    loss: str = ""
    steps: int = 0
    step_size: float | None = None
    random_start: bool = False
    restarts: int = 0
    threat: str = ""
    mask: str = ""
    attack_seed: int = 0


CLEAN = Attacked()


def outcome_key(subject: Subject, scope: Scope, attacked: Attacked, n: int, source_sha256: str = "") -> str:
    """The key of a row, known before it is measured: a hash of everything that decides the result."""
    identity: Mapping[str, Any] = {**vars(subject), **scope.fields(), **vars(attacked), "n": n,
                                   "source_sha256": source_sha256}
    return row_key(identity)


def outcome_row(key: str, subject: Subject, scope: Scope, attacked: Attacked, correct: np.ndarray, *,
                seconds: float, zero_gradient_share: float | None = None, queries: int = 0) -> Row:
    """The row of ``correct`` bool [n]: still classified correctly, sample by sample."""
    return {
        "kind": "clean" if attacked is CLEAN else "attack", "key": key,
        "model": subject.model, "precision": subject.precision, "executor": subject.executor,
        **vars(attacked), **scope.fields(), **accuracy_fields(correct), "queries": queries,
        "zero_gradient_share": zero_gradient_share, "seconds": round(seconds, 3),
    }


def probe_key(subject: Subject, seed: int, name: str, settings: Mapping[str, Any]) -> str:
    """The key of a probe row, known before it is measured; ``settings``: whatever else decides the value."""
    return row_key({"kind": "probe", **vars(subject), "seed": seed, "name": name, "settings": settings})
