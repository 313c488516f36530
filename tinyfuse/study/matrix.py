"""What a sweep runs: networks x recipes x executors x attacks x inputs x budgets, as one TOML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tinyfuse.attacks import PGD
from tinyfuse.attacks.profiles import PROFILES, Profile, profile
from tinyfuse.core import strict, toml
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.frontend.fixed_sound import ARITHMETICS, FLOATING
from tinyfuse.integer.executors import EXECUTORS
from tinyfuse.nn import objectives, zoo
from tinyfuse.nn.train import TrainConfig
from tinyfuse.nn.zoo.user import check_network_file
from tinyfuse.quantize.recipe import Recipe, mix_name, read_recipe
from tinyfuse.study.check_attack import check_both
from tinyfuse.threats.budgets import Spent, check_epsilons
from tinyfuse.threats.code_threats import DOMAINS
from tinyfuse.threats.norms import NORMS, PROVABLE
from tinyfuse.threats.scene_budgets import SCENE, read_scene_budget

_CHOICES = {"executors": tuple(name for name in EXECUTORS if name != "twin"), "profiles": tuple(PROFILES),
            "threats": DOMAINS, "norm": tuple(NORMS), "frontend": tuple(ARITHMETICS)}
MAX_SEED = 1 << 32
_MAY_BE_NONE = ("raw_samples", "probe_samples")


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """One sweep. ``recipes`` (names, files or tables) apply to every network, ``mixes`` to those of several inputs.

    Without ``mixes`` a network gets one for each of its inputs, with 6 bits for it and 8 for the others. ``epsilons``
    are budgets in input units, numbers for every attacked input or tables by input; ``steps`` are those of the iterated
    attacks of every profile but "paper". ``raw_epsilons`` (default: ``epsilons``) are those of the uncarried curve that
    the checks need. At each of ``certify``, budgets like ``epsilons``, integer models also get certificates, on the
    samples that are attacked (default: none). ``executors`` judge clean samples beside the twin, which is always there.
    ``threats``: threat models of integer models, "codes" (G, always) and "real" (R, beside it). Numbers of test
    samples, classes balanced: ``attack_samples`` are attacked, ``clean_samples`` judged clean; ``raw_samples`` and
    ``probe_samples`` are those of them that the checks attack again without short cuts, 0 for none. ``parity_samples``
    adversarial inputs of each integer model run on TFLite Micro as well. ``transfer_from``: recipes (or "float") whose
    adversarial inputs are replayed on the other ones. ``epochs``: by default those of the networks that come with the
    package if they were trained on the same data, else 5. ``seeds``: of the trainings, which are judged on the same
    samples; by default one training with the seed of the data. ``objective`` and ``settings`` (of its parts) train all
    networks; autoencoders have the objective "reconstruction". ``scenes``: budgets before the front end such as
    "mic=40dB" and "mic=40dB,camera=8levels", at which PGD attacks ``scene_samples`` recordings and frames of every
    network with these inputs; ``frontend``: the arithmetic of the front end of integer models, "float" or "fixed". The
    defaults take two cores some minutes.
    """

    models: tuple[str, ...] = zoo.FUSIONS
    recipes: tuple[str | Recipe, ...] = ("w6", "w7", "w8", "w9")
    mixes: tuple[str, ...] | None = None
    executors: tuple[str, ...] = ("litert",)
    profiles: tuple[str, ...] = ("standard",)
    threats: tuple[str, ...] = DOMAINS
    norm: str = "linf"
    epsilons: tuple[Spent, ...] = (0.03,)
    raw_epsilons: tuple[Spent, ...] = ()
    certify: tuple[Spent, ...] = ()
    steps: int = 5
    transfer_from: tuple[str, ...] = ("float",)
    attack_samples: int = 200
    clean_samples: int = 200
    raw_samples: int = 0
    probe_samples: int = 0
    parity_samples: int = 300
    calibration_samples: int = 200
    proof_samples: int = 8
    epochs: int | None = None
    batch_size: int = TrainConfig.batch_size
    learning_rate: float = TrainConfig.learning_rate
    scenes: tuple[str, ...] = ()
    scene_samples: int = 50
    frontend: str = FLOATING
    seeds: tuple[int, ...] = ()
    objective: str = TrainConfig.objective
    settings: objectives.Settings = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            given = getattr(self, name)
            for value in (given,) if isinstance(given, str) else given:
                _check_choice(name, value, allowed)
        if "codes" not in self.threats:
            raise UsageError("matrix: threats without 'codes', which every figure of an integer model is about; add it")
        for one in fields(self):
            value = getattr(self, one.name)
            least = 0 if one.name in _MAY_BE_NONE else 1
            if one.type in ("int", "int | None") and value is not None and value < least:
                raise UsageError(f"matrix: {one.name} is {value!r}; a whole number of at least {least} is expected")
        check_seeds(self.seeds)
        check_scenes(self.scenes)
        objectives.parts_of(self.objective, self.settings)
        for suite in self.suites():
            suite.check_norm(self.norm)
        for epsilons in (self.epsilons, self.raw_epsilons, self.certify):
            check_epsilons(epsilons, "matrix")
        if self.certify and self.norm not in PROVABLE:
            raise UsageError(f"matrix: certify in the norm {self.norm}; certificates are about {', '.join(PROVABLE)}")
        if not (self.models and self.epsilons and self.profiles):
            raise UsageError("matrix: models, profiles and epsilons need at least one entry each")
        if self.seeds and any(map(is_file, self.models)):
            raise UsageError("matrix: seeds train a network again, but a file holds a trained one; leave either out")
        names = [recipe.name for recipe in self.recipes_for(())]
        for source in self.transfer_from:
            _check_choice("transfer_from", source, ("float", *names))

    def recipes_for(self, inputs: Sequence[str]) -> list[Recipe]:
        """Read the recipes of a network that looks at ``inputs``."""
        mixes = self.mixes
        if mixes is None:
            mixes = tuple(mix_name({**dict.fromkeys((*inputs, "shared"), 8), name: 6}) for name in inputs)
        given = dict.fromkeys((*self.recipes, *(mixes if len(inputs) > 1 else ())))
        found = [read_recipe(recipe) if isinstance(recipe, str) else recipe for recipe in given]
        for name in {recipe.name for recipe in found}:
            if sum(recipe.name == name for recipe in found) > 1:
                raise UsageError(f"matrix: two recipes are called '{name}'; rename one of them")
        return found

    def suites(self) -> list[Profile]:
        """Return the profiles with this matrix's number of steps."""
        return [profile(name).with_steps(self.steps) for name in self.profiles]

    def to_table(self) -> dict[str, Any]:
        """Return plain values, as a TOML file holds them."""
        return dict(strict.encode(self))


