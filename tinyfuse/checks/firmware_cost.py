"""What the firmware of one line of the table takes on a microcontroller, from its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tinyfuse.checks.line_rows import Line
from tinyfuse.core.errors import GateError, ParityError
from tinyfuse.core.results import ResultStore, Row

MEASURED_ON = ("m4", "m55")
"""Emulated cores whose instructions are counted; flash and RAM are those of the first that was measured."""
LACKING_STAGE, BROKEN_STAGE = "firmware", "firmware run"
"""Stages of failed rows: an operator has no kernel in the firmware; its program did not compile or crashed."""


@dataclass(frozen=True)
class FirmwareCost:
    """Bytes of flash and RAM on ``core`` and instructions of one inference by core; absent if not measured.

    ``problem`` says why: no kernel, or codes that are not TFLite Micro's (then not ``exact``); it is empty where there
    was no compiler or emulator (``tools``).
    """

    core: str = ""
    flash_bytes: int | None = None
    ram_bytes: int | None = None
    instructions: Mapping[str, int] = field(default_factory=dict)
    tools: tuple[str, ...] = ()
    problem: str = ""
    exact: bool = True


def firmware_cost(rows: Sequence[Row], reason: str) -> FirmwareCost:
    """Read the cost of one line from its ``rows``; firmware of an earlier ``.tflite`` does not count.

    ``reason``: why its firmware could not be made or run, where that is known.
    """
    file = next((row["file_sha256"] for row in reversed(rows) if row["kind"] == "model"), None)
    newest = {row["core"]: row for row in rows if row["kind"] == "firmware" and row["file_sha256"] == file}
    wrong = [difference(row) for row in newest.values() if row["differing"]]
    exact = {core: row for core in MEASURED_ON if (row := newest.get(core)) and not row["differing"]}
    if not exact:
        return FirmwareCost(problem="; ".join(wrong) or reason, exact=not wrong)
    core, first = next(iter(exact.items()))
    tools = dict.fromkeys([first["compiler"], *(row["emulator"] for row in exact.values())])
    return FirmwareCost(core, first["flash_bytes"], first["ram_bytes"],
                        {name: row["instructions"] for name, row in exact.items()}, tuple(tools), "; ".join(wrong),
                        not wrong)


def difference(row: Row) -> str:
    """In words how a firmware row differs from TFLite Micro."""
    return (f"the firmware on {row['core']} is not TFLite Micro: {row['differing']} of {row['values']} output codes "
            "differ")


def reasons(rows: Iterable[Row]) -> dict[Line, str]:
    """By line why its firmware could not be made or run; the last word counts."""
    return {(row["model"], row["precision"], row["seed"]): row["reason"] for row in rows
            if row["kind"] == "failed" and row["stage"] in (LACKING_STAGE, BROKEN_STAGE)}


def check_firmware(store: ResultStore) -> None:
    """Raise :class:`ParityError` or :class:`GateError` if the firmware of a model is not what was judged."""
    newest = {(row["model"], row["precision"], row["seed"], row["core"]): row for row in store.rows("firmware")}
    for row in newest.values():
        if row["differing"]:
            raise ParityError(f"{row['model']} {row['precision']}: {difference(row)}; its export computes something "
                              "else than what was judged, report it")
    for row in store.rows("failed", stage=BROKEN_STAGE):
        if not store.rows("firmware", model=row["model"], precision=row["precision"], seed=row["seed"]):
            raise GateError(f"{row['model']} {row['precision']}: its firmware could not be run, so nothing says that "
                            f"it computes what was judged: {row['reason']}")
