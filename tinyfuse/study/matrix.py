"""What a sweep runs: networks x precisions x executors x attacks x modalities x budgets, as one TOML file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tinyfuse.attacks.profiles import PROFILES, Profile, profile
from tinyfuse.core import toml
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.integer.executors import EXECUTORS
from tinyfuse.nn.train import TrainConfig
from tinyfuse.nn.zoo.fusion import MODELS, check_name, modalities_of
from tinyfuse.quantize.recipe import Precision, precision
from tinyfuse.threats.norms import NORMS

MIXES = ("image6-audio8-shared8", "image8-audio6-shared8")
THREATS = ("codes", "real")
_CHOICES = {"executors": tuple(name for name in EXECUTORS if name != "twin"), "profiles": tuple(PROFILES),
            "threats": THREATS, "norm": NORMS}
_COUNTS = ("steps", "attack_pairs", "clean_pairs", "raw_pairs", "probe_pairs", "parity_samples", "calibration_pairs",
           "proof_pairs", "epochs", "batch_size")


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """One sweep. ``precisions`` apply to every network, ``mixes`` to the fusions only.

    ``epsilons`` are budgets in input units ([0, 1]), the same for each attacked modality; ``steps`` are those of the
    iterated attacks of every profile but "paper". ``raw_epsilons`` (default: ``epsilons``) are those of the uncarried
    curve that the checks need. ``executors`` judge clean pairs beside the twin, which is always there. ``threats``:
    threat models of integer models, "codes" (G, always) and "real" (R, beside it). Numbers of test pairs, classes
    balanced: ``attack_pairs`` are attacked, ``clean_pairs`` judged clean; ``raw_pairs`` and ``probe_pairs`` are those
    of them that the checks attack again without short cuts. ``parity_samples`` adversarial inputs of each integer model
    run on TFLite Micro as well. ``transfer_from``: recipes (or "float") whose adversarial inputs are replayed on the
    other precisions. The defaults take two cores some minutes.
    """

    models: tuple[str, ...] = MODELS
    precisions: tuple[str, ...] = ("w6", "w7", "w8", "w9")
    mixes: tuple[str, ...] = MIXES
    executors: tuple[str, ...] = ("litert",)
    profiles: tuple[str, ...] = ("standard",)
    threats: tuple[str, ...] = THREATS
    norm: str = "linf"
    epsilons: tuple[float, ...] = (0.03, 0.1)
    raw_epsilons: tuple[float, ...] = ()
    steps: int = 5
    transfer_from: tuple[str, ...] = ("float",)
    attack_pairs: int = 24
    clean_pairs: int = 200
    raw_pairs: int = 8
    probe_pairs: int = 8
    parity_samples: int = 300
    calibration_pairs: int = 200
    proof_pairs: int = 8
    epochs: int = 5
    batch_size: int = TrainConfig.batch_size
    learning_rate: float = TrainConfig.learning_rate

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            given = getattr(self, name)
            for value in (given,) if isinstance(given, str) else given:
                if value not in allowed:
                    raise UsageError(f"matrix: {name} '{value}'{nearest(str(value), allowed)}; "
                                     f"allowed: {', '.join(allowed)}")
        if "codes" not in self.threats:
            raise UsageError("matrix: threats without 'codes', which every figure of an integer model is about; add it")
        for model in self.models:
            check_name(model)
        for name in _COUNTS:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"matrix: {name} is {value!r}; a whole number of at least 1 is expected")
        for epsilon in (*self.epsilons, *self.raw_epsilons):
            if isinstance(epsilon, bool) or not isinstance(epsilon, (int, float)) or not 0 <= epsilon < math.inf:
                raise UsageError(f"matrix: epsilon {epsilon!r}; a number of at least 0 is expected")
            if epsilon > 1 and self.norm == "linf":
                raise UsageError(f"matrix: epsilon {epsilon!r}; inputs lie in [0, 1], so at most 1 is expected")
        if not (self.models and self.epsilons and self.profiles):
            raise UsageError("matrix: models, profiles and epsilons need at least one entry each")
        for source in self.transfer_from:
            if source not in (allowed := ("float", *self.precisions)):
                raise UsageError(f"matrix: transfer_from '{source}'{nearest(source, allowed)}; "
                                 f"allowed: {', '.join(allowed)}")
        for model in self.models:
            self.precisions_of(model)

    def precisions_of(self, model: str) -> list[Precision]:
        """The recipes that ``model`` is converted with."""
        names = (*self.precisions, *(self.mixes if len(modalities_of(model)) > 1 else ()))
        found = [precision(name) for name in dict.fromkeys(names)]
        for name in {recipe.name for recipe in found}:
            if sum(recipe.name == name for recipe in found) > 1:
                raise UsageError(f"matrix: two recipes are called '{name}'; rename one of them")
        return found

    def modes_of(self, model: str) -> dict[str, tuple[str, ...]]:
        """The attacked modalities by the name of the mode: image, audio, both."""
        inputs = modalities_of(model)
        modes = {name: (name,) for name in inputs}
        return modes | ({"both": inputs} if len(inputs) > 1 else {})

    @property
    def raw_budgets(self) -> tuple[float, ...]:
        """The budgets of the uncarried curve."""
        return self.raw_epsilons or self.epsilons

    def suites(self) -> list[Profile]:
        """The profiles with this matrix's number of steps."""
        return [profile(name).with_steps(self.steps) for name in self.profiles]

    def to_table(self) -> dict[str, Any]:
        """Plain values, tuples as lists."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


QUICK = Matrix(models=("image", "early"), precisions=("w6", "w8"), mixes=("image6-audio8-shared8",),
               epsilons=(0.03,), steps=5, attack_pairs=20, clean_pairs=100, raw_pairs=10, probe_pairs=10, proof_pairs=4,
               calibration_pairs=100, epochs=4)


def read_matrix(path: str | Path) -> Matrix:
    """The matrix in a TOML file; keys that are not given have the defaults, unknown keys are errors."""
    return from_table(toml.read(path, UsageError), str(path))


def from_table(table: Mapping[str, Any], where: str) -> Matrix:
    """The matrix of a TOML table; ``where`` names the file in errors."""
    kinds = {field.name: type(getattr(Matrix(), field.name)) for field in fields(Matrix)}
    toml.check_keys(table, kinds, where, UsageError)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if kinds[key] is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, list if kinds[key] is tuple else kinds[key]):
            raise UsageError(f"{where}: {key} is {value!r}; a {'list' if kinds[key] is tuple else kinds[key].__name__} "
                             "is expected")
        numbers = key.endswith("epsilons")
        wanted = (int, float) if numbers else str
        if isinstance(value, list) and not all(isinstance(entry, wanted) for entry in value):
            raise UsageError(f"{where}: {key} is {value!r}; a list of {'numbers' if numbers else 'names'} is expected")
        values[key] = tuple(value) if isinstance(value, list) else value
    return Matrix(**values)
