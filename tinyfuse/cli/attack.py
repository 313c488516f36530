"""``tinyfuse attack``."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from tinyfuse import api
from tinyfuse.attacks import ATTACKS, attack_of
from tinyfuse.attacks.profiles import PROFILES, profile
from tinyfuse.cli import options
from tinyfuse.cli.frame import run_frame
from tinyfuse.cli.scene import run_scene
from tinyfuse.cli.wave import run_wave
from tinyfuse.core import toml
from tinyfuse.core.errors import ModelError, UsageError, nearest
from tinyfuse.core.files import read_limited, sha256_hex
from tinyfuse.core.strict import decode
from tinyfuse.data import Input
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.frontend.fixed_sound import ARITHMETICS
from tinyfuse.integer.model import load_model
from tinyfuse.nn.zoo.user import MAX_TFLITE_BYTES, is_network
from tinyfuse.quantize.integer_table import read_integer_table
from tinyfuse.study.check_attack import check_attack, check_saved
from tinyfuse.study.rows import budget_of, check_names
from tinyfuse.threats.frame_budgets import FRAME
from tinyfuse.threats.masks import masks_of
from tinyfuse.threats.modes import attacked_by
from tinyfuse.threats.scene_budgets import SCENE
from tinyfuse.threats.wave_budgets import WAVE

if TYPE_CHECKING:
    from tinyfuse.study.attack import AttackResult

HELP = "attack a float network or an integer model with its own gradients"
EXAMPLES = """\
  tinyfuse attack runs/mine/early.keras --profile standard
  tinyfuse attack runs/mine/early__w6.tflite --epsilon camera=0.1,mic=8/255 --steps 40
  tinyfuse attack runs/mine/early__w6.tflite --modality mic --mask mic=time:10-14 --codes 3
  tinyfuse attack runs/mine/early__w6.tflite --threat wave --epsilon mic=40dB
  tinyfuse attack runs/mine/early__w6.tflite --threat wave,frame --epsilon mic=40dB,camera=8levels
