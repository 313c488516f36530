"""What an attack looks like: for each input one sample, clean and attacked, and what float and integers say of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.attacks import KerasTarget
from tinyfuse.attacks.suite import CellKey
from tinyfuse.attacks.targets.anomaly import IntegerTarget
from tinyfuse.checks.line_rows import clean_survivors
from tinyfuse.core.errors import DataError
from tinyfuse.core.files import load_arrays, save_arrays
from tinyfuse.core.strict import decode, encode
from tinyfuse.data import Input, Samples
from tinyfuse.study.cell_study import CellStudy
from tinyfuse.study.rows import SAMPLE_SEED
from tinyfuse.study.run import Run
from tinyfuse.study.stages.exchange import points_for
from tinyfuse.study.worst_case import FLOAT, FLOAT_EXECUTOR, INTEGER_EXECUTOR

FILE = "examples.npz"
MAX_SECONDS = 10
"""Of a recording that is kept."""


@dataclass(frozen=True)
class Verdict:
    """The class that a model answers, and its share of the probability (softmax of the logits)."""

    answer: str
    share: float


@dataclass(frozen=True)
class ExampleFacts:
    """One attacked ``input`` of ``model``: its budget, the right class, how many of ``n`` samples such attacks broke.

    ``verdicts``: of "float" and "integer", each "clean" and "attacked". ``rate``: of the recording in Hz, 0 without.
    """

    input: Input
    model: str
    precision: str
    epsilon: float
    label: str
    broken: int
    n: int
    verdicts: Mapping[str, Mapping[str, Verdict]]
    rate: int = 0


@dataclass(frozen=True, eq=False)
class Example:
    """Facts, with the input ``clean`` and ``attacked``, float32 of its shape, and its ``sound``, float32 [samples]."""

    facts: ExampleFacts
    clean: np.ndarray
    attacked: np.ndarray
    sound: np.ndarray


def write_examples(run: Run, study: CellStudy, real: KerasTarget, twin: IntegerTarget,
                   classes: Sequence[str]) -> None:
    """Choose one sample for each input that ``study`` attacks alone, and save them in the folder of ``run``.

    ``study``: a suite against the integers of ``twin`` in threat model G; ``real``: their float network.
    """
    path, made_by = run.folder / FILE, " ".join(study.digest(key) for key in study.keys)
    if path.exists() and _made_by(path) == made_by:
        return
    right = [clean_survivors(_lines(run, study, precision), executor).get(len(study.samples))
             for precision, executor in ((FLOAT, FLOAT_EXECUTOR), (study.subject.precision, INTEGER_EXECUTOR))]
    if right[0] is None or right[1] is None:
        return
    both, arrays, facts = right[0] & right[1], dict[str, np.ndarray](), []
    for one in study.threat_model.inputs:
        ladder = [key for key in study.keys if study.modes[key[0]] == (one.name,)]
        if ladder and both.any():
            key, row = _chosen(study, ladder, both)
            points = points_for(study, key, None), study.points_of(key)
            verdicts = {"float": _verdicts(real.logits, study.samples.inputs, points[0], row, classes),
                        "integer": _verdicts(twin.logits, study.problem[1], points[1], row, classes)}
            sound, rate = _sound(run, one.name, row, study.samples)
            arrays |= {f"clean_{one.name}": study.samples.inputs[one.name][row],
                       f"attacked_{one.name}": points[0][one.name][row], f"sound_{one.name}": sound}
            facts.append(ExampleFacts(one, study.subject.model, study.subject.precision,
                                      study.budget_of[key][one.name],
                                      classes[int(study.samples.label[row])], int(study.saved(key)["broken"].sum()),
                                      len(both), verdicts, rate))
    text = json.dumps({"made_by": made_by, "examples": encode(tuple(facts))})
    save_arrays(path, {**arrays, "facts": np.frombuffer(text.encode(), np.uint8)})


def read_examples(folder: Path) -> list[Example]:
    """Read what :func:`write_examples` left in ``folder``; nothing if it left nothing."""
    path = folder / FILE
    if not path.exists():
        return []
    arrays = load_arrays(path)
    try:
        table = json.loads(bytes(arrays["facts"]))
        facts = [decode(ExampleFacts, one, str(path), DataError) for one in table["examples"]]
        return [Example(one, *(arrays[f"{what}_{one.input.name}"] for what in ("clean", "attacked", "sound")))
                for one in facts]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: damaged ({error}); delete it and run again") from error


def _made_by(path: Path) -> str:
    try:
        return str(json.loads(bytes(load_arrays(path)["facts"]))["made_by"])
    except (DataError, KeyError, ValueError):
        return ""


def _lines(run: Run, study: CellStudy, precision: str) -> list[dict[str, Any]]:
    return run.store.rows("clean", model=study.subject.model, precision=precision, **run.log.scope.fields())


def _chosen(study: CellStudy, ladder: Sequence[CellKey], right: np.ndarray) -> tuple[CellKey, int]:
    """Take the first sample, ``right`` when clean, that the smallest budget breaks; else one that is left."""
    for key in ladder:
        rows = np.flatnonzero(study.saved(key)["broken"] & right)
        if len(rows):
            return key, int(rows[0])
    return ladder[-1], int(np.flatnonzero(right)[0])


def _verdicts(logits: Callable[[Mapping[str, np.ndarray]], np.ndarray], clean: Mapping[str, np.ndarray],
              attacked: Mapping[str, np.ndarray], row: int, classes: Sequence[str]) -> dict[str, Verdict]:
    """Ask a model about one sample before and after."""
    both = {name: np.stack([values[row], attacked[name][row]]) for name, values in clean.items()}
    found = np.asarray(logits(both), np.float64)
    powers = np.exp(found - found.max(axis=1, keepdims=True))
    shares = powers / powers.sum(axis=1, keepdims=True)
    return {when: Verdict(classes[int(share.argmax())], round(float(share.max()), 4))
            for when, share in zip(("clean", "attacked"), shares, strict=True)}


def _sound(run: Run, name: str, row: int, judged: Samples) -> tuple[np.ndarray, int]:
    """Return the clean recording behind sample ``row`` of those ``judged``, and its rate in Hz; or nothing."""
    recording = run.dataset.recording
    places = run.everything.balanced_rows(len(judged), seed=SAMPLE_SEED)
    found = recording(name, run.part, int(places[row])) if recording else None
    if found is None:
        return np.zeros(0, np.float32), 0
    samples, rate = found
    return np.asarray(samples, np.float32)[:MAX_SECONDS * rate], int(rate)
