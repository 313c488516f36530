"""Ties and softmax: what a device answers where codes are equal decides how far the right class must lead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from one_operator import Spec, Step, build

from tinyfuse.analyses.certificates.ball import Ball
from tinyfuse.analyses.certificates.certify import Certifier
from tinyfuse.analyses.certificates.margins import Margins
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.core.errors import ModelError
from tinyfuse.integer.model import load_model
from tinyfuse.threats.norms import NORMS
from tinyfuse.threats.threat import Threat


def classifier(*, softmax: bool, scale: float = 0.1) -> TwinTarget:
    """Three codes in, the same three out (and a softmax of them)."""
    weights = 64 * np.eye(3, dtype=np.int8)
    specs = [Spec([1, 3], scale=[scale], name="x"), Spec([3, 3], scale=[1 / 64], data=weights),
             Spec([1, 3], scale=[scale]), Spec([1, 3], scale=[1 / 256], zero_point=[-128])]
    steps = [Step("FULLY_CONNECTED", [0, 1], [2], "FullyConnectedOptions", {}),
             Step("SOFTMAX", [2], [3], "SoftmaxOptions", {"beta": 1.0})]
    return TwinTarget(load_model(build(specs, steps[:1 + softmax], [0], [2 + softmax]), name="three"))


def proved(target: TwinTarget, codes: list[int], label: int, budget: int = 0) -> bool:
    batch, grids = {"x": np.array([codes], np.float32)}, target.grids or {}
    threat = Threat(NORMS["linf"], {"x": float(budget)}, {"x": (-128.0, 127.0)}, {}, lattice=True)
    return bool(Certifier(target).proved(Ball.of(threat, batch, grids), np.array([label]))[0])


def test_of_equal_codes_the_first_one_wins() -> None:
    target = classifier(softmax=False)
    assert proved(target, [5, 5, 0], 0)
    assert not proved(target, [5, 5, 0], 1)
    assert proved(target, [4, 5, 0], 1)
    assert proved(target, [10, 4, 4], 0, budget=3)
    assert not proved(target, [10, 4, 4], 0, budget=4)
    assert not proved(target, [4, 10, 4], 1, budget=3)  # 7 and 7: the first one is the answer
    assert proved(target, [3, 10, 4], 1, budget=3)


@pytest.mark.parametrize("scale", [0.5, 0.05, 0.004])
def test_a_step_survives_the_softmax_wherever_the_other_codes_lie(scale: float) -> None:
    target = classifier(softmax=True, scale=scale)
    step = Margins.of(target).step
    low = np.arange(-128, 128 - step)
    for other in (-128, 0, 127):
        codes = np.stack([low, low + step, np.full(len(low), other)], axis=1)
        codes = codes[codes[:, 1] >= codes[:, 2]]
        answers = target.twin.run({"x": codes.astype(np.int8)}).argmax(axis=1)
        assert np.all(answers == 1)
    if step > 1:
        assert not proved(target, [0, step - 1, -128], 1)


@pytest.mark.parametrize("last", [("SOFTMAX", "SoftmaxOptions", {"beta": 1.0}), ("LOGISTIC",), ("QUANTIZE",)])
def test_what_comes_after_a_softmax_is_refused(last: tuple[Any, ...]) -> None:
    """A second squashing rounds codes to one that the softmax keeps apart."""
    specs = [Spec([1, 3], name="x"), *(Spec([1, 3], scale=[1 / 256], zero_point=[-128]) for _ in range(2))]
    name, *options = last
    steps = [Step("SOFTMAX", [0], [1], "SoftmaxOptions", {"beta": 1.0}), Step(name, [1], [2], *options)]
    with pytest.raises(ModelError, match=rf"ends in SOFTMAX, {name}; bounds are taken before one softmax"):
        Certifier(TwinTarget(load_model(build(specs, steps, [0], [2]), name="three")))


def test_another_softmax_of_the_same_logits_says_nothing_about_the_output() -> None:
    specs = [Spec([1, 3], scale=[0.02], name="x"),
             *(Spec([1, 3], scale=[1 / 256], zero_point=[-128], name=name) for name in ("sharp", "flat"))]
    steps = [Step("SOFTMAX", [0], [place], "SoftmaxOptions", {"beta": beta}) for place, beta in ((1, 20.0), (2, 0.1))]
    data = build(specs, steps, [0], [1, 2])
    sharp, flat = (TwinTarget(load_model(data, name="heads", output=name)) for name in ("sharp", "flat"))
    assert proved(sharp, [4, 5, 0], 1)
    assert flat.twin.run({"x": np.array([[4, 5, 0]], np.int8)}).argmax() == 0
    assert not proved(flat, [4, 5, 0], 1)
