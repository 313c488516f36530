"""Nakano et al. 2024: fusion depth, the easier modality, and quantisation, under FGSM and PGD as CleverHans makes them.

The paper leaves open: the norm (L-inf here), step and number of steps (CleverHans' tutorial: 0.01, 40), whose labels
(true ones here), and whether early fusion concatenates channels or places side by side (both here).
"""

from __future__ import annotations

from functools import partial

from tinyfuse.attacks.profiles import PAPER
from tinyfuse.study.papers.claims import Claim, Contrast, Curve, Quantity, Ratio, integers, simulated
from tinyfuse.study.papers.paper import FORMS, Campaign, Figure, Panel, Paper, Training, by_attack, rounded
from tinyfuse.study.worst_case import FLOAT

IMAGE, AUDIO, ALL = ("image",), ("audio",), ("image", "audio")
FUSIONS = ("early", "intermediate", "late")
ATTACKS = ("fgsm", "pgd")
WIDTHS = (6, 7, 8, 9)
BUDGETS = rounded(0.01, 0.1, 10)
INTEGERS = tuple(integers(bits) for bits in WIDTHS)
SIMULATED = tuple(simulated(bits) for bits in WIDTHS)
MIXES = ("image6-audio9-shared8", "image9-audio6-shared8")
_LABEL = {IMAGE: "image", AUDIO: "audio", ALL: "both"}


def _weaker_alone() -> tuple[Contrast, ...]:
    return tuple(Contrast(f"{fusion}, {attack}: {_LABEL[mode]} attacked minus both", Curve(fusion, mode, attack),
                          Curve(fusion, ALL, attack))
                 for fusion in FUSIONS for attack in ATTACKS for mode in (IMAGE, AUDIO))


def _audio_easier() -> tuple[Contrast, ...]:
    return tuple(Contrast(f"{attack}: image network minus audio network", Curve("image", IMAGE, attack),
                          Curve("audio", AUDIO, attack)) for attack in ATTACKS)


def _fusion_helps(mode: tuple[str, ...]) -> tuple[Contrast, ...]:
    return tuple(Contrast(f"{fusion}, {attack}: fusion minus the network of {mode[0]} alone",
                          Curve(fusion, mode, attack), Curve(mode[0], mode, attack))
                 for fusion in FUSIONS for attack in ATTACKS)


def _best(best: str, mode: tuple[str, ...], attacks: tuple[str, ...]) -> tuple[Contrast, ...]:
    return tuple(Contrast(f"{attack}: {best} minus {other}", Curve(best, mode, attack), Curve(other, mode, attack))
                 for attack in attacks for other in FUSIONS if other != best)


def _below_baseline() -> tuple[Contrast, ...]:
    return tuple(Contrast(f"image network minus {fusion} with both attacked, mean of FGSM and PGD",
                          Curve("image", IMAGE), Curve(fusion, ALL)) for fusion in FUSIONS)


def _image_only_on_fusion() -> tuple[Contrast, ...]:
    return tuple(Contrast(f"{fusion} with the image attacked minus image network, mean of FGSM and PGD",
                          Curve(fusion, IMAGE), Curve("image", IMAGE)) for fusion in FUSIONS)


def _kept_share(model: str, mode: tuple[str, ...], attack: str, bits: int) -> Ratio:
    return Ratio(Curve(model, mode, attack, simulated(bits)), Curve(model, mode, attack))


def _image_hurt_more(model: str) -> tuple[Contrast, ...]:
    return tuple(Contrast(f"{attack}, {bits} bits: ratio with audio attacked minus ratio with image attacked",
                          _kept_share(model, AUDIO, attack, bits), _kept_share(model, IMAGE, attack, bits))
                 for attack in ATTACKS for bits in WIDTHS)


CLAIMS = (
    Claim("superset", "Attacks on both inputs lower accuracy more than attacks on either one, for every fusion",
          "IV.A, Figs 3-5", _weaker_alone()),
    Claim("audio-easier", "Of the networks of one input, attacks on audio cost more accuracy than attacks on image",
          "IV.A, Fig 6", _audio_easier()),
    Claim("fusion-helps-image", "Every fusion is more robust to an attack on the image than the image network",
          "IV.A, Figs 4 and 6", _fusion_helps(IMAGE)),
    Claim("fusion-helps-audio", "Every fusion is more robust to an attack on the audio than the audio network",
          "IV.A, Figs 5 and 6", _fusion_helps(AUDIO)),
    Claim("late-best-image", "Late fusion is the most robust to attacks on the image", "IV.A, Fig 4",
          _best("late", IMAGE, ATTACKS)),
    Claim("intermediate-best-audio", "Intermediate fusion is the most robust to PGD on the audio", "IV.A, Fig 5",
          _best("intermediate", AUDIO, ("pgd",))),
    Claim("below-baseline", "With both inputs attacked, every fusion is less robust than the image network alone",
          "V.A, Fig 8", _below_baseline()),
    Claim("single-not-worse", "An attack on the image costs a fusion no more accuracy than the image network",
          "V.A, Fig 8", _image_only_on_fusion(), margin=-0.01),
    Claim("quantised-image", "Quantisation lowers accuracy under attack more for the image than for the audio",
          "VI.B, Fig 10", _image_hurt_more("early")),
    Claim("quantised-image-intermediate",
          "Quantisation lowers accuracy of intermediate fusion under attack more for the image than for the audio",
          "VI.C, future work",
          _image_hurt_more("intermediate")),
    Claim("quantised-image-late",
          "Quantisation lowers accuracy of late fusion under attack more for the image than for the audio",
          "VI.C, future work", _image_hurt_more("late")),
)