"""
SCENES: dict[str, Callable[[argparse.Namespace, Mapping[str, Any]], AttackResult | None]] = {
    WAVE: run_wave, FRAME: run_frame, SCENE: run_scene}
"""Threat models before the front end."""
METAVARS = {int: "N", float: "X", str: "NAME"}


def _settings() -> dict[str, tuple[type, str]]:
    """Options for the settings of all attacks but "seed", which is the data's: name -> type, and whose they are."""
    found: dict[str, tuple[type, list[str]]] = {}
    for name, attack in ATTACKS.items():
        hints = get_type_hints(attack)
        for field in dataclasses.fields(attack):
            kind = next((one for one in (bool, int, float, str) if hints[field.name] in (one, one | None)), None)
            if kind is not None and field.init and field.name != "seed":
                default = "" if field.default in (None, "") else f" ({field.default})"
                found.setdefault(field.name, (kind, []))[1].append(name + default)
    return {name: (kind, ", ".join(users)) for name, (kind, users) in found.items()}


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL",
                        help="a float network (trained here, or your own .keras, .h5, SavedModel, float .tflite), or "
                        "an integer .tflite that is attacked itself, through its twin")
    what = parser.add_argument_group("attack")
    what.add_argument("--attack", help=f"{', '.join(ATTACKS)} (default pgd). fgm: fgsm in L2; universal: one "
                      "perturbation, made on training samples, for all test samples (universal-pgd: as the code of Li "
                      "et al. 2022 makes it); diva: inputs that the integers get wrong while the "
                      "float network stays right")
    what.add_argument("--profile", metavar="NAME", help=f"a whole suite instead: {', '.join(PROFILES)}")
    what.add_argument("--modality", default="all", metavar="NAME[,NAME...]|all", help="inputs to attack (default all)")
    what.add_argument("--epsilon", type=options.budgets_or_decibels, metavar="E|NAME=E,...",
                      help="budget such as 0.03 or 8/255, or one for each input, in its own units (default: 0.03 of "
                           "the range of its values); of a recording 40dB (default) or 8steps; "
                           "of a frame 8levels (default), 20px (a patch), 20%% or 15deg")
    what.add_argument("--codes", type=options.positive, metavar="K", help="budget of K whole codes instead (.tflite)")
    what.add_argument("--norm", help="linf (default), l2, l2-joint (one ball for all attacked inputs, in units of "
                      "their epsilons) or l2-steps (a ball for each step along an input's first axis); of a recording "
                      "snr, pcm or masking; of a frame pixels, patch, brightness, contrast or rotation")
    what.add_argument("--threat", choices=("codes", "real", "naive", *SCENES),
                      help="what the adversary of a .tflite writes: codes (default), real values that the device "
                           "rounds, or naively rounded inputs of the float network that leave the ball; wave "
                           "and frame: the recording or the camera's frame before the front end, also of a float "
                           "network; wave,frame: both at once, such as --epsilon mic=40dB,camera=8levels")
    what.add_argument("--mask", action="append", metavar="NAME=AXIS:A-B|NAME=valid",
                      help="attack only there, such as mic=time:10-14; valid: no padding; repeatable")
    what.add_argument("--ensemble", action="store_true", help="use the mean gradient of a .tflite and its network")
    what.add_argument("--around-memory", action="store_true",
                      help="let gradients take the memory of a network trained with exfmem for the identity; attack it "
                           "with and without")
    what.add_argument("--minimal", action="store_true",
                      help="find each sample's smallest budget in codes instead (.tflite; --codes is the largest); "
                      "with --threat wave or frame the smallest change (--epsilon is the largest)")
    settings = parser.add_argument_group("settings of single attacks, with their defaults")
    for name, (kind, users) in _settings().items():
        how: dict[str, Any] = {"action": "store_true"} if kind is bool else {"type": kind, "metavar": METAVARS[kind]}
        settings.add_argument(f"--{name.replace('_', '-')}", default=None, help=f"of {users}", **how)
    parser.add_argument("--samples", type=options.positive, default=100, metavar="N", help="default 100 test samples")
    parser.add_argument("--executor", action="append", metavar="NAME",
                        help="judge the codes again in tflm (default), litert or litert-reference; repeatable")
    parser.add_argument("--source", metavar="MODEL.keras",
                        help="replay inputs made on this float network instead of attacking the integers; with diva or "
                             "--ensemble: the float network, if it is not the one beside the .tflite")
    parser.add_argument("--save", metavar="FILE.npz",
                        help="keep the attacked inputs (codes of a .tflite), labels and which are broken")
    parser.add_argument("--camera", metavar="WxH", help="with --threat frame: size of the frames (default: "
                        "the input's)")
    parser.add_argument("--air", metavar="NAME=X,...", help="with --threat wave: the change has to work whatever lies "
                        "in between: shift and delay (of the whole and of the change alone, up to so many ms), room "
                        "(up to so many s of reverberation), noise (dB below the recording), draws (8), seed")
    parser.add_argument("--frontend", choices=tuple(ARITHMETICS), help="with --threat wave: the arithmetic of the "
                        "front end in the exported package, which judges (default float)")
    parser.add_argument("--out", metavar="DIR", help="with --threat wave or frame: folder for the rows and some "
                        "recordings as WAV files, which `tinyfuse report DIR` shows and plays")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON lines, with what the checks find")
    options.add_choice(parser)
    add_options(parser)


def _refuse_ignored(args: argparse.Namespace, settings: set[str]) -> None:
    """Raise UsageError for an option that another one leaves without effect."""
    idle = {"profile": {"attack", "codes", "mask", "ensemble", "executor", "source", "minimal", *settings} - {"steps"},
            "minimal": {"epsilon", "norm", "threat", "ensemble", "executor", "source", "save", "around_memory"},
            "codes": {"epsilon"}}

    def given(name: str) -> bool:
        return getattr(args, name) is not None and getattr(args, name) is not False

    for option, names in idle.items():
        unused = sorted(filter(given, names)) if given(option) else []
        if unused:
            raise UsageError(f"--{unused[0].replace('_', '-')} has no effect with --{option}; leave one of them out")
    check_saved(args.save)
    if is_network(Path(args.model)):
        if args.executor or args.source:
            raise UsageError("--executor and --source are for a .tflite; a float network runs in Keras")
        if args.threat:
            raise UsageError("--threat is about the codes of a .tflite; a float network takes real values")


