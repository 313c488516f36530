"""Which findings about a run end its command: exit code 3 for another arithmetic, 4 for figures not to be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinyfuse.checks.firmware_cost import check_firmware
from tinyfuse.checks.run_checks import Flag, gate
from tinyfuse.core.errors import GateError, ParityError
from tinyfuse.core.faults import FAULT
from tinyfuse.core.results import ResultStore, Row

ATTACK_STAGE, CONVERT_STAGE, SCENE_STAGE = "attack", "convert", "scenes"
"""Stages of failed rows: a model could not be attacked; a recipe could not be applied, or does not fit the network; no
attack before the front end could be made."""


def check_run(store: ResultStore, flags: Sequence[Flag]) -> None:
    """Raise an error if a figure of the run in ``store``, with the ``flags`` of its checks, must not be trusted.

    Raises:
        ParityError: the twin, or the firmware, does not compute the codes of TFLite Micro.
        GateError: a model could not be attacked, its firmware could not be run, a check ended in an error other than
            D (see :func:`tinyfuse.checks.run_checks.gate`), or a fault of ours kept a model from being converted.
    """
    for row in store.rows("parity"):
        if row["differing"]:
            raise ParityError(f"{row['model']} {row['precision']}: {row['a']} and {row['b']} differ in "
                              f"{row['differing']} of {row['values']} output codes; the twin's figures of this model "
                              "are wrong, report it")
    check_firmware(store)
    for row in unattacked(store.rows()):
        raise GateError(f"{row['model']} {row['precision']} could not be attacked, so it has no figures to trust: "
                        f"{row['reason']}")
    for row in unconverted(store.rows()):
        raise GateError(f"{row['model']} {row['precision']} was not converted: {row['reason']}")
    failed = gate(flags)
    if failed:
        first = failed[0]
        raise GateError(f"{len(failed)} checks failed, so some figures must not be trusted; the first: {first.model} "
                        f"{first.precision}: {first.text} (check {first.code}; all are in the report)")


def unconverted(rows: Sequence[Row]) -> list[Row]:
    """Return the failed rows of recipes that a fault of ours kept from conversion, in the last attempt too."""
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        line = (row["model"], row.get("precision"), row["seed"])
        if row["kind"] == "model":
            found.pop(line, None)
        elif row["kind"] == "failed" and row["stage"] == CONVERT_STAGE and row["reason"].startswith(FAULT):
            found[line] = row
    return list(found.values())


def unattacked(rows: Sequence[Row]) -> list[Row]:
    """Return the failed rows of models that could not be attacked, and that no later attempt attacked either.

    A later attempt leaves rows of attacks with the model's own gradients, or of their proof, behind the failed one.
    """
    def attacked(row: Row) -> bool:
        return row["kind"] in ("probe", "parity") or (row["kind"] == "attack" and row["source"] == row["precision"])

    found = {}
    for row in rows:
        line = (row["model"], row.get("precision"), row["seed"])
        if row["kind"] == "failed" and row["stage"] == ATTACK_STAGE:
            found[line] = row
        elif attacked(row):
            found.pop(line, None)
    return list(found.values())
