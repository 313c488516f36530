"""Clipping, compensated rounding and bias correction do what their equations say, and networks of few bits gain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinyfuse.core.errors import RecipeError
from tinyfuse.data import Dataset
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import dequantize, load_model
from tinyfuse.nn import zoo
from tinyfuse.nn.network import Network, load_network
from tinyfuse.nn.predict import predict
from tinyfuse.quantize.convert import Baseline, baseline, convert
from tinyfuse.quantize.folded_layers import FoldedLayer
from tinyfuse.quantize.readback import check_written
from tinyfuse.quantize.recipe import read_recipe
from tinyfuse.quantize.refinement import Moments, Refinement, input_moments
from tinyfuse.quantize.roundings import bias, gptq, mse
from tinyfuse.quantize.weight_codes import LEAST_REACH, RoundedLayer, Slice, check, quantize
from tinyfuse.study.stages.convert import prove

Lively = Callable[[str], tuple[Network, Baseline]]
NETWORKS = Path(__file__).resolve().parents[2] / "models" / "digits"
EVERY = "-mse-gptq-bias"
CHANNELS, INPUTS = 4, 3
SIZE = 2 * 2 * INPUTS
NO_BIAS = np.zeros(CHANNELS)

widths = st.integers(2, 9)
seeds = st.integers(0, 2**32 - 1)
kernels = arrays(np.float64, (CHANNELS, 2, 2, INPUTS), elements=st.floats(-4, 4, allow_subnormal=False).map(
    lambda value: 0.0 if abs(value) < 1e-6 else value))
slices = st.builds(lambda first, second: (Slice(0, 1, "image", first), Slice(1, INPUTS, "audio", second)),
                   widths, widths) | st.builds(lambda bits: (Slice(0, INPUTS, "shared", bits),), widths)


def random_moment(seed: int, patches: int = 40) -> np.ndarray:
    """H of correlated, not negative inputs, some of them always 0."""
    generator = np.random.default_rng(seed)
    x = np.maximum(generator.normal(0.3, 1, (patches, 5)) @ generator.normal(0, 1, (5, SIZE)), 0)
    x[:, generator.random(SIZE) < 0.1] = 0
    return np.asarray(x.T @ x / patches)


def random_kernel(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (CHANNELS, 2, 2, INPUTS))


def rounded_layer(kernel: np.ndarray, parts: Sequence[Slice], moment: np.ndarray,
                  least_scale: np.ndarray = NO_BIAS) -> RoundedLayer:
    """A layer with the nearest codes of the whole range."""
    codes = quantize(kernel, parts, least_scale=least_scale)
    return RoundedLayer(kernel, NO_BIAS, codes, least_scale, np.zeros(SIZE), moment)


@pytest.mark.parametrize("name", zoo.DIGIT_NETWORKS)
def test_moments_are_those_of_the_patches_that_keras_sees(name: str, lively: Lively, tiny_dataset: Dataset) -> None:
    from tf_keras import Model

    model, samples = lively(name)[0].model, tiny_dataset.train.take(slice(0, 30))
    moments = input_moments(model, samples)
    layers = [layer for layer in model.layers if type(layer).__name__ in ("Conv2D", "Dense")]
    assert set(moments) == {layer.name for layer in layers}
    outputs = Model(model.input, [layer.output for layer in layers])(samples.inputs, training=False)
    for layer, found in zip(layers, outputs, strict=True):
        kernel, bias = (np.asarray(values, np.float64) for values in layer.get_weights())
        kernel = kernel.reshape(-1, kernel.shape[-1])
        y = np.asarray(found, np.float64).reshape(-1, kernel.shape[1]) - bias
        mean, second = moments[layer.name].mean @ kernel, kernel.T @ moments[layer.name].second @ kernel
        assert np.abs(y.mean(axis=0) - mean).max() < 1e-4 * np.abs(y).max()
        assert np.abs(y.T @ y / len(y) - second).max() < 1e-4 * np.abs(second).max()


@settings(max_examples=40, deadline=None)
@given(kernel=kernels, parts=slices, seed=seeds, least=st.sampled_from([0.0, 1e-3, 0.5]))
def test_clipping_never_adds_error_and_stays_within_its_reach(kernel: np.ndarray, parts: tuple[Slice, ...], seed: int,
                                                              least: float) -> None:
    whole = rounded_layer(kernel, parts, random_moment(seed), np.full(CHANNELS, least))
    clipped = mse.refine(whole).codes
    check(clipped, "layer")
    assert (whole.error(clipped) <= whole.error(whole.codes)).all()
    assert (clipped.scale >= np.float32(least)).all()
    assert (clipped.scale <= whole.codes.scale).all()


def test_clipping_cuts_a_lone_large_weight_that_hardly_matters() -> None:
    kernel = random_kernel(0).clip(-1, 1)
    kernel[:, 0, 0, 0] = 3.0
    moment = np.eye(SIZE)
    moment[0, 0] = 0.01
    found = mse.refine(rounded_layer(kernel, [Slice(0, INPUTS, "shared", 3)], moment)).codes
    assert (found.largest < 1.5).all()
    assert (found.largest >= LEAST_REACH * 3.0 * (1 - 1e-6)).all()


@given(kernel=kernels, parts=slices)
def test_inputs_that_are_not_correlated_leave_nothing_to_make_up_for(kernel: np.ndarray,
                                                                     parts: tuple[Slice, ...]) -> None:
    layer = rounded_layer(kernel, parts, np.eye(SIZE))
    assert np.array_equal(gptq.refine(layer).codes.values, layer.codes.values)


@pytest.mark.parametrize("scale", [0.0, 5e-324, 1e-300, 1.0, 1e100])
def test_the_inverse_of_any_moment_is_finite(scale: float) -> None:
    """Inputs that are always 0, or nearly."""
    moment = np.full((3, 3), scale)
    factor = gptq.inverse_factor(moment)
    assert np.isfinite(factor).all() and np.array_equal(factor, np.triu(factor)) and (np.diag(factor) > 0).all()


@given(kernel=kernels, parts=slices, seed=seeds)
def test_compensation_stays_on_the_grid_and_never_adds_error(kernel: np.ndarray, parts: tuple[Slice, ...],
                                                             seed: int) -> None:
    layer = rounded_layer(kernel, parts, random_moment(seed))
    found = gptq.refine(layer).codes
    check(found, "layer")
    assert (layer.error(found) <= layer.error(layer.codes)).all()
    assert np.array_equal(found.values, gptq.refine(layer).codes.values)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_compensation_takes_most_of_the_error_where_inputs_are_correlated(bits: int) -> None:
    error = np.zeros(2)
    for seed in range(50):
        layer = rounded_layer(random_kernel(seed), [Slice(0, INPUTS, "shared", bits)], random_moment(seed))
        error += [layer.error(codes).sum() for codes in (layer.codes, gptq.refine(layer).codes)]
    assert error[1] < 0.5 * error[0]


@given(kernel=kernels, parts=slices, seed=seeds)
def test_corrected_biases_restore_the_mean_output(kernel: np.ndarray, parts: tuple[Slice, ...], seed: int) -> None:
    generator = np.random.default_rng(seed)
    given, mean = generator.normal(0, 1, CHANNELS), generator.normal(0, 1, SIZE)
    layer = replace(rounded_layer(kernel, parts, np.eye(SIZE)), bias=given, mean=mean)
    corrected, flat = bias.refine(layer).bias, (CHANNELS, SIZE)
    assert np.allclose(layer.codes.real.reshape(flat) @ mean + corrected, kernel.reshape(flat) @ mean + given,
                       atol=1e-9)


def test_the_error_is_that_of_the_outputs() -> None:
    patches = np.random.default_rng(4).normal(size=(50, SIZE))
    layer = rounded_layer(random_kernel(2), [Slice(0, INPUTS, "shared", 3)], patches.T @ patches / 50)
    outputs = patches @ (layer.kernel - layer.codes.real).reshape(CHANNELS, SIZE).T
    assert np.allclose(layer.error(layer.codes), (outputs ** 2).mean(axis=0))


def test_each_layer_is_refined_once_and_measured_only_when_needed() -> None:
    calls = []

    def measure() -> dict[str, Moments]:
        calls.append(1)
        return {"shared_head": Moments(np.ones(SIZE), np.eye(SIZE) + 1)}

    layer = FoldedLayer("shared_head", random_kernel(1).reshape(CHANNELS, SIZE), NO_BIAS, (("shared", SIZE),))
    refinement = Refinement(measure)
    plain = refinement.layer(layer, read_recipe("w4"), least_scale=NO_BIAS)
    assert not calls
    assert refinement.layer(layer, read_recipe("image2-audio3-shared4"), least_scale=NO_BIAS) is plain
    refined = refinement.layer(layer, read_recipe("w4" + EVERY), least_scale=NO_BIAS)
    assert refinement.layer(layer, read_recipe("image2-audio3-shared4" + EVERY), least_scale=NO_BIAS) is refined
    others = [refinement.layer(layer, read_recipe(name), least_scale=least) for name, least in (
        ("w5" + EVERY, NO_BIAS), ("w4-gptq-bias", NO_BIAS), ("w4" + EVERY, NO_BIAS + 0.1))]
    assert len({id(one) for one in (plain, refined, *others)}) == 5
    assert calls == [1]


@pytest.mark.parametrize("name", ["early", "late", "audio"])
def test_refined_files_hold_their_codes_and_are_closer_to_float(name: str, lively: Lively,
                                                                tiny_dataset: Dataset) -> None:
    network, base = lively(name)
    samples = tiny_dataset.test.balanced(20, seed=0)
    expected, error = predict(network.model, samples), {}
    for methods in ("", "-mse", "-gptq", EVERY):
        conversion = convert(base, read_recipe("w3" + methods))
        check_written(conversion)
        model = load_model(conversion.data)
        logits = dequantize(open_executor(model, "twin").run(model.codes_of(samples.inputs)), model.output)
        error[methods] = np.abs(logits - expected).mean()
    assert max(error[methods] for methods in ("-mse", "-gptq", EVERY)) < 0.9 * error[""]


def test_a_refined_model_passes_its_proof_with_slices_and_9_bits(lively: Lively, tiny_dataset: Dataset) -> None:
    network, base = lively("early")
    samples = tiny_dataset.test.balanced(6, seed=0)
    conversion = convert(base, read_recipe("image3-audio9-shared4" + EVERY))
    prove(conversion, samples, predict(network.model, samples))
    assert conversion.data == convert(base, read_recipe("image3-audio9-shared4" + EVERY)).data
    assert conversion.data != convert(base, read_recipe("image3-audio9-shared4")).data


@pytest.mark.parametrize("recipe", ["w4-qat", "w4-mse-qat"])
def test_what_cannot_be_written_is_refused(recipe: str, lively: Lively) -> None:
    with pytest.raises(RecipeError, match=recipe):
        convert(lively("image")[1], read_recipe(recipe))


def test_on_real_digits_three_bits_suffice(real_digits: Dataset) -> None:
    base = baseline(load_network(NETWORKS / "early.keras"), real_digits.train.balanced(200, seed=0))
    samples = real_digits.test.balanced(300, seed=1)
    correct = {}
    for methods in ("", EVERY):
        model = load_model(convert(base, read_recipe("w3" + methods)).data)
        output = open_executor(model, "twin").run(model.codes_of(samples.inputs))
        correct[methods] = int((output.argmax(axis=1) == samples.label).sum())
    assert correct[EVERY] >= 297
    assert correct[""] < 200
