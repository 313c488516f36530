"""A certificate as ``metadata.json`` of a package has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tinyfuse.core.errors import DataError


@dataclass(frozen=True)
class CertificateTable:
    """For the ``share`` (with its 95 % interval) of ``n`` samples no attack within the budget changes the class.

    ``attacked`` inputs, ``budget`` by input in its units; ``threat``: "codes" (G) or "real" (R). ``methods`` bounded
    the integers of ``executor``. ``data_checksum``: of the data. ``answers``: the class of each input of this
    certificate in ``extras/certified.bin``, made of certified samples: all clean, then as PGD leaves them, then at
    random corners of the budget.
    """

    attacked: tuple[str, ...]
    norm: str
    threat: str
    budget: Mapping[str, float] = field(hash=False)
    share: float
    low: float
    high: float
    n: int
    data_checksum: str
    executor: str
    methods: tuple[str, ...]
    answers: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.share <= self.high <= 1 or self.n < 1:
            raise DataError(f"certificate: {self.share:g} ({self.low:g} to {self.high:g}) of {self.n} is no share")

    def text(self) -> str:
        """Say what is certified in a line."""
        budget = ", ".join(f"{name} {size:.4g}" for name, size in self.budget.items())
        share, low, high = (f"{100 * one:.1f}" for one in (self.share, self.low, self.high))
        return (f"certified: {share} % ({low} to {high}) of {self.n} samples against any attack on "
                f"{' and '.join(self.attacked)} ({self.norm} {budget}, threat model {self.threat})")
