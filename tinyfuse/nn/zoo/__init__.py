"""Networks by name: whatever makes logits of named inputs. Loading this module loads no TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data.samples import Input
from tinyfuse.nn.zoo.fusion_operators import FUSION_OPERATORS
from tinyfuse.nn.zoo.localiser import localiser
from tinyfuse.nn.zoo.mlperf_tiny import MLPERF_TINY
from tinyfuse.nn.zoo.plain_fusion import PLAIN
from tinyfuse.nn.zoo.resnet8 import DIGIT_NETWORKS, early_space, keras
from tinyfuse.nn.zoo.token_layout import token_layout
from tinyfuse.nn.zoo.transformer import mmt

Builder = Callable[..., Any]
"""f({input name: tensor [n, *shape]}, classes) -> logits [n, classes]; it may ignore inputs."""

MAX_INPUT_VALUES = 1 << 22
MAX_CLASSES = 1 << 12
ZOO: dict[str, Builder] = {**DIGIT_NETWORKS, "early-space": early_space, **FUSION_OPERATORS, "mmt": mmt,
                           "localiser": localiser, **PLAIN, **MLPERF_TINY}
OF_TOKENS = ("mmt",)
"""Networks that are also told how the values of each input lie, by :mod:`tinyfuse.nn.zoo.token_layout`."""
FUSIONS = ("early", "intermediate", "late")
"""Networks of several inputs that a bench takes by default."""
SMOKE = {"models": ("image", "early"), "mixes": ("image6-audio8-shared8",)}
"""Networks and a recipe by input that a smoke run of a minute uses."""


def register(name: str, builder: Builder) -> None:
    """Make ``builder`` known as ``name``, which is also the name of the network's files."""
    ZOO[name] = builder


def names() -> tuple[str, ...]:
    """All networks that can be built."""
    return tuple(ZOO)


def check_name(name: str) -> None:
    """Raise UsageError unless ``name`` can be built."""
    if name not in ZOO:
        raise UsageError(f"unknown model '{name}'{nearest(name, ZOO)}: choose one of {', '.join(ZOO)}")


def build(name: str, inputs: Sequence[Input], classes: int, *, seed: int = 0) -> Any:
    """Build a fresh ``tf_keras.Model`` from a dict of ``inputs``, float32 [n, *shape] each, to logits [n, classes].

    It takes every input, also those that it ignores, so that whatever trains or attacks it binds inputs by name.
    Initial weights depend on ``seed`` alone. UsageError: an unknown name, or inputs that do not fit the network.
    """
    check_name(name)
    shapes = ", ".join(f"{one.name} {list(one.shape)}" for one in inputs)
    if classes > MAX_CLASSES or any(math.prod(one.shape) > MAX_INPUT_VALUES for one in inputs):
        raise UsageError(f"{classes} classes and the inputs {shapes}: at most {MAX_CLASSES} classes and "
                         f"{MAX_INPUT_VALUES} values in an input can be trained here")
    tf_keras = keras()
    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(seed)
    tensors = {one.name: tf_keras.Input(one.shape, name=one.name) for one in inputs}
    known = ({one.name: token_layout(one) for one in inputs},) if name in OF_TOKENS else ()
    try:
        return tf_keras.Model(tensors, ZOO[name](tensors, classes, *known), name=name)
    except ValueError as error:  # what Keras raises for a shape that a layer cannot take
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"network '{name}' cannot take the inputs {shapes}: {reason}") from error
