"""The tf_keras target: bound by name, independent of the number of samples, never retraced, logits only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import analytic
import numpy as np
import pytest

from tinyfuse.attacks import FGSM, PGD, KerasTarget
from tinyfuse.core.errors import TinyfuseError, UsageError

Draw = Callable[..., tuple[dict[str, np.ndarray], np.ndarray]]


@pytest.fixture(scope="module")
def target(network: Any) -> KerasTarget:
    return KerasTarget(network, batch_size=8)


def test_logits_are_those_of_the_model_bound_by_name(network: Any, target: KerasTarget, samples: Draw) -> None:
    clean, _ = samples(8)
    expected = network([clean["image"], clean["audio"]], training=False).numpy()
    swapped = {"extra": np.zeros((8, 3)), "audio": clean["audio"], "image": clean["image"]}
    np.testing.assert_allclose(target.logits(swapped), expected, atol=1e-5)
    assert target.inputs == ("image", "audio") and target.executor == "keras" and target.grids is None


@pytest.mark.parametrize("count", [1, 3, 8, 9, 20])
def test_a_sample_does_not_depend_on_how_many_others_there_are(target: KerasTarget, samples: Draw, count: int) -> None:
    clean, labels = samples(24)
    whole, part = (
        target.gradient({name: x[:n] for name, x in clean.items()}, labels[:n], ("image", "audio")) for n in (24, count)
    )
    assert np.array_equal(part.logits, whole.logits[:count]) and np.array_equal(part.loss, whole.loss[:count])
    for name in clean:
        assert np.array_equal(part.wrt[name], whole.wrt[name][:count])


def test_a_sample_does_not_depend_on_its_place(target: KerasTarget, samples: Draw) -> None:
    """Survivors of an attack move up, next to samples that are attacked with other budgets."""
    clean, labels = samples(24)
    order = np.random.default_rng(0).permutation(24)
    there, here = (target.gradient({name: x[rows] for name, x in clean.items()}, labels[rows], ("image", "audio"))
                   for rows in (np.arange(24), order))
    assert np.array_equal(here.logits, there.logits[order])
    for name in clean:
        assert np.array_equal(here.wrt[name], there.wrt[name][order])


def test_the_gradient_is_the_slope_of_the_loss(network: Any, samples: Draw) -> None:
    """A central difference in float32 along a random direction, against the inner product."""
    clean, labels = samples(4)
    target, random = KerasTarget(network, batch_size=4), np.random.default_rng(0)
    found = target.gradient(clean, labels, ("image", "audio"))
    for name in clean:
        direction = random.normal(0, 1, clean[name].shape).astype(np.float32)
        step = np.float32(1e-3)
        up, down = (
            target.gradient({**clean, name: clean[name] + sign * step * direction}, labels, ("image",)).loss
            for sign in (1, -1)
        )
        slope = (up - down) / (2 * step)
        np.testing.assert_allclose((found.wrt[name] * direction).sum(axis=(1, 2, 3)), slope, rtol=0.05, atol=0.05)


def test_one_joint_gradient_is_each_single_gradient_bit_for_bit(target: KerasTarget, samples: Draw) -> None:
    clean, labels = samples(16)
    both = target.gradient(clean, labels, ("image", "audio"))
    for name in clean:
        single = target.gradient(clean, labels, (name,))
        assert list(single.wrt) == [name]
        assert np.array_equal(single.wrt[name], both.wrt[name])


def test_budgets_masks_and_sample_counts_do_not_retrace(network: Any, samples: Draw) -> None:
    target = KerasTarget(network, batch_size=8)
    mask = np.ones((28, 28, 1), np.float32)
    mask[:5] = 0
    for count, epsilon in ((3, 0.01), (8, 0.02), (17, 0.5)):
        clean, labels = samples(count)
        threat = analytic.threat("linf", {"image": epsilon, "audio": epsilon}, mask={"audio": mask})
        FGSM().run(target, clean, labels, threat)
        PGD(steps=3).run(target, clean, labels, threat)
    compiled: list[Any] = [target._forward, *target._backward.values()]
    assert [function.experimental_get_tracing_count() for function in compiled] == [1, 1]


def test_new_weights_are_seen_without_a_new_target(network: Any, target: KerasTarget, samples: Draw) -> None:
    clean, _ = samples(8)
    before, weights = target.logits(clean), network.get_weights()
    network.set_weights([w * 1.5 for w in weights])
    after = target.logits(clean)
    network.set_weights(weights)
    assert not np.allclose(before, after) and np.array_equal(before, target.logits(clean))


def test_batch_norm_runs_in_inference_mode(network: Any, target: KerasTarget, samples: Draw) -> None:
    weights = network.get_weights()
    clean, labels = samples(8)
    target.gradient(clean, labels, ("image",))
    assert all(np.array_equal(a, b) for a, b in zip(weights, network.get_weights(), strict=True))


def test_an_input_that_the_model_ignores_has_gradient_zero(samples: Draw) -> None:
    import tf_keras as keras

    image, audio = keras.Input((28, 28, 1), name="image"), keras.Input((28, 28, 1), name="audio")
    logits = keras.layers.Dense(10)(keras.layers.Flatten()(image))
    target = KerasTarget(keras.Model([image, audio], logits), batch_size=4)
    clean, labels = samples(4)
    found = [FGSM().run(target, clean, labels, analytic.threat("linf", {name: 0.1})) for name in ("audio", "image")]
    assert found[0].zero_gradient.all() and not found[1].zero_gradient.any()
    assert np.array_equal(found[0].last["audio"], clean["audio"])


def test_a_softmax_output_is_refused(network: Any, samples: Draw) -> None:
    import tf_keras as keras

    target = KerasTarget(keras.Model(network.inputs, keras.layers.Softmax()(network.outputs[0])), batch_size=4)
    clean, labels = samples(4)
    for call in (lambda: target.logits(clean), lambda: target.gradient(clean, labels, ("image",))):
        with pytest.raises(TinyfuseError, match="returns probabilities"):
            call()


def test_a_network_that_looks_at_some_inputs_needs_no_others(samples: Draw) -> None:
    import tf_keras as keras

    image, audio = keras.Input((28, 28, 1), name="image"), keras.Input((28, 28, 1), name="audio")
    model = keras.Model([image, audio], keras.layers.Dense(10)(keras.layers.Flatten()(image)))
    every, some = KerasTarget(model, batch_size=4), KerasTarget(model, ("image",), batch_size=4)
    clean, labels = samples(5)
    alone = {"image": clean["image"]}
    assert some.inputs == ("image",) and some.logits(alone).tobytes() == every.logits(clean).tobytes()
    ours, theirs = some.gradient(alone, labels, ("image",)), every.gradient(clean, labels, ("image",))
    assert ours.wrt["image"].tobytes() == theirs.wrt["image"].tobytes() and ours.wrt["image"].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"batch_size": 0}, "batch_size is 0"),
     ({"inputs": ("imgae",)}, r"'small' has no input 'imgae' \(did you mean 'image'\?\)")],
)
def test_wrong_settings_are_refused(network: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        KerasTarget(network, **arguments)


def test_requests_that_do_not_fit_the_model_are_refused_in_one_line(target: KerasTarget, samples: Draw) -> None:
    clean, labels = samples(2)
    for call, message in (
        (lambda: target.logits({"image": clean["image"]}), "needs input 'audio'; the batch holds image"),
        (lambda: target.logits({**clean, "audio": clean["audio"][:, :5]}), "takes \\[n, 28, 28, 1\\]"),
        (lambda: target.gradient(clean, labels, ("adio",)), r"no input 'adio' \(did you mean 'audio'\?\)"),
        (lambda: target.gradient(clean, np.array([0, 10]), ("image",)), "a label is 10, but 'small' has 10"),
    ):
        with pytest.raises(UsageError, match=message):
            call()
