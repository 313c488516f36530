"""Puts a plain network together: the few layers that everything else is made of, each with its weights.

Sequences [n, length, channels] are held as maps [n, 1, length, channels] from the first layer that slides over them on:
microcontroller kernels know no other. A scale and an offset for each channel, however they were written, are a batch
norm, which conversion folds into the layer before it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import ModelError
from tinyfuse.nn.plain.hard_swish import hard_swish_layer

Pair = tuple[int, int]
ACTIVATIONS = ("relu", "relu6", "leaky_relu", "sigmoid", "tanh", "hard_swish", "softmax", "swish")
MAX_VALUES = 1 << 22
_SAME_CURVE = {"hard_silu": "hard_swish", "silu": "swish", "linear": "", "": ""}
_EPSILON = 2.0**-10  # with a variance of 1 - 2^-10, exact in float32, a batch norm divides by 1


@dataclass(frozen=True)
class Value:
    """A symbolic ``tensor``; ``line``: it is a map [n, 1, length, channels] that stands for [n, length, channels]."""

    tensor: Any
    line: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """What it stands for, without the batch axis."""
        shape = tuple(int(size) for size in self.tensor.shape[1:])
        return shape[1:] if self.line else shape


@dataclass(frozen=True, eq=False)
class Moves:
    """The ``steps`` that bring ``base`` to ``made``: ``order`` [*shape] has the place of each value in ``base``."""

    base: Value
    order: np.ndarray
    steps: tuple[tuple[str, tuple[int, ...]], ...] = ()
    made: Value | None = None

    @property
    def keeps_order(self) -> bool:
        """Whether the values come one after the other as in ``base``."""
        return bool((np.diff(self.order.reshape(-1)) == 1).all())


@dataclass(eq=False)
class Builder:
    """Adds layers to a network; errors name the layer as its author did."""

    names: set[str] = field(default_factory=set)
    before_end: dict[int, tuple[str, Value]] = field(default_factory=dict)
    moves_by_tensor: dict[int, Moves] = field(default_factory=dict)

    def add(self, kind: str, name: str, read: Value | Sequence[Value], *, weights: Sequence[np.ndarray] = (),
            **settings: Any) -> Value:
        """Add a layer of the ``tf_keras`` class ``kind``; what it makes is held as what it reads is."""
        sources = [read] if isinstance(read, Value) else list(read)
        tensorflow()
        from tf_keras import layers

        kinds = hard_swish_layer() if kind == "HardSwish" else getattr(layers, kind)
        try:
            layer = kinds(name=self.unused(name), **settings)
            made = layer(sources[0].tensor if isinstance(read, Value) else [one.tensor for one in sources])
            if weights:
                layer.set_weights([np.asarray(values, np.float32) for values in weights])
        except (ValueError, TypeError) as error:  # what Keras raises for what a layer cannot take
            raise ModelError(f"layer '{name}': {' '.join(str(error).split())[:200]}") from error
        if any(size is None or size < 1 for size in made.shape[1:]):
            raise ModelError(f"layer '{name}' hands on the shape {list(made.shape[1:])}; give sizes that are fixed and "
                             "at least 1")
        if math.prod(made.shape[1:]) > MAX_VALUES:
            raise ModelError(f"layer '{name}' hands on the shape {list(made.shape[1:])}; more than {MAX_VALUES} values "
                             "fit no microcontroller")
        return Value(made, sources[0].line)

    def unused(self, wanted: str) -> str:
        """Return a name that Keras, recipes and files can hold, and no layer has yet: ``wanted`` if it is one."""
        base = re.sub(r"[^A-Za-z0-9_.-]+", "_", wanted).strip("_.-")[:60] or "layer"
        name, number = base, 1
        while name in self.names:
            number += 1
            name = f"{base}_{number}"
        self.names.add(name)
        return name

    def as_line(self, value: Value, name: str) -> Value:
        """Hold a sequence [n, length, channels] as a map of one row."""
        if value.line:
            return value
        if len(value.shape) != 2:
            raise ModelError(f"layer '{name}' slides over [length, channels], but it reads {list(value.shape)}")
        return Value(self.reshape(f"{name}_as_map", value, (1, *value.shape)).tensor, line=True)

    def plain(self, value: Value, name: str) -> Value:
        """Hold ``value`` in its own shape."""
        if not value.line:
            return value
        return self.reshape(f"{name}_as_sequence", Value(value.tensor), value.shape)

    def reshape(self, name: str, value: Value, shape: Sequence[int]) -> Value:
        """Bring ``value`` to ``shape``; nothing is added where it has that already, or had it before moves."""
        if not value.line and value.shape == tuple(shape):
            return value
        value = Value(value.tensor)
        before = self._moves_of(value)
        after = Moves(before.base, before.order.reshape(shape), (*before.steps, ("reshape", tuple(shape))))
        return self._moved(name, after, lambda: self.add("Reshape", name, value, target_shape=tuple(shape)))

    def permute(self, name: str, value: Value, dims: Sequence[int]) -> Value:
        """Reorder the axes of ``value``, counted from 1; moves that bring the values back into order cancel out.

        PyTorch has channels first, so its networks come with a pair of such moves around many layers.
        """
        value = self.plain(value, name)
        before = self._moves_of(value)
        order = before.order.transpose([dim - 1 for dim in dims])
        after = Moves(before.base, order, (*before.steps, ("permute", tuple(dims))))
        if after.keeps_order and before.base.shape == (1, *order.shape) and order.ndim == 2:
            return Value(before.base.tensor, line=True)
        return self._moved(name, after, lambda: self.add("Permute", name, value, dims=tuple(dims)))

    def _moves_of(self, value: Value) -> Moves:
        count = math.prod(value.shape)
        return self.moves_by_tensor.get(id(value.tensor), Moves(value, np.arange(count).reshape(value.shape)))

    def _moved(self, name: str, moves: Moves, add: Callable[[], Value]) -> Value:
        """Return what ``moves`` make of their base: the base, one layer that gives it a shape, or what ``add`` adds."""
        base, shape = moves.base, moves.order.shape
        if moves.keeps_order and base.shape == shape:
            return base
        made = self.add("Reshape", name, base, target_shape=shape) if moves.keeps_order else add()
        self.moves_by_tensor[id(made.tensor)] = replace(moves, made=made)
        return made

    def before_moves(self, name: str, value: Value, add: Callable[[Value], Value]) -> Value:
        """Add a layer that takes value by value before the axes are reordered, so that the moves can cancel out."""
        moves = self._moves_of(value)
        if value.line or moves.keeps_order:
            return add(value)
        made = add(moves.base)
        for kind, given in moves.steps:
            made = (self.permute if kind == "permute" else self.reshape)(f"{name}_moved", made, given)
        return made

    def map(self, value: Value, name: str) -> Value:
        """Check that ``value`` is a map [height, width, channels]."""
        if len(value.tensor.shape) != 4:
            raise ModelError(f"layer '{name}' needs a map [height, width, channels], but it reads {list(value.shape)}")
        return value

    def activation(self, name: str, value: Value, curve: Any, **settings: Any) -> Value:
        """Add the activation ``curve``, as Keras names it."""
        curve = _SAME_CURVE.get(curve, curve)
        if curve in ("", "softmax", "sigmoid"):
            return self._curve(name, value, curve, **settings)
        return self.before_moves(name, value, lambda base: self._curve(name, base, curve, **settings))

    def _curve(self, name: str, value: Value, curve: Any, **settings: Any) -> Value:
        match curve:
            case "":
                return value
            case "relu" | "relu6":
                return self.add("ReLU", name, value, max_value=6.0 if curve == "relu6" else None)
            case "leaky_relu":
                return self.add("LeakyReLU", name, value, alpha=float(settings.get("slope", 0.2)))
            case "sigmoid":
                made = self.add("Activation", name, value, activation=curve)
                self.before_end[id(made.tensor)] = curve, value
                return made
            case "tanh":
                return self.add("Activation", name, value, activation=curve)
            case "hard_swish":
                return self.add("HardSwish", name, value)
            case "swish":
                return self.add("Multiply", name, [value, self.add("Activation", f"{name}_sigmoid", value,
                                                                   activation="sigmoid")])
            case "softmax":
                made = self.add("Softmax", name, self.plain(value, name))
                self.before_end[id(made.tensor)] = curve, value
                return made
        raise ModelError(f"layer '{name}': the activation {str(curve)[:40]!r} is not known here; use one of "
                         f"{', '.join(ACTIVATIONS)}")

    def convolution(self, name: str, value: Value, kernel: np.ndarray, bias: np.ndarray | None,
                    **settings: Any) -> Value:
        """Add a convolution with the ``kernel`` [kh, kw, i, o]; ``settings`` are those of ``Conv2D``."""
        return self._weighted("Conv2D", name, value, [kernel], bias, filters=kernel.shape[3], **settings,
                              kernel_size=kernel.shape[:2])

    def depthwise(self, name: str, value: Value, kernel: np.ndarray, bias: np.ndarray | None, **settings: Any) -> Value:
        """Add a depthwise convolution with the ``kernel`` [kh, kw, channels, multiplier]."""
        return self._weighted("DepthwiseConv2D", name, value, [kernel], bias, depth_multiplier=kernel.shape[3],
                              kernel_size=kernel.shape[:2], **settings)

    def transposed(self, name: str, value: Value, kernel: np.ndarray, bias: np.ndarray | None,
                   **settings: Any) -> Value:
        """Add a transposed convolution with the ``kernel`` [kh, kw, o, i]."""
        return self._weighted("Conv2DTranspose", name, value, [kernel], bias, filters=kernel.shape[2],
                              kernel_size=kernel.shape[:2], **settings)

    def dense(self, name: str, value: Value, kernel: np.ndarray, bias: np.ndarray | None, **settings: Any) -> Value:
        """Add a dense layer with the ``kernel`` [i, o]; one that slides over a map or sequence is a 1x1 convolution."""
        if len(value.shape) == 1:
            moves = self._moves_of(value)
            if not moves.keeps_order:  # rows of the kernel move instead of the values
                kernel = np.take(kernel, np.argsort(moves.order), axis=0)
                value = self.reshape(f"{name}_flat", self.plain(moves.base, name), value.shape)
            return self._weighted("Dense", name, value, [kernel], bias, units=kernel.shape[1], **settings)
        slid = self.as_line(value, name) if len(value.shape) == 2 else value
        return self.convolution(name, slid, kernel[None, None], bias, **settings)

    def _weighted(self, kind: str, name: str, value: Value, weights: list[np.ndarray], bias: np.ndarray | None,
                  **settings: Any) -> Value:
        value = value if kind == "Dense" else self.map(value, name)
        return self.add(kind, name, value, weights=[*weights, *([] if bias is None else [bias])],
                        use_bias=bias is not None, **settings)

    def affine(self, name: str, value: Value, gain: Any, offset: Any) -> Value:
        """Multiply each channel by its ``gain`` and add its ``offset``: numbers, or arrays [channels]."""
        channels = value.shape[-1]
        try:
            weights: list[np.ndarray] = [np.broadcast_to(np.asarray(one, np.float32).reshape(-1), (channels,))
                                         for one in (gain, offset)]
        except ValueError as error:
            raise ModelError(f"layer '{name}': scales of another number than its {channels} channels") from error
        weights += [np.zeros(channels), np.full(channels, 1 - _EPSILON)]
        return self.add("BatchNormalization", name, value, weights=weights, epsilon=_EPSILON, trainable=False)

    def whole_pool(self, name: str, value: Value, kind: str, *, keep: bool) -> Value:
        """Pool a whole map: ``kind`` is Average or Max; ``keep`` the axes, or leave the channels alone.

        The mean is written as MEAN: an average pool has the scale of what it reads, which TensorFlow's converter takes
        from the narrow range of the mean, and so cuts off the values that are averaged.
        """
        self.map(value, name)
        if kind == "Average":
            made = self.add("GlobalAveragePooling2D", name, value, keepdims=keep)
            return Value(made.tensor, value.line and keep)
        height, width, channels = (int(size) for size in value.tensor.shape[1:])
        made = self.add("MaxPooling2D", name, Value(value.tensor), pool_size=(height, width))
        if keep:
            return Value(made.tensor, value.line)
        return self.reshape(f"{name}_channels", made, (channels,))

    def join(self, kind: str, name: str, values: Sequence[Value], **settings: Any) -> Value:
        """Add, multiply or concatenate ``values``; a sequence among them is brought to the form of the others."""
        if len({one.line for one in values}) > 1:
            ranks = {len(one.shape) for one in values}
            values = [self.as_line(one, name) if ranks == {2} else self.plain(one, name) for one in values]
        return self.add(kind, name, list(values), **settings)

    def finish(self, inputs: Mapping[str, Any], output: Value, classes: int, title: str) -> tuple[Any, bool]:
        """Make the model from ``inputs`` (tensors by name) to its logits; tell whether a softmax came after these.

        A single sigmoid tells two classes apart and becomes a softmax of them. An autoencoder, which returns its only
        input, tells normal samples from anomalies: two classes as well. ModelError: the output is neither one value for
        each of ``classes`` nor the input.
        """
        curve, logits = self.before_end.get(id(output.tensor), ("", output))
        count = int(np.prod(logits.shape))
        sizes = [math.prod(tensor.shape[1:]) for tensor in inputs.values()]
        if classes == 2 < count and sizes == [count]:
            rebuilt = self.reshape("rebuilt", self.plain(output, "rebuilt"), (count,))
            return self._model(inputs, rebuilt, title), False
        if curve == "sigmoid" and count == 1 and classes == 2:
            curve, logits, count = "softmax", self._of_two_classes(logits), 2
        if curve == "sigmoid" and count > 1:
            raise ModelError(f"its {count} outputs end in sigmoids, so that several classes may hold at once; samples "
                             "have one class here: end the network in a softmax")
        if count != classes:
            raise ModelError(f"its output has the shape {list(output.shape)}, but the data has {classes} classes; give "
                             "a network with one output for each class" + (
                                 ", or with one sigmoid for two classes" if count == 1 else ""))
        return self._model(inputs, self.reshape("logits", logits, (classes,)), title), curve == "softmax"

    def _model(self, inputs: Mapping[str, Any], output: Value, title: str) -> Any:
        from tf_keras import Model, models

        whole = Model(dict(inputs), output.tensor, name=title)
        if not self.moves_by_tensor:
            return whole
        alive = models.clone_model(whole)  # layers know who reads them: those that led nowhere are left behind
        alive.set_weights(whole.get_weights())
        return alive

    def _of_two_classes(self, logit: Value) -> Value:
        """Make of the ``logit`` z of one sigmoid the logits 0 and z, whose softmax is 1 - sigmoid(z) and sigmoid(z)."""
        layer = logit.tensor._keras_history.layer
        if type(layer).__name__ != "Dense":
            logit = self.reshape("logit", logit, (1,))
            return self.dense("two_classes", logit, np.array([[0.0, 1.0]]), None)
        self.names.discard(layer.name)  # its place is taken by a layer of two rows, the first one of zeros
        kernel, *bias = (np.insert(values, 0, 0.0, axis=-1) for values in layer.get_weights())
        return self.dense(layer.name, Value(layer.input), kernel, bias[0] if bias else None)
