"""Whole graphs drawn at random, and damaged ones: the twin gives TFLite Micro's codes for every tensor, or refuses."""

from __future__ import annotations

import random

from graph_net import ENTRIES
from graphs import make_case
from hostile import mutant
from verdicts import Tally, judge, tally

GRAPHS, MUTANTS = 5000, 250


def test_every_graph_is_exact_or_refused() -> None:
    found = tally(map(make_case, range(GRAPHS)))
    assert not found.wrong, found.wrong[:5]
    assert found.exact > 0.85 * GRAPHS and found.values > 100 * GRAPHS


def test_damaged_graphs_are_exact_or_refused() -> None:
    found = Tally()
    for seed in range(MUTANTS):
        data = mutant(make_case(seed).data, random.Random(seed))
        if data is not None:
            found.add(f"seed {seed}", judge(data))
    assert not found.wrong, found.wrong[:5]
    assert found.exact > 0.1 * MUTANTS and len(found.refusals) > 10


def test_the_generator_draws_every_operator() -> None:
    drawn = {name for seed in range(600) for name in make_case(seed).operators}
    assert drawn >= set(ENTRIES)
