"""DEPTHWISE_CONV_2D of the twin against TFLite Micro, its gradient, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_operator import Spec, Step, build, differing, twin_of

from tinyfuse.core.errors import ModelError


def model(shape, kernel, many, *, dtype=np.int8, weights=None, scales=(0.01,), scale_out=0.1, zeros=(0, 0), bias=None,
          bias_type=None, stride=(1, 1), dilation=(1, 1), same=True, activation=0, out=None, declared=None,
          weight_zero=0, axis=3, absent=False):
    height, width, channels = shape
    outputs, scales = channels * many, np.asarray(scales)
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
    out = out or [-(-(size if same else size - taps + 1) // step)
                  for size, taps, step in zip((height, width), reach, stride, strict=True)]
    data = np.ones((1, *kernel, outputs)) if weights is None else weights
    specs = [Spec((1, height, width, channels), dtype, [0.02], [zeros[0]], name="x"),
             Spec((1, *kernel, outputs), np.int8, scales, [weight_zero] * len(scales), axis=axis, data=data, name="w"),
             Spec((1, *out, outputs), dtype, [scale_out], [zeros[1]], name="y")]
    inputs = [0, 1]
    if bias is not None:
        bias_type = bias_type or (np.int32 if dtype == np.int8 else np.int64)
        specs.append(Spec((outputs,), bias_type, scales * 0.02, [0] * len(scales), data=bias, name="b"))
        inputs = [0, 1, 3]
    values = {"strideH": stride[0], "strideW": stride[1], "dilationHFactor": dilation[0], "padding": 0 if same else 1,
              "dilationWFactor": dilation[1], "fusedActivationFunction": activation,
              "depthMultiplier": many if declared is None else declared}
    step = Step("DEPTHWISE_CONV_2D", [0, 1, -1] if absent else inputs, [2], "DepthwiseConv2DOptions", values, version=3)
    return build(specs, [step], [0], [2])


def codes_of(rng, dtype, shape):
    info = np.iinfo(dtype)
    codes = rng.integers(info.min, info.max + 1, (3, *shape)).astype(dtype)
    codes[0], codes[1, ::2] = info.min, info.max
    return codes


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_codes_equal_those_of_tflm(seed):
    rng = np.random.default_rng(seed)
    height, width, channels = (int(n) for n in rng.integers(1, 9, 3))
    many = int(rng.choice([1, 1, 2, 3]))
    kernel = tuple(int(n) for n in rng.integers(1, 5, 2))
    dilation = tuple(int(n) for n in rng.integers(1, 3, 2)) if rng.random() < 0.4 else (1, 1)
    fits = all((k - 1) * d < n for k, d, n in zip(kernel, dilation, (height, width), strict=True))
    dtype = np.int16 if rng.random() < 0.4 else np.int8
    outputs = channels * many
    scales = 10.0 ** rng.uniform(-3, 0, outputs if rng.random() < 0.7 else 1)
    bias = rng.integers(-90_000, 90_000, outputs) if rng.random() < 0.8 else None
    found = model((height, width, channels), kernel, many, dtype=dtype, scales=scales, bias=bias,
                  weights=rng.integers(-128, 128, (1, *kernel, outputs)), scale_out=10.0 ** rng.uniform(-3, 1),
                  zeros=rng.integers(-128, 128, 2) if dtype == np.int8 else (0, 0), dilation=dilation,
                  stride=tuple(int(n) for n in rng.integers(1, 4, 2)), same=not fits or rng.random() < 0.5,
                  activation=int(rng.integers(0, 4)))
    assert differing(found, [codes_of(rng, dtype, (height, width, channels))]) == 0


def test_16_bit_sums_beyond_32_bits_equal_those_of_tflm():
    """576 products of extreme codes."""
    weights = np.full((1, 24, 24, 2), 127)
    weights[..., 1] = -128
    found = model((24, 24, 2), (24, 24), 1, dtype=np.int16, weights=weights, scale_out=20.0, same=False)
    codes = np.full((2, 24, 24, 2), 32767, np.int16)
    codes[1] = -32768
    assert differing(found, [codes]) == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_gradient_is_that_of_the_sum_where_no_clamp_is_active(seed):
    """The operator is linear in its input, so one difference quotient of the real function is exact."""
    rng = np.random.default_rng(seed)
    many, kernel, stride = int(rng.integers(1, 3)), (3, 2), tuple(int(n) for n in rng.integers(1, 3, 2))
    weights, scales = rng.integers(-127, 128, (1, *kernel, 4 * many)), rng.uniform(0.001, 0.01, 4 * many)
    dilation = tuple(int(n) for n in rng.integers(1, 3, 2))
    found = model((6, 5, 4), kernel, many, weights=weights, scales=scales, scale_out=2.0, stride=stride,
                  dilation=dilation, bias=rng.integers(-50, 50, 4 * many))
    twin = twin_of(found)
    shape = twin.graph.tensors[twin.graph.outputs[0]].shape[1:]
    slope = rng.normal(size=shape).astype(np.float32)
    codes = rng.integers(-128, 128, (1, 6, 5, 4)).astype(np.int8)
    _, gradient = twin.gradient({"x": codes}, lambda out, rows: np.broadcast_to(slope, out.shape), ["x"])
    node = twin.steps[0].node
    top, left = node.window.top, node.window.left

    def loss(x):
        """Straight from the definition, over an image of zeros around ``x``."""
        around = np.pad(x, ((top, 8), (left, 8), (0, 0)))
        total = 0.0
        for v in range(3):
            for u in range(2):
                part = around[v * dilation[0]:, u * dilation[1]:][::stride[0], ::stride[1]][:shape[0], :shape[1]]
                total += (np.repeat(part, many, axis=2) * weights[0, v, u] * scales * slope).sum()
        return total * 0.02 / 2.0

    step = rng.normal(size=(6, 5, 4))
    assert np.isclose((gradient["x"][0] * step).sum(), loss(step), rtol=1e-4, atol=1e-4)


def test_an_active_clamp_has_gradient_0():
    twin = twin_of(model((1, 4, 1), (1, 1), 1, scales=[1.0], scale_out=0.04, activation=1))
    codes = np.array([-5, 5, 127, -128], np.int8).reshape(1, 1, 4, 1)
    out, found = twin.gradient({"x": codes}, lambda out, rows: np.ones(out.shape, np.float32), ["x"])
    assert out.ravel().tolist() == [0, 3, 64, 0]
    assert np.allclose(found["x"].ravel(), [0, 0.5, 0.5, 0])


@pytest.mark.parametrize("message, change", [
    ("must be int64", {"dtype": np.int16, "bias": np.zeros(6), "bias_type": np.int32}),
    ("must be int32", {"bias": np.zeros(6), "bias_type": np.int64}),
    ("absent third", {"absent": True}),
    ("multiplier 1 to 6 need", {"declared": 1}),
    ("zero point 0", {"weight_zero": 3}),
    ("zero point 0 for int16", {"dtype": np.int16, "zeros": (4, 0)}),
    ("scales along axis 1", {"kernel": (6, 2), "scales": np.ones(6), "axis": 1}),
    (r"\[3, 3\] high and wide", {"out": [3, 3]}),
    ("fused activation TANH", {"activation": 4})])
def test_what_tflm_does_not_compute_is_refused_when_built(message, change):
    with pytest.raises(ModelError, match=message):
        twin_of(model(**{"shape": (4, 4, 3), "kernel": (2, 2), "many": 2} | change))
