"""Tian and Xu 2021 (CVPR): does audio-visual integration strengthen robustness? Fusion operators and a defence.

Attacks as in its released code: FGSM, PGD and MIM of 10 steps of an eighth of the budget, without random start; both
inputs at half the budget of one input.
"""

from __future__ import annotations

from functools import partial

from tinyfuse.attacks.pgd import FGSM, MIM, PGD
from tinyfuse.attacks.profiles import Profile
from tinyfuse.study.papers.claims import Claim, Contrast, Curve
from tinyfuse.study.papers.paper import Campaign, Paper, Training, by_attack

IMAGE, AUDIO, ALL = ("image",), ("audio",), ("image", "audio")
ATTACKS = ("fgsm", "pgd", "mim")
OPERATORS = ("concat", "sum", "film", "gated")
DEFENCES = ("MinSim", "MinSim+ExFMem")
SINGLE, JOINT = (0.02, 0.04, 0.08), (0.01, 0.02, 0.04)
FUSED = (*OPERATORS, *DEFENCES)
ALONE = ("image", "audio")


def _suite(epsilon: float) -> Profile:
    step = round(epsilon / 8, 6)
    return Profile("tian2021", (FGSM(), PGD(steps=10, step_size=step), MIM(steps=10, step_size=step)),
                   last_iterate=True)


def _curve(name: str, mode: tuple[str, ...], attack: str, *epsilons: float) -> Curve:
    return Curve(name, mode, attack, suite="tian2021", epsilons=epsilons)


def _campaigns(precisions: tuple[str, ...]) -> tuple[Campaign, ...]:
    sizes = sorted({*SINGLE, *JOINT})
    one = tuple(Campaign((*FUSED, *ALONE), precisions, _suite(epsilon), (epsilon,), modes=(IMAGE, AUDIO))
                for epsilon in sizes if epsilon in SINGLE)
    return one + tuple(Campaign(FUSED, precisions, _suite(epsilon), (epsilon,), modes=(ALL,)) for epsilon in sizes)


CLAIMS = (
    Claim("integration-weakens", "With both inputs attacked, fusion is less robust than the image network",
          "abstract", tuple(Contrast(f"{attack}: image network minus concat, both attacked",
                                     _curve("image", IMAGE, attack, *SINGLE), _curve("concat", ALL, attack, *SINGLE))
                            for attack in ATTACKS)),
    Claim("single-helps", "With one input attacked, fusion is more robust than the network of that input", "4.2",
          tuple(Contrast(f"{attack}, {mode[0]}: concat minus the network of it alone",
                         _curve("concat", mode, attack), _curve(mode[0], mode, attack))
                for attack in ATTACKS for mode in (IMAGE, AUDIO))),
    Claim("operators-differ", "A gated fusion withstands attacks on both inputs better than concatenation", "4.2",
          tuple(Contrast(f"{attack}: gated minus concat", _curve("gated", ALL, attack), _curve("concat", ALL, attack))
                for attack in ATTACKS)),
    Claim("minsim", "Features that differ between inputs make fusion more robust", "5",
          tuple(Contrast(f"{attack}: MinSim minus concat", _curve("MinSim", ALL, attack),
                         _curve("concat", ALL, attack)) for attack in ATTACKS)),
    Claim("exfmem", "With a memory as well, fusion is more robust still than without any defence", "5",
          tuple(Contrast(f"{attack}: MinSim+ExFMem minus concat", _curve("MinSim+ExFMem", ALL, attack),
                         _curve("concat", ALL, attack)) for attack in ATTACKS)),
    Claim("defence-clean", "The defence costs no clean accuracy worth mentioning", "5",
          tuple(Contrast(f"clean: {name} minus concat", Curve(name, suite="tian2021"),
                         Curve("concat", suite="tian2021")) for name in DEFENCES), margin=-0.02),
)


_figure = partial(by_attack, ATTACKS, "tian2021", "4-5")

TIAN2021 = Paper(
    name="tian2021",
    title="Can Audio-Visual Integration Strengthen Robustness under Multimodal Attacks? (Tian, Xu, 2021)",
    data="MUSIC, AVE and Kinetics-Sounds: raw sound and one frame, ResNet18 and one-dimensional convolutions",
    aside="Budgets are those of this data. The released code has concatenation alone; the other operators are ours. "
          "Localisation under attack needs pictures with a known place: see `tinyfuse analyse`.",
    inputs=ALL, epochs=8, batch_size=64,
    trainings=(Training("concat", "late"), Training("sum", "late-sum"), Training("film", "late-film"),
               Training("gated", "late-gated"), Training("MinSim", "late", "minsim"),
               Training("MinSim+ExFMem", "late", "exfmem"), Training("image", "image"), Training("audio", "audio")),
    campaigns=(*_campaigns(("float",)), *_campaigns(("w8", "w6"))),
    figures=(
        _figure("Both inputs attacked, by fusion operator and defence", "defences on top",
                {name: (name, ALL) for name in FUSED}),
        _figure("Image attacked", "fusion above the image network",
                {**{name: (name, IMAGE) for name in FUSED}, "image network": ("image", IMAGE)}),
        _figure("Audio attacked", "fusion above the audio network",
                {**{name: (name, AUDIO) for name in FUSED}, "audio network": ("audio", AUDIO)})),
    claims=CLAIMS)
