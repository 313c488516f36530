"""``tinyfuse analyse``."""

from __future__ import annotations

import argparse
import json
import tomllib
from typing import Any

from tinyfuse import api
from tinyfuse.analyses import ANALYSES
from tinyfuse.analyses.run_analyses import analyses_of
from tinyfuse.cli import options
from tinyfuse.core.errors import UsageError
from tinyfuse.data.sources import add_options, load_from

HELP = "say why a network is fragile: margins, bounds, density, what breaks each input and where"
EXAMPLES = """\
  tinyfuse analyse runs/mine/late.keras --out runs/mine/why
  tinyfuse analyse runs/mine/late__w6.tflite --analyses margins,shape --samples 200
  tinyfuse analyse runs/mine/late.keras --analyses margins --set margins.slope_samples=50 --json
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL",
                        help="a float network (trained here, or your own .keras, .h5, SavedModel, float .tflite), or "
                        "an integer .tflite")
    about = "; ".join(f"{name}: {kind.title[0].lower()}{kind.title[1:]}" for name, kind in ANALYSES.items())
    parser.add_argument("--analyses", default="", metavar="NAME[,NAME...]",
                        help=f"which ones (default: all that the model can carry). {about}")
    parser.add_argument("--set", action="append", default=[], metavar="NAME.SETTING=VALUE",
                        help="a setting of an analysis, such as margins.slope_samples=50; repeatable")
    parser.add_argument("--samples", type=options.positive, default=100, metavar="N", help="default 100 test samples")
    parser.add_argument("--out", metavar="DIR", help="folder for results.jsonl and the page analyses.html; what is "
                        "there is not computed again")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON lines")
    options.add_choice(parser)
    add_options(parser)


def settings_of(given: list[str]) -> dict[str, dict[str, Any]]:
    """Read ``NAME.SETTING=VALUE`` texts, values as TOML or plain text, into settings by analysis."""
    found: dict[str, dict[str, Any]] = {}
    for text in given:
        key, equals, value = text.partition("=")
        name, dot, setting = key.strip().partition(".")
        if not (equals and dot and setting):
            raise UsageError(f"--set {text}: give an analysis, one of its settings and a value, such as "
                             "margins.slope_samples=50")
        found.setdefault(name, {})[setting] = _value(value.strip())
    return found


def _value(text: str) -> Any:
    try:
        found: Any = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return found


def run(args: argparse.Namespace) -> int:
    names = [name.strip() for name in args.analyses.split(",") if name.strip()]
    settings = settings_of(args.set)
    analyses_of(names, settings)
    options.need_network_or_model(args.model)
    found = api.analyse(args.model, load_from(args), analyses=names, settings=settings, samples=args.samples,
                        out=args.out, output=args.output, signature=args.signature)
    print("\n".join(json.dumps(row) for row in found.rows) if args.json else found)
    if found.page is not None and not args.json:
        print(found.page)
    return 0
