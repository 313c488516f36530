"""Small result rows for the evaluation tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinyfuse.core.results import Row, row_key, validate
from tinyfuse.core.statistics import accuracy_fields

Maker = Callable[..., Row]


def outcome(correct: Any, **changes: Any) -> Row:
    """A clean row, or with ``modality`` and ``epsilon`` an attack row; the budget follows from both."""
    verdicts = np.array(correct, dtype=bool)
    modality, epsilon = changes.get("modality", "none"), changes.get("epsilon", 0.0)
    attacked = modality != "none"
    precision = changes.get("precision", "float")
    row = {"kind": "attack" if attacked else "clean", "model": "early", "precision": precision,
           "executor": "keras" if precision == "float" else "twin", "profile": "standard" if attacked else "",
           "attack": "pgd" if attacked else "none", "loss": "cross-entropy" if attacked else "", "restarts": 0,
           "queries": 0, "mask": "",
           "criterion": "any-iterate" if attacked else "clean", "source": "float" if attacked else "",
           "modality": modality, "norm": "linf" if attacked else "", "epsilon": epsilon,
           "epsilon_image": epsilon if modality in ("image", "both") else 0.0,
           "epsilon_audio": epsilon if modality in ("audio", "both") else 0.0,
           "steps": 10 if attacked else 0, "step_size": None, "random_start": False,
           "threat": "real" if attacked else "", "data": "embedded", "data_checksum": "c", "split": "official",
           "part": "test", "seed": 0, "attack_seed": 0, "zero_gradient_share": None, "seconds": 0.1, **changes,
           **accuracy_fields(verdicts)}
    return validate({"key": row_key(row), **row})


def model(precision: str, **changes: Any) -> Row:
    """A model row."""
    row = {"kind": "model", "model": "early", "precision": precision, "weight_bits_mean": 8.0, "bits_image": 8.0,
           "bits_audio": 8.0, "bits_shared": 8.0, "activation_bits": 8, "stored_bytes": 90_000, "packed_bytes": 80_000,
           "arena_bytes": 50_000, "macs": 12_000_000, "file": "m.tflite", "file_sha256": "a", "n": 10, "seed": 0,
           "max_abs_difference": 0.1, "data_checksum": "c", "train_seconds": None, **changes}
    return validate({"key": row_key(row), **row})


def parity(differing: int = 0, **changes: Any) -> Row:
    """A parity row of twin and TFLM on 50 adversarial inputs of ten outputs each."""
    row = {"kind": "parity", "model": "early", "precision": "w8", "a": "twin", "b": "tflm", "where": "adversarial",
           "samples": 50, "values": 500, "differing": differing, "max_abs": min(1, differing), "argmax_differing": 0,
           "seed": 0, "data_checksum": "c", **changes}
    return validate({"key": row_key(row), **row})


def probe(name: str, value: float, **changes: Any) -> Row:
    """A probe row of the float network, or with ``precision`` of the twin, on 30 samples."""
    row = {"kind": "probe", "model": "early", "precision": "float", "name": name, "value": value, "n": 30, "detail": "",
           "seed": 0, "data_checksum": "c", **changes}
    executor = "keras" if row["precision"] == "float" else "twin"
    return validate({"key": row_key(row), "executor": executor, **row})


@pytest.fixture
def make_outcome() -> Maker:
    """`outcome` as a fixture."""
    return outcome


@pytest.fixture
def make_model() -> Maker:
    """`model` as a fixture."""
    return model


@pytest.fixture
def make_parity() -> Maker:
    """`parity` as a fixture."""
    return parity


@pytest.fixture
def make_probe() -> Maker:
    """`probe` as a fixture."""
    return probe
