"""The template of an attack is an attack: it registers, decodes, and runs alone and in a suite."""

from __future__ import annotations

import analytic
import numpy as np
import pytest

from tinyfuse.attacks import ATTACKS, FGSM, Profile, attack_of, audit
from tinyfuse.attacks.attack import register
from tinyfuse.attacks.suite import Cell, run_suite
from tinyfuse.attacks.TEMPLATE import Fade


def test_the_template_registers_and_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ATTACKS, Fade.name, FGSM)  # so that it is taken out again
    register(Fade)
    assert attack_of("fade", {"strengths": 3}) == Fade(strengths=3)
    random = np.random.default_rng(0)
    weights = {"image": random.normal(0, 1, (36, 3)), "audio": random.normal(0, 1, (8, 3))}
    target = analytic.linear(weights, -0.5 * sum(w.sum(axis=0) for w in weights.values()))
    batch = {"image": random.uniform(0, 1, (40, 6, 6, 1)).astype(np.float32),
             "audio": random.uniform(0, 1, (40, 8)).astype(np.float32)}
    labels = target.logits(batch).argmax(axis=1)
    threat = analytic.threat("linf", {"image": 0.5, "audio": 0.5})
    found = Fade().run(target, batch, labels, threat)
    audit(found.strongest, batch, threat)
    assert found.broken.any() and np.array_equal(target.logits(found.strongest).argmax(axis=1) != labels, found.broken)
    suite = Profile("own", (FGSM(), Fade()))
    (outcome,) = run_suite(target, batch, labels, [Cell("all", 0.5, threat)], suite)
    assert not (found.broken & ~outcome.broken).any()
