"""The evaluation checklist (Carlini et al. 2019; Athalye et al. 2018; AutoAttack's flags): 25 points by theme.

1 audit, 2 zero budget and FGSM = one PGD step, 3 judged again on TFLite Micro, 4 monotone in ε, 5 PGD beats FGSM,
6 an unbounded attack always wins, 7 noise is weaker than FGSM, 8 both modalities beat one, 9 white box beats black box,
10 converged, 11 the loss rises, 12 logits, 13 gradients exist, 14 the loss is not saturated, 15 repeatable, 16 twin =
TFLite Micro, 17 own gradients are the strongest, 18 steps of half a code or more, 19 planted examples are found,
20 analytic models, 21 certificates hold, 22 enough samples and seeds, 23 a complete report, 24 true labels, 25 nothing
spent on padding.
"""

from __future__ import annotations

from tinyfuse.checks import executors, figures, gradients, inputs, strength
from tinyfuse.checks import gradient_sources as sources
from tinyfuse.checks.probe_names import PROBES
from tinyfuse.checks.registry import CHECKS, POINTS, Answer, Check, Finding, Missing

__all__ = ["CHECKS", "POINTS", "PROBES", "Answer", "Check", "Finding", "Missing", "executors", "figures", "gradients",
           "inputs", "sources", "strength"]