def quick() -> Matrix:
    """Return a smoke run that ends within a minute, of the networks that the zoo keeps for it, with every probe."""
    return Matrix(models=zoo.SMOKE["models"], mixes=zoo.SMOKE["mixes"], recipes=("w6", "w8"), epsilons=(0.03,), steps=5,
                  attack_samples=20, clean_samples=100, raw_samples=10, probe_samples=10, proof_samples=4,
                  calibration_samples=100)


def read_matrix(path: str | Path) -> Matrix:
    """Read a matrix from a TOML file; keys that are not given have the defaults, unknown keys are errors."""
    found = strict.decode(Matrix, toml.read(path, UsageError), str(path), UsageError)
    for model in found.models:
        check_model(model)
    return found


def is_file(model: str) -> bool:
    """Tell whether an entry of ``models`` is the path of a trained network, not the name of one to be trained."""
    return "/" in model or bool(Path(model).suffix)


def check_model(model: str) -> None:
    """Raise an error in one line for what is neither a network's name nor the file of one."""
    if is_file(model):
        check_network_file(Path(model))
    else:
        zoo.check_name(model)


def check_seeds(seeds: Sequence[int]) -> None:
    """Raise UsageError for training seeds that no generator takes, or that are there twice."""
    for seed in seeds:
        if not 0 <= seed < MAX_SEED or list(seeds).count(seed) > 1:
            raise UsageError(f"training seed {seed} of {', '.join(map(str, seeds))}: give each once, from 0 to "
                             f"{MAX_SEED - 1}")


def check_scenes(scenes: Sequence[str]) -> None:
    """Raise UsageError for a scene that is none, names no input, or stands there twice."""
    for text in scenes:
        budget = read_scene_budget(text)
        if not all(budget.names) or list(scenes).count(text) > 1:
            raise UsageError(f"matrix: scenes '{text}'; give each once, with the names of its inputs, such as "
                             "'mic=40dB' or 'mic=40dB,camera=8levels'")
        if budget.threat == SCENE:
            check_both(PGD(), budget)


def _check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise UsageError(f"matrix: {name} '{value}'{nearest(value, allowed)}; allowed: {', '.join(allowed)}")
