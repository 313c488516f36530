"""Units cover every weight once, and recipes give them what was chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyfuse.core.errors import UsageError
from tinyfuse.nn import zoo
from tinyfuse.quantize.convert import Baseline, convert
from tinyfuse.quantize.recipe import BITS, read_recipe, uniform
from tinyfuse.search import costs
from tinyfuse.search.groups import by_branch, fixed_widths, recipe_of, units_of, widths_of

BOTH = ("image", "audio")
Lively = Callable[[str], tuple[Any, Baseline]]


@pytest.mark.parametrize("granularity", ["layer", "modality"])
@pytest.mark.parametrize("name", zoo.DIGIT_NETWORKS)
def test_every_weight_belongs_to_one_unit(name: str, granularity: str, lively: Lively) -> None:
    layers = lively(name)[1].layers
    units = units_of(layers, granularity, BOTH)
    assert sum(unit.weights for unit in units) == sum(layer.kernel.size for layer in layers)
    assert len({unit.name for unit in units}) == len(units)
    assert all(part.branch == unit.branch for unit in units for part in unit.parts)


@pytest.mark.parametrize("granularity", ["layer", "modality"])
@pytest.mark.parametrize("name", ["early", "late"])
@given(data=st.data())
def test_a_recipe_gives_what_was_chosen(name: str, granularity: str, data: st.DataObject, lively: Lively) -> None:
    units = units_of(lively(name)[1].layers, granularity, BOTH)
    widths = {unit.name: data.draw(st.sampled_from(BITS)) for unit in units}
    assert widths_of(units, recipe_of("r", units, widths)) == widths


def test_early_fusion_has_its_slices(lively: Lively) -> None:
    layers = lively("early")[1].layers
    assert {unit.name for unit in units_of(layers, "modality", BOTH)} == {"image", "audio", "shared"}
    names = {unit.name for unit in units_of(layers, "layer", BOTH)}
    assert {"shared_stem_conv/image", "shared_stem_conv/audio"} <= names
    mixed = read_recipe("image6-audio9-shared8")
    assert by_branch({"image": 6, "audio": 9, "shared": 8}, ()) == mixed and by_branch({"image": 6}, ()) == uniform(6)
    assert widths_of(units_of(layers, "modality", BOTH), mixed) == {"image": 6, "audio": 9, "shared": 8}


def test_widths_that_are_not_to_be_chosen(lively: Lively) -> None:
    units = units_of(lively("late")[1].layers, "layer", BOTH)
    found = fixed_widths(units, [("audio", 8), ("*_head", 9), ("audio_stem_*", 5)])
    assert found["audio_block1_conv1"] == 8 and found["shared_head"] == 9 and found["audio_stem_conv"] == 5
    assert not any(name.startswith("image") for name in found)
    for name, near in (("adio", "audio"), ("audio_stem_cnov", "audio_stem_conv")):
        with pytest.raises(UsageError, match=f"did you mean '{near}'"):
            fixed_widths(units, [(name, 8)])


@given(data=st.data())
def test_no_more_multiplications_than_counted(data: st.DataObject, lively: Lively) -> None:
    """One slice of 9 bits doubles the whole first convolution of early fusion."""
    base = lively("early")[1]
    units = units_of(base.layers, "layer", BOTH)
    widths = {unit.name: data.draw(st.sampled_from((8, 9))) for unit in units}
    sizes = costs.sizes(units, (8, 9), convert(base, uniform(8)))["macs"]
    counted = sum(sizes[row, widths[unit.name] - 8] for row, unit in enumerate(units))
    assert counted >= costs.needs(convert(base, recipe_of("r", units, widths)))["macs"]


@pytest.mark.parametrize("name", ["early", "intermediate"])
@pytest.mark.parametrize("bits", [2, 5, 8])
def test_sizes_are_those_of_the_conversion(name: str, bits: int, lively: Lively) -> None:
    base = lively(name)[1]
    units = units_of(base.layers, "layer", BOTH)
    sizes = costs.sizes(units, [bits], convert(base, uniform(8)))
    exact = costs.needs(convert(base, uniform(bits)))
    slices = sum(len(layer.parts) for layer in base.layers if len(layer.parts) > 1)
    assert 0 <= sizes["flash"].sum() - exact["flash"] <= slices
    assert sizes["macs"].sum() == exact["macs"]
