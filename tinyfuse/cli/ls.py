"""``tinyfuse ls``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from tinyfuse.analyses.run_analyses import describe
from tinyfuse.attacks import ATTACKS
from tinyfuse.data.sources import SOURCES
from tinyfuse.firmware.boards import BOARDS
from tinyfuse.firmware.cores import CORES
from tinyfuse.integer.executors import EXECUTORS
from tinyfuse.integer.operators import OPERATORS
from tinyfuse.nn import objectives, zoo
from tinyfuse.quantize.recipe import BITS
from tinyfuse.study.papers import STUDIES
from tinyfuse.tflite.filter_state import SVDF_STATE
from tinyfuse.tflite.lowering import LOWERED

HELP = ("list models, objectives, recipes, attacks, analyses, executors, operators of a .tflite, cores, boards, "
        "studies or data sources")
EXAMPLES = """\
  tinyfuse ls boards
"""
NAMES: dict[str, Iterable[str]] = {
    "models": zoo.ZOO, "analyses": describe(), "attacks": ATTACKS, "executors": EXECUTORS, "cores": CORES,
    "boards": BOARDS, "data": SOURCES, "studies": STUDIES, "objectives": objectives.describe(),
    "operators": sorted({*OPERATORS, *LOWERED} - {SVDF_STATE}),
    "recipes": [f"{scheme}{bits}" for scheme in ("w", "minmax") for bits in BITS]}


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=tuple(NAMES), help="what to list")


def run(args: argparse.Namespace) -> int:
    print("\n".join(NAMES[args.what]))
    return 0
