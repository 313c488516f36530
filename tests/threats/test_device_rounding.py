"""The host's rounding of an input, against the QUANTIZE operator of TFLite Micro itself."""

from __future__ import annotations

import numpy as np
import pytest

from tinyfuse.threats.code_grid import InputGrid


@pytest.fixture(scope="module")
def quantize_operator() -> bytes:
    """A .tflite whose only arithmetic is float32 -> int8, with a zero point in the middle of the range."""
    import tensorflow as tf
    import tf_keras as keras

    tensor = keras.Input((28, 28, 1), batch_size=1)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(tensor, keras.layers.Reshape((784,))(tensor)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    ramp = np.linspace(-0.3, 1.1, 784, dtype=np.float32).reshape(1, 28, 28, 1)
    converter.representative_dataset = lambda: ([ramp] for _ in range(2))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_output_type = tf.int8
    return bytes(converter.convert())


# The float32 input is deliberate (it is what makes the converter emit QUANTIZE); the converter warns about it.
@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs were expected:UserWarning")
def test_quantise_is_the_quantize_operator_of_tflm(quantize_operator: bytes) -> None:
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(quantize_operator)
    parameters = interpreter.get_output_details(0)["quantization_parameters"]
    scale, zero_point = np.float32(parameters["scales"][0]), int(parameters["zero_points"][0])
    grid, random = InputGrid(float(scale), zero_point, -128, 127), np.random.default_rng(0)
    for _ in range(20):
        halves = ((random.integers(-140, 140, 784) - zero_point + 0.5) * scale).astype(np.float32)
        for values in (halves, random.uniform(-0.5, 1.5, 784).astype(np.float32)):
            interpreter.set_input(values.reshape(1, 28, 28, 1), 0)
            interpreter.invoke()
            assert np.array_equal(interpreter.get_output(0).reshape(-1), grid.quantise(values))
