"""``tinyfuse VERB``: each step of the main job by itself."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tinyfuse import __version__
from tinyfuse.cli import (
    bench,
    doctor,
    options,
)
from tinyfuse.cli import (
    firmware as firmware_verbs,
)
from tinyfuse.cli import (
    report as report_verbs,
)
from tinyfuse.cli import (
    select as selection_verbs,
)
from tinyfuse.core.errors import UsageError
from tinyfuse.nn.train import TrainConfig

if TYPE_CHECKING:
    from tinyfuse.study.attack_one import Rows

EXAMPLES = """\
examples:
  tinyfuse train early --out runs/mine
  tinyfuse quantize runs/mine/early.keras --recipe image6-audio8-shared8
  tinyfuse attack runs/mine/early__image6-audio8-shared8.tflite --attack pgd --modality audio --epsilon 0.03
  tinyfuse compare runs/mine/early__image6-audio8-shared8.tflite
  tinyfuse export runs/mine/early__image6-audio8-shared8.tflite --out runs/mine/firmware
  tinyfuse verify runs/mine/firmware --core m4,m55
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
    from tinyfuse.quantize.recipe import EXAMPLE

    return f"a recipe file:\n\n{EXAMPLE}" if verb == "quantize" else bench.EXAMPLES if verb == "bench" else None


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="image, audio, early, intermediate or late")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for MODEL.keras and MODEL.toml")
    parser.add_argument("--epochs", type=options.positive, default=TrainConfig.epochs)
    parser.add_argument("--batch-size", type=options.positive, default=TrainConfig.batch_size)
    parser.add_argument("--learning-rate", type=float, default=TrainConfig.learning_rate)
    options.add_data(parser)


def _train(args: argparse.Namespace) -> int:
    from tinyfuse import api
    from tinyfuse.nn.zoo.fusion import check_name

    check_name(args.model)
    path = api.train(args.model, options.load_data(args), out=args.out, epochs=args.epochs,
                       batch_size=args.batch_size, learning_rate=args.learning_rate, seed=args.seed)
    print(path)
    return 0


def _add_quantize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", metavar="MODEL.keras")
    parser.add_argument("--recipe", required=True, action="append", metavar="NAME|FILE.toml",
                        help="w6 .. w9, w6a7, image6-audio9-shared8, w4-mse-gptq-bias, w4-qat or a recipe file; "
                             "repeatable")
    parser.add_argument("--out", metavar="DIR", help="folder for the .tflite files (default: beside the network)")
    parser.add_argument("--calibration-pairs", type=options.positive, default=200, metavar="N")
    parser.add_argument("--qat-epochs", type=options.positive, default=2, metavar="N",
                        help="epochs of quantisation-aware training, for recipes with -qat (default 2)")
    options.add_data(parser)


def _quantize(args: argparse.Namespace) -> int:
    from tinyfuse import api
    from tinyfuse.quantize.recipe import precision

    for recipe in args.recipe:
        precision(recipe)
    for path in api.convert_many(args.network, args.recipe, options.load_data(args), out=args.out,
                                   calibration_pairs=args.calibration_pairs, qat_epochs=args.qat_epochs):
        print(path)
    return 0