def _check_inputs(args: argparse.Namespace, norm: str) -> None:
    """Name a wrong input, budget or mask before data and TensorFlow are loaded.

    The inputs are those of the table beside the model. Without one, a ``.tflite`` itself knows their names.
    """
    path = Path(args.model)
    beside, integer = path.with_suffix(".toml"), path.suffix == ".tflite" and not is_network(path)
    if integer:
        table = read_integer_table(path, sha256_hex(read_limited(path, MAX_TFLITE_BYTES, ModelError)))
    else:
        table = toml.read(beside, ModelError) if beside.exists() else {}
    described = table.get("inputs", ())
    inputs = [decode(Input, one, str(beside), ModelError) for one in described] if isinstance(described, list) else []
    if inputs:
        attacked = attacked_by(args.modality, [one.name for one in inputs])
        budget_of(inputs, attacked, args.epsilon, norm)
        masks_of(args.mask or [], inputs)
    elif integer:
        names = [port.name for port in load_model(path).inputs]
        attacked = attacked_by(args.modality, names)
        if isinstance(args.epsilon, Mapping):
            check_names(args.epsilon, attacked)
        for name in (mask.partition("=")[0] for mask in args.mask or ()):
            if name not in names:
                raise UsageError(f"{path} has no input '{name}'{nearest(name, names)}; it has {', '.join(names)}")


def run(args: argparse.Namespace) -> int:
    """Attack, print the rows and what the checks find; exit code 4 if a figure must not be trusted."""
    names = set(_settings())
    settings = {name: getattr(args, name) for name in sorted(names) if getattr(args, name) is not None}
    if args.threat in SCENES:
        changed = SCENES[args.threat](args, settings)
        return 0 if changed is None else _print_rows(changed, as_json=args.json)
    if isinstance(args.epsilon, str):
        raise UsageError(f"--epsilon {args.epsilon} is a budget of a recording or a frame; give --threat wave, frame "
                         f"or {SCENE}, or a number")
    for option, threat in (("out", f"{WAVE} or {FRAME}"), ("air", WAVE), ("frontend", WAVE), ("camera", FRAME)):
        if getattr(args, option):
            raise UsageError(f"--{option} has no effect without --threat {threat}; give both or none")
    _refuse_ignored(args, names)
    attack = args.attack or "pgd"
    norm = args.norm or "linf"
    if args.profile:
        profile(args.profile).check_norm(norm)
    else:
        plan = attack_of(attack, settings)
        norm = "linf" if args.minimal else plan.norm_or_default(args.norm)
        check_attack(Path(args.model), plan, args.threat or "codes", args.executor or (),
                     args.source, args.ensemble, None if args.minimal else args.codes)
    options.need_network_or_model(args.model)
    if args.source:
        options.need_network(args.source)
    _check_inputs(args, norm)
    dataset = load_from(args)
    common: dict[str, Any] = {"modality": args.modality, "samples": args.samples}
    made = {"epsilon": args.epsilon, "norm": norm, "threat": args.threat or "codes", "save": args.save,
            "output": args.output, "signature": args.signature, "around_memory": args.around_memory}
    if args.profile:
        suite = api.profile(args.model, dataset, args.profile, steps=args.steps, **common, **made)
        return _print_rows(suite, as_json=args.json)
    common["mask"] = masks_of(args.mask or [], dataset.inputs)
    if args.minimal:
        found = api.minimal(args.model, dataset, attack=attack, largest=args.codes, **common, **settings)
        print(json.dumps(found.to_json()) if args.json else found.text())
        return 0
    rows = api.attack(args.model, dataset, attack=attack, codes=args.codes, executors=args.executor,
                      source=args.source, ensemble=args.ensemble, **common, **made, **settings)
    return _print_rows(rows, as_json=args.json)


def _print_rows(result: AttackResult, *, as_json: bool) -> int:
    """Print each row, then what the checks find; raise GateError if a figure must not be trusted."""
    from tinyfuse.study.row_text import check, findings, flag_text, sentence

    flags = findings(result.evidence)
    for row in result.rows:
        note = result.notes.get(row["key"], {})
        own = [{"code": flag.code, "level": flag.level, "text": flag.text} for flag in flags
               if flag.line == (row["model"], row["precision"], row["seed"])]
        print(json.dumps({**row, **note, "flags": own}) if as_json else sentence(row, note))
    for flag in [] if as_json else flags:
        print(flag_text(flag))
    check(flags)
    return 0
