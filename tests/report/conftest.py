"""A made-up but plausible run: three models, nine precisions, float and integer, own gradients and others'."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import row_makers
from pages import write_rows

from tinyfuse.core.provenance import RunFacts
from tinyfuse.core.results import Row, row_key
from tinyfuse.threats.modes import modes_of

MODELS = {"image": ("image",), "audio": ("audio",), "late": ("image", "audio")}
UNIFORM = ("w6", "w7", "w8", "w9")
MIXES = ("image6-audio8-shared8", "image8-audio6-shared8", "image6-audio9-shared8", "image9-audio6-shared8")
EPSILONS = (0.01, 0.03, 0.05, 0.1)
SOURCES = ("float", "w6", "w8")
_WEIGHTS = {"image": 77_360, "audio": 77_360, "late": 155_000}
_FRAGILE = {"image": 9.0, "audio": 14.0, "late": 6.0}
_STRENGTH = {"image": 1.0, "audio": 2.2, "all": 2.8}


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
    bits = {"image": image, "audio": audio, "shared": shared}
    is_float = precision == "float"
    weights = _WEIGHTS[model]
    return row_makers.model(precision, model=model, seed=seed, weight_bits_mean=mean,
        bits={name: bits[name] for name in (MODELS[model] if model != "late" else bits)},
        activation_bits=32 if is_float else 8, stored_bytes=int(weights * (4 if is_float else 1) * 1.15),
        packed_bytes=None if is_float else int(weights * mean / 8) + 4_000,
        arena_bytes=None if is_float else 52_000 + len(model) * 800,
        firmware_arena_bytes=None if is_float else 21_000 + len(model) * 100, macs=None if is_float else 12_500_000,
        file=f"models/{model}__{precision}.tflite", file_sha256="ab" * 32,
        max_abs_difference=None if is_float else 0.05, n=200, data_checksum=f"data{seed}",
        train_seconds=31.5 if is_float else None, **changes)


def outcome_row(model: str, precision: str, correct: np.ndarray, seed: int = 0, **changes: Any) -> Row:
    """A "clean" or "attack" row with these verdicts; an attack has the line's own gradients."""
    own = {"source": precision} if changes.get("attacked") else {}
    return row_makers.outcome(correct, **{"model": model, "precision": precision, "seed": seed, "threat": "",
                                          "inputs": dict.fromkeys(MODELS[model], 1.0), "seconds": 0.5,
                                          "data_checksum": f"data{seed}", **own, **changes})


def parity_row(model: str, precision: str, differing: int = 0, seed: int = 0, **changes: Any) -> Row:
    """The twin and TFLite Micro on 300 adversarial inputs of ten outputs each."""
    return row_makers.parity(differing, model=model, precision=precision, samples=300, values=3000, seed=seed,
                             data_checksum=f"data{seed}", **changes)


def probe_row(model: str, precision: str, name: str, value: float, detail: str = "", seed: int = 0) -> Row:
    """A measurement on 30 samples."""
    return row_makers.probe(name, value, model=model, precision=precision, detail=detail, seed=seed,
                            data_checksum=f"data{seed}")


def attack_rows(model: str, precision: str, difficulty: np.ndarray, rng: np.random.Generator) -> Iterator[Row]:
    """Both profiles with own gradients in each threat model, and replays, in every mode and at every ε."""
    series = list(_series(precision))
    level = difficulty + rng.normal(0, 0.02, len(difficulty))
    for mode, attacked in modes_of(MODELS[model]).items():
        strength = _STRENGTH[mode] * _FRAGILE[model]
        for epsilon in EPSILONS:
            for gain, settings in series:
                yield outcome_row(model, precision, level > strength * gain * epsilon - 0.05, attacked=attacked,
                                  epsilon=epsilon, zero_gradient_share=0.0, **settings)


def _series(precision: str) -> Iterator[tuple[float, dict[str, Any]]]:
    """(strength, row fields) of everything that judges a precision."""
    for threat, gain in (("real", 1.0),) if precision == "float" else (("codes", 0.85), ("real", 1.0)):
        yield gain, {"profile": "standard", "attack": {"name": "standard", "steps": 20, "loss": "", "restarts": 1},
                     "criterion": "union", "threat": threat, "queries": 12}
        yield 0.7 * gain, {"profile": "standard", "attack": {"name": "fgsm", "steps": 1}, "criterion": "any-iterate",
                           "threat": threat}
    own = "real" if precision == "float" else "codes"
    for attack, steps, gain in (("fgsm", 1, 0.6), ("pgd", 40, 0.8)):
        yield gain, {"profile": "paper", "attack": {"name": attack, "steps": steps}, "criterion": "last-iterate",
                     "threat": own}
    for source in SOURCES:
        if source != precision:
            yield 0.5, {"profile": "paper", "attack": {"name": "pgd", "steps": 40}, "criterion": "replayed",
                        "threat": own, "source": source}


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
    settings={"epsilons": list(EPSILONS), "PGD steps": 20, "training samples": 4000, "test samples": 100})


@pytest.fixture(scope="session")
def rows() -> list[Row]:
    """The made-up run as rows."""
    return synthetic_rows()


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the pictures of pages empty: drawing takes longer than all else, and has tests of its own."""
    monkeypatch.setattr("tinyfuse.report.page.to_svg", lambda figure: "<svg></svg>")


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Write rows and facts as a run folder and return it."""
    def make(rows: list[Row], facts: RunFacts | None = FACTS) -> Path:
        run = tmp_path / "run"
        write_rows(run / "results.jsonl", rows)
        if facts is not None:
            facts.write(run / "run.json")
        return run
    return make
