"""Agreement with CleverHans 4.0 on the same network: the yardstick of the literature's numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import analytic
import numpy as np
import pytest

from tinyfuse.attacks import FGSM, PGD, KerasTarget

pytest.importorskip("cleverhans", reason="CleverHans is in the 'dev' extra: pip install tinyfuse[dev]")

COUNT = 32
EPSILONS = (0.0, 0.01, 0.03, 0.1, 0.3)
SUBSETS = (("image",), ("audio",), ("image", "audio"))
Draw = Callable[..., tuple[dict[str, np.ndarray], np.ndarray]]


@pytest.fixture(scope="module")
def clean(samples: Draw) -> dict[str, np.ndarray]:
    return samples(COUNT)[0]


@pytest.fixture(scope="module")
def labels(samples: Draw) -> np.ndarray:
    return samples(COUNT)[1]


@pytest.fixture(scope="module")
def target(network: Any) -> KerasTarget:
    return KerasTarget(network, batch_size=COUNT)


def model_of(network: Any, clean: dict[str, np.ndarray], names: tuple[str, ...]) -> Callable[[Any], Any]:
    """CleverHans attacks one tensor: close over the other input, or stack both along the channel axis."""

    def logits(x: Any) -> Any:
        given = {name: x[..., index : index + 1] for index, name in enumerate(names)}
        return network({**clean, **given}, training=False)

    return logits


def stacked(batch: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    return np.concatenate([batch[name] for name in names], axis=-1)


@pytest.mark.parametrize("names", SUBSETS, ids="+".join)
def test_fgsm_linf_is_cleverhans_bit_for_bit(
    network: Any,
    target: KerasTarget,
    clean: dict[str, np.ndarray],
    labels: np.ndarray,
    names: tuple[str, ...],
) -> None:
    from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method

    threats = [analytic.threat("linf", dict.fromkeys(names, epsilon)) for epsilon in EPSILONS]
    ours = [FGSM().run(target, clean, labels, threat) for threat in threats]
    model = model_of(network, clean, names)
    for epsilon, found in zip(EPSILONS, ours, strict=True):
        theirs = fast_gradient_method(
            model, stacked(clean, names), epsilon, np.inf, clip_min=0.0, clip_max=1.0, y=labels
        ).numpy()
        assert stacked(found.last, names).tobytes() == theirs.tobytes()


@pytest.mark.parametrize("name", ["image", "audio"])
def test_fgm_l2_is_cleverhans_to_an_ulp(
    network: Any, target: KerasTarget, clean: dict[str, np.ndarray], labels: np.ndarray, name: str
) -> None:
    """Not bit for bit: CleverHans sums the squares in float32, we sum them in float64."""
    from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method

    budgets = (0.0, 0.5, 3.0)
    ours = [FGSM().run(target, clean, labels, analytic.threat("l2", {name: epsilon})) for epsilon in budgets]
    model = model_of(network, clean, (name,))
    for epsilon, found in zip(budgets, ours, strict=True):
        theirs = fast_gradient_method(model, clean[name], epsilon, 2, clip_min=0.0, clip_max=1.0, y=labels).numpy()
        np.testing.assert_allclose(found.last[name], theirs, rtol=0, atol=2.0**-22)
        assert np.mean(found.last[name] == theirs) > 0.9


@pytest.mark.parametrize("names", SUBSETS, ids="+".join)
@pytest.mark.parametrize(("epsilon", "step", "steps"), [(0.03, 0.01, 10), (0.1, 0.01, 20)])
def test_the_last_iterate_of_pgd_linf_is_that_of_cleverhans(
    network: Any,
    target: KerasTarget,
    clean: dict[str, np.ndarray],
    labels: np.ndarray,
    names: tuple[str, ...],
    epsilon: float,
    step: float,
    steps: int,
) -> None:
    from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

    threat = analytic.threat("linf", dict.fromkeys(names, epsilon))
    ours = stacked(PGD(steps=steps, step_size=step).run(target, clean, labels, threat).last, names)
    theirs = projected_gradient_descent(
        model_of(network, clean, names),
        stacked(clean, names),
        epsilon,
        step,
        steps,
        np.inf,
        clip_min=0.0,
        clip_max=1.0,
        y=labels,
    ).numpy()
    print(f"bitwise equal: {np.mean(ours == theirs):.4%}, largest difference {np.abs(ours - theirs).max():.3g}")
    assert np.mean(np.abs(ours - theirs) <= 1e-6) > 0.999


@pytest.mark.parametrize("name", ["image", "audio"])
def test_the_last_iterate_of_pgd_l2_is_that_of_cleverhans(
    network: Any, target: KerasTarget, clean: dict[str, np.ndarray], labels: np.ndarray, name: str
) -> None:
    from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

    ours = PGD(steps=8, step_size=0.4).run(target, clean, labels, analytic.threat("l2", {name: 1.5})).last[name]
    theirs = projected_gradient_descent(
        model_of(network, clean, (name,)), clean[name], 1.5, 0.4, 8, 2, clip_min=0.0, clip_max=1.0, y=labels
    ).numpy()
    print(f"bitwise equal: {np.mean(ours == theirs):.4%}, largest difference {np.abs(ours - theirs).max():.3g}")
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_pgd_l2_on_both_takes_cleverhans_steps_in_each_ball(
    network: Any, target: KerasTarget, clean: dict[str, np.ndarray], labels: np.ndarray
) -> None:
    """CleverHans has one norm over one tensor; two balls are its step and its clipping, once per input.

    Steps of 2.5 / 4 of each budget.
    """
    import tensorflow as tf
    from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
    from cleverhans.tf2.utils import clip_eta

    budgets, sizes, point = {"image": 1.0, "audio": 2.0}, {"image": 0.625, "audio": 1.25}, clean
    for _ in range(4):
        stepped = {
            name: fast_gradient_method(
                model_of(network, point, (name,)),
                point[name],
                sizes[name],
                2,
                clip_min=0.0,
                clip_max=1.0,
                y=labels,
            ).numpy()
            for name in budgets
        }
        point = {
            name: np.clip(clean[name] + clip_eta(tf.constant(stepped[name] - clean[name]), 2, budgets[name]), 0, 1)
            for name in budgets
        }
    ours = PGD(steps=4).run(target, clean, labels, analytic.threat("l2", budgets)).last
    for name in budgets:
        np.testing.assert_allclose(ours[name], point[name], rtol=0, atol=1e-4)
