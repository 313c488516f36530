"""``tinyfuse ls``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

from tinyfuse.analyses.run_analyses import describe
from tinyfuse.attacks import ATTACKS
from tinyfuse.data.sources import SOURCES
from tinyfuse.firmware.boards import BOARDS
from tinyfuse.firmware.cores import CORES
from tinyfuse.integer.executors import EXECUTORS
from tinyfuse.nn import objectives, zoo
from tinyfuse.quantize.recipe import BITS
from tinyfuse.study.papers import STUDIES

HELP = ("list models, objectives, recipes, attacks, analyses, executors, operators of a .tflite, cores, boards, "
        "studies or data sources")
EXAMPLES = """\
  tinyfuse ls boards
"""


def _operators() -> Iterable[str]:
    from tinyfuse.integer.operators import OPERATORS  # compiles kernels, which no other verb's --help waits for
    from tinyfuse.tflite.filter_state import SVDF_STATE
    from tinyfuse.tflite.lowering import LOWERED

    return sorted({*OPERATORS, *LOWERED} - {SVDF_STATE})


NAMES: dict[str, Iterable[str] | Callable[[], Iterable[str]]] = {
    "models": zoo.ZOO, "analyses": describe(), "attacks": ATTACKS, "executors": EXECUTORS, "cores": CORES,
    "boards": BOARDS, "data": SOURCES, "studies": STUDIES, "objectives": objectives.describe(),
    "operators": _operators,
    "recipes": [f"{scheme}{bits}" for scheme in ("w", "minmax") for bits in BITS]}


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=tuple(NAMES), help="what to list")


def run(args: argparse.Namespace) -> int:
    names = NAMES[args.what]
    print("\n".join(names() if callable(names) else names))
    return 0
