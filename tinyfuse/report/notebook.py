"""Results of single calls as a notebook shows them: a short text, a table, a DataFrame, a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyfuse.core.errors import UsageError
from tinyfuse.core.files import atomic_path
from tinyfuse.core.frames import frame
from tinyfuse.firmware.verify import Verified, summary
from tinyfuse.integer.compare import Comparison
from tinyfuse.report.figures.style import COLOURS, new_figure, short, style, to_svg
from tinyfuse.report.figures.trials import bits_figure
from tinyfuse.search.select import Selection
from tinyfuse.study.attack import AttackResult
from tinyfuse.study.minimal_budget import MinimalResult
from tinyfuse.study.row_text import findings, flag_text, sentence
from tinyfuse.threats.budget_text import size_text
from tinyfuse.threats.modes import mode_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

SUFFIXES = (".png", ".svg", ".pdf")


@dataclass(frozen=True, eq=False, repr=False)
class Drawing:
    """A ``figure`` of matplotlib that a notebook shows by itself."""

    figure: Figure

    def _repr_svg_(self) -> str:
        return to_svg(self.figure)

    def save(self, path: str | Path) -> Path:
        """Write the figure as .png, .svg or .pdf and return the path."""
        if Path(path).suffix not in SUFFIXES:
            raise UsageError(f"{path}: figures are saved as {', '.join(SUFFIXES)}; give a name that ends so")
        with atomic_path(path) as temporary, style():
            self.figure.savefig(temporary, format=Path(path).suffix[1:], dpi=150)
        return Path(path)


@dataclass(frozen=True, eq=False, repr=False)
class AttackRows(AttackResult):
    """What :func:`tinyfuse.attack` and :func:`tinyfuse.profile` found; see :class:`AttackResult`."""

    @classmethod
    def of(cls, found: AttackResult) -> AttackRows:
        """Make it of what a study returned."""
        return cls(found.rows, found.made, found.notes, found.probes)

    def __repr__(self) -> str:
        said = [sentence(row, self.notes.get(row["key"])) for row in self.rows]
        return "\n".join([*said, *map(flag_text, findings(self.evidence))])

    def _repr_html_(self) -> str:
        lines = [(row["model"], row["precision"], row["executor"], _attack_of(row), f"{row['correct']} of {row['n']}",
                  f"{100 * row['accuracy']:.1f}", f"{100 * row['ci_low']:.1f} to {100 * row['ci_high']:.1f}")
                 for row in self.rows]
        notes = "".join(f"<p>{escape(flag_text(flag))}</p>" for flag in findings(self.evidence))
        return table(("model", "precision", "executor", "attack", "correct", "%", "95 % interval"), lines) + notes

    def to_frame(self) -> DataFrame:
        """Return the rows as a DataFrame; see :func:`tinyfuse.core.frames.frame`."""
        return frame(self.rows)

    def plot(self) -> Drawing:
        """Draw the accuracy of each row, with its 95 % interval."""
        with style():
            figure = new_figure(6.4, 0.8 + 0.34 * len(self.rows))
            axes = figure.subplots()
            value = np.array([100 * row["accuracy"] for row in self.rows])
            ends = np.array([[100 * row["ci_low"], 100 * row["ci_high"]] for row in self.rows]).reshape(-1, 2).T
            places = range(len(self.rows))
            axes.barh(places, value, color=[COLOURS[3 if row["kind"] == "clean" else 0] for row in self.rows],
                      xerr=np.abs(ends - value), error_kw={"capsize": 2, "linewidth": 1})
            names = [short(f"{row['precision']} {row['executor']}, {_attack_of(row)}", 60) for row in self.rows]
            axes.set_yticks(places, names)
            axes.set(xlim=(0, 100), xlabel="correct (%), with 95 % intervals")
            axes.invert_yaxis()
        return Drawing(figure)


def _attack_of(row: Any) -> str:
    if row["kind"] == "clean":
        return "clean"
    budget = ", ".join(f"{size_text(row['norm'], size)} of {name}" for name, size in row["budget"].items())
    return (f"{row['attack']['name']} on {mode_name(row['attacked'], row['inputs'])}, {row['norm']} {budget}, "
            f"{row['criterion']}, {row['threat']}")


@dataclass(frozen=True, eq=False, repr=False)
class SmallestBudgets(MinimalResult):
    """What :func:`tinyfuse.minimal` found; see :class:`MinimalResult`."""

    @classmethod
    def of(cls, found: MinimalResult) -> SmallestBudgets:
        """Make it of what a study returned."""
        return cls(*(getattr(found, one.name) for one in fields(found)))

    def __repr__(self) -> str:
        return self.text()

    def to_frame(self) -> DataFrame:
        """Return one line for each sample: its smallest budget in codes, missing where none was found."""
        return frame([{"model": self.model, "sample": number, "codes": codes}
                      for number, codes in enumerate(self.to_json()["codes"])])

    def plot(self) -> Drawing:
        """Draw the share of samples that stay correct against the budget in codes."""
        codes = np.arange(int(self.found.largest) + 1)
        stay = [100 * float(np.mean(self.found.budget > k)) for k in codes]
        with style():
            figure = new_figure(4.8, 3.0)
            axes = figure.subplots()
            axes.step(codes, stay, where="post", color=COLOURS[0])
            axes.set(ylim=(0, 100), xlabel=f"budget in codes of {' and '.join(self.found.attacked)}",
                     ylabel="correct (%)", title=short(Path(self.model).name, 50))
        return Drawing(figure)


@dataclass(frozen=True, eq=False, repr=False)
class ComparedExecutors(Comparison):
    """What :func:`tinyfuse.compare` found; see :class:`Comparison`."""

    @classmethod
    def of(cls, found: Comparison) -> ComparedExecutors:
        """Make it of what the comparison returned."""
        return cls(*(getattr(found, one.name) for one in fields(found)))

    def __repr__(self) -> str:
        return self.text().rstrip()

    def to_frame(self) -> DataFrame:
        """Return one line for each tensor and every two executors ``a`` and ``b``: values, how many differ, by what."""
        return frame([{"model": self.model, "a": one.a, "b": one.b, "tensor": tensor.name, "values": tensor.values,
                       "differing": tensor.differing, "max_abs": tensor.max_abs}
                      for one in self.differences for tensor in one.tensors])

    def plot(self) -> Drawing:
        """Draw the share of differing values, tensor by tensor in the order of the graph, for every two executors."""
        with style():
            figure = new_figure(6.4, 3.0)
            axes = figure.subplots()
            for number, one in enumerate(self.differences):
                share = [100 * tensor.differing / max(tensor.values, 1) for tensor in one.tensors]
                axes.plot(range(len(share)), share, marker=".", color=COLOURS[number % len(COLOURS)],
                          label=f"{one.a} and {one.b}")
            axes.set(xlabel="computed tensors, in the order of the graph", ylabel="values that differ (%)",
                     title=short(Path(self.model).name, 50))
            axes.legend()
        return Drawing(figure)


@dataclass(frozen=True, eq=False, repr=False)
class ChosenBits(Selection):
    """What :func:`tinyfuse.select` chose; see :class:`Selection`."""

    @classmethod
    def of(cls, found: Selection) -> ChosenBits:
        """Make it of what the search returned."""
        return cls(found.record, found.chosen, found.path)

    def __repr__(self) -> str:
        return "\n".join([str(self.path), *self.record.reasons])

    def to_frame(self) -> DataFrame:
        """Return one line for each trial: what it needs, its accuracies by mode of attack, whether it is the chosen."""
        return frame([{"name": one.name, "chosen": one.name == self.record.best.name, "front": one.front,
                       "exceeded": one.exceeded, "needs": one.needs, "clean": one.clean.value,
                       "robust": {mode: share.value for mode, share in one.robust.items()}}
                      for one in self.record.trials])

    def plot(self) -> Drawing:
        """Draw the chosen width of each unit, and its number of weights."""
        return Drawing(bits_figure(self.record))


@dataclass(frozen=True, repr=False)
class VerifiedCores(Verified):
    """What :func:`tinyfuse.verify` found; see :class:`Verified`."""

    @classmethod
    def of(cls, found: Verified) -> VerifiedCores:
        """Make it of what the verification returned."""
        return cls(*(getattr(found, one.name) for one in fields(found)))

    def __repr__(self) -> str:
        said = [f"{one.core}: {'exact' if one.parity else 'DIFFERS'}, {one.vectors} vectors, {one.instructions} "
                f"instructions, flash {one.flash.flash} bytes, RAM {self.ram_bytes(one)}" for one in self.cores]
        return "\n".join([*said, *(f"{core}: not verified, {why}" for core, why in self.missing.items())])

    def to_frame(self) -> DataFrame:
        """Return one line for each core, with the names that ``tinyfuse verify --json`` has; ``layers``: by name."""
        return frame([{"core": core, **figures} for core, figures in summary(self)["cores"].items()])

    def plot(self) -> Drawing:
        """Draw the instructions of each layer, in the order in which they run, for every core."""
        with style():
            layers = self.package.metadata.layers
            figure = new_figure(6.4, 1.2 + 0.24 * len(layers))
            axes = figure.subplots()
            for number, one in enumerate(self.cores):
                axes.plot([one.layers.get(name, 0) / 1e6 for name in layers], range(len(layers)), marker="o",
                          linestyle="", color=COLOURS[number % len(COLOURS)], label=one.core)
            axes.set_yticks(range(len(layers)), [short(name, 40) for name in layers])
            axes.set(xlabel="millions of instructions of one inference", title=self.package.metadata.name)
            axes.invert_yaxis()
            axes.legend()
        return Drawing(figure)


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Write a small HTML table of texts."""
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(one))}</td>" for one in line) + "</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
