"""Doubled weights folded back: the same codes as the file, with half the products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tinyfuse.integer.compare import random_codes
from tinyfuse.integer.interpreters import load
from tinyfuse.integer.twin import Twin
from tinyfuse.integer.undouble import FOLDED, fold_doubled
from tinyfuse.nn.zoo.fusion import MODELS
from tinyfuse.quantize.convert import Baseline, convert
from tinyfuse.quantize.recipe import precision

Lively = Callable[[str], tuple[Any, Baseline]]


@pytest.mark.parametrize("name", MODELS)
def test_nine_bits_are_folded_everywhere_and_compute_the_same_codes(lively: Lively, name: str) -> None:
    model = load(convert(lively(name)[1], precision("w9")).data, name=name)
    plain, folded = Twin(model.graph), Twin(fold_doubled(model.graph))
    left = [operator for operator in folded.graph.operators if operator.name == "CONCATENATION"]
    assert all(len(set(operator.inputs)) > 1 for operator in left)  # of the modalities only
    weighted = [operator for operator in folded.graph.operators if operator.name in ("CONV_2D", "FULLY_CONNECTED")]
    assert all(operator.options[FOLDED] for operator in weighted)
    assert max(int(np.abs(folded.graph.tensors[operator.inputs[1]].data).max()) for operator in weighted) > 127
    codes = random_codes(model, 5, seed=1)
    mine, theirs = folded.tensors(codes), plain.tensors(codes)
    assert mine.keys() < theirs.keys()
    assert all(np.array_equal(values, theirs[index]) for index, values in mine.items())


def test_narrow_weights_and_other_users_stay_as_they_are(lively: Lively) -> None:
    graph = load(convert(lively("image")[1], precision("w8")).data, name="image").graph
    assert fold_doubled(graph) == graph
    doubled = load(convert(lively("image")[1], precision("w9")).data, name="image").graph
    first = next(operator for operator in doubled.operators if operator.name == "CONCATENATION")
    shown = replace(doubled, outputs=(first.outputs[0],))
    assert first in fold_doubled(shown).operators  # somebody looks at the doubled tensor itself
