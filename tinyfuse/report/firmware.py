"""Flash, RAM and instructions of the exported firmware: the cells of the tables and the words that explain them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tinyfuse.checks.firmware_cost import MEASURED_ON, FirmwareCost
from tinyfuse.report.vocabulary import NOTHING
from tinyfuse.study.summary import SummaryRow

NOT_MEASURED = "n/m"
MEANING = {
    "flash": "packed n-bit weights, code and tables of the exported firmware",
    "RAM": "its arena and stack",
    "arena": "what TFLite Micro needs for its own arena",
}
"""What the sizes in KiB are, for legends; instructions are explained by :func:`notes`."""


def measured_cores(lines: Iterable[SummaryRow]) -> list[str]:
    """The cores on which at least one of ``lines`` was counted."""
    known = [line.firmware for line in lines if line.firmware]
    return [core for core in MEASURED_ON if any(core in cost.instructions for cost in known)]


def heads(lines: Sequence[SummaryRow]) -> list[tuple[str, str]]:
    """The headings of the columns as (title, unit); none if nothing was measured on any of ``lines``."""
    cores = measured_cores(lines)
    return [("flash", "KiB"), ("RAM", "KiB"), *((core.upper(), "Minstr") for core in cores)] if cores else []


def cells(cost: FirmwareCost | None, cores: Sequence[str]) -> list[tuple[str, float | None]]:
    """The cells below :func:`heads` as (text, number)."""
    known = cost or FirmwareCost()
    found = [(known.flash_bytes, 1024.0), (known.ram_bytes, 1024.0),
             *((known.instructions.get(core), 1e6) for core in cores)]
    return [(_text(cost, value, unit), value) for value, unit in found] if cores else []


def notes(lines: Sequence[SummaryRow]) -> list[str]:
    """What the columns are and why something is missing in them; empty without integer models."""
    costs = [line.firmware for line in lines if line.firmware]
    if not costs:
        return []
    problems = _problems(lines)
    if not (cores := measured_cores(lines)):
        why = problems or ["this needs a cross compiler and an emulator of its cores; the same command adds them"]
        return [f"flash, RAM and instructions of the firmware: not measured ({'; '.join(why)})"]
    made = " and ".join(sorted({cost.core.upper() for cost in costs if cost.core}))
    tools = dict.fromkeys(tool for cost in costs for tool in cost.tools)
    counted = ", ".join(core.upper() for core in cores)
    found = [f"flash: {MEANING['flash']} for {made}; RAM: {MEANING['RAM']}; arena: {MEANING['arena']}",
             f"{counted} Minstr: millions of instructions of one inference on the emulated core ({', '.join(tools)})"]
    if any(len(cost.instructions) < len(cores) for cost in costs):
        found.append(": ".join([f"{NOT_MEASURED} = not measured", *(["; ".join(problems)] if problems else [])]))
    return found


def mismatches(lines: Iterable[SummaryRow]) -> list[str]:
    """The lines with firmware whose codes are not TFLite Micro's, in words."""
    return [f"{line.model} {line.precision}: {line.firmware.problem}" for line in lines
            if line.firmware and not line.firmware.exact]


def _text(cost: FirmwareCost | None, value: float | None, unit: float) -> str:
    """``value`` in ``unit`` with one decimal; "n/m" if it was not measured, a dash on a line without firmware."""
    if cost is None:
        return NOTHING
    return NOT_MEASURED if value is None else f"{value / unit:.1f}"


def _problems(lines: Iterable[SummaryRow]) -> list[str]:
    """Each reason once, with the first line that it holds for and the number of the others."""
    by_problem: dict[str, list[str]] = {}
    for line in lines:
        if line.firmware and line.firmware.problem:
            by_problem.setdefault(line.firmware.problem, []).append(f"{line.model} {line.precision}")
    return [f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {problem}"
            for problem, names in by_problem.items()]
