"""Why the numbers may be believed, or not: parity with TFLite Micro, checks with their evidence, checks not made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tinyfuse.checks.line_rows import clean_survivors, same_samples
from tinyfuse.checks.run_checks import CHECKS, LEVELS, PROBES, Flag, gate
from tinyfuse.core.results import Row
from tinyfuse.report import firmware
from tinyfuse.report.tables import percent
from tinyfuse.report.view import RunView
from tinyfuse.report.vocabulary import EXECUTORS, NOTHING, span
from tinyfuse.study.summary import INTEGER_EXECUTOR, accuracy_of

_NAMES = {"tflm": "TFLite Micro", "litert": "LiteRT (XNNPACK)", "litert-reference": "LiteRT (reference kernels)"}
_PARITY_CODE = "Y"


def banner(view: RunView) -> list[str]:
    """What a reader must know before any number: differing executors, then the errors of the checks; empty if none."""
    differing = [f"{one} and {_NAMES[other]} do not compute the same: {sum(row['differing'] for row in rows):,} of "
                 f"{sum(row['values'] for row in rows):,} output codes differ"
                 for (one, other), rows in _pairs(view) if other == "tflm" and any(row["differing"] for row in rows)]
    errors = [_error(flag) for flag in gate(view.flags) if flag.code != _PARITY_CODE or not differing]
    return [*differing, *firmware.mismatches(view.summary), *errors]


def parity(view: RunView) -> dict[str, Any]:
    """One sentence for each pair of executors, and a table by model; no sentences where nothing was compared."""
    sentences = []
    for (one, other), rows in _pairs(view):
        samples, values, differing = (sum(row[name] for row in rows) for name in ("samples", "values", "differing"))
        models = len({(row["model"], row["precision"], row["seed"]) for row in rows})
        classes = sum(row["argmax_differing"] for row in rows)
        most = max(row["max_abs"] for row in rows)
        gap = f"{differing:,} differ (by at most {most}; {classes:,} inputs change class)" if differing else "0 differ"
        kinds = " and ".join(sorted({row["where"] for row in rows}))
        sentences.append({"text": f"{one} and {_NAMES.get(other, other)}: {models} model{'s' * (models != 1)}, "
                                  f"{samples:,} {kinds} inputs, {values:,} output codes, {gap}.",
                          "bad": bool(differing) and other == "tflm"})
    rows = [row for _, found in _pairs(view) for row in found]
    head = ["model", "precision", "executors", "inputs", "samples", "output codes", "differing", "by at most",
            "other class"]
    table = [[row["model"], row["precision"], f"{row['a']}, {row['b']}", row["where"], f"{row['samples']:,}",
              f"{row['values']:,}", f"{row['differing']:,}", str(row["max_abs"]), f"{row['argmax_differing']:,}"]
             for row in rows]
    wanted = any(line.executor == INTEGER_EXECUTOR for line in view.summary)
    return {"sentences": sentences, "head": head, "rows": table, "unproven": wanted and not any(
        other == "tflm" for (_, other), _ in _pairs(view))}


def paired(view: RunView) -> dict[str, Any]:
    """Integers (G) against their float network on the same samples: differences with intervals, p-values, ratios."""
    rows = []
    for line in view.summary:
        changes = {"clean": line.change_clean, **line.change_robust}
        for name, change in changes.items():
            if change is not None and line.executor == INTEGER_EXECUTOR:
                p_value = line.p_clean if name == "clean" else line.p_robust.get(name)
                share = line.ratio_robust.get(name)
                rows.append([line.model, line.precision, name, f"{100 * change.value:+.1f}",
                             f"{100 * change.low:+.1f} to {100 * change.high:+.1f}",
                             NOTHING if p_value is None else f"{p_value:.2g}",
                             NOTHING if share is None else f"{share:.2f}", f"{change.n:,}"])
    return {"rows": rows, "head": ["model", "precision", "attacked", "points", "95 % interval", "McNemar p", "ratio",
                                   "n"]}


def flag_groups(view: RunView) -> Iterator[dict[str, Any]]:
    """The findings by letter: errors first, then warnings, then information."""
    order = list(LEVELS)
    groups = {code: [flag for flag in view.flags if flag.code == code] for code in CHECKS}
    found = {code: flags for code, flags in groups.items() if flags}
    for code, flags in sorted(found.items(), key=lambda item: (min(order.index(f.level) for f in item[1]), item[0])):
        level = min((flag.level for flag in flags), key=order.index)
        yield {"code": code, "title": CHECKS[code].title, "level": LEVELS[level], "number": CHECKS[code].number,
               "found": flags, "first": next(flag for flag in flags if flag.level == level)}


def gaps(view: RunView) -> list[str]:
    """The checks that could not be made, one line each."""
    return [gap.text() for gap in view.gaps]


def probes(view: RunView) -> dict[str, Any] | None:
    """Each probe with its meaning and its extremes, and all values line by line; None without probes."""
    rows = [row for row in view.seed_rows if row["kind"] == "probe"]
    names = [name for name in PROBES if any(row["name"] == name for row in rows)]
    if not names:
        return None
    spread = []
    for name in names:
        mine = sorted((row for row in rows if row["name"] == name), key=lambda row: float(row["value"]))
        spread.append([name, PROBES[name], f"{len(mine)}", span(row["n"] for row in mine), _extreme(mine[0]),
                       _extreme(mine[-1]) if mine[-1]["value"] != mine[0]["value"] else "all the same"])
    values = {(row["model"], row["precision"], row["name"]): row for row in rows}
    lines = list(dict.fromkeys((line.model, line.precision) for line in view.lines))
    full = [[*line, *(_value(values.get((*line, name))) for name in names)] for line in lines]
    return {"head": ["probe", "what it measures", "lines", "n", "smallest", "largest"], "rows": spread,
            "full_head": ["model", "precision", *names], "full_rows": full}


def executors(view: RunView) -> dict[str, Any] | None:
    """The same files on other executors, clean samples only; None when no other one was run."""
    names = [name for name in EXECUTORS if name not in ("keras", INTEGER_EXECUTOR) and
             any(row.get("executor") == name for row in view.seed_rows)]
    rows = []
    for line in view.lines:
        mine = [row for row in view.seed_rows if (row["model"], row["precision"]) == (line.model, line.precision)]
        own = clean_survivors(mine, INTEGER_EXECUTOR)
        pairs = [same_samples(own, clean_survivors(mine, name)) for name in names]
        if line.executor == INTEGER_EXECUTOR and any(pair is not None for pair in pairs):
            rows.append([line.model, line.precision, *(text for pair in pairs for text in _compared(pair))])
    head = ["model", "precision", *(text for name in names for text in (
        f"{INTEGER_EXECUTOR}, clean %", f"{name}, clean %", "judged otherwise", "n"))]
    return {"head": head, "rows": rows} if rows else None


def _pairs(view: RunView) -> list[tuple[tuple[str, str], list[Row]]]:
    """The parity rows by the two executors that they compare."""
    pairs: dict[tuple[str, str], list[Row]] = {}
    for row in view.rows:
        if row["kind"] == "parity":
            pairs.setdefault((row["a"], row["b"]), []).append(row)
    return sorted(pairs.items())


def _error(flag: Flag) -> str:
    return f"{flag.model} {flag.precision}: {CHECKS[flag.code].title} ({flag.text})"


def _compared(pair: tuple[Any, Any] | None) -> list[str]:
    if pair is None:
        return [NOTHING] * 4
    one, other = pair
    return [percent(accuracy_of(one).value), percent(accuracy_of(other).value), f"{int((one != other).sum()):,}",
            f"{len(one):,}"]


def _extreme(row: Row) -> str:
    detail = f"; {row['detail']}" if row["detail"] else ""
    return f"{_value(row)} ({row['model']} {row['precision']}{detail})"


def _value(row: Row | None) -> str:
    if row is None:
        return NOTHING
    value = float(row["value"])
    return f"{value:,.0f}" if value.is_integer() else f"{value:.3g}"
