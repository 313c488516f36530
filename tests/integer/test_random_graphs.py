"""Whole graphs drawn at random, and damaged ones: the twin gives TFLite Micro's codes for every tensor, or refuses."""

from __future__ import annotations

import os
import random

import pytest
from graph_net import ENTRIES
from graphs import make_case
from hostile import mutant
from verdicts import Tally, judge, tally

GRAPHS, MANY, MUTANTS = 400, 5000, 250
FIRST = {"few": 0, "many": 1_000_000}
"""Seeds of the slow part are not those of the ordinary one."""


def test_every_graph_is_exact_or_refused() -> None:
    found = tally(map(make_case, range(FIRST["few"], FIRST["few"] + GRAPHS)))
    assert not found.wrong, found.wrong[:5]
    assert found.exact > 0.85 * GRAPHS and found.values > 100 * GRAPHS


@pytest.mark.skipif("TINYFUSE_SLOW" not in os.environ, reason="set TINYFUSE_SLOW=1 for 5,000 graphs more")
def test_every_one_of_many_graphs_is_exact_or_refused() -> None:
    found = tally(map(make_case, range(FIRST["many"], FIRST["many"] + MANY)))
    assert not found.wrong, found.wrong[:5]


def test_damaged_graphs_are_exact_or_refused() -> None:
    found = Tally()
    for seed in range(MUTANTS):
        data = mutant(make_case(seed).data, random.Random(seed))
        if data is not None:
            found.add(f"seed {seed}", judge(data))
    assert not found.wrong, found.wrong[:5]
    assert found.exact > 0.1 * MUTANTS and len(found.refusals) > 10


def test_the_generator_draws_every_operator() -> None:
    drawn = {name for seed in range(400) for name in make_case(seed).operators}
    assert drawn == set(ENTRIES)
