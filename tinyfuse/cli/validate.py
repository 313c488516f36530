"""``tinyfuse validate``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from tinyfuse.core import toml
from tinyfuse.core.errors import ModelError, UsageError, nearest
from tinyfuse.core.strict import decode
from tinyfuse.data import Input
from tinyfuse.data.own.settings import DatasetSettings, read_settings
from tinyfuse.firmware.metadata import read_metadata
from tinyfuse.nn.network import NetworkTable
from tinyfuse.quantize.recipe import Recipe, from_table, read_recipe
from tinyfuse.study.matrix import Matrix, read_matrix

HELP = "check a recipe, a matrix, a dataset.toml, the table beside a network, or a package, without running it"
EXAMPLES = """\
  tinyfuse validate mine.toml
  tinyfuse validate runs/mine/firmware/metadata.json
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .toml, or metadata.json of a package")


def run(args: argparse.Namespace) -> int:
    path = Path(args.file)
    said = f"firmware package {read_metadata(path).name}" if path.suffix == ".json" else _table(path)
    print(f"{path}: {said}, ok")
    return 0


def _table(path: Path) -> str:
    """What a TOML file is: of the kind that most of its keys belong to."""
    table = toml.read(path, UsageError)
    of_data = {field.name for field in fields(DatasetSettings)}
    if isinstance(table.get("inputs"), Mapping) or (table and table.keys() <= of_data):  # of a network they are a list
        return _data(read_settings(table, str(path)))
    known = {kind: [field.name for field in fields(kind)] for kind in (Recipe, NetworkTable, Matrix, DatasetSettings)}
    kind = max(known, key=lambda one: len(table.keys() & known[one]))
    if not table.keys() & known[kind]:
        first = next(iter(table), "")
        raise UsageError(f"{path} is no recipe, matrix, dataset.toml or network table: unknown key '{first}'"
                         f"{nearest(first, [name for names in known.values() for name in names])}")
    if kind is Recipe:
        return f"recipe {read_recipe(path).name}"
    if kind is DatasetSettings:
        return _data(read_settings(table, str(path)))
    if kind is Matrix:
        matrix = read_matrix(path)
        return f"matrix of {len(matrix.models)} models and {len(matrix.recipes)} recipes"
    return _network(table, str(path))


def _data(settings: DatasetSettings) -> str:
    """What a ``dataset.toml`` describes."""
    inputs = [f"{name} ({one.front_end.table()['kind'] if one.front_end else 'array'})"
              for name, one in settings.inputs.items()]
    return (f"data set, inputs {', '.join(inputs) or 'as found'}, "
            f"{len(settings.classes) or 'all'} classes")


def _network(table: Mapping[str, Any], where: str) -> str:
    """What the table beside a ``.keras``, or with a proof beside a ``.tflite``, describes."""
    if "proof" in table:
        recipe = from_table(table.get("recipe"), f"{where}: recipe")
        inputs = [decode(Input, one, f"{where}: inputs", ModelError) for one in table.get("inputs", ())]
        return f"integer model of {table.get('model')} with {recipe.name}, {_shapes(inputs)}"
    found = decode(NetworkTable, table, where, ModelError)
    return (f"network {found.model}, {_shapes(found.inputs)}, {len(found.classes)} classes, trained on "
            f"{found.data.name}")


def _shapes(inputs: Sequence[Input]) -> str:
    return ", ".join(f"{one.name} {'x'.join(map(str, one.shape))}" for one in inputs)
