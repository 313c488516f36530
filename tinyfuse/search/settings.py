"""What decides a selection, beside the network and the data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from tinyfuse.checks.firmware_cost import MEASURED_ON
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.core.files import sha256_hex
from tinyfuse.core.strict import decode, encode
from tinyfuse.quantize.recipe import BITS, METHODS, QAT
from tinyfuse.threats.budgets import Spent, check_epsilons

Objective = Literal["robust", "clean", "certified"]
POST_TRAINING = tuple(name for name in METHODS if name != QAT)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """``objective``: "robust" (under attack, on the weakest input alone and on all), "clean", or "certified" (what no
    attack on all inputs can break; until the finals, "robust" stands for it). ``widths`` may be chosen, those of
    ``grid`` are tried for all combinations of branches, and ``fixed`` ones (of layers, patterns or branches) stay;
    ``methods`` round the weights.

    Sensitivity is measured on training samples, on ``attacked_samples`` of them by PGD, and curvature with
    ``hessian_probes`` vectors. Candidates have their trial on held-out samples, the ``finalists`` are judged there with
    all checks, and what is chosen on test samples. ``epsilon`` is L-inf, one number or one for each input. A candidate
    that loses more than ``clean_loss`` of clean accuracy against 8 bits is not chosen for robustness.
    """

    objective: Objective = "robust"
    granularity: Literal["layer", "modality"] = "layer"
    widths: tuple[int, ...] = tuple(BITS)
    grid: tuple[int, ...] = (6, 7, 8, 9)
    fixed: tuple[tuple[str, int], ...] = ()
    methods: tuple[str, ...] = POST_TRAINING
    epsilon: Spent = 0.03
    clean_loss: float = 0.005
    calibration_samples: int = 200
    sensitivity_samples: int = 200
    attacked_samples: int = 64
    sensitivity_steps: int = 7
    hessian_samples: int = 200
    hessian_probes: int = 24
    trial_samples: int = 100
    trial_steps: int = 8
    finalists: int = 4
    final_samples: int = 200
    final_steps: int = 10
    test_samples: int = 200
    core: str = "m4"

    def __post_init__(self) -> None:
        if self.core not in MEASURED_ON:
            raise UsageError(f"core '{self.core}'{nearest(self.core, MEASURED_ON)}; use one of "
                             f"{', '.join(MEASURED_ON)}")
        if not 0 <= self.clean_loss <= 1:
            raise UsageError(f"clean loss {self.clean_loss:g}; it lies between 0 and 1")
        check_epsilons((self.epsilon,), "selection")
        for field in fields(self):
            value, least = getattr(self, field.name), 2 if field.name == "hessian_probes" else 1
            if isinstance(value, int) and value < least:
                raise UsageError(f"{field.name} is {value}; at least {least} is expected")
        self._check_widths()
        if self.methods != tuple(method for method in POST_TRAINING if method in self.methods):
            unknown = next((method for method in self.methods if method not in POST_TRAINING), "")
            raise UsageError(f"methods {', '.join(self.methods)}{nearest(unknown, POST_TRAINING)}; a selection may use "
                             f"each of these once, in the order {', '.join(POST_TRAINING)}")

    def _check_widths(self) -> None:
        for name, widths in (("widths", self.widths), ("grid", self.grid)):
            if not widths or not set(widths) <= set(BITS) or len(set(widths)) < len(widths):
                raise UsageError(f"{name} {', '.join(map(str, widths))}; name each width once, from {BITS[0]} to "
                                 f"{BITS[-1]}")
        for name, bits in self.fixed:
            if bits not in self.widths:
                raise UsageError(f"'{name}' cannot have {bits} bits: the widths to choose from are "
                                 f"{', '.join(map(str, self.widths))}; name it with --widths as well")

    @property
    def label(self) -> str:
        """The objective, and a digest of what else limits the choice where that is not the default."""
        limits = {name: getattr(self, name) for name in ("granularity", "widths", "fixed", "methods")}
        if limits == {field.name: field.default for field in fields(self) if field.name in limits}:
            return self.objective
        return f"{self.objective}-{sha256_hex(repr(limits).encode())[:6]}"

    def changed(self, **values: Any) -> Settings:
        """These settings with other ``values``; None leaves a setting as it is."""
        return decode(Settings, asdict(self) | encode(values), "selection", UsageError)


QUICK = Settings(widths=(2, 4, 8), grid=(6, 8), sensitivity_samples=40, attacked_samples=10, sensitivity_steps=2,
                 hessian_samples=40, hessian_probes=4, trial_samples=20, trial_steps=3, finalists=1, final_samples=20,
                 final_steps=4, test_samples=20, calibration_samples=100)
"""A smoke run within three minutes; its figures carry no decision."""
