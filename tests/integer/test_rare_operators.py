"""What operators that few networks have refuse: cases of which TFLite Micro computes nothing, or what C leaves open."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from rare_cases import truth
from side_by_side import Net

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.model import load_model
from tinyfuse.integer.twin import Twin


def rsqrt_below_zero(net: Net) -> None:
    net.step("RSQRT", [net.input([1, 4], zero=-100)], net.tensor([1, 4]))


def rsqrt_of_huge_scales(net: Net) -> None:
    net.step("RSQRT", [net.input([1, 4], scale=1e6, zero=-128)], net.tensor([1, 4], scale=1e6))


def coarse_comparison(net: Net) -> None:
    chosen = net.step("LESS", [net.input([1, 4], scale=1.5), net.input([1, 4])], truth(net, [1, 4]))
    net.step("SELECT_V2", [chosen, net.input([1, 4]), net.input([1, 4])], net.tensor([1, 4]), "SelectV2Options")


def comparison_of_wide_codes(net: Net) -> None:
    chosen = net.step("GREATER", [net.input([1, 4], np.int16), net.input([1, 4], np.int16)], truth(net, [1, 4]))
    net.step("SELECT_V2", [chosen, net.input([1, 4]), net.input([1, 4])], net.tensor([1, 4]), "SelectV2Options")


def wide_mirror(net: Net) -> None:
    pads = net.constant(np.array([[0, 0], [3, 0]]), np.int32)
    net.step("MIRROR_PAD", [net.input([1, 3]), pads], net.tensor([1, 6]), "MirrorPadOptions", {"mode": 0})


def grids_that_differ(net: Net) -> None:
    net.step("ADD_N", [net.input([1, 3]), net.input([1, 3], scale=0.2)], net.tensor([1, 3]), "AddNOptions")


def reversed_batch(net: Net) -> None:
    net.step("REVERSE_V2", [net.input([1, 3]), net.constant(np.array([0]), np.int32)], net.tensor([1, 3]))


def one_reversed_axis(net: Net) -> None:
    net.step("REVERSE_V2", [net.input([1, 3]), net.constant(np.array(1), np.int32)], net.tensor([1, 3]))


def another_broadcast(net: Net) -> None:
    net.step("BROADCAST_TO", [net.input([1, 1]), net.constant(np.array([1, 4]), np.int32)], net.tensor([1, 3]))


def another_fill(net: Net) -> None:
    made = net.step("FILL", [net.constant(np.array([1, 4]), np.int32), net.constant(np.array(3), np.int8, [0.1], [0])],
                    net.tensor([1, 3]))
    net.step("ADD", [net.input([1, 3]), made], net.tensor([1, 3]), "AddOptions")


def coarse_division(net: Net) -> None:
    net.step("DIV", [net.input([1, 3]), net.input([1, 3])], net.tensor([1, 3]), "DivOptions")


def other_samples(net: Net) -> None:
    places = net.constant(np.array([[[1, 0]]]), np.int32)
    net.step("GATHER_ND", [net.input([1, 3]), places], net.tensor([1, 1]), "GatherNdOptions")


def any_of(net: Net) -> None:
    chosen = net.step("CAST", [net.input([1, 3])], truth(net, [1, 3]), "CastOptions")
    net.step("REDUCE_ANY", [chosen, net.constant(np.array([1]), np.int32)], truth(net, [1]), "ReducerOptions")


@pytest.mark.parametrize(("case", "words"), [
    (another_broadcast, "has shape [1, 3], but BROADCAST_TO makes [1, 4]"),
    (another_fill, "(FILL)"),
    (coarse_division, "shifts by more bits than C defines; give the output another scale"),
    (other_samples, "they must lie in [1, 3]"),
    (rsqrt_below_zero, "zero point -100; RSQRT needs -128"),
    (rsqrt_of_huge_scales, "give the tensors smaller scales"),
    (coarse_comparison, "scale 1.5; LESS needs scales below 1"),
    (comparison_of_wide_codes, "types of int8, int8 to bool"),
    (wide_mirror, "no larger than the axis mirrors"), (grids_that_differ, "one shape, scale and zero point"),
    (reversed_batch, "neighbours, without the first"), (one_reversed_axis, "takes a list of them alone")])
def test_what_is_undefined_is_refused(case: Callable[[Net], None], words: str) -> None:
    net = Net(np.random.default_rng(0))
    case(net)
    with pytest.raises(ModelError) as caught:
        Twin(load_model(net.data(), name="net").graph)
    assert words in str(caught.value).replace("\n", " ") and "operator 0" in str(caught.value)


def test_a_cast_whose_options_hold_no_type_is_refused() -> None:
    net = Net(np.random.default_rng(0))
    net.step("CAST", [net.input([1, 3])], net.tensor([1, 3]), "CastOptions", {"inDataType": 127})
    with pytest.raises(ModelError, match=r"operator 0 \(CAST\): option in_data_type is 127"):
        load_model(net.data(), name="net")


def test_what_tflm_lacks_is_named_first() -> None:
    net = Net(np.random.default_rng(0))
    any_of(net)
    with pytest.raises(ModelError, match=r"operator 1 \(REDUCE_ANY\) is not supported"):
        load_model(net.data(), name="net")
