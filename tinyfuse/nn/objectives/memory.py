"""A memory of training features: what a branch hands on is rebuilt from it, so that odd features lose their weight.

ExFMem of Tian and Xu (2021). Two ways to read it: a sparse code, found by a fixed number of ISTA steps that are layers
of the network, or ridge regression, which is one matrix. Dictionaries are float64 [d, N], one feature in each column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinyfuse.core.errors import UsageError
from tinyfuse.nn.objectives.view import View
from tinyfuse.nn.origin import parents

RESTORED = "_memory_restored"
"""End of the name of the layer that rebuilds the features of a branch."""
Layers = dict[str, Any]


def unit_columns(features: np.ndarray) -> np.ndarray:
    """Return a dictionary of ``features`` [N, d], each scaled to length 1; one that is 0 stays so."""
    values = np.asarray(features, np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.where(lengths > 0, lengths, 1.0)).T


def ridge(dictionary: np.ndarray, penalty: float) -> np.ndarray:
    """Compute P = D (D^T D + penalty I)^-1 D^T, float64 [d, d], symmetric: features phi become P phi."""
    gram = dictionary.T @ dictionary + penalty * np.eye(dictionary.shape[1])
    found = dictionary @ np.linalg.solve(gram, dictionary.T)
    return np.asarray(found + found.T) / 2


def blended(matrix: np.ndarray, share: float) -> np.ndarray:
    """Compute share * P + (1 - share) * I, what a head's rows are multiplied by to fold the memory into it."""
    return share * matrix + (1 - share) * np.eye(len(matrix))


def with_memory(model: Any, columns: int, steps: int) -> Any:
    """Copy ``model`` with a memory, still empty, between each branch and the head.

    An empty memory adds 0, so that the logits are those of ``model``, bit for bit. Only dense layers, ReLU, sums and
    differences are added, none of them trainable. UsageError: the network has no branches of their own.
    """
    from tf_keras import layers

    view = View(model)
    view.need_branches("exfmem")
    head = model.output._keras_history.layer
    pieces = view.pieces()

    def new_head(made: Layers) -> Any:
        features = []
        for branch in view.branches:
            parts = [made[name] for name, owner in pieces if owner == branch]
            phi = parts[0] if len(parts) == 1 else layers.Concatenate(name=f"{_prefix(branch)}_features")(parts)
            features.append(_remembering(phi, _prefix(branch), columns, steps))
        joined = features[0] if len(features) == 1 else layers.Concatenate(name="memory_concat")(features)
        return type(head).from_config(head.get_config())(joined)

    copy = copied(model, {head.name: new_head}, _above(head, {name for name, _ in pieces}))
    kernel, *bias = head.get_weights()
    rows = np.concatenate([view.rows[branch] for branch in view.branches])
    copy.get_layer(head.name).set_weights([kernel[rows], *bias])
    return copy


def _prefix(branch: str) -> str:
    return branch.replace("+", "_")


def _remembering(phi: Any, prefix: str, columns: int, steps: int) -> Any:
    """Add ISTA from h = 0 on the features ``phi`` and what it rebuilds; :func:`fill` gives the layers their weights.

    A step is h <- S(h + s D^T (phi - D h), s t) with the soft threshold S(z, t) = relu(z - t) - relu(-z - t). Its two
    halves have a dense layer each, with s D^T and -s D^T as kernels and -s t as bias: the difference phi - D h is
    rounded on its own, where I - s D^T D in one kernel would lose all but its diagonal at 8 bits. -h is subtracted
    where h is added, for TensorFlow cannot optimise the ReLU of a sum with a dense layer.
    """
    from tf_keras import layers

    def dense(units: int, name: str, read: Any, bias: bool) -> Any:
        return layers.Dense(units, use_bias=bias, kernel_initializer="zeros", trainable=False,
                            name=f"{prefix}_memory_{name}")(read)

    size, rest = int(phi.shape[-1]), phi
    code: Any = None
    opposite: Any = None
    for step in range(1, steps + 1):
        def minus(kind: str, one: Any, other: Any, number: int = step) -> Any:
            return layers.Subtract(name=f"{prefix}_memory_{kind}_{number}")([one, other])

        if code is not None:
            rest = minus("rest", phi, dense(size, f"seen_{step}", code, False))
        up, down = (dense(columns, f"{way}_{step}", rest, True) for way in ("up", "down"))
        if code is not None:
            up, down = minus("rise", up, opposite), minus("fall", down, code)
        positive, negative = (layers.ReLU(name=f"{prefix}_memory_{kind}_{step}")(half)
                              for kind, half in (("positive", up), ("negative", down)))
        code, opposite = minus("code", positive, negative), minus("opposite", negative, positive)
    restored = layers.Dense(size, use_bias=False, kernel_initializer="zeros", trainable=False,
                            name=f"{prefix}{RESTORED}")(code)
    return layers.Add(name=f"{prefix}_memory_sum")([phi, restored])


