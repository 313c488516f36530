"""A made-up but plausible run: three models, nine precisions, float and integer, own gradients and others'."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyfuse.core.provenance import RunFacts
from tinyfuse.core.results import ResultStore, Row, row_key
from tinyfuse.core.statistics import accuracy_fields

MODELS = ("image", "audio", "late")
UNIFORM = ("w6", "w7", "w8", "w9")
MIXES = ("image6-audio8-shared8", "image8-audio6-shared8", "image6-audio9-shared8", "image9-audio6-shared8")
EPSILONS = (0.01, 0.03, 0.05, 0.1)
SOURCES = ("float", "w6", "w8")
_WEIGHTS = {"image": 77_360, "audio": 77_360, "late": 155_000}
_FRAGILE = {"image": 9.0, "audio": 14.0, "late": 6.0}


def widths(precision: str) -> tuple[float, float, float]:
    """(image, audio, shared) bits of a precision name."""
    if precision == "float":
        return 32.0, 32.0, 32.0
    if precision.startswith("w"):
        return (float(precision[1:]),) * 3
    return tuple(float(part[-1]) for part in precision.split("-"))  # type: ignore[return-value]


def model_row(model: str, precision: str, seed: int = 0, **changes: Any) -> Row:
    """A plausible "model" row."""
    image, audio, shared = widths(precision)
    mean = {"image": image, "audio": audio}.get(model, 0.4 * image + 0.4 * audio + 0.2 * shared)
    is_float = precision == "float"
    weights = _WEIGHTS[model]
    identity = {"kind": "model", "model": model, "precision": precision, "seed": seed}
    row = {**identity, "weight_bits_mean": mean, "bits_image": None if model == "audio" else image,
           "bits_audio": None if model == "image" else audio,
           "bits_shared": None if model in ("image", "audio") else shared,
           "activation_bits": 32 if is_float else 8,
           "stored_bytes": int(weights * (4 if is_float else 1) * 1.15),
           "packed_bytes": None if is_float else int(weights * mean / 8) + 4_000,
           "arena_bytes": None if is_float else 52_000 + len(model) * 800,
           "macs": None if is_float else 12_500_000,
           "file": f"models/{model}__{precision}.tflite", "file_sha256": "ab" * 32,
           "max_abs_difference": None if is_float else 0.05, "n": 200, "data_checksum": f"data{seed}",
           "train_seconds": 31.5 if is_float else None, **changes}
    return {"key": row_key(identity), **row}


def outcome_row(model: str, precision: str, correct: np.ndarray, seed: int = 0, **changes: Any) -> Row:
    """A "clean" or "attack" row with these verdicts; an attack has the line's own gradients."""
    attacked = changes.get("modality", "none") != "none"
    row: Row = {"kind": "attack" if attacked else "clean", "model": model, "precision": precision,
                "executor": "keras" if precision == "float" else "twin",
                "profile": "standard" if attacked else "", "attack": "none", "criterion": "clean",
                "loss": "cross-entropy" if attacked else "", "restarts": 0, "queries": 0, "mask": "",
                "source": precision if attacked else "", "modality": "none", "norm": "", "epsilon": 0.0,
                "epsilon_image": 0.0, "epsilon_audio": 0.0, "steps": 0, "step_size": None, "random_start": False,
                "threat": "", "data": "embedded", "data_checksum": f"data{seed}", "split": "official", "part": "test",
                "seed": seed, "attack_seed": 0, "zero_gradient_share": None, "seconds": 0.5, **changes}
    return {"key": row_key({**row, "n": len(correct)}), **row, **accuracy_fields(correct)}


def parity_row(model: str, precision: str, differing: int = 0, seed: int = 0, **changes: Any) -> Row:
    """The twin and TFLite Micro on 300 adversarial inputs of ten outputs each."""
    row = {"kind": "parity", "model": model, "precision": precision, "a": "twin", "b": "tflm", "where": "adversarial",
           "samples": 300, "values": 3000, "differing": differing, "max_abs": min(differing, 1), "argmax_differing": 0,
           "seed": seed, "data_checksum": f"data{seed}", **changes}
    return {"key": row_key(row), **row}


def probe_row(model: str, precision: str, name: str, value: float, detail: str = "", seed: int = 0) -> Row:
    """A measurement on 30 samples."""
    row = {"kind": "probe", "model": model, "precision": precision, "name": name, "value": value, "n": 30,
           "executor": "keras" if precision == "float" else "twin", "detail": detail, "seed": seed,
           "data_checksum": f"data{seed}"}
    return {"key": row_key(row), **row}


