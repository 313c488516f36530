"""The attacks by name, and suites of them: the literature's protocol, the default, and the thorough one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tinyfuse.attacks.attack import ATTACKS, Attack, SampleAttack, register
from tinyfuse.attacks.evolution import NES, SPSA
from tinyfuse.attacks.pgd import DIVA, FGM, FGSM, MIM, PGD
from tinyfuse.attacks.query_search import Corners
from tinyfuse.attacks.square import Square
from tinyfuse.attacks.universal import Universal
from tinyfuse.attacks.universal_pgd import UniversalPGD
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.core.strict import decode
from tinyfuse.threats.norms import norm_of

for _kind in (FGSM, FGM, PGD, MIM, Square, Corners, NES, SPSA, Universal, UniversalPGD, DIVA):
    register(_kind)


def attack_of(name: str, settings: Mapping[str, Any] | None = None) -> Attack:
    """Build attack ``name`` from the ``settings`` of a row or a command line; raise UsageError if it refuses them."""
    if name not in ATTACKS:
        raise UsageError(f"unknown attack '{name}'{nearest(name, ATTACKS)}; use one of {', '.join(ATTACKS)}")
    given = {key: value for key, value in (settings or {}).items() if key != "name"}
    return decode(ATTACKS[name], given, name, UsageError)


@dataclass(frozen=True)
class Profile:
    """``last_iterate``: each attack runs on every sample at every budget, and only its last iterate counts.

    Otherwise any iterate counts, and a sample that is broken is not attacked again at larger budgets.
    """

    name: str
    attacks: tuple[SampleAttack, ...]
    last_iterate: bool = False

    @property
    def steps(self) -> int:
        """The largest number of steps of any attack."""
        return max(getattr(attack, "steps", 1) for attack in self.attacks)

    def check_norm(self, norm: str) -> None:
        """Raise UsageError for an unknown ``norm``, or one that an attack of the suite is not defined for."""
        for attack in self.attacks:
            if norm_of(norm).name not in attack.norms:
                raise UsageError(f"profile {self.name}: {attack.name} is defined for {' and '.join(attack.norms)}, not "
                                 f"for {norm}; choose another profile, or single attacks")

    def with_steps(self, steps: int) -> Profile:
        """Return the same suite with other numbers of steps; the literature's protocol stays what it is."""
        if self.last_iterate:
            return self
        changed: Any = {"steps": steps}
        return replace(self, attacks=tuple(replace(attack, **changed) if hasattr(attack, "steps") else attack
                                           for attack in self.attacks))


PAPER = Profile("paper", (FGSM(), PGD(steps=40, step_size=0.01)), last_iterate=True)
"""CleverHans' tutorial settings: eps_iter 0.01, 40 steps, no random start, last iterate; true labels."""

STANDARD = Profile("standard", (FGSM(), PGD(steps=20), PGD(steps=20, loss="margin")))

STRONG = Profile("strong", (
    FGSM(), PGD(steps=40), PGD(steps=40, loss="margin", restarts=5), MIM(steps=40), Square(queries=1000),
    Corners(draws=100), NES(steps=20)))

PROFILES: dict[str, Profile] = {profile.name: profile for profile in (PAPER, STANDARD, STRONG)}


def profile(name: str) -> Profile:
    """Return the suite called ``name``."""
    if name not in PROFILES:
        raise UsageError(f"unknown profile '{name}'{nearest(name, PROFILES)}; use one of {', '.join(PROFILES)}")
    return PROFILES[name]