def memories(model: Any) -> list[str]:
    """List the beginnings of the layers' names of each memory in ``model``."""
    return [layer.name.removesuffix(RESTORED) for layer in model.layers if layer.name.endswith(RESTORED)]


def is_filled(model: Any) -> bool:
    """Tell whether the memories of ``model`` hold anything."""
    return any(bool(np.any(values)) for prefix in memories(model)
               for values in model.get_layer(f"{prefix}{RESTORED}").get_weights())


def freeze(model: Any) -> None:
    """Let training leave the memories of ``model`` as they are; a file does not keep that."""
    for layer in model.layers:
        if any(layer.name.startswith(f"{prefix}_memory_") for prefix in memories(model)):
            layer.trainable = False


def remembered_features(model: Any) -> Any:
    """Make the model that returns what each memory reads, [n, d] by the beginning of its layers' names."""
    from tf_keras import Model

    return Model(model.input, {prefix: model.get_layer(f"{prefix}_memory_sum").input[0]
                               for prefix in memories(model)})


def fill(model: Any, prefix: str, dictionary: np.ndarray, penalty: float, share: float) -> None:
    """Give the memory ``prefix`` of ``model`` a ``dictionary`` of at most as many columns as it has room for.

    ``penalty``: t of the sparse code. The branch then hands on phi + share / (1 - share) * D h, the rebuilt features
    share * D h + (1 - share) * phi up to a factor that belongs to the head, see :func:`scale_head`.
    """
    restored = model.get_layer(f"{prefix}{RESTORED}")
    room, size = restored.get_weights()[0].shape
    columns = np.zeros((size, room))
    columns[:, :dictionary.shape[1]] = dictionary
    step = 1.0 / max(float(np.linalg.norm(columns, 2)) ** 2, 1e-30)  # a memory of zeros hands on none
    bias = np.full(room, -step * penalty)
    weights = {"up_": [step * columns, bias], "down_": [-step * columns, bias], "seen_": [columns.T]}
    for layer in model.layers:
        for kind, values in weights.items():
            if layer.name.startswith(f"{prefix}_memory_{kind}"):
                layer.set_weights([np.asarray(one, np.float32) for one in values])
    restored.set_weights([(share / (1 - share) * columns.T).astype(np.float32)])


def scale_head(model: Any, factor: float) -> None:
    """Multiply the kernel of the last layer of ``model`` by ``factor``."""
    head = model.output._keras_history.layer
    kernel, *bias = head.get_weights()
    head.set_weights([kernel * np.float32(factor), *bias])


def with_identity_gradient(model: Any) -> Any:
    """Copy ``model`` for an attacker who takes each memory for the identity when it differentiates (BPDA).

    The logits are the same bit for bit. Attack it beside ``model`` itself: a memory that only hides the gradient falls
    to this one (Athalye, Carlini, Wagner 2018). UsageError: the model has no memory.
    """
    from tf_keras import layers

    from tinyfuse.core.backend import tensorflow

    stop = tensorflow().stop_gradient
    found = memories(model)
    if not found:
        raise UsageError(f"'{model.name}' has no memory of features, so there is no gradient to replace; attack the "
                         "model as it is")

    def summed(prefix: str) -> Callable[[Layers], Any]:
        blocked = layers.Lambda(stop, name=f"{prefix}_memory_blocked")
        phi = parents(model.get_layer(f"{prefix}_memory_sum"))[0].name
        return lambda made: layers.Add(name=f"{prefix}_memory_sum")([made[phi], blocked(made[f"{prefix}{RESTORED}"])])

    return copied(model, {f"{prefix}_memory_sum": summed(prefix) for prefix in found})


def copied(model: Any, replaced: Mapping[str, Callable[[Layers], Any]], without: Sequence[str] = ()) -> Any:
    """Copy a functional ``model`` layer by layer, with its weights, and build some of its layers in another way.

    ``replaced``: by layer name what returns its output, from the outputs of the layers before it by their names; layers
    ``without`` are left out.
    """
    import tf_keras

    made: Layers = {name: tf_keras.Input(shape[1:], name=name) for name, shape in model.input_shape.items()}
    inputs, copies = dict(made), {}
    for layer in model.layers:
        if layer.name in inputs or layer.name in without:
            continue
        if layer.name in replaced:
            made[layer.name] = replaced[layer.name](made)
            continue
        copy = copies[layer.name] = type(layer).from_config(layer.get_config())
        read = [made[parent.name] for parent in parents(layer)]
        made[layer.name] = copy(read if len(read) > 1 else read[0])
    found = tf_keras.Model(inputs, made[model.output._keras_history.layer.name], name=model.name)
    for name, copy in copies.items():
        copy.set_weights(model.get_layer(name).get_weights())
    return found


def _above(layer: Any, ends: set[str]) -> list[str]:
    """List the names of the layers between ``layer`` and those named ``ends``."""
    between = [one for one in parents(layer) if one.name not in ends]
    return [name for one in between for name in (one.name, *_above(one, ends))]
