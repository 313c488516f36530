"""Training on intervals: closed forms of the bounds, what the loss is, and what a trained network keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.random_weights import stir
from tinyfuse.core.errors import UsageError
from tinyfuse.data import Dataset, Input
from tinyfuse.nn import zoo
from tinyfuse.nn.network import Network
from tinyfuse.nn.objectives import parts_of
from tinyfuse.nn.objectives.ibp import IntervalWork
from tinyfuse.nn.objectives.ibp_bounds import Bounds
from tinyfuse.nn.objectives.ibp_initialisation import initialise, is_fresh
from tinyfuse.nn.objectives.ibp_layers import Box
from tinyfuse.nn.objectives.ibp_regularisers import regularisation
from tinyfuse.nn.objectives.robust_accuracy import Climber
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.objectives.training_threat import TrainingThreat
from tinyfuse.nn.train import TrainConfig
from tinyfuse.nn.train_or_load import train_or_load
from tinyfuse.nn.zoo.resnet8 import keras
from tinyfuse.quantize import qat
from tinyfuse.quantize.recipe import read_recipe

Runs = Callable[..., Run]
BUDGET = {"eye": 0.05, "ear": 0.02}
LINE = Input("x", (1,), -1.0, 1.0)


def bounds_of(model: Any, inputs: tuple[Input, ...], budget: Mapping[str, float],
              masks: tuple[str, ...] = ()) -> Bounds:
    return Bounds(model, TrainingThreat.of(inputs, budget, "linf", masks, "ibp"), "ibp")


def functional(build: Callable[[Any, Any], Any], *inputs: Input) -> Any:
    """A model of what ``build(layers, tensors)`` returns."""
    tensors = {one.name: keras().Input(one.shape, name=one.name) for one in inputs}
    return keras().Model(tensors, build(keras().layers, list(tensors.values())))


def test_relu_minus_itself_has_the_bounds_of_intervals() -> None:
    """The truth is [0, 1]; intervals forget that both terms are of one x."""
    model = functional(lambda layers, x: layers.Subtract()([layers.ReLU()(x[0]), x[0]]), LINE)
    bounds = bounds_of(model, (LINE,), {"x": 1.0})
    box = bounds.boxes(bounds.around({"x": tf.zeros((1, 1))}, 1.0))[bounds.last.name]
    assert (box.low.numpy().item(), box.high.numpy().item()) == (-1.0, 2.0)


def every_rule(layers: Any, inputs: Any) -> Any:
    """A network with a layer of every kind that is bounded in a way of its own."""
    x = layers.Conv2D(3, 3, strides=2, padding="same", activation="relu")(inputs[0])
    x = layers.BatchNormalization(name="eye_bn")(x)
    y = layers.BatchNormalization(name="y_bn")(layers.DepthwiseConv2D(3, padding="same")(x))
    y = layers.LeakyReLU(0.2)(y)
    x = layers.Multiply()([layers.Add()([x, y]), layers.Activation("sigmoid")(layers.Subtract()([x, y])), x])
    x = layers.Maximum()([layers.MaxPooling2D(2, 1)(x), layers.AveragePooling2D(2, 1)(x)])
    pieces = [layers.GlobalAveragePooling2D()(x), layers.Flatten()(layers.ZeroPadding2D()(x)),
              layers.Dense(4, activation="tanh")(layers.Dropout(0.5)(inputs[1]))]
    return layers.Dense(3)(layers.ReLU(max_value=1.0)(layers.Concatenate()(pieces)))


SEVERAL = (Input("eye", (6, 6, 2)), Input("ear", (5,), -1.0, 1.0))


@pytest.fixture(scope="module")
def varied() -> Any:
    model = functional(every_rule, *SEVERAL)
    stir(model, 3)
    return model


def test_no_point_of_a_box_leaves_the_bounds_of_any_tensor(varied: Any) -> None:
    rng, budget = np.random.default_rng(0), {"eye": 0.2, "ear": 0.1}
    bounds = bounds_of(varied, SEVERAL, budget)
    center = {one.name: rng.uniform(one.low, one.high, (1, *one.shape)).astype(np.float32) for one in SEVERAL}
    inputs = bounds.around(center, 1.0)
    boxes = bounds.boxes(inputs)
    tensors = keras().Model(varied.input, {layer.name: layer.output for layer in bounds.layers})
    for corners in (True, False):
        shares = {one.name: rng.random((5000, *one.shape)).astype(np.float32) for one in SEVERAL}
        shares = {name: np.round(share) if corners else share for name, share in shares.items()}
        found = tensors({name: inputs[name].low + share * 2 * inputs[name].radius for name, share in shares.items()})
        for name, box in boxes.items():
            if name in found:
                slack = 1e-5 * float(tf.reduce_max(tf.abs(found[name])))
                assert np.all(found[name] >= box.low - slack) and np.all(found[name] <= box.high + slack), name
        logits = np.asarray(found[bounds.last.name])
        for label in range(3):
            margins = np.asarray(bounds.margins(boxes, tf.constant([label])))
            assert margins[0, label] == 0 and np.all(logits[:, [label]] - logits >= margins - 1e-4)


def test_a_box_of_one_point_has_the_margins_of_the_logits(varied: Any) -> None:
    bounds = bounds_of(varied, SEVERAL, {"eye": 0.0, "ear": 0.0})
    batch = {one.name: np.random.default_rng(1).random((4, *one.shape)).astype(np.float32) for one in SEVERAL}
    logits, labels = np.asarray(varied(batch)), np.arange(4) % 3
    margins = bounds.margins(bounds.boxes(bounds.around(batch, 1.0)), tf.constant(labels))
    np.testing.assert_allclose(margins, logits[np.arange(4), labels][:, None] - logits, atol=1e-4)


def test_linear_networks_are_bounded_exactly() -> None:
    """The least (w_y - w_k) x; bounds of the logits by themselves would lose |w_y| + |w_k| - |w_y - w_k|."""
    x = Input("x", (5,))
    model = functional(lambda layers, tensors: layers.Dense(3)(tensors[0]), x)
    kernel = np.asarray(model.layers[-1].kernel)
    bounds, center = bounds_of(model, (x,), {"x": 0.1}), np.full((1, 5), 0.5, np.float32)
    margins = np.asarray(bounds.margins(bounds.boxes(bounds.around({"x": center}, 1.0)), tf.constant([2])))[0]
    rows = kernel[:, [2]] - kernel
    np.testing.assert_allclose(margins, (center @ rows)[0] - 0.1 * np.abs(rows).sum(0), atol=1e-6)


def test_boxes_keep_to_the_range_the_mask_and_the_inputs_with_a_budget() -> None:
    one, other = Input("x", (4,), valid=((0, 2),)), Input("y", (2,))
    model = functional(lambda layers, tensors: layers.Dense(2)(layers.Concatenate()(tensors)), one, other)
    bounds = bounds_of(model, (one, other), {"x": 0.2}, ("x=valid",))
    boxes = bounds.around({"x": tf.constant([[0.1, 0.9, 0.5, 0.5]]), "y": tf.constant([[0.3, 0.4]])}, 1.0)
    np.testing.assert_allclose(boxes["x"].low, [[0.0, 0.7, 0.5, 0.5]], atol=1e-7)
    np.testing.assert_allclose(boxes["x"].high, [[0.3, 1.0, 0.5, 0.5]], atol=1e-7)
    assert not np.any(boxes["y"].radius)


def test_batch_norm_in_training_is_bounded_with_the_statistics_of_the_batch() -> None:
    x = Input("x", (3,))
    model = functional(lambda layers, tensors: layers.BatchNormalization()(tensors[0]), x)
    batch = {"x": np.random.default_rng(2).random((8, 3)).astype(np.float32)}
    bounds = bounds_of(model, (x,), {"x": 0.0})
    box = bounds.boxes(bounds.around(batch, 1.0, batch))[bounds.last.name]
    np.testing.assert_allclose(box.low, model(batch, training=True), atol=1e-5)
    np.testing.assert_allclose(box.point, box.high, atol=1e-6)


@pytest.mark.parametrize(("build", "words"), [
    (lambda layers, x: layers.Softmax()(x[0]), "kind without interval bounds, Softmax"),
    (lambda layers, x: layers.Dense(2, activation="swish")(x[0]), "ends in swish"),
    (lambda layers, x: layers.Add()([(same := layers.Dense(1, name="same"))(x[0]), same(same(x[0]))]), "used 3 times"),
    (lambda layers, x: x[0] * 2.0, "kind without interval bounds, TFOpLambda")])
def test_what_has_no_bounds_is_refused_in_a_line(build: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        bounds_of(functional(build, LINE), (LINE,), {"x": 0.1})
    assert "\n" not in str(caught.value)


def test_a_part_with_a_head_of_its_own_is_refused_before_training(run_of: Runs) -> None:
    with pytest.raises(UsageError, match="ibp and crmt cannot be parts of one objective"):
        run_of("crmt+ibp").works[1].prepare()


@pytest.mark.parametrize(("part", "settings", "words"), [
    ("ibp", {"kappa": 2.0}, "kappa"), ("ibp", {"natural": 0.5, "ramp": 0.5}, "less than 1"),
    ("ibp", {"tolerance": 0.0}, "tolerance"), ("sabr", {"share": 0.0}, "share"), ("sabr", {"steps": 0}, "steps"),
    ("mtl-ibp", {"alpha": -1.0}, "alpha")])
def test_settings_out_of_range_are_refused_in_a_line(part: str, settings: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parts_of(part, {part: settings})


def test_initial_weights_keep_the_width_of_intervals() -> None:
    sensors = (Input("eye", (12, 12, 1)), Input("ear", (12, 12, 1)))
    model = zoo.build("plain-late", sensors, 4)
    assert is_fresh(model)
    initialise(model, 0)
    bounds = bounds_of(model, sensors, {"eye": 0.05, "ear": 0.05})
    center = {one.name: np.full((2, *one.shape), 0.5, np.float32) for one in sensors}
    boxes = bounds.boxes(bounds.around(center, 1.0))
    for relu, _ in bounds.readers(("ReLU",)):
        assert 0.5 < float(tf.reduce_mean(boxes[relu].radius)) / 0.05 < 2, relu
    model.layers[-1].bias.assign_add(tf.ones(4))
    assert not is_fresh(model)


def test_kernels_that_read_a_sum_are_half_as_large() -> None:
    def build(layers: Any, x: Any) -> Any:
        both = layers.Add()([layers.Dense(100, name="a")(x[0]), x[0]])
        return layers.Dense(200, name="b")(layers.ReLU()(both))

    model = functional(build, Input("x", (100,)))
    initialise(model, 1)
    expected = np.sqrt(2 * np.pi) / 100
    deviations = [float(np.std(np.asarray(model.get_layer(name).kernel))) for name in "ab"]
    np.testing.assert_allclose(deviations, [expected, expected / 2], rtol=0.05)


def test_regularisers_vanish_within_the_tolerance() -> None:
    """Width 4 over 1: (0.5 - 0.25) / 0.5; middles 1, 1, -1: means weigh 2 to 1, which the tolerance of 0.5 allows."""
    inputs = {"x": Box(tf.constant([[0.0]]), tf.constant([[2.0]]))}
    middles = tf.constant([[10.0, 10.0, -10.0]])
    wide = Box(middles - 4.0, middles + 4.0)
    assert float(regularisation(inputs, [wide], 0.5)) == pytest.approx(0.5)
    narrow = Box(middles - 1.0, middles + 1.0)
    assert float(regularisation(inputs, [narrow], 0.5)) == 0.0
    # Means 20 to 10, and squares about 10 / 3: 2 * 44.4 to 177.8, both ratios 0.5: 0.75 asks for half again.
    assert float(regularisation(inputs, [narrow], 0.75)) == pytest.approx(2 / 3)


def loss_of(run: Run, progress: float) -> float:
    run.progress.assign(progress)
    samples = run.dataset.train
    batch = {name: tf.constant(values[:20]) for name, values in samples.inputs.items()}
    return float(run.loss(run.step(batch, tf.constant(samples.label[:20]), tf.constant([0, 1]))))


def test_the_loss_weighs_both_cross_entropies_as_the_schedule_says(run_of: Runs) -> None:
    settings = {"budget": BUDGET, "natural": 0.2, "ramp": 0.4, "kappa": 0.5, "regularise": 0.0}
    run = run_of("ibp", ibp=settings)
    work = run.works[0]
    assert isinstance(work, IntervalWork)
    natural, batch = loss_of(run_of("plain"), 0.0), {n: v[:20] for n, v in run.dataset.train.inputs.items()}
    labels = tf.constant(run.dataset.train.label[:20])

    def bounded(share: float) -> float:
        boxes = work.bounds.boxes(work.bounds.around(batch, share))
        return float(tf.reduce_mean(work._bounded(boxes, labels)))

    assert loss_of(run, 0.1) == natural and bounded(0.0) == pytest.approx(natural, rel=1e-5)
    assert loss_of(run, 0.4) == pytest.approx(0.75 * natural + 0.25 * bounded(0.5), rel=1e-5)
    assert loss_of(run, 0.9) == pytest.approx(0.5 * natural + 0.5 * bounded(1.0), rel=1e-5)
    assert bounded(1.0) > bounded(0.5) > natural


def test_kappa_one_is_natural_training_bit_by_bit(run_of: Runs) -> None:
    off = {"budget": BUDGET, "kappa": 1.0, "regularise": 0.0, "clip": 0.0, "initialise": False}

    def gradients(run: Run) -> list[np.ndarray]:
        run.progress.assign(0.9)
        batch = {name: tf.constant(values[:20]) for name, values in run.dataset.train.inputs.items()}
        found = run.gradients(batch, tf.constant(run.dataset.train.label[:20]), tf.constant([0, 1]))
        return [np.asarray(one) for one in (found[0], *found[1])]

    plain = gradients(run_of("plain"))
    for one, other in zip(gradients(run_of("ibp", ibp=off)), plain, strict=True):
        np.testing.assert_array_equal(one, other)
    assert gradients(run_of("ibp", ibp=off | {"kappa": 0.5}))[0] > plain[0]
    clipped = gradients(run_of("ibp", ibp=off | {"clip": 0.01}))[1:]
    assert np.sqrt(sum(float(np.square(one).sum()) for one in clipped)) == pytest.approx(0.01, rel=1e-4)


def test_small_boxes_of_the_whole_budget_and_all_weight_on_intervals_are_ibp(run_of: Runs) -> None:
    common = {"budget": BUDGET, "regularise": 0.0}
    wanted = loss_of(run_of("ibp", ibp=common), 1.0)
    assert loss_of(run_of("sabr", sabr=common | {"share": 1.0}), 1.0) == pytest.approx(wanted, rel=1e-6)
    assert loss_of(run_of("mtl-ibp", mtl_ibp=common | {"alpha": 1.0}), 1.0) == pytest.approx(wanted, rel=1e-6)
    assert loss_of(run_of("sabr", sabr=common | {"share": 0.2}), 1.0) < wanted


def test_small_boxes_lie_in_the_whole_box_and_off_its_middle(run_of: Runs) -> None:
    run = run_of("sabr", sabr={"budget": BUDGET, "share": 0.25})
    run.progress.assign(1.0)
    work: Any = run.works[0]
    clean = {name: tf.constant(values[:20]) for name, values in run.dataset.train.inputs.items()}
    step = run.step(clean, tf.constant(run.dataset.train.label[:20]), tf.constant([0, 1]))
    center, _, share = work.around(step)
    small, whole = work.bounds.around(center, share), work.bounds.around(clean, 1.0)
    for name, box in whole.items():
        assert np.all(small[name].low >= box.low - 1e-6) and np.all(small[name].high <= box.high + 1e-6)
        assert float(tf.reduce_max(tf.abs(center[name] - clean[name]))) == pytest.approx(0.75 * BUDGET[name], rel=1e-4)


@pytest.fixture(scope="module")
def trained(senses: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Network:
    config = TrainConfig(epochs=15, batch_size=20, learning_rate=0.02, objective="ibp", settings={
        "ibp": {"budget": BUDGET, "kappa": 0.2}})
    return train_or_load("small-late", senses, config, tmp_path_factory.mktemp("certified"))


def test_certified_at_most_what_withstands_pgd_at_most_clean(senses: Dataset, trained: Network) -> None:
    run = Run(trained.model, senses, parts_of("ibp", {"ibp": {"budget": BUDGET}}), 0, 15, 3)
    work: Any = run.works[0]
    climber = Climber(run, work.threat)
    clean, labels = climber.batch(senses.test)
    sizes, point = climber.sizes(work.threat.attacked), clean
    right = withstood = climber.right(clean, labels)
    for _ in range(40):
        point = climber.climb(point, clean, labels, sizes, 0.1)
        withstood = withstood & climber.right(point, labels)
    certified = np.asarray(work.bounds.certified(clean, labels))
    assert not np.any(certified & ~withstood) and not np.any(withstood & ~right)
    assert certified.mean() > 0.7
    assert trained.table["objective"]["ibp"]["certified"]["test"] == pytest.approx(certified.mean())


def test_rounded_networks_are_bounded_as_they_round(senses: Dataset, trained: Network, tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    seen, made = [], IntervalWork.finish

    def finish(work: IntervalWork) -> Any:
        seen.append(work)
        return made(work)

    monkeypatch.setattr(IntervalWork, "finish", finish)
    found = qat.train_or_load(trained, read_recipe("w4-qat"), senses, tmp_path, epochs=1)
    assert found.table["qat"]["settings"]["ibp"]["ramp"] == 0.0
    bounds, inputs = seen[0].bounds, senses.test.inputs
    assert bounds.rounded
    grid = {name: np.round(values * 255) / 255 for name, values in inputs.items()}
    labels = tf.constant(senses.test.label)
    point = bounds.margins(bounds.boxes(bounds.around(inputs, 0.0)), labels)
    logits = np.asarray(bounds.model({name: tf.constant(values, "float32") for name, values in grid.items()}))
    np.testing.assert_allclose(point, logits[np.arange(30), senses.test.label][:, None] - logits, atol=1e-4)
    ends = bounds.around(inputs, 1.0)
    for box in ends.values():
        codes = np.asarray(box.low) * 255
        np.testing.assert_allclose(codes, np.round(codes), atol=1e-4)
        assert np.any(np.asarray(box.radius) > 0)
    rng = np.random.default_rng(0)
    low = np.asarray(bounds.margins(bounds.boxes(ends), labels))
    for _ in range(20):
        drawn = {n: np.clip(v + rng.choice([-1, 1], v.shape) * BUDGET[n], 0, 1) for n, v in inputs.items()}
        read = {n: tf.constant(np.round(v * 255) / 255, "float32") for n, v in drawn.items()}
        logits = np.asarray(bounds.model(read))
        assert np.all(logits[np.arange(30), senses.test.label][:, None] - logits >= low - 1e-4)
