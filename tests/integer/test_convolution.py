"""CONV_2D of the twin against TFLite Micro."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from one_operator import Spec, Step, build, differing


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_codes_equal_those_of_tflm(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    height, width, channels, outputs = rng.integers(1, 9, 4)
    kh, kw = rng.integers(1, 4, 2)
    sh, sw = rng.integers(1, 4, 2)
    dh, dw = (rng.integers(1, 3, 2) if rng.random() < 0.3 else (1, 1))
    same = rng.random() < 0.5 or (kh - 1) * dh + 1 > height or (kw - 1) * dw + 1 > width
    wide = rng.random() < 0.4
    dtype = np.int16 if wide else np.int8
    oh = -(-height // sh) if same else (height - (kh - 1) * dh - 1) // sh + 1
    ow = -(-width // sw) if same else (width - (kw - 1) * dw - 1) // sw + 1
    zero = [0, 0] if wide else rng.integers(-128, 128, 2)
    bias_type = rng.choice([np.int32, np.int64]) if wide else np.int32
    scale_out = 10.0 ** rng.uniform(-3, 1)
    scales = 10.0 ** rng.uniform(-3, 0, outputs if rng.random() < 0.7 else 1)
    info = np.iinfo(dtype)
    bits = rng.integers(2, 9)
    top = 2 ** (bits - 1) - 1
    specs = [Spec((1, height, width, channels), dtype, [0.02], [zero[0]], name="x"),
             Spec((outputs, kh, kw, channels), np.int8, scales, [0] * len(scales),
                  data=rng.integers(-top, top + 1, (outputs, kh, kw, channels))),
             Spec((outputs,), bias_type, scales * 0.02, [0] * len(scales), data=rng.integers(-3000, 3000, outputs)),
             Spec((1, oh, ow, outputs), dtype, [scale_out], [zero[1]])]
    activation = int(rng.integers(0, 4))
    values = {"strideH": int(sh), "strideW": int(sw), "dilationHFactor": int(dh), "dilationWFactor": int(dw),
              "padding": 0 if same else 1, "fusedActivationFunction": activation}
    model = build(specs, [Step("CONV_2D", [0, 1, 2], [3], "Conv2DOptions", values, version=3)], [0], [3])
    codes = rng.integers(info.min, info.max + 1, (3, height, width, channels)).astype(dtype)
    codes[0], codes[1, ::2] = info.min, info.max
    assert differing(model, [codes]) == 0
