"""Small result rows for the tests of what reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tinyfuse.core.results import Row, row_key, validate
from tinyfuse.core.statistics import accuracy_fields
from tinyfuse.threats.modes import mode_name

IMAGE, AUDIO, BOTH = ("image",), ("audio",), ("image", "audio")
PGD = {"name": "pgd", "loss": "cross-entropy", "steps": 10, "step_size": None, "random_start": False, "restarts": 0,
       "seed": 0}


def outcome(correct: Any, *, attacked: Iterable[str] = (), epsilon: float | Mapping[str, float] = 0.0,
            attack: Mapping[str, Any] | None = None, inputs: Mapping[str, float] | None = None, **changes: Any) -> Row:
    """A clean row of a network of image and audio, or with ``attacked`` inputs an attack row: PGD at ``epsilon``.

    ``epsilon``: one for all attacked inputs, or by name. ``attack``: settings that are not those of `PGD`.
    """
    names = list(attacked)
    precision = changes.get("precision", "float")
    budget = {name: epsilon[name] if isinstance(epsilon, Mapping) else epsilon for name in names}
    row = {"kind": "attack" if names else "clean", "model": "early", "precision": precision,
           "executor": "keras" if precision == "float" else "twin", "profile": "standard" if names else "",
           "attack": {**PGD, **(attack or {})} if names else {"name": "none"},
           "criterion": "any-iterate" if names else "clean", "source": "float" if names else "",
           "inputs": dict(inputs or dict.fromkeys(BOTH, 1.0)), "attacked": names, "norm": "linf" if names else "",
           "budget": budget, "threat": "real" if names else "", "mask": "", "queries": 0, "data": "embedded",
           "data_checksum": "c", "split": "official", "part": "test", "seed": 0, "zero_gradient_share": None,
           "seconds": 0.1, **changes, **accuracy_fields(np.array(correct, dtype=bool))}
    return validate({"key": row_key(row), **row})


def certificate(proved: Any, *, attacked: Iterable[str], epsilon: float, falsified: Any = None,
                threat: str = "codes", **changes: Any) -> list[Row]:
    """The rows of a certificate of the network of image and audio: samples that are ``proved``, and ``falsified``."""
    names = list(attacked)
    settings = {"norm": "linf", "threat": threat, "budget": dict.fromkeys(names, epsilon), "mask": "",
                "methods": ["intervals"], "steps": 5, "largest": 0}
    flags = np.array(proved, dtype=bool)
    rows = []
    for quantity, each in (("certified", flags), ("falsified", ~flags & False if falsified is None else falsified)):
        row = {"kind": "analysis", "analysis": "certificate", "model": "early", "precision": "w8", "executor": "twin",
               "settings": settings, "quantity": quantity, "of": {"attacked": mode_name(names, BOTH)},
               "value": float(np.mean(each)), "low": 0.0, "high": 1.0, "each": np.asarray(each, float).tolist(),
               "status": "measured" if quantity != "certified" else "certified", "n": len(flags), "seed": 0,
               "data_checksum": "c", **changes}
        rows.append(validate({"key": row_key(row), **row}))
    return rows


def model(precision: str, **changes: Any) -> Row:
    """A model row."""
    row = {"kind": "model", "model": "early", "precision": precision, "weight_bits_mean": 8.0,
           "bits": {"image": 8.0, "audio": 8.0, "shared": 8.0}, "activation_bits": 8, "stored_bytes": 90_000,
           "packed_bytes": 80_000, "arena_bytes": 50_000, "firmware_arena_bytes": 20_000, "macs": 12_000_000,
           "file": "m.tflite", "file_sha256": "a",
           "n": 10, "seed": 0, "max_abs_difference": 0.1, "data_checksum": "c", "train_seconds": None, **changes}
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


def firmware(precision: str, core: str = "m4", **changes: Any) -> Row:
    """A plausible "firmware" row of the early fusion; the file is that of the model rows."""
    fields = {"model": "early", "precision": precision, "core": core, "optimize": "ram",
              "compiler": "arm-none-eabi-gcc", "emulator": "qemu-system-arm", "flash_bytes": 70_000,
              "code_bytes": 5_000, "weight_bytes": 60_000, "table_bytes": 5_000, "ram_bytes": 20_480,
              "arena_bytes": 20_000, "stack_bytes": 480, "instructions": 13_000_000 if core == "m4" else 5_000_000,
              "samples": 3, "values": 30, "differing": 0, "file_sha256": "a", "runtime_sha256": "r", "seed": 0,
              "data_checksum": "c", **changes}
    return validate({"kind": "firmware", "key": row_key(fields), **fields})
