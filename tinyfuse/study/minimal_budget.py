"""The smallest budget in whole codes that breaks each sample of an integer model, checked on TFLite Micro."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.attacks import SampleAttack
from tinyfuse.attacks.minimal import MinimalBudget, minimal_codes
from tinyfuse.attacks.targets.anomaly import IntegerTarget
from tinyfuse.data import Samples
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.executors.installed import ORACLE, is_here
from tinyfuse.study.attack import check_same_codes


@dataclass(frozen=True, eq=False)
class MinimalResult:
    """What was found for ``model``; ``rejudged`` of the inputs have the same output codes in TFLite Micro."""

    model: str
    found: MinimalBudget
    scale: Mapping[str, float]
    rejudged: int

    def to_json(self) -> dict[str, Any]:
        """Return plain values; a budget beyond the largest one tried is null."""
        codes = [int(k) if broken else None for k, broken in zip(self.found.budget, self.found.found, strict=True)]
        median = self.found.median(correct_only=True)
        figures = {name: value if np.isfinite(value) and value <= median.largest else None
                   for name, value in (("median", median.value), ("low", median.low), ("high", median.high))}
        return {"model": self.model, "executor": "twin", "attack": self.found.attack.settings(), "threat": "codes",
                "attacked": list(self.found.attacked), "largest": int(self.found.largest), "codes": codes,
                "samples": median.samples, **figures, "scale": dict(self.scale), "queries": self.found.queries,
                "rejudged_on_tflm": self.rejudged}

    def text(self) -> str:
        """Say the result in one sentence."""
        median = self.found.median(correct_only=True)
        unit = ", ".join(f"one code of {name} is {self.scale[name]:.4g}" for name in self.found.attacked)
        return (f"{self.model} in twin, {self.found.attack.name} on {' and '.join(self.found.attacked)}, threat model "
                f"codes (G): median smallest budget {median} codes over {median.samples} correctly classified samples "
                f"(95 % interval; {unit}); {self.rejudged} inputs with the same output codes in tflm")


def minimal_budget(target: IntegerTarget, samples: Samples, attack: SampleAttack, attacked: tuple[str, ...],
                   largest: int, mask: Mapping[str, np.ndarray]) -> MinimalResult:
    """Bisect the budget of each of ``samples`` up to ``largest`` codes, then judge what breaks them on TFLite Micro.

    Raises ParityError if an output code of TFLite Micro differs from the twin's.
    """
    model = target.model
    batch = {name: codes.astype(np.float32) for name, codes in model.codes_of(samples.inputs).items()}
    found = minimal_codes(target, batch, samples.label, attacked, attack=attack, largest=largest, mask=mask)
    rows = np.flatnonzero(found.found)
    judged = len(rows) if is_here(ORACLE) else 0
    if judged:
        codes = {name: found.point[name][rows].astype(np.int32) for name in target.inputs}
        check_same_codes(target, codes, open_executor(model, ORACLE).run(codes))
    return MinimalResult(model.name, found, {port.name: port.scale for port in model.inputs}, judged)
