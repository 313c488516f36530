"""Warm-up: the first steps are shares of whole ones, beside parts that scale updates as well."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from tinyfuse.core.errors import UsageError
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.objectives.warm_up import WarmUp


def scales_of(run: Run) -> list[float]:
    samples = run.dataset.train.take(slice(0, 12))
    batch = {name: tf.constant(values) for name, values in samples.inputs.items()}
    scales = run.gradients(batch, tf.constant(samples.label), tf.constant([3, 4]))[2]
    return [float(scales[place]) for place in sorted(scales)]


def test_the_first_steps_are_shares(run_of: Callable[..., Run]) -> None:
    """6 steps in all, 4 of them warm up: 1/4 at first, 3/4 in the third step, then whole steps."""
    run = run_of("warm-up", warm_up={"share": 4 / 6})
    assert run.epochs * run.steps == 6
    for done, share in ((0, 0.25), (2, 0.75), (4, 1.0)):
        run.progress.assign(done / 6)
        assert np.allclose(scales_of(run), share) and len(scales_of(run)) == len(run.variables)


def test_it_multiplies_what_other_parts_scale(run_of: Callable[..., Run]) -> None:
    slow, both = run_of("ogm"), run_of("ogm+warm-up", warm_up={"share": 0.5})
    alone = scales_of(slow)
    assert any(found == pytest.approx(share / 3) for share in alone for found in scales_of(both))


def test_what_cannot_be_and_what_goes_on(run_of: Callable[..., Run]) -> None:
    with pytest.raises(UsageError, match="share is 1"):
        run_of("warm-up", warm_up={"share": 1.0})
    assert WarmUp().further({}) == {"share": 0.0}
