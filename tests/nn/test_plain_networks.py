"""Small plain networks: where their inputs meet, and that they stay small however many inputs they have."""

from __future__ import annotations

import pytest

from tinyfuse.core.errors import UsageError
from tinyfuse.data import Input
from tinyfuse.nn import zoo
from tinyfuse.nn.origin import branch, origins, seen_inputs

SENSORS = (Input("camera", (12, 8, 3)), Input("mic", (12, 8, 1)))


@pytest.mark.parametrize(("name", "private", "common"), [
    ("plain-early", 0, 4), ("plain-intermediate", 2, 3), ("plain-late", 6, 1)])
def test_inputs_meet_at_the_depth_that_the_name_says(name: str, private: int, common: int) -> None:
    model = zoo.build(name, SENSORS, 5)
    weighted = [layer.name for layer in model.layers if type(layer).__name__ in ("Conv2D", "Dense")]
    reached = origins(model)
    assert sum(len(reached[layer]) == 1 for layer in weighted) == private
    assert sum(len(reached[layer]) == 2 for layer in weighted) == common
    assert all(layer.startswith(f"{branch(reached[layer])}_") for layer in weighted)
    assert not any(type(layer).__name__ == "Add" for layer in model.layers)
    assert zoo.build(name, SENSORS[:1], 5).output_shape == (None, 5)


def test_networks_of_one_input_look_at_that_of_their_name() -> None:
    inputs = (Input("image", (8, 8, 1)), Input("audio", (8, 8, 1)))
    assert seen_inputs(zoo.build("plain-audio", inputs, 3)) == ("audio",)
    with pytest.raises(UsageError, match="looks at the input 'image'; the data has camera, mic"):
        zoo.build("plain-image", SENSORS, 3)