_accuracy = partial(by_attack, ATTACKS, PAPER.name)


def _means() -> Figure:
    def lines(precision: str) -> dict[str, Quantity]:
        found: dict[str, Quantity] = {"image network": Curve("image", IMAGE, precision=precision)}
        found |= {f"{fusion}, image": Curve(fusion, IMAGE, precision=precision) for fusion in FUSIONS}
        return found | {f"{fusion}, both": Curve(fusion, ALL, precision=precision) for fusion in FUSIONS}

    return Figure("Fig 8", "Mean of FGSM and PGD: fusions against the image network",
                  "image attacked: not below the image network; both attacked: below it",
                  (tuple(Panel(said, lines(precision)) for precision, said in FORMS.items()),))


def _ratios(model: str, place: str) -> Figure:
    def lines(attack: str, name: str, mode: tuple[str, ...]) -> dict[str, Quantity]:
        return {f"{bits} bits": Ratio(Curve(model, mode, attack, f"{name}{bits}"), Curve(model, mode, attack))
                for bits in WIDTHS}

    return Figure(place, f"Quantised over float accuracy under attack, {model} fusion",
                  "the image's ratio lies below the audio's, most for FGSM and large budgets",
                  tuple(tuple(Panel(f"{attack.upper()} on {_LABEL[mode]}, {said}", lines(attack, name, mode))
                              for name, said in (("minmax", "rounded in float"), ("w", "integers"))
                              for mode in (IMAGE, AUDIO)) for attack in ATTACKS), ratio=True)


FIGURES = (
    _accuracy("Fig 3", "Both inputs attacked", "below every attack on one input",
              {fusion: (fusion, ALL) for fusion in FUSIONS}),
    _accuracy("Fig 4", "Image attacked", "late fusion on top", {fusion: (fusion, IMAGE) for fusion in FUSIONS}),
    _accuracy("Fig 5", "Audio attacked", "intermediate fusion on top under PGD; every fusion above the audio network",
              {**{fusion: (fusion, AUDIO) for fusion in FUSIONS}, "audio network": ("audio", AUDIO)}),
    _accuracy("Fig 6", "Networks of one input", "audio far below image",
              {"image": ("image", IMAGE), "audio": ("audio", AUDIO)}),
    _means(), _ratios("early", "Fig 10"),
    _accuracy("left open", "Early fusion by channels and by places side by side",
              "the paper does not say which it used",
              {f"{name}, {_LABEL[mode]}": (name, mode) for name in ("early", "early-space")
               for mode in (IMAGE, AUDIO, ALL)}),
    Figure("left open", "Padding of the audio attackable, as in the paper, and not",
           "a third of the audio's values is constant padding that carries nothing",
           (tuple(Panel(f"{attack.upper()}: float", {
               f"{model}, {said}": Curve(model, AUDIO, attack, masked=masked)
               for model in ("audio", *FUSIONS) for masked, said in ((False, "all"), (True, "masked"))})
               for attack in ATTACKS),)),
    _ratios("intermediate", "future work"), _ratios("late", "future work"),
)

NAKANO2024 = Paper(
    name="nakano2024",
    title="Trustworthy and Robust Machine Learning for Multimedia (Nakano, Zuzak, Merkel, Loui, 2024)",
    data="MNIST images paired by class with 38,908 spoken digits of Speech Commands as MFCC (Khacef et al. 2019)",
    aside="Attacks as in CleverHans' tutorial (L-inf, PGD of 40 steps of 0.01, last iterate, true labels), since the "
          "paper names none of these.",
    inputs=ALL,
    trainings=tuple(Training(name, name) for name in ("image", "audio", *FUSIONS, "early-space")),
    campaigns=(
        Campaign(("image", "audio", *FUSIONS), (FLOAT,), PAPER, BUDGETS),
        Campaign(("early",), ("minmax6", "w6", "minmax8", "w8"), PAPER, BUDGETS, modes=(IMAGE, AUDIO)),
        Campaign(("image", "audio", *FUSIONS), ("w8", "w6"), PAPER, BUDGETS),
        Campaign(("early",), ("minmax7", "w7", "minmax9", "w9"), PAPER, BUDGETS, modes=(IMAGE, AUDIO)),
        Campaign(("early-space",), (FLOAT,), PAPER, BUDGETS),
        Campaign(("audio", *FUSIONS), (FLOAT,), PAPER, BUDGETS, modes=(AUDIO,), masked=True),
        Campaign(("intermediate", "late"), (*SIMULATED, *INTEGERS), PAPER, BUDGETS, modes=(IMAGE, AUDIO)),
        Campaign(("image", "audio", *FUSIONS), ("w7", "w9"), PAPER, BUDGETS),
        Campaign(("early-space",), ("w8", "w6"), PAPER, BUDGETS),
        Campaign(FUSIONS, MIXES, PAPER, BUDGETS),
    ),
    figures=FIGURES, claims=CLAIMS, trainings_needed=5, quick_trainings=6)
