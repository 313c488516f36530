"""The certificates that the package of a ``.tflite`` carries, with attacked inputs that its cores have to withstand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.analyses.certificates.record import Named
from tinyfuse.attacks.pgd import PGD
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.checks.certificates import CERTIFIED, is_certificate
from tinyfuse.core.errors import GateError, UsageError
from tinyfuse.core.results import ResultStore, Row, row_key
from tinyfuse.data import Dataset, Input, Samples
from tinyfuse.firmware.certificate_table import CertificateTable
from tinyfuse.firmware.certified import Certified
from tinyfuse.firmware.vectors import Vectors, tflm_outputs
from tinyfuse.study.rows import SAMPLE_SEED
from tinyfuse.threats.code_threats import code_problem
from tinyfuse.threats.threat import Threat

MOST_SAMPLES, ALL_SAMPLES = 8, 48
"""Certified samples that are attacked again of each certificate, and of all of them about."""


def carried(given: Path, target: TwinTarget, inputs: Sequence[Input], sha256: str, dataset: Dataset) -> Certified:
    """Read the certificates of the file of checksum ``sha256`` in ``given``: the folder or file of `certify --out`.

    ``target`` is that file, ``dataset`` the data whose test samples were certified. Of each certificate some samples
    travel: clean, as PGD leaves them, and at a random corner of the ball.

    Raises:
        UsageError: no certificates, those of another file, of other data or samples, of changes within a mask, or of no
            sample.
        GateError: one of the attacked inputs changes the class.
    """
    rows = certificates_of(given, target.name, sha256, dataset)
    if not any(row["value"] for row in rows):
        raise UsageError(f"{given} certifies not one sample of {target.name}: nothing to carry; certify a smaller "
                         "budget, or train for certificates")
    count = max(1, min(MOST_SAMPLES, ALL_SAMPLES // len(rows)))
    made = [_attacked(row, target, inputs, dataset, count) for row in rows]
    codes = {port.name: np.concatenate([each[port.name] for _, each in made]).astype(port.dtype)
             for port in target.model.inputs}
    found = Certified(tuple(table for table, _ in made), Vectors(codes, tflm_outputs(target.model, codes), 0))
    broken = found.broken(target.model, found.vectors.outputs)
    if broken:
        raise GateError(f"{given}: {broken} attacked inputs of certified samples change the class; trust neither the "
                        "certificates nor this model, and report it")
    return found


def certificates_of(given: Path, name: str, sha256: str, dataset: Dataset) -> list[Row]:
    """Select the rows of ``given`` about the very bytes and data, test samples, and every place of the inputs."""
    path = given / "results.jsonl" if given.is_dir() else given
    if not path.is_file():
        raise UsageError(f"{path}: no such file; give what `tinyfuse certify --out` wrote")
    rows = [row for row in ResultStore(path).rows("analysis") if is_certificate(row)]
    mine = [row for row in rows if _is_of(row, sha256)]
    if not mine:
        others = ", ".join(sorted({f"{row['model']} {row['precision']}" for row in rows})) or "nothing"
        raise UsageError(f"{path} certifies {others}, but not this very file of {name}; run `tinyfuse certify` on it")
    fitting = [row for row in mine if row["data_checksum"] == dataset.checksum]
    if not fitting:
        raise UsageError(f"{path} certifies {name} on other data than {dataset.name} as given here; give those with "
                         "--data and --limit")
    tested = [row for row in fitting if "part" not in row["settings"]]
    if not tested:
        raise UsageError(f"{path} certifies {name} on the {fitting[0]['settings']['part']} part of {dataset.name}; "
                         "give certificates of test samples")
    whole = [row for row in tested if not row["settings"]["mask"]]
    if not whole:
        raise UsageError(f"{path} certifies {name} only against changes within a mask; a package carries certificates "
                         "against changes anywhere")
    return whole


def _is_of(row: Row, sha256: str) -> bool:
    """Tell whether ``row`` is about the file of checksum ``sha256``, which is part of its key."""
    named = Named(row["model"], row["precision"], sha256, row["seed"], row["data_checksum"])
    asked = {name: row[name] for name in ("settings", "of", "n")}
    return bool(row["key"] == row_key({**named.common(**asked), "quantity": CERTIFIED}))


def _attacked(row: Row, target: TwinTarget, inputs: Sequence[Input], dataset: Dataset,
              count: int) -> tuple[CertificateTable, dict[str, np.ndarray]]:
    """Return the table of a certificate, and the codes [3 count, ...] of some of its samples: clean and attacked."""
    settings = row["settings"]
    proved = np.flatnonzero(np.asarray(row["each"]) > 0)
    places = proved[np.linspace(0, len(proved) - 1, min(count, len(proved))).astype(int)] if len(proved) else proved
    samples = dataset.test.balanced(row["n"], seed=SAMPLE_SEED).take(places)
    parts = list(_points(settings, target, inputs, samples)) if len(places) else []
    table = CertificateTable(
        attacked=tuple(settings["budget"]), norm=settings["norm"], threat=settings["threat"], budget=settings["budget"],
        share=row["value"], low=row["low"], high=row["high"], n=row["n"], data_checksum=row["data_checksum"],
        executor=row["executor"], methods=tuple(settings["methods"]),
        answers=tuple(int(label) for _ in parts for label in samples.label))
    empty = {port.name: np.zeros((0, *port.shape[1:])) for port in target.model.inputs}
    return table, {name: np.concatenate([start, *(part[name] for part in parts)]) for name, start in empty.items()}


def _points(settings: dict[str, Any], target: TwinTarget, inputs: Sequence[Input],
            samples: Samples) -> Iterator[dict[str, np.ndarray]]:
    """Yield the codes float32 of ``samples``: clean, as PGD leaves them, and at random corners of their balls."""
    assert target.grids is not None
    threat, clean = code_problem(Threat.of(inputs, settings["budget"], settings["norm"]), samples.inputs, target.grids,
                                 settings["threat"])
    yield clean
    found = PGD(steps=settings["steps"]).run(target, clean, samples.label, threat)
    yield {**clean, **{name: found.strongest[name] for name in threat.attacked}}
    rng = np.random.default_rng(SAMPLE_SEED)
    moved = {name: clean[name] + threat.budget[name] * rng.choice([-1.0, 1.0], clean[name].shape).astype(np.float32)
             for name in threat.attacked}
    yield threat.realise(threat.project({**clean, **moved}, clean), clean)
