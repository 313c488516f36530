"""The five networks: one modality alone, and fusion at three depths (Nakano et al. 2024, section III.B).

Layer names begin with the branch they belong to: ``image_``, ``audio_`` or ``shared_``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data import MODALITIES
from tinyfuse.nn.zoo.resnet8 import head, pooled, residual_block, trunk

INPUT_SHAPE = (28, 28, 1)


def _image(image: Any, audio: Any) -> Any:
    return head(pooled(trunk(image, branch="image"), branch="image"), branch="image")


def _audio(image: Any, audio: Any) -> Any:
    return head(pooled(trunk(audio, branch="audio"), branch="audio"), branch="audio")


def _early(image: Any, audio: Any) -> Any:
    """Inputs concatenated as channels (the paper leaves channel or spatial open; channel is the default here)."""
    from tf_keras import layers

    x = layers.Concatenate(name="shared_concat")([image, audio])
    return head(pooled(trunk(x, branch="shared"), branch="shared"), branch="shared")


def _intermediate(image: Any, audio: Any) -> Any:
    """Stem and two residual blocks for each modality, concatenated, then one residual block."""
    from tf_keras import layers

    branches = [trunk(image, branch="image", blocks=(1, 2)), trunk(audio, branch="audio", blocks=(1, 2))]
    x = layers.Concatenate(name="shared_concat")(branches)
    x = residual_block(x, 3, branch="shared")
    return head(pooled(x, branch="shared"), branch="shared")


def _late(image: Any, audio: Any) -> Any:
    """Two whole trunks; their pooled features are concatenated before the dense layer."""
    from tf_keras import layers

    features = [pooled(trunk(image, branch="image"), branch="image"),
                pooled(trunk(audio, branch="audio"), branch="audio")]
    return head(layers.Concatenate(name="shared_concat")(features), branch="shared")


_BUILDERS: dict[str, Callable[[Any, Any], Any]] = {
    "image": _image, "audio": _audio, "early": _early, "intermediate": _intermediate, "late": _late}

MODELS = tuple(_BUILDERS)


def modalities_of(name: str) -> tuple[str, ...]:
    """The modalities that network ``name`` looks at."""
    check_name(name)
    return (name,) if name in MODALITIES else MODALITIES


def check_name(name: str) -> None:
    """Raise :class:`UsageError` unless ``name`` is one of :data:`MODELS`."""
    if name not in _BUILDERS:
        raise UsageError(f"unknown model '{name}'{nearest(name, MODELS)}: choose one of {', '.join(MODELS)}")


def build(name: str, *, seed: int = 0) -> Any:
    """A fresh ``tf_keras.Model`` from ``{"image", "audio"}``, float32 [n, 28, 28, 1] each, to logits [n, 10].

    The single-modality networks take both inputs too and ignore the other one, so that everything that
    trains or attacks a network binds its inputs by name. Initial weights depend on ``seed`` alone.
    """
    check_name(name)
    tensorflow()
    import tf_keras

    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(seed)
    inputs = {modality: tf_keras.Input(INPUT_SHAPE, name=modality) for modality in MODALITIES}
    return tf_keras.Model(inputs, _BUILDERS[name](inputs["image"], inputs["audio"]), name=name)