def _add_attack(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL.keras|MODEL.tflite",
                        help="a float network, or an integer model that is attacked itself, through its twin")
    what = parser.add_argument_group("attack")
    what.add_argument("--attack", help="pgd (default), fgsm, mim, square, corners, nes or spsa; universal: one "
                      "perturbation, made on training pairs, for all test pairs; diva: inputs that the integers get "
                      "wrong while the float network stays right")
    what.add_argument("--profile", metavar="NAME", help="a whole suite instead: paper, standard or strong")
    what.add_argument("--modality", default="both", help="image, audio or both (default)")
    what.add_argument("--epsilon", type=options.budget, help="budget such as 0.03 (default) or 8/255")
    what.add_argument("--eps-image", type=options.budget, metavar="E", help="budget of the image, where it differs")
    what.add_argument("--eps-audio", type=options.budget, metavar="E", help="budget of the audio, where it differs")
    what.add_argument("--codes", type=options.positive, metavar="K", help="budget of K whole codes instead (.tflite)")
    what.add_argument("--norm", help="linf (default) or l2")
    what.add_argument("--threat", choices=("codes", "real", "naive"),
                      help="what the adversary of a .tflite writes: codes (default), real values that the device "
                           "rounds, or naively rounded inputs of the float network that leave the ball")
    what.add_argument("--mask", action="append", metavar="MODALITY=WHERE",
                      help="attack only there, such as audio=mfcc:0-4, audio=time:10-14 or audio=data; repeatable")
    what.add_argument("--loss", help="cross-entropy (default) or margin")
    what.add_argument("--steps", type=options.positive, help="steps of pgd, mim and nes (default 20)")
    what.add_argument("--random-start", action="store_true", help="start at a random point of the ball")
    what.add_argument("--restarts", type=options.positive, help="runs from other random starts (default 1)")
    what.add_argument("--queries", type=options.positive, help="forward passes of square for each sample")
    what.add_argument("--draws", type=options.positive, help="random points of corners for each sample")
    what.add_argument("--epochs", type=options.positive, help="visits of universal to the training pairs (default 10)")
    what.add_argument("--train-pairs", type=options.positive, metavar="N",
                      help="training pairs that universal is made on (default 200)")
    what.add_argument("--ensemble", action="store_true",
                      help="use the mean of the gradients of a .tflite and of its float network")
    what.add_argument("--minimal", action="store_true",
                      help="find each sample's smallest budget in codes instead (.tflite; --codes is the largest)")
    parser.add_argument("--pairs", type=options.positive, default=100, metavar="N", help="test pairs (default 100)")
    parser.add_argument("--executor", action="append", metavar="NAME",
                        help="judge the codes again in tflm (default), litert or litert-reference; repeatable")
    parser.add_argument("--source", metavar="MODEL.keras",
                        help="replay inputs made on this float network instead of attacking the integers; with diva or "
                             "--ensemble: the float network, if it is not the one beside the .tflite")
    parser.add_argument("--save", metavar="FILE.npz",
                        help="keep the attacked inputs (codes of a .tflite), labels and which are broken")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON lines, with what the checks find")
    options.add_data(parser)


_ATTACK_PARAMETERS = ("loss", "steps", "restarts", "queries", "draws", "epochs", "train_pairs")
_IGNORED = {"--profile": ("attack", "eps_image", "eps_audio", "codes", "mask", "loss", "random_start", "restarts",
                          "queries", "draws", "epochs", "train_pairs", "ensemble", "executor", "source", "minimal"),
            "--minimal": ("epsilon", "eps_image", "eps_audio", "norm", "threat", "ensemble", "executor", "source",
                          "save"),
            "--codes": ("epsilon", "eps_image", "eps_audio")}


def _refuse_ignored(args: argparse.Namespace) -> None:
    """Raise UsageError for an option that another one leaves without effect."""
    def given(name: str) -> bool:
        return getattr(args, name) is not None and getattr(args, name) is not False

    for option, names in _IGNORED.items():
        idle = [name for name in names if given(name)] if given(option[2:]) else []
        if idle:
            raise UsageError(f"--{idle[0].replace('_', '-')} has no effect with {option}; leave one of them out")
    if args.model.endswith(".keras"):
        if args.executor or args.source:
            raise UsageError("--executor and --source are for a .tflite; a .keras network runs in Keras")
        if args.threat:
            raise UsageError("--threat is about the codes of a .tflite; a .keras network takes real values")


def _attack(args: argparse.Namespace) -> int:
    from tinyfuse import api
    from tinyfuse.study.attack_arguments import modalities_attacked
    from tinyfuse.threats.masks import masks_of

    _refuse_ignored(args)
    attack, norm, threat = args.attack or "pgd", args.norm or "linf", args.threat or "codes"
    epsilon = 0.03 if args.epsilon is None else args.epsilon
    parameters = {name: getattr(args, name) for name in _ATTACK_PARAMETERS if getattr(args, name) is not None}
    parameters |= {"random_start": True} if args.random_start else {}
    mask = masks_of(args.mask or [])
    if args.minimal:
        found = api.minimal(args.model, options.load_data(args), attack=attack, modality=args.modality,
                              largest=args.codes, mask=mask, pairs=args.pairs, **parameters)
        print(json.dumps(found.to_json()) if args.json else found.text())
        return 0
    if args.profile:
        suite = api.attack_profile(args.model, options.load_data(args), args.profile, modality=args.modality,
                                     epsilon=epsilon, norm=norm, threat=threat, steps=args.steps,
                                     pairs=args.pairs, save=args.save)
        return _print_rows(suite, as_json=args.json)
    given = {"image": args.eps_image, "audio": args.eps_audio}
    budgets = {name: epsilon if given[name] is None else given[name] for name in modalities_attacked(args.modality)}
    rows = api.attack(args.model, options.load_data(args), attack=attack, modality=args.modality,
                        epsilon=budgets, codes=args.codes, norm=norm, threat=threat, mask=mask,
                        pairs=args.pairs, executors=args.executor or ["tflm"], source=args.source,
                        ensemble=args.ensemble, save=args.save, **parameters)
    return _print_rows(rows, as_json=args.json)


