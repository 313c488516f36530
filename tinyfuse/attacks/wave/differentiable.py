"""A sound's front end in TensorFlow, from samples to the normalised input, so that a loss has a gradient for samples.

The values are librosa's to float32's rounding (tests); what places a recording in its window is not differentiated.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyfuse.core.backend import compiled, tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.frontend.base import FrontEnd
from tinyfuse.frontend.device_sound import dct_matrix, taper_of
from tinyfuse.frontend.normalisation import Normalisation
from tinyfuse.frontend.recording import Recording, Waveform
from tinyfuse.frontend.spectrum import Frames, LogMel, Mfcc, Spectrogram, mel_filters


class DifferentiableSound:
    """Inputs of windows, and gradients back: ``front_end`` with what was ``fitted`` for it.

    Windows are float32 [n, length] of full scale 1. ``outside`` float32 [n]: sum of squares of what a recording has
    beyond its window, and ``count`` float32 [n] its samples, both for the level.
    """

    def __init__(self, front_end: FrontEnd, fitted: Normalisation) -> None:
        if not isinstance(front_end, Recording) or not isinstance(front_end, Frames | Waveform):
            raise UsageError(f"{front_end.label} takes no sound, so no wave can attack it; inputs of kind mfcc, "
                             "log-mel, spectrogram and waveform do")
        self.front_end, self.fitted = front_end, fitted
        self._forward = compiled(self.inputs_of, reduce_retracing=True)
        self._backward = compiled(self._pulled_back, reduce_retracing=True)

    def inputs(self, windows: np.ndarray, outside: np.ndarray, count: np.ndarray) -> np.ndarray:
        """Compute inputs, float32 [n, *shape]."""
        return np.asarray(self._forward(windows, outside, count))

    def pull_back(self, windows: np.ndarray, outside: np.ndarray, count: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Turn the gradient ``slope`` [n, *shape] for the inputs into that for the windows, float32 [n, length]."""
        return np.asarray(self._backward(windows, outside, count, slope))

    def _pulled_back(self, windows: Any, outside: Any, count: Any, slope: Any) -> Any:
        with tensorflow().GradientTape() as tape:
            tape.watch(windows)
            made = self.inputs_of(windows, outside, count)
        return tape.gradient(made, windows, output_gradients=slope)

    def inputs_of(self, windows: Any, outside: Any, count: Any) -> Any:
        """Build the graph from windows to inputs."""
        tf, one = tensorflow(), self.front_end
        windows = tf.cast(windows, tf.float32)
        if one.level_rms is not None:
            mean = (tf.reduce_sum(windows**2, axis=1) + outside) / count
            gain = tf.where(mean > 0, one.level_rms / tf.sqrt(tf.maximum(mean, 1e-16)), 0.0)
            windows = windows * gain[:, None]
        values = self._values(one, windows) if isinstance(one, Frames) else windows[..., None]
        return self._laid_out(self._normalised(values))

    def _values(self, one: Frames, windows: Any) -> Any:
        tf, size = tensorflow(), one.fft_size
        around = size // 2 if one.center else 0
        frames = tf.signal.frame(tf.pad(windows, [[0, 0], [around, around]]), size, one.hop)
        lead = (size - one.window) // 2
        taper = np.pad(taper_of(one), (lead, size - one.window - lead))
        spectrum = tf.signal.rfft(frames * taper, [size])
        power = tf.math.real(spectrum) ** 2 + tf.math.imag(spectrum) ** 2
        if isinstance(one, Spectrogram) and one.scale != "decibel":
            return tf.sqrt(tf.maximum(power, 1e-20)) if one.scale == "magnitude" else power
        if isinstance(one, LogMel):
            power = tf.matmul(power, mel_filters(one).T.astype(np.float32))
        loud = self._decibels(one, power)
        if not isinstance(one, Mfcc):
            return loud
        made = tf.matmul(loud, dct_matrix(one).T)
        if not one.append_energy:
            return made
        energy = self._decibels(one, tf.reduce_mean(frames**2, axis=2, keepdims=True))
        return tf.concat([made, energy], axis=2)

    def _decibels(self, one: Frames, power: Any) -> Any:
        tf = tensorflow()
        loud = 10 / np.log(10) * tf.math.log(tf.maximum(power, one.amin))
        if one.top_db is None:
            return loud
        return tf.maximum(loud, tf.reduce_max(loud, axis=[1, 2], keepdims=True) - one.top_db)

    def _normalised(self, values: Any) -> Any:
        tf, fitted, how = tensorflow(), self.fitted, self.front_end.normalise
        if how != "none":
            values = (values - np.array(fitted.mean, np.float32)) / np.array(fitted.std, np.float32)
        low, high = fitted.low, fitted.high
        if how == "unit":
            values, low, high = (values - low) / (high - low), 0.0, 1.0
        return tf.clip_by_value(values, low, high)

    def _laid_out(self, values: Any) -> Any:
        tf, one = tensorflow(), self.front_end
        if isinstance(one, Frames) and one.layout == "bands-first":
            values = tf.transpose(values, [0, 2, 1])
        size, cells = int(np.prod(one.values_shape)), int(np.prod(one.shape))
        flat = tf.pad(tf.reshape(values, [-1, size]), [[0, 0], [0, cells - size]])
        return tf.reshape(flat, [-1, *one.shape])
