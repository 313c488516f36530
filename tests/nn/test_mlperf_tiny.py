"""The networks of MLPerf Tiny have the size of their references, and become integers at every width."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinyfuse.core.errors import UsageError
from tinyfuse.data.samples import Input
from tinyfuse.nn import zoo
from tinyfuse.nn.zoo.mlperf_tiny import MLPERF_TINY

REFERENCES = {"image-classification": ((32, 32, 3), 10, 78_666), "keyword-spotting": ((49, 10, 1), 12, 24_908),
              "visual-wake-words": ((96, 96, 3), 2, 221_794), "anomaly-detection": ((640,), 1, 269_992),
              "streaming-wake-word": ((30, 1, 40), 3, 47_707)}
"""Input shape, classes and parameters (batch norms' statistics included) of mlcommons/tiny, benchmark/training."""


def built(name: str) -> Any:
    shape, classes, _ = REFERENCES[name]
    return zoo.build(name, (Input("sensor", shape),), classes)


@pytest.mark.parametrize("name", MLPERF_TINY)
def test_has_the_parameters_of_the_reference(name: str) -> None:
    shape, classes, parameters = REFERENCES[name]
    model = built(name)
    assert model.count_params() == parameters
    found = np.asarray(model({"sensor": np.random.default_rng(0).random((2, *shape), np.float32)}, training=False))
    assert found.shape == (2, 640 if name == "anomaly-detection" else classes) and np.isfinite(found).all()
    assert not np.allclose(found.sum(axis=1), 1.0)  # logits: no softmax at the end


def test_several_inputs_are_refused() -> None:
    with pytest.raises(UsageError, match="look at one input; the data has camera, mic"):
        zoo.build("keyword-spotting", (Input("camera", (9, 9, 1)), Input("mic", (49, 10, 1))), 2)


def test_a_map_that_is_too_short_is_refused() -> None:
    with pytest.raises(UsageError, match=r"network 'streaming-wake-word' cannot take the inputs mic \[20, 1, 40\]"):
        zoo.build("streaming-wake-word", (Input("mic", (20, 1, 40)),), 3)
