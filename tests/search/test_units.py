"""Units cover every weight once, and recipes give them what was chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyfuse.core.errors import UsageError
from tinyfuse.nn.zoo.fusion import MODELS
from tinyfuse.quantize.convert import Baseline, convert
from tinyfuse.quantize.recipe import BITS, precision
from tinyfuse.search import costs
from tinyfuse.search.groups import fixed_widths, recipe, units_of, widths_of

Lively = Callable[[str], tuple[Any, Baseline]]


@pytest.mark.parametrize("granularity", ["layer", "modality"])
@pytest.mark.parametrize("name", MODELS)
def test_every_weight_belongs_to_one_unit(name: str, granularity: str, lively: Lively) -> None:
    layers = lively(name)[1].layers
    units = units_of(layers, granularity)
    assert sum(unit.weights for unit in units) == sum(layer.kernel.size for layer in layers)
    assert len({unit.name for unit in units}) == len(units)
    assert all(part.branch == unit.branch for unit in units for part in unit.parts)


@pytest.mark.parametrize("granularity", ["layer", "modality"])
@pytest.mark.parametrize("name", ["early", "late"])
@given(data=st.data())
def test_a_recipe_gives_what_was_chosen(name: str, granularity: str, data: st.DataObject, lively: Lively) -> None:
    units = units_of(lively(name)[1].layers, granularity)
    widths = {unit.name: data.draw(st.sampled_from(BITS)) for unit in units}
    assert widths_of(units, recipe("r", units, widths)) == widths


def test_early_fusion_has_its_slices_and_unknown_granularity_is_told(lively: Lively) -> None:
    layers = lively("early")[1].layers
    assert {unit.name for unit in units_of(layers, "modality")} == {"image", "audio", "shared"}
    assert {"shared_stem_conv/image", "shared_stem_conv/audio"} <= {unit.name for unit in units_of(layers, "layer")}
    with pytest.raises(UsageError, match="did you mean 'layer'"):
        units_of(layers, "layers")
    mixed = precision("image6-audio9-shared8")
    assert widths_of(units_of(layers, "modality"), mixed) == {"image": 6, "audio": 9, "shared": 8}


def test_widths_that_are_not_to_be_chosen(lively: Lively) -> None:
    units = units_of(lively("late")[1].layers, "layer")
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
    units = units_of(base.layers, "layer")
    widths = {unit.name: data.draw(st.sampled_from((8, 9))) for unit in units}
    sizes = costs.sizes(units, (8, 9), convert(base, precision("w8")))["macs"]
    counted = sum(sizes[row, widths[unit.name] - 8] for row, unit in enumerate(units))
    assert counted >= costs.needs(convert(base, recipe("r", units, widths)))["macs"]


@pytest.mark.parametrize("name", ["early", "intermediate"])
@pytest.mark.parametrize("bits", [2, 5, 8])
def test_sizes_are_those_of_the_conversion(name: str, bits: int, lively: Lively) -> None:
    base = lively(name)[1]
    units = units_of(base.layers, "layer")
    sizes = costs.sizes(units, [bits], convert(base, precision("w8")))
    exact = costs.needs(convert(base, precision(f"w{bits}")))
    slices = sum(len(layer.parts) for layer in base.layers if len(layer.parts) > 1)
    assert 0 <= sizes["flash"].sum() - exact["flash"] <= slices
    assert sizes["macs"].sum() == exact["macs"]
