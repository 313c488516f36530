"""Dropout whose draws depend on seed and epoch alone, so that an interrupted training ends with the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np


def reseed(model: Any, seed: int, epoch: int) -> None:
    """Set the random generators of dropout and noise layers for one epoch; call it before a training step is traced.

    Keras' own generators count from the start of the process, and without a seed TensorFlow's deterministic kernels
    refuse to draw at all.
    """
    for place, layer in enumerate(model.layers):
        generator = getattr(layer, "_random_generator", None)
        if generator is None:
            continue
        if generator._rng_type != generator.RNG_STATEFUL:
            generator = type(generator)(place, rng_type=generator.RNG_STATEFUL)
            layer._random_generator = generator
        generator._maybe_init()
        own = np.random.SeedSequence([seed, epoch, place]).generate_state(1, np.uint32)
        generator._generator.reset_from_seed(int(own[0]))
