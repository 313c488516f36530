"""The smallest budget in whole codes that breaks each test pair of an integer model, checked on TFLite Micro."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.attacks import TwinTarget
from tinyfuse.attacks.minimal import Median, MinimalBudget, minimal_codes
from tinyfuse.data import Dataset
from tinyfuse.integer.interpreters import IntegerModel, Interpreter
from tinyfuse.study.attack_one import check_inputs, same_codes


@dataclass(frozen=True)
class Smallest:
    """What was found for ``model``; ``judged``: inputs at their smallest budget for which TFLite Micro computed the
    same output codes.
    """

    model: str
    budget: MinimalBudget
    scale: Mapping[str, float]
    judged: int

    @property
    def median(self) -> Median:
        """Over the samples that are classified correctly when clean."""
        return self.budget.median(correct_only=True)

    def to_json(self) -> dict[str, Any]:
        """Plain values; a budget beyond the largest one tried is null."""
        codes = [int(k) if found else None for k, found in zip(self.budget.budget, self.budget.found, strict=True)]
        median = self.median
        figures = {name: value if np.isfinite(value) and value <= median.largest else None
                   for name, value in (("median", median.value), ("low", median.low), ("high", median.high))}
        return {"model": self.model, "executor": "twin", "attack": self.budget.attack, "threat": "codes",
                "modalities": list(self.budget.modalities), "largest": int(self.budget.largest), "codes": codes,
                "samples": median.samples, **figures, "scale": dict(self.scale), "queries": self.budget.queries,
                "rejudged_on_tflm": self.judged}

    def text(self) -> str:
        """One sentence."""
        unit = ", ".join(f"one code of {name} is {self.scale[name]:.4g}" for name in self.budget.modalities)
        return (f"{self.model} in twin, {self.budget.attack} on {' and '.join(self.budget.modalities)}, threat model "
                f"codes (G): median smallest budget {self.median} codes over {self.median.samples} correctly "
                f"classified pairs (95 % interval; {unit}); {self.judged} inputs with the same output codes in tflm")


def smallest(model: IntegerModel, dataset: Dataset, *, attack: str, modalities: tuple[str, ...], largest: int,
             pairs: int, mask: Mapping[str, np.ndarray] | None, parameters: Mapping[str, Any]) -> Smallest:
    """Bisect the budget of each of ``pairs`` test pairs, then judge what breaks them on TFLite Micro.

    Raises:
        ParityError: an output code of TFLite Micro differs from the twin's.
    """
    check_inputs(model, dataset)
    chosen = dataset.test.balanced(pairs, seed=0)
    batch = {name: grid.quantise(chosen.inputs()[name]).astype(np.float32) for name, grid in model.grids.items()}
    target = TwinTarget(model)
    found = minimal_codes(target, batch, chosen.label, modalities, model.grids, attack=attack, k_max=largest,
                          parameters=parameters, mask=mask)
    rows = np.flatnonzero(found.found)
    if len(rows):
        codes = {name: found.point[name][rows].astype(np.int32) for name in target.inputs}
        same_codes(target, codes, Interpreter(model, "tflm").run(codes))
    return Smallest(model.name, found, {port.name: port.scale for port in model.inputs}, len(rows))
