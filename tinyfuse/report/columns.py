"""The columns of the summary: one list from which the terminal's table, the page's, ``summary.csv`` and Markdown come.

A new column is one entry of :data:`COLUMNS`. Columns of a selection are made of the same :class:`Column`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from tinyfuse.checks.firmware_cost import MEASURED_ON
from tinyfuse.report.summary import SummaryRow, branches_among, modes_among
from tinyfuse.report.vocabulary import KINDS, NOT_MEASURED, NOTHING, PROVED, kib, mega, number, percent
from tinyfuse.study.worst_case import Accuracy
from tinyfuse.threats.budgets import epsilon_text

ACCURACY, DIFFERENCE = ("low", "high", "n"), ("low", "high")
"""Further columns of summary.csv beside a value: the ends of its 95 % interval, and the number of samples."""


def half_width(accuracy: Accuracy) -> str:
    """Return half of the 95 % interval in points, such as "±4.5"."""
    half = 50 * (accuracy.high - accuracy.low)
    return f"±{half:.{0 if half >= 10 else 1}f}"


@dataclass(frozen=True)
class Column:
    """One column: ``value`` of a line (a number, a text, an accuracy; None if it is not known) and its ``text``.

    ``title``, ``unit`` and ``meaning`` are the heading in tables; without a title the column is in summary.csv alone,
    there under ``name`` and with ``parts`` of the value beside it; without a name it is not there.
    ``per``: one column for each of these keys of all lines; the key stands for {} in texts and is handed to ``value``.
    Columns of one ``group`` share a heading, and on a terminal a cell, where ``join`` stands before each but the first.
    ``missing``: the text where nothing is known. ``own``: whether the value is about the line itself, and then has its
    interval with it, as ``margin`` writes it. ``shown`` in tables of these lines (default: if anything is
    known there). ``is_name``: the text that marks such as a star stand beside. On a narrow terminal those with the
    highest ``spare`` go first.
    """

    title: str
    unit: str
    value: Callable[..., Any]
    text: Callable[[Any], str]
    meaning: str
    name: str = ""
    parts: tuple[str, ...] = ()
    per: Callable[[Sequence[Any]], Sequence[str]] | None = None
    group: str = ""
    join: str = " "
    missing: Callable[[Any], str] = lambda line: NOTHING
    own: Callable[[Any], bool] = lambda line: True
    margin: Callable[[Accuracy], str] = half_width
    shown: Callable[[Sequence[Any]], bool] | None = None
    is_text: bool = False
    is_name: bool = False
    spare: int = 0

    def expanded(self, lines: Sequence[Any]) -> list[Column]:
        """Return a column for each of its keys among ``lines``, or itself."""
        if self.per is None:
            return [self]
        texts = ("title", "meaning", "name", "group")
        return [replace(self, per=None, value=lambda line, key=key: self.value(line, key), **{
            name: getattr(self, name).format(key) for name in texts}) for key in self.per(lines)]

    def cell(self, line: Any) -> str:
        """Return what a table shows of ``line``."""
        value = self.value(line)
        return self.missing(line) if value is None else self.text(value)

    def plain(self, line: Any) -> dict[str, object]:
        """Return the cells of ``line`` in summary.csv by name; None where nothing is known."""
        value = self.value(line)
        found = value if not self.parts or value is None else value.value
        return {self.name: found, **{f"{self.name}_{part}": getattr(value, part, None) for part in self.parts}}


def columns_for(lines: Sequence[Any], columns: Sequence[Column]) -> list[Column]:
    """Return those of ``columns`` that tell something about ``lines`` in a table, members of each group together."""
    expanded = [one for column in columns for one in column.expanded(lines)]
    useful = [one for one in expanded if one.title and (one.shown(lines) if one.shown else one.is_text or any(
        one.value(line) is not None for line in lines))]
    first = {one.group or id(one): place for place, one in reversed(list(enumerate(useful)))}
    return sorted(useful, key=lambda one: first[one.group or id(one)])


def groups_of(columns: Sequence[Column]) -> Iterator[list[Column]]:
    """Yield neighbours of one group together, every other column alone."""
    found: list[Column] = []
    for one in columns:
        if found and (not one.group or one.group != found[0].group):
            yield found
            found = []
        found.append(one)
    if found:
        yield found


def _unmeasured(line: SummaryRow) -> str:
    """Return a dash on a line without firmware, else "n/m"."""
    return NOT_MEASURED if line.firmware else NOTHING


def _of_integers(line: SummaryRow) -> str:
    """Return nothing on a float line, a dash on one with integers."""
    return "" if line.is_float else NOTHING


def _robust(title: str, field: str, meaning: str, join: str, own: Callable[[SummaryRow], bool],
            missing: Callable[[SummaryRow], str] = _of_integers) -> Column:
    """Robust accuracy by mode of attack from the mapping ``field`` of a line."""
    return Column(title, "%", lambda line, mode: getattr(line, field).get(mode), percent, meaning, f"{field}_{{}}",
                  ACCURACY, modes_among, "{} attacked", join, missing, own)


def _csv(name: str, meaning: str, value: Callable[..., Any] | None = None, parts: tuple[str, ...] = (),
         per: Callable[[Sequence[Any]], Sequence[str]] | None = None) -> Column:
    """Return a column that is in summary.csv alone."""
    return Column("", "", value or attrgetter(name), str, meaning, name, parts, per)


def _paired(field: str, meaning: str, parts: tuple[str, ...] = ()) -> tuple[Column, Column]:
    """Return a ``field`` of the comparison with the float network, clean and by mode of attack."""
    def value(line: SummaryRow, what: str = "clean") -> Any:
        return getattr(line.paired.get(what), field, None)

    return (_csv(f"{field}_clean", f"{meaning}, clean", value, parts),
            _csv(f"{field}_robust_{{}}", f"{meaning}, under attack", value, parts, modes_among))


COLUMNS: list[Column] = [
    Column("model", "", attrgetter("model"), str, "the network", "model", is_text=True),
    Column("precision", "", attrgetter("precision"), str, "float, or the name of a recipe", "precision",
           is_text=True, is_name=True),
    Column("seed", "", attrgetter("seed"), str, "seed of the training", "seed",
           shown=lambda lines: len({line.seed for line in lines}) > 1),
    _csv("executor", "what judged the line"),
    Column("W", "", attrgetter("weight_bits_mean"), number, "mean bits of a weight", "weight_bits_mean",
           group="bits", spare=4),
    _csv("bits_{}", "mean weight bits of the layers that only {} reaches, or that are shared",
         lambda line, branch: line.bits.get(branch), per=branches_among),
    Column("A", "", attrgetter("activation_bits"), number, "bits of an activation", "activation_bits",
           group="bits", join="/"),
    Column("stored", "KiB", attrgetter("stored_bytes"), kib, "the .tflite file", "stored_bytes", spare=6),
    Column("packed", "KiB", attrgetter("packed_bytes"), kib, "packed n-bit weights and what belongs to them",
           "packed_bytes", spare=1),
    Column("arena", "KiB", attrgetter("arena_bytes"), kib, "what TFLite Micro needs for its own arena",
           "arena_bytes", spare=5),
    _csv("firmware_arena_bytes", "arena of the package that would be exported"),
    Column("MMAC", "", attrgetter("macs"), mega, "multiply-accumulates of one inference", "macs",
           spare=7),
    _csv("max_abs_difference", "largest difference of the integer model's outputs to the float network's"),
    Column("flash", "KiB", lambda line: line.firmware and line.firmware.flash_bytes, kib,
           "packed n-bit weights, code and tables of the exported firmware", "flash_bytes", missing=_unmeasured),
    Column("RAM", "KiB", lambda line: line.firmware and line.firmware.ram_bytes, kib,
           "arena and stack of the exported firmware", "ram_bytes", missing=_unmeasured, spare=3),
    *(Column(core.upper(), "Minstr",
             lambda line, core=core: line.firmware and line.firmware.instructions.get(core), mega,
             f"instructions of one inference on the emulated core {core}", f"instructions_{core}",
             missing=_unmeasured, spare=2) for core in MEASURED_ON),
    _csv("epsilon", "the budget of the robust accuracies: a number, or one for each input",
         lambda line: epsilon_text(line.epsilon) if isinstance(line.epsilon, Mapping) else line.epsilon),
    Column("float", "%", attrgetter("clean_float"), percent, "the float network", "clean_float", ACCURACY,
           group="clean", own=attrgetter("is_float")),
    _robust("float", "robust_float", "the float network, attacked with its own gradients", "",
            attrgetter("is_float"), lambda line: NOTHING),
    Column("integer", "%", attrgetter("clean_integer"), percent, "the integer model", "clean_integer", ACCURACY,
           group="clean", join=" → ", missing=_of_integers),
    _robust("G", "robust_integer", f"integers: {KINDS['G']}", " → ", lambda line: True),
    _robust("certified", "certified", f"integers: {PROVED}", " ≥ ", lambda line: False),
    _robust("R", "robust_real", f"integers: {KINDS['R']}", " ", lambda line: False),
    _csv("certified_real_{}", "the certified share in threat model R",
         lambda line, mode: line.certified_real.get(mode), ACCURACY, modes_among),
    _robust("T", "transfer", f"integers: {KINDS['T']}", " ", lambda line: False),
    *_paired("p", "McNemar's p, float against integer"),
    *_paired("change", "accuracy of the integers minus that of the float network", DIFFERENCE),
    _paired("ratio", "accuracy of the integers over that of the float network")[1],
    _csv("rerun", "inputs that were run on TFLite Micro as well"),
    _csv("differing", "output codes that differed there"),
    _csv("agreement", "share of clean samples on which float and integers are both right or both wrong"),
    Column("flags", "", lambda line: "".join(line.flags), str, "letters of the checks", "flags", is_text=True),
    _csv("pareto", "1: nothing of the same model is better in packed bytes, clean and robust accuracy",
         lambda line: int(line.pareto)),
]
"""In the order of summary.csv; in tables the members of a group stand where its first one does."""
