"""Random graphs behind edges and in batches: TFLite Micro on the whole file computes what the core computes."""

from __future__ import annotations

import pytest
from graph_edges import judge_whole
from graphs import make_case
from verdicts import Tally

GRAPHS = 60
BATCH = 2
FIRST = 40_000_000


@pytest.mark.parametrize("batch", [1, BATCH])
def test_the_whole_file_gives_what_the_core_gives(batch: int) -> None:
    found = Tally()
    for seed in range(FIRST, FIRST + GRAPHS):
        case = make_case(seed)
        found.add(f"seed {seed} ({', '.join(case.operators)})", judge_whole(case, batch))
    assert not found.wrong, found.wrong[:5]
    assert found.exact > GRAPHS // 6
