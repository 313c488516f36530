"""Named suites of attacks: the literature's protocol, the default, and the thorough one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tinyfuse.core.errors import UsageError, nearest


@dataclass(frozen=True)
class Entry:
    """One attack of a suite with its keyword parameters; a ``step_size`` is in input units."""

    attack: str
    parameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """A short name that tells entries of one suite apart."""
        loss = self.parameters.get("loss")
        return self.attack if loss in (None, "cross-entropy") else f"{self.attack}-{loss}"


@dataclass(frozen=True)
class Profile:
    """``last_iterate``: each attack runs on every sample at every budget, and only its last iterate counts.

    Otherwise any iterate counts, and a sample that is broken is not attacked again at larger budgets.
    """

    name: str
    entries: tuple[Entry, ...]
    last_iterate: bool = False

    def with_steps(self, steps: int) -> Profile:
        """The same suite with other numbers of steps; the literature's protocol stays what it is."""
        if self.last_iterate:
            return self
        changed = tuple(replace(entry, parameters={**entry.parameters, "steps": steps})
                        if "steps" in entry.parameters else entry for entry in self.entries)
        return replace(self, entries=changed)


PAPER = Profile("paper", (Entry("fgsm"), Entry("pgd", {"steps": 40, "step_size": 0.01})), last_iterate=True)
"""CleverHans' tutorial settings: eps_iter 0.01, 40 steps, no random start, last iterate; true labels."""

STANDARD = Profile("standard", (
    Entry("fgsm"), Entry("pgd", {"steps": 20}), Entry("pgd", {"steps": 20, "loss": "margin"})))

STRONG = Profile("strong", (
    Entry("fgsm"), Entry("pgd", {"steps": 40}), Entry("pgd", {"steps": 40, "loss": "margin", "restarts": 5}),
    Entry("mim", {"steps": 40}), Entry("square", {"queries": 1000}), Entry("corners", {"draws": 100}),
    Entry("nes", {"steps": 20})))

PROFILES: dict[str, Profile] = {profile.name: profile for profile in (PAPER, STANDARD, STRONG)}


def profile(name: str) -> Profile:
    """The suite called ``name``."""
    if name not in PROFILES:
        raise UsageError(f"unknown profile '{name}'{nearest(name, PROFILES)}; use one of {', '.join(PROFILES)}")
    return PROFILES[name]
