"""Li et al. 2022 (ICASSP): attacks on one input break fusion; density, convexity, mixup.

PGD of 20 steps in L2 on each sample, as its text describes; its released code makes one perturbation for a whole set.
"""

from __future__ import annotations

from tinyfuse.attacks.pgd import PGD
from tinyfuse.attacks.profiles import Profile
from tinyfuse.study.papers.claims import Claim, Contrast, Curve
from tinyfuse.study.papers.paper import FORMS, Campaign, Examination, Figure, Panel, Paper, Training

IMAGE, AUDIO, ALL = ("image",), ("audio",), ("image", "audio")
SUITE = Profile("li2022", (PGD(steps=20),), last_iterate=True)
RADII = (0.25, 0.5, 1.0, 2.0)
FUSED = ("mid", "mid mixup", "mid AT")


def _curve(name: str, mode: tuple[str, ...], *epsilons: float) -> Curve:
    return Curve(name, mode, "pgd", suite="li2022", epsilons=epsilons)


CLAIMS = (
    Claim("joint-stronger", "Attacks on both inputs are more potent than on one at the same size", "7.2, Tables 1-2",
          tuple(Contrast(f"{mode[0]} attacked minus both", _curve("mid", mode), _curve("mid", ALL))
                for mode in (IMAGE, AUDIO))),
    Claim("one-input-breaks", "An attack on the audio alone breaks a network of both inputs (25 points or more)",
          "4, Theorem 1",
          (Contrast("audio attacked at 0.25 minus audio attacked at 2", _curve("mid", AUDIO, 0.25),
                    _curve("mid", AUDIO, 2.0)),), margin=0.25),
    Claim("mixup-robust", "Mixup loses less under attack than plain fusion and than adversarial training",
          "7.3, Tables 1-2", tuple(Contrast(f"both attacked: mixup minus {other}", _curve("mid mixup", ALL),
                                            _curve(other, ALL)) for other in ("mid", "mid AT"))),
    Claim("mixup-clean", "Mixup costs no clean accuracy", "7.3, Table 1",
          (Contrast("clean: mixup minus plain", Curve("mid mixup", suite="li2022"), Curve("mid", suite="li2022")),),
          margin=-0.01),
)


def _figure(place: str, title: str, expected: str, lines: dict[str, tuple[str, tuple[str, ...]]]) -> Figure:
    return Figure(place, title, expected, (tuple(
        Panel(said, {label: Curve(name, mode, "pgd", precision, "li2022") for label, (name, mode) in lines.items()})
        for precision, said in FORMS.items()),))


LI2022 = Paper(
    name="li2022",
    title="On Adversarial Robustness of Large-Scale Audio Visual Learning (Li, Qu, Li, Huang, Metze, 2022)",
    data="AudioSet (527 classes) and Kinetics-Sounds, convolution with self-attention for sound, (2+1)D for video",
    aside="Each pair has a perturbation of its own; the released code of the paper makes one for the whole set. Ten "
          "classes give no correlation over hundreds of them: Fig 4 is drawn by class.",
    inputs=ALL, epochs=8, batch_size=64,
    trainings=(Training("mid", "intermediate"), Training("mid mixup", "intermediate", "density-mixup"),
               Training("mid AT", "intermediate", "adversarial",
                        {"adversarial": {"budget": {"image": 0.5, "audio": 0.5}, "norm": "l2", "method": "fgsm"}}),
               Training("audio", "audio")),
    campaigns=(Campaign(FUSED, ("float",), SUITE, RADII, "l2"), Campaign(("audio",), ("float",), SUITE, RADII, "l2"),
               Campaign(FUSED, ("w8", "w6"), SUITE, RADII, "l2"),
               Campaign(("audio",), ("w8", "w6"), SUITE, RADII, "l2")),
    examinations=(Examination(FUSED, ("shape", "projection", "detection")),),
    figures=(
        _figure("Tables 1-2", "Both inputs attacked", "mixup on top", {name: (name, ALL) for name in FUSED}),
        _figure("Tables 1-2", "One input attacked", "one input is enough to break the network",
                {**{f"{name}, {mode[0]}": (name, mode) for name in FUSED for mode in (IMAGE, AUDIO)},
                 "audio network": ("audio", AUDIO)})),
    claims=CLAIMS)
