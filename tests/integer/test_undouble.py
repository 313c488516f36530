"""Doubled weights added up again: the same codes as the file, with half the products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tinyfuse.integer.model import load_model, random_codes
from tinyfuse.integer.twin import Twin
from tinyfuse.integer.undouble import UNDOUBLED, undoubled
from tinyfuse.nn import zoo
from tinyfuse.nn.network import Network
from tinyfuse.quantize.convert import Baseline, convert
from tinyfuse.quantize.recipe import read_recipe

Lively = Callable[[str], tuple[Network, Baseline]]


@pytest.mark.parametrize("name", zoo.DIGIT_NETWORKS)
def test_nine_bits_are_undoubled_everywhere_and_compute_the_same_codes(lively: Lively, name: str) -> None:
    model = load_model(convert(lively(name)[1], read_recipe("w9")).data, name=name)
    plain, undone = Twin(model.graph), Twin(undoubled(model.graph))
    left = [operator for operator in undone.graph.operators if operator.name == "CONCATENATION"]
    assert all(len(set(operator.inputs)) > 1 for operator in left)  # of the modalities only
    weighted = [operator for operator in undone.graph.operators if operator.name in ("CONV_2D", "FULLY_CONNECTED")]
    assert all(operator.options[UNDOUBLED] for operator in weighted)
    assert max(int(np.abs(undone.graph.tensors[operator.inputs[1]].data).max()) for operator in weighted) > 127
    codes = random_codes(model, 5, seed=1)
    mine, theirs = undone.tensors(codes), plain.tensors(codes)
    assert mine.keys() < theirs.keys()
    assert all(np.array_equal(values, theirs[index]) for index, values in mine.items())


def test_narrow_weights_and_other_users_stay_as_they_are(lively: Lively) -> None:
    graph = load_model(convert(lively("image")[1], read_recipe("w8")).data, name="image").graph
    assert undoubled(graph) == graph
    doubled = load_model(convert(lively("image")[1], read_recipe("w9")).data, name="image").graph
    first = next(operator for operator in doubled.operators if operator.name == "CONCATENATION")
    shown = replace(doubled, outputs=(first.outputs[0],))
    assert first in undoubled(shown).operators  # somebody looks at the doubled tensor itself
