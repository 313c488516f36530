"""Yang et al. 2024 (CRMT): certifiable robust multi-modal training against other objectives, in L2.

Attacks as in its released code: FGM, and PGD of 4 steps of a third of the radius, without random start, last iterate;
joint ball on both inputs, a ball of its own where one is attacked. The radii are those of this data's units.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from tinyfuse.attacks.pgd import FGM, PGD
from tinyfuse.attacks.profiles import STANDARD, Profile
from tinyfuse.study.papers.claims import Claim, Contrast, Curve
from tinyfuse.study.papers.paper import Campaign, Examination, Figure, Panel, Paper, Training, by_attack

IMAGE, AUDIO, ALL = ("image",), ("audio",), ("image", "audio")
ATTACKS = ("fgm", "pgd")
JOINT_RADII = (0.25, 0.5, 1.0, 2.0)
SINGLE_RADII = (0.5, 1.0, 2.0)
ADVERSARY: Mapping[str, Mapping[str, Any]] = {"adversarial": {
    "budget": {"image": 0.5, "audio": 0.5}, "norm": "l2-joint", "method": "pgd", "step": 0.2}}
METHODS = (
    Training("JT", "late"), Training("CRMT", "late", "crmt"),
    Training("MMAT", "late", "adversarial", ADVERSARY), Training("CRMT-AT", "late", "crmt+adversarial", ADVERSARY),
    Training("Mixup", "late", "mixup"), Training("CRMT-Mix", "late", "crmt+mixup"),
    Training("GB", "late", "gblend"), Training("OGM", "late", "ogm"), Training("PMR", "late", "pmr"),
    Training("MSEFM", "late", "exfmem"))
ABLATION = (
    Training("OJT", "late", "crmt", {"crmt": {"steps": "head"}}),
    Training("CRMT-step-1", "late", "crmt", {"crmt": {"steps": "first"}}),
    Training("CRMT-step-2", "late", "crmt", {"crmt": {"steps": "second"}}))
NAMES = tuple(one.name for one in METHODS)
PAIRS = {"CRMT": "JT", "CRMT-AT": "MMAT", "CRMT-Mix": "Mixup"}


def _suite(radius: float) -> Profile:
    return Profile("crmt", (FGM(), PGD(steps=4, step_size=round(radius / 3, 6))), last_iterate=True)


def _both(names: tuple[str, ...], precisions: tuple[str, ...], radii: tuple[float, ...]) -> tuple[Campaign, ...]:
    return tuple(Campaign(names, precisions, _suite(radius), (radius,), "l2-joint", (ALL,)) for radius in radii)


def _each_alone(names: tuple[str, ...], precisions: tuple[str, ...], radii: tuple[float, ...]) -> tuple[Campaign, ...]:
    return tuple(Campaign(names, precisions, _suite(radius), (radius,), "l2", (IMAGE, AUDIO)) for radius in radii)


def _at(name: str, mode: tuple[str, ...], attack: str, radius: float) -> Curve:
    return Curve(name, mode, attack, suite="crmt", epsilons=(radius,))


def _better(better: str, other: str, mode: tuple[str, ...], radius: float) -> tuple[Contrast, ...]:
    return tuple(Contrast(f"{attack} at {radius:g} on {' and '.join(mode)}: {better} minus {other}",
                          _at(better, mode, attack, radius), _at(other, mode, attack, radius)) for attack in ATTACKS)


def _improves(better: str) -> Claim:
    other = PAIRS[better]
    return Claim(f"{better.lower()}-robust", f"{better} is more robust than {other} to attacks on both inputs",
                 "4.2, Table 1", _better(better, other, ALL, 0.5))


CLAIMS = (
    *(_improves(name) for name in PAIRS),
    Claim("clean", "Certifiable training costs no clean accuracy", "4.2, Table 1", tuple(
        Contrast(f"clean: {better} minus {other}", Curve(better, suite="crmt"), Curve(other, suite="crmt"))
        for better, other in PAIRS.items()), margin=-0.01),
    Claim("preferred-input", "An attack on the audio costs a jointly trained network more than one on the image",
          "1, Fig 1", tuple(Contrast(f"{attack} at 1: image attacked minus audio attacked",
                                     _at("JT", IMAGE, attack, 1.0), _at("JT", AUDIO, attack, 1.0))
                            for attack in ATTACKS)),
    Claim("crmt-single", "CRMT is more robust than joint training to attacks on either input", "4.2, Table 2",
          (*_better("CRMT", "JT", IMAGE, 1.0), *_better("CRMT", "JT", AUDIO, 1.0))),
    Claim("robust-over-balanced", "Adversarial training withstands more than methods that balance the inputs",
          "4.2, Table 1", tuple(one for other in ("GB", "OGM", "PMR") for one in _better("MMAT", other, ALL, 0.5))),
    Claim("step-1", "The first step alone improves on joint training", "4.3, Fig 5",
          _better("CRMT-step-1", "JT", ALL, 1.0)),
    Claim("step-2", "The second step alone improves on joint training", "4.3, Fig 5",
          _better("CRMT-step-2", "JT", ALL, 1.0)),
)


_sizes = partial(by_attack, ATTACKS, "crmt")

CRMT2024 = Paper(
    name="crmt2024",
    title="Quantifying and Enhancing Multi-modal Robustness with Modality Preference (Yang, Wei, Liang, Hu, 2024)",
    data="Kinetics-Sounds, UCF101 and VGGSound, ResNet18 for each input",
    aside="Radii are lengths in this data's units (0 to 1 for each value), so they are not the paper's. Its "
          "transformer (Table 3) is not run: CRMT needs a head on the features of each input.",
    inputs=ALL, trainings=(*METHODS, *ABLATION), epochs=8, batch_size=64,
    campaigns=(
        *_both(NAMES, ("float",), (0.5,)), *_each_alone(NAMES, ("float",), (1.0,)),
        *_both(NAMES, ("w8", "w6"), (0.5,)), *_each_alone(NAMES, ("w8", "w6"), (1.0,)),
        *_both(tuple(one.name for one in ABLATION), ("float",), (1.0,)), *_both(NAMES, ("float",), (1.0,)),
        Campaign(NAMES, ("float", "w8", "w6"), STANDARD.with_steps(10), ({"image": 0.1, "audio": 0.03},)),
        *_both((*NAMES, *(one.name for one in ABLATION)), ("float",), JOINT_RADII),
        *_each_alone(NAMES, ("float",), SINGLE_RADII), *_both(NAMES, ("w8", "w6"), JOINT_RADII),
        *_each_alone(NAMES, ("w8", "w6"), SINGLE_RADII),
        *_both(tuple(one.name for one in ABLATION), ("w8", "w6"), (1.0,))),
    examinations=(Examination(("JT", "MMAT", "CRMT", "CRMT-AT"), ("margins", "missing")),),
    figures=(
        _sizes("Table 1, Fig 5", "Both inputs attacked, by objective", "each CRMT above what it was added to",
               {name: (name, ALL) for name in NAMES}),
        _sizes("Fig 1, Fig 4", "One input attacked", "audio below image for joint training, and nearer to it with CRMT",
               {f"{name}, {mode[0]}": (name, mode) for name in ("JT", "MMAT", "CRMT", "CRMT-AT")
                for mode in (IMAGE, AUDIO)}),
        _sizes("Fig 5", "Ablation, both inputs attacked", "each step alone above joint training at large radii",
               {name: (name, ALL) for name in ("JT", "OJT", "CRMT-step-1", "CRMT-step-2", "CRMT")}),
        Figure("beside it", "Worst case of the profile standard, L-inf 0.1 on the image and 0.03 on the audio",
               "not in the paper", (tuple(Panel(said, {
                   name: Curve(name, ALL, "standard", precision, "standard") for name in NAMES})
                   for precision, said in (("float", "float"), ("w8", "integers, 8 bits"))),))),
    claims=CLAIMS)
