"""The dictionary of columns and fields: what everything in ``summary.csv`` and ``results.jsonl`` means, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from tinyfuse.analyses import ANALYSES
from tinyfuse.analyses.certificates.record import FOUND
from tinyfuse.checks.certificates import CERTIFICATE
from tinyfuse.core.schema import MEANINGS, SCHEMAS
from tinyfuse.report.columns import COLUMNS, Column
from tinyfuse.report.summary import branches_among, modes_among

_KINDS = {"model": "one network in one precision: what its file costs, and the proof of its conversion",
          "clean": "one evaluation of one executor on clean samples; fields as of `attack`",
          "attack": "one evaluation of one executor on attacked samples, at one budget",
          "parity": "two executors on the same codes",
          "probe": "a measurement that a check needs and that is no accuracy",
          "firmware": "the exported firmware of one integer model on one emulated core",
          "sensitivity": "of a selection: what one unit alone does to the network at a width",
          "hessian": "of a selection: how curved the loss is in the weights of one unit",
          "trial": "of a selection: one candidate recipe, converted and judged",
          "analysis": "one figure that `tinyfuse analyse`, `certify` or `bench --certify` found",
          "claim": "of a study: what a paper states and what decides it, written before anything was measured",
          "failed": "what could not be trained, converted or evaluated"}
_PARTS = {"low": "lower end of its 95 % interval", "high": "upper end of its 95 % interval", "n": "number of samples"}
_QUANTITIES = ("What each `quantity` is; every analysis ends with `seconds`, how long it took. Figures of single "
               "classes, layers or\nbudgets stand beside those of the whole; `of` tells them apart.\n")
_COMMON = ("key", "model", "seed", "data_checksum")


def dictionary() -> str:
    """Return both tables with their headings."""
    head = ["column", "title in tables", "meaning"]
    parts = ["## `summary.csv`\n", _table(head, _columns()), "## `results.jsonl`\n",
             "Fields of every row; `kind` says what a row is.\n", _table(*_fields("model", _COMMON))]
    for kind, text in _KINDS.items():
        parts.append(f"### `{kind}`\n\n{text[0].upper()}{text[1:]}.\n")
        if kind != "clean":
            parts.append(_table(*_fields(kind, [name for name in MEANINGS[kind] if name not in _COMMON])))
        if kind == "analysis":
            parts += [_QUANTITIES, _table(["quantity", "analysis", "unit", "meaning"], _quantities())]
    return "\n".join(parts)


def _quantities() -> Iterator[list[str]]:
    for name, quantities in [*((name, kind.quantities) for name, kind in ANALYSES.items()), (CERTIFICATE, FOUND)]:
        yield from ([one.name, name, one.unit, f"{one.title}: {one.meaning}".replace("|", "\\|")]
                    for one in quantities)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table whose first column holds names as code."""
    lines = [head, ["---"] * len(head), *([f"`{name}`", *texts] for name, *texts in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _columns() -> Iterator[list[str]]:
    for one in COLUMNS:
        if one.name:
            key = "MODE" if one.per is modes_among else "BRANCH" if one.per is branches_among else ""
            name, meaning = one.name.format(key), one.meaning.replace("{}", key)
            yield [name, _title(one, key), meaning]
            yield from ([f"{name}_{part}", "", _PARTS[part]] for part in one.parts)


def _title(one: Column, key: str) -> str:
    unit = f" ({one.unit})" if one.unit else ""
    return f"{one.group.replace('{}', key)}{': ' if one.group else ''}{one.title}{unit}" if one.title else ""


def _fields(kind: str, names: Any) -> tuple[list[str], list[list[str]]]:
    rows = [[name, _type(SCHEMAS[kind][name]), MEANINGS[kind][name]] for name in names]
    return ["field", "type", "meaning"], rows


def _type(hint: Any) -> str:
    """Put the type of a field in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join("null" if one is type(None) else _type(one) for one in inner)
    if origin is Literal:
        return "text: " + ", ".join(one or "(empty)" for one in inner)
    if origin in (dict, list):
        return f"{'table of' if origin is dict else 'list of'} {_type(inner[-1])}"
    return {int: "whole number", float: "number", str: "text", bool: "true or false"}.get(hint, "value")
