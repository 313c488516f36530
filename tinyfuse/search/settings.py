"""What decides a selection, beside the network and the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from tinyfuse.checks.firmware_cost import MEASURED_ON
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.core.files import sha256_hex
from tinyfuse.quantize.recipe import BITS, METHODS
from tinyfuse.search.groups import GRANULARITIES

OBJECTIVES = ("robust", "clean")
LEAST_EPSILON = 1 / 255
POST_TRAINING = tuple(name for name in METHODS if name != "qat")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """``objective``: "robust" (under attack, weaker modality and both) or "clean". ``widths`` may be chosen, and
    those of ``grid`` are tried for all combinations of image, audio and shared layers; ``methods`` round the weights.

    Sensitivity is measured on ``sensitivity_pairs`` training pairs, and on ``attacked_pairs`` drawn anew under PGD with
    ``sensitivity_steps`` steps, curvature on ``hessian_pairs`` with ``hessian_probes`` vectors. Candidates and the grid
    are judged on ``trial_pairs`` held-out pairs with ``trial_steps`` steps, the ``finalists`` on ``final_pairs`` with
    ``final_steps`` and all checks, and what is chosen on ``test_pairs`` test pairs. ``epsilon`` is L-inf. A candidate
    that loses more than ``clean_loss`` of clean accuracy against 8 bits is not chosen for robustness. ``fixed``: widths
    of layers, patterns or branches that are not to be chosen.
    """

    objective: str = "robust"
    granularity: str = "layer"
    widths: tuple[int, ...] = tuple(BITS)
    grid: tuple[int, ...] = (6, 7, 8, 9)
    fixed: tuple[tuple[str, int], ...] = ()
    methods: tuple[str, ...] = POST_TRAINING
    epsilon: float = 0.03
    clean_loss: float = 0.005
    calibration_pairs: int = 200
    sensitivity_pairs: int = 200
    attacked_pairs: int = 64
    sensitivity_steps: int = 7
    hessian_pairs: int = 200
    hessian_probes: int = 24
    trial_pairs: int = 100
    trial_steps: int = 8
    finalists: int = 4
    final_pairs: int = 200
    final_steps: int = 10
    test_pairs: int = 200
    core: str = "m4"

    def __post_init__(self) -> None:
        for name, value, allowed in (("objective", self.objective, OBJECTIVES), ("core", self.core, MEASURED_ON),
                                     ("granularity", self.granularity, GRANULARITIES)):
            if value not in allowed:
                raise UsageError(f"{name} '{value}'{nearest(value, allowed)}; use one of {', '.join(allowed)}")
        if not LEAST_EPSILON <= self.epsilon <= 1 or not 0 <= self.clean_loss <= 1:
            raise UsageError(f"epsilon {self.epsilon:g} and clean loss {self.clean_loss:g}; epsilon lies between one "
                             "input code, 1/255, and 1, and clean loss between 0 and 1")
        for field in fields(self):
            value = getattr(self, field.name)
            least = 2 if field.name == "hessian_probes" else 1
            if isinstance(value, int) and value < least:
                raise UsageError(f"{field.name} is {value}; at least {least} is expected")
        self._check_widths()
        self._check_methods()

    @property
    def label(self) -> str:
        """The objective, and a digest of what else limits the choice where that is not the default."""
        limits = {name: getattr(self, name) for name in ("granularity", "widths", "fixed", "methods")}
        default = {field.name: field.default for field in fields(self)}
        if all(value == default[name] for name, value in limits.items()):
            return self.objective
        return f"{self.objective}-{sha256_hex(repr(limits).encode())[:6]}"

    def _check_widths(self) -> None:
        for name, widths in (("widths", self.widths), ("grid", self.grid)):
            if not widths or not set(widths) <= set(BITS) or len(set(widths)) < len(widths):
                raise UsageError(f"{name} {', '.join(map(str, widths))}; name each width once, from {BITS[0]} to "
                                 f"{BITS[-1]}")
        for name, bits in self.fixed:
            if bits not in self.widths:
                raise UsageError(f"'{name}' cannot have {bits} bits: the widths to choose from are "
                                 f"{', '.join(map(str, self.widths))}; name it with --widths as well")

    def _check_methods(self) -> None:
        for method in self.methods:
            if method not in POST_TRAINING:
                raise UsageError(f"method '{method}'{nearest(method, POST_TRAINING)}; a selection may use "
                                 f"{', '.join(POST_TRAINING)}")
        if list(self.methods) != [method for method in POST_TRAINING if method in self.methods]:
            raise UsageError(f"methods {', '.join(self.methods)}; name each once, in the order "
                             f"{', '.join(POST_TRAINING)}")

    def changed(self, **values: Any) -> Settings:
        """These settings with other ``values``; None leaves a setting as it is."""
        names = [field.name for field in fields(self)]
        for name in values:
            if name not in names:
                raise UsageError(f"a selection has no setting '{name}'{nearest(name, names)}; it has "
                                 f"{', '.join(names)}")
        given: Mapping[str, Any] = {name: value for name, value in values.items() if value is not None}
        return type(self)(**{**{field.name: getattr(self, field.name) for field in fields(self)}, **given})


QUICK = Settings(widths=(2, 4, 8), grid=(6, 8), sensitivity_pairs=40, attacked_pairs=10, sensitivity_steps=2,
                 hessian_pairs=40, hessian_probes=4, trial_pairs=20, trial_steps=3, finalists=1, final_pairs=20,
                 final_steps=4, test_pairs=20, calibration_pairs=100)
"""A smoke run within three minutes; its figures carry no decision."""
