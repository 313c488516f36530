"""``tinyfuse VERB``: each step of the main job by itself."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence

from tinyfuse import __version__, bench, doctor, options
from tinyfuse.errors import UsageError
from tinyfuse.nn.train import TrainConfig

EXAMPLES = """\
examples:
  tinyfuse train early --out runs/mine
  tinyfuse quantize runs/mine/early.keras --recipe image6-audio8-shared8
  tinyfuse attack runs/mine/early__image6-audio8-shared8.tflite --attack pgd --modality audio --epsilon 0.03
  tinyfuse report runs/mnist-fsdd-official
  tinyfuse ls recipes
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the ``tinyfuse`` command; returns its exit code."""
    args = _parser().parse_args(argv)
    return options.guarded(args.action, args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tinyfuse", description="TinyML fusion networks from training to a "
                                     "microcontroller, judged per modality.", epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"tinyfuse {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, (help_text, add, action) in VERBS.items():
        verb = verbs.add_parser(name, help=help_text, description=help_text + ".", epilog=_epilog(name),
                                formatter_class=argparse.RawDescriptionHelpFormatter)
        add(verb)
        verb.set_defaults(action=action)
    return parser


def _epilog(verb: str) -> str | None:
    from tinyfuse.quantize.precision import EXAMPLE

    return f"a recipe file:\n\n{EXAMPLE}" if verb == "quantize" else bench.EXAMPLES if verb == "bench" else None


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="image, audio, early, intermediate or late")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for MODEL.keras and MODEL.toml")
    parser.add_argument("--epochs", type=options.positive, default=TrainConfig.epochs)
    parser.add_argument("--batch-size", type=options.positive, default=TrainConfig.batch_size)
    parser.add_argument("--learning-rate", type=float, default=TrainConfig.learning_rate)
    options.add_data(parser)


def _train(args: argparse.Namespace) -> int:
    from tinyfuse import steps
    from tinyfuse.nn.fusion import check_name

    check_name(args.model)
    path = steps.train(args.model, options.load_data(args), out=args.out, epochs=args.epochs,
                       batch_size=args.batch_size, learning_rate=args.learning_rate, seed=args.seed)
    print(path)
    return 0


def _add_quantize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", metavar="MODEL.keras")
    parser.add_argument("--recipe", required=True, action="append", metavar="NAME|FILE.toml",
                        help="w6 .. w9, image6-audio9-shared8 or a recipe file; repeatable")
    parser.add_argument("--out", metavar="DIR", help="folder for the .tflite files (default: beside the network)")
    parser.add_argument("--calibration-pairs", type=options.positive, default=200, metavar="N")
    options.add_data(parser)


def _quantize(args: argparse.Namespace) -> int:
    from tinyfuse import steps
    from tinyfuse.quantize.precision import precision

    for recipe in args.recipe:
        precision(recipe)
    for path in steps.convert_many(args.network, args.recipe, options.load_data(args), out=args.out,
                                   calibration_pairs=args.calibration_pairs):
        print(path)
    return 0


def _add_attack(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL.keras|MODEL.tflite",
                        help="a network, or an integer model that inputs made on its network are replayed on")
    parser.add_argument("--attack", default="pgd", help="fgsm or pgd (default)")
    parser.add_argument("--modality", default="both", help="image, audio or both (default)")
    parser.add_argument("--epsilon", type=options.budget, default=0.03, help="budget such as 0.03 (default) or 8/255")
    parser.add_argument("--eps-image", type=options.budget, metavar="E", help="budget of the image, where it differs")
    parser.add_argument("--eps-audio", type=options.budget, metavar="E", help="budget of the audio, where it differs")
    parser.add_argument("--norm", default="linf", help="linf (default) or l2")
    parser.add_argument("--steps", type=options.positive, default=10, help="steps of pgd (default 10)")
    parser.add_argument("--random-start", action="store_true", help="start pgd at a random point of the ball")
    parser.add_argument("--pairs", type=options.positive, default=100, metavar="N", help="test pairs (default 100)")
    parser.add_argument("--executor", action="append", metavar="NAME",
                        help="tflm (default), litert or litert-reference; repeatable")
    parser.add_argument("--source", metavar="MODEL.keras", help="network whose gradients are used for a .tflite")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON lines")
    options.add_data(parser)


def _attack(args: argparse.Namespace) -> int:
    from tinyfuse import steps

    if args.model.endswith(".keras") and (args.executor or args.source):
        raise UsageError("--executor and --source are for a .tflite; a .keras network runs in Keras")
    given = {"image": args.eps_image, "audio": args.eps_audio}
    budgets = {name: args.epsilon if given[name] is None else given[name]
               for name in steps.modalities_attacked(args.modality)}
    rows = steps.attack(args.model, options.load_data(args), attack=args.attack, modality=args.modality,
                        epsilon=budgets, norm=args.norm, steps=args.steps, random_start=args.random_start,
                        pairs=args.pairs, executors=args.executor or ["tflm"], source=args.source)
    for row in rows:
        print(json.dumps(row) if args.json else steps.sentence(row))
    return 0


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a bench run, finished or not")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown instead")
    parser.add_argument("--epsilon", type=options.budget, help="budget of the table's robust columns")


def _report(args: argparse.Namespace) -> int:
    from tinyfuse import report

    if args.markdown:
        print(report.markdown_table(report.load(args.run, epsilon=args.epsilon).summary), end="")
    else:
        print(report.render(args.run, epsilon=args.epsilon))
    return 0


def _add_nothing(parser: argparse.ArgumentParser) -> None:
    pass


def _add_ls(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=tuple(_lists()), help="what to list")


def _lists() -> dict[str, list[str]]:
    from tinyfuse.attacks import ATTACKS
    from tinyfuse.evaluate.matrix import Matrix
    from tinyfuse.integer.interpreters import EXECUTORS
    from tinyfuse.nn.fusion import MODELS

    return {"models": list(MODELS), "attacks": list(ATTACKS), "executors": list(EXECUTORS),
            "recipes": [*(f"w{bits}" for bits in range(2, 10)), *(f"minmax{bits}" for bits in range(2, 10)),
                        *Matrix().mixes]}


def _ls(args: argparse.Namespace) -> int:
    print("\n".join(_lists()[args.what]))
    return 0


def _doctor(args: argparse.Namespace) -> int:
    findings = doctor.examine()
    for finding in findings:
        print(finding)
    return 0 if all(finding.fine for finding in findings) else 1


Action = Callable[[argparse.Namespace], int]
VERBS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None], Action]] = {
    "train": ("train one network, or go on with an interrupted training", _add_train, _train),
    "quantize": ("write a network as .tflite with 2 to 9 bit weights, proven before it is written",
                 _add_quantize, _quantize),
    "attack": ("attack a network, or replay the attack on an integer model made from it", _add_attack, _attack),
    "bench": ("the whole matrix: train, convert, attack, report", bench.add_arguments, bench.run),
    "report": ("write the HTML page of a bench run", _add_report, _report),
    "ls": ("list models, recipes, attacks or executors", _add_ls, _ls),
    "doctor": ("say whether everything that is needed is installed", _add_nothing, _doctor),
}


if __name__ == "__main__":
    sys.exit(main())