def _print_rows(rows: Rows, *, as_json: bool) -> int:
    """Print each row, then what the checks find; raise GateError if a figure must not be trusted."""
    from tinyfuse.study.row_text import check, findings, flag_text, sentence

    flags = findings(rows)
    for row in rows:
        note = rows.notes.get(row["key"], {})
        own = [{"code": flag.code, "level": flag.level, "text": flag.text} for flag in flags
               if flag.line == (row["model"], row["precision"], row["seed"])]
        print(json.dumps({**row, **note, "flags": own}) if as_json else sentence(row, note))
    for flag in [] if as_json else flags:
        print(flag_text(flag))
    check(flags)
    return 0


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL.tflite", help="any integer model of supported operators")
    parser.add_argument("--executor", action="append", metavar="NAME",
                        help="twin, tflm, litert or litert-reference; repeatable (default: all four)")
    parser.add_argument("--random", type=options.positive, metavar="N",
                        help="N random inputs instead of data; for models of any input")
    parser.add_argument("--pairs", type=options.positive, default=50, metavar="N",
                        help="test pairs of the data (default 50)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options.add_data(parser)


def _compare(args: argparse.Namespace) -> int:
    from tinyfuse.integer.interpreters import load
    from tinyfuse.study import compare_executors as comparison

    model = load(args.model)
    dataset = None if args.random else options.load_data(args)
    found = comparison.compare_model(model, args.executor, dataset, samples=args.random or args.pairs, seed=args.seed)
    print(json.dumps(found.to_json()) if args.json else found.text(), end="\n" if args.json else "")
    found.check()
    return 0


def _add_nothing(parser: argparse.ArgumentParser) -> None:
    pass


def _add_ls(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=tuple(_lists()), help="what to list")


def _lists() -> dict[str, list[str]]:
    from tinyfuse.attacks.registry import ATTACKS, SPECIAL
    from tinyfuse.firmware.boards import BOARDS
    from tinyfuse.firmware.cores import CORES
    from tinyfuse.integer.executors import EXECUTORS
    from tinyfuse.nn.zoo.fusion import MODELS
    from tinyfuse.study.matrix import Matrix

    return {"models": list(MODELS), "attacks": [*ATTACKS, *SPECIAL], "executors": list(EXECUTORS),
            "cores": list(CORES), "boards": list(BOARDS),
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
    "quantize": ("write a network as .tflite with 2 to 9 bit weights, 6 to 9 bit activations, and prove it",
                 _add_quantize, _quantize),
    "attack": ("attack a float network or an integer model with its own gradients", _add_attack, _attack),
    "compare": ("say, tensor by tensor, where executors of one integer model differ", _add_compare, _compare),
    "select": ("choose the bit widths of layers or modalities under a budget, for accuracy or robustness",
               selection_verbs.add_select, selection_verbs.select),
    "export": ("write an integer model as C99 for microcontrollers, weights packed, ready for CMake, Arduino, "
               "PlatformIO, Zephyr and ESP-IDF", firmware_verbs.add_export, firmware_verbs.export),
    "verify": ("run a package on emulated Cortex-M cores and compare every code with TFLite Micro's",
               firmware_verbs.add_verify, firmware_verbs.verify),
    "bench": ("the whole matrix: train, convert, attack, report", bench.add_arguments, bench.run),
    "report": ("write the HTML page of a bench run or a selection", report_verbs.add_report, report_verbs.report),
    "ls": ("list models, recipes, attacks, executors, cores or boards", _add_ls, _ls),
    "doctor": ("say whether everything that is needed is installed", _add_nothing, _doctor),
}


if __name__ == "__main__":
    sys.exit(main())