def attack_rows(model: str, precision: str, difficulty: np.ndarray, rng: np.random.Generator) -> Iterator[Row]:
    """Both profiles with own gradients in each threat model, and replays, on every modality and at every ε."""
    modalities = (model,) if model in ("image", "audio") else ("image", "audio", "both")
    series = list(_series(precision))
    level = difficulty + rng.normal(0, 0.02, len(difficulty))
    for modality in modalities:
        strength = {"image": 1.0, "audio": 2.2, "both": 2.8}[modality] * _FRAGILE[model]
        for epsilon in EPSILONS:
            for gain, settings in series:
                yield outcome_row(
                    model, precision, level > strength * gain * epsilon - 0.05,
                    modality=modality, norm="linf", epsilon=epsilon, step_size=epsilon / 10,
                    epsilon_image=epsilon if modality != "audio" else 0.0,
                    epsilon_audio=epsilon if modality != "image" else 0.0,
                    zero_gradient_share=0.0, **settings)


def _series(precision: str) -> Iterator[tuple[float, dict[str, Any]]]:
    """(strength, row fields) of everything that judges a precision."""
    for threat, gain in (("real", 1.0),) if precision == "float" else (("codes", 0.85), ("real", 1.0)):
        yield gain, {"profile": "standard", "attack": "standard", "criterion": "union", "threat": threat, "steps": 20,
                     "loss": "", "queries": 12, "restarts": 1}
        yield 0.7 * gain, {"profile": "standard", "attack": "fgsm", "criterion": "any-iterate", "threat": threat,
                           "steps": 1}
    own = "real" if precision == "float" else "codes"
    for attack, steps, gain in (("fgsm", 1, 0.6), ("pgd", 40, 0.8)):
        yield gain, {"profile": "paper", "attack": attack, "criterion": "last-iterate", "threat": own, "steps": steps}
    for source in SOURCES:
        if source != precision:
            yield 0.5, {"profile": "paper", "attack": "pgd", "criterion": "replayed", "threat": own, "steps": 40,
                        "source": source}


def synthetic_rows(n: int = 100) -> list[Row]:
    """All rows of the made-up run, in the order a sweep writes them."""
    rng = np.random.default_rng(0)
    rows: list[Row] = []
    for model in MODELS:
        difficulty = rng.uniform(0, 1, n)
        for precision in ("float", *UNIFORM, *(MIXES if model == "late" else ())):
            loss = {6.0: 0.02, 7.0: 0.01}.get(min(widths(precision)), 0.0)
            clean = rng.uniform(0, 1, n) > 0.004 + loss
            rows += [model_row(model, precision), outcome_row(model, precision, clean)]
            rows.append(probe_row(model, precision, "unbounded", 0.0))
            rows.append(probe_row(model, precision, "noise", 0.3, "90.0% against 20 random corners"))
            if precision != "float":
                other = clean ^ (rng.uniform(0, 1, n) < 0.01)
                rows += [outcome_row(model, precision, other, executor="litert"), parity_row(model, precision)]
            rows += attack_rows(model, precision, difficulty, rng)
    identity = {"kind": "failed", "model": "late", "precision": "w5", "seed": 0}
    rows.append({**identity, "key": row_key(identity), "stage": "quantize", "data_checksum": "data0",
                 "reason": "conv2d_7: 1 channel uses 1 of 31 codes"})
    return rows


FACTS = RunFacts(
    command="python -m tinyfuse.bench --out runs/example", started="2026-01-31T12:00:00Z",
    finished="2026-01-31T12:04:12Z", wall_seconds=252.0, peak_memory_mib=1834.0, peak_memory_worker_mib=0.0,
    data="embedded digits: 1,797 written, 2,000 spoken by a synthesiser", seeds=(0,), commit="0123456789ab",
    versions={"tinyfuse": "0.1.0", "python": "3.11.7", "tensorflow": "2.21.0"},
    settings={"epsilons": list(EPSILONS), "PGD steps": 20, "training pairs": 4000, "test pairs": 100})


@pytest.fixture(scope="session")
def rows() -> list[Row]:
    """The made-up run as rows."""
    return synthetic_rows()


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Write rows and facts as a run folder and return it."""
    def make(rows: list[Row], facts: RunFacts | None = FACTS) -> Path:
        run = tmp_path / "run"
        ResultStore(run / "results.jsonl")._extend(rows)
        if facts is not None:
            facts.write(run / "run.json")
        return run
    return make
