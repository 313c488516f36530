"""Li et al. 2021 (ICASSP, "through the lens of adversary"): fusion depth, features and modules by attack potency.

Only the abstract could be read; it asks questions and states no direction. The directions of the claims here are
those of Nakano et al. 2024, so that two papers can be compared.
"""

from __future__ import annotations

from tinyfuse.attacks.pgd import PGD
from tinyfuse.attacks.profiles import Profile
from tinyfuse.study.papers.claims import Claim, Contrast, Curve
from tinyfuse.study.papers.paper import Campaign, Examination, Figure, Panel, Paper, Training, rounded

IMAGE, AUDIO, ALL = ("image",), ("audio",), ("image", "audio")
FUSIONS = ("early", "intermediate", "late")
NORMS = {"linf": Profile("li2021-linf", (PGD(steps=20),), last_iterate=True),
         "l2": Profile("li2021-l2", (PGD(steps=20),), last_iterate=True)}
BUDGETS = {"linf": rounded(0.02, 0.1, 5), "l2": (0.25, 0.5, 1.0, 2.0)}
FORMS = {"float": "float", "w8": "integers, 8 bits", "w6": "integers, 6 bits"}


def _later(mode: tuple[str, ...], words: str) -> Claim:
    return Claim(f"later-{'-'.join(mode)}", f"Fusing later withstands attacks on {words} better, in both norms",
                 "question 1", tuple(
                     Contrast(f"{norm}: {later} minus early", Curve(later, mode, "pgd", suite=suite.name),
                              Curve("early", mode, "pgd", suite=suite.name))
                     for norm, suite in NORMS.items() for later in ("intermediate", "late")))


CLAIMS = (
    _later(IMAGE, "the image"), _later(AUDIO, "the audio"), _later(ALL, "both inputs"),
    Claim("accuracy", "Fusing later costs no clean accuracy", "question 1", tuple(
        Contrast(f"clean: {later} minus early", Curve(later, suite="li2021-linf"), Curve("early", suite="li2021-linf"))
        for later in ("intermediate", "late")), margin=-0.01),
)


def _potency(norm: str, precision: str, said: str) -> Panel:
    return Panel(f"{norm}: {said}", {f"{fusion}, {'both' if mode == ALL else mode[0]}": Curve(
        fusion, mode, "pgd", precision, NORMS[norm].name) for fusion in FUSIONS for mode in (IMAGE, AUDIO, ALL)})


LI2021 = Paper(
    name="li2021",
    title="Audio-Visual Event Recognition through the Lens of Adversary (Li, Qu, Huang, Metze, 2021)",
    data="AudioSet, convolution and transformer on log-mel and video features",
    aside="Only the abstract was at hand: it asks three questions and states no direction. The claims are ours.",
    inputs=ALL, epochs=8, batch_size=64,
    trainings=tuple(Training(name, name) for name in FUSIONS),
    campaigns=tuple(Campaign(FUSIONS, precisions, NORMS[norm], BUDGETS[norm], norm)
                    for precisions in (("float",), ("w8", "w6")) for norm in NORMS),
    examinations=(Examination(FUSIONS, ("potency", "bands", "occlusion"), 100),
                  Examination(FUSIONS, ("modules",), 50)),
    figures=tuple(Figure("question 1", f"Accuracy against the size of the attack, {norm}",
                         "the paper asks which fusion gives in last",
                         (tuple(_potency(norm, precision, said) for precision, said in FORMS.items()),))
                  for norm in NORMS),
    claims=CLAIMS)
