"""The multimodal transformer MMT in TinyML size: a stream of tokens for each input, then one layer over all tokens.

After Xu et al. ("Multimodal learning with transformers: a survey", 2023: multi-stream to one-stream), as CRMT's paper
compares it: Z = T3([T1(Z_v); T2(Z_a)]), and the class tokens of all streams feed a linear head. So that integers and a
microcontroller can compute it, batch norm after each projection stands for layer norm (it folds into the projection)
and ReLU for GELU; 1 / sqrt(width of a head) begins as the gain of the queries' batch norm. Each stream begins with an
empty token to which only its position is added: its class token. Of the last layer only the class tokens are computed,
as nothing else is read. Maps are [n, 1, tokens, channels]: dense layers over tokens are 1x1 convolutions, of which the
firmware computes two tokens of a row at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tinyfuse.nn.zoo.learnt_table import learnt_table
from tinyfuse.nn.zoo.resnet8 import BN_MOMENTUM, L2, Tensors, head, keras
from tinyfuse.nn.zoo.token_layout import TokenLayout

WIDTH, HEADS, HIDDEN = 32, 2, 64
STREAM_LAYERS = 2
DROPOUT = 0.1
STREAM = "{}_stream"
"""Name of the layer that hands on the class token [n, WIDTH] of an input: its features, though all inputs reach it."""
Attention = Callable[[Any, Any, Any, str], Any]
"""f(queries [n, a, d], keys [n, b, d], values [n, b, d], name) -> [n, a, d]."""


def projected(x: Any, width: int, *, name: str, size: Any = 1, gain: float = 1.0) -> Any:
    """Add a convolution whose patches do not overlap, and batch norm that begins with ``gain``."""
    layers, ours = keras().layers, keras()
    x = layers.Conv2D(width, size, strides=size, padding="same", kernel_initializer="glorot_uniform",
                      kernel_regularizer=ours.regularizers.l2(L2), name=name)(x)
    return layers.BatchNormalization(momentum=BN_MOMENTUM, name=f"{name}_bn",
                                     gamma_initializer=ours.initializers.Constant(gain))(x)


def tokens(x: Any, layout: TokenLayout, *, branch: str) -> Any:
    """Cut an input into patches, put an empty token before them and add positions: [n, 1, 1 + tokens, WIDTH]."""
    layers = keras().layers
    if layout.used < _size(x):
        values = layers.Reshape((_size(x), 1), name=f"{branch}_values")(x)
        x = layers.Cropping1D((0, _size(x) - layout.used), name=f"{branch}_used")(values)
    if tuple(x.shape[1:]) != layout.shape:
        x = layers.Reshape(layout.shape, name=f"{branch}_layout")(x)
    x = projected(x, WIDTH, name=f"{branch}_patches", size=layout.patch)
    x = layers.Reshape((1, layout.count, WIDTH), name=f"{branch}_tokens")(x)
    x = layers.ZeroPadding2D(((0, 0), (1, 0)), name=f"{branch}_class_token")(x)
    x = learnt_table()(name=f"{branch}_positions")(x)
    return layers.Dropout(DROPOUT, name=f"{branch}_dropout")(x)


def _size(x: Any) -> int:
    size = 1
    for one in x.shape[1:]:
        size *= int(one)
    return size


def attention(queries: Any, keys: Any, values: Any, name: str) -> Any:
    """Compute softmax(Q K^T) V by two products of computed matrices (BATCH_MATMUL)."""
    layers = keras().layers
    score = layers.Dot((2, 2), name=f"{name}_score")([queries, keys])
    return layers.Dot((2, 1), name=f"{name}_sum")([layers.Softmax(name=f"{name}_softmax")(score), values])


def attended(x: Any, others: Any, attend: Attention, *, name: str) -> Any:
    """Let each token of ``x`` gather from the tokens ``others``, head by head: [n, 1, tokens, WIDTH]."""
    layers, depth, heads = keras().layers, WIDTH // HEADS, list[Any]()
    for number in range(1, HEADS + 1):
        read = []
        for what, tensor, gain in (("query", x, depth ** -0.5), ("key", others, 1.0), ("value", others, 1.0)):
            made = projected(tensor, depth, name=f"{name}_{what}{number}", gain=gain)
            read.append(layers.Reshape((tensor.shape[2], depth), name=f"{name}_{what}{number}_rows")(made))
        query, key, value = read
        found = attend(query, key, value, f"{name}_head{number}")
        heads.append(layers.Reshape((1, x.shape[2], depth), name=f"{name}_head{number}_map")(found))
    joined = layers.Concatenate(name=f"{name}_heads")(heads)
    return projected(joined, WIDTH, name=f"{name}_attended")


def layer(x: Any, others: Any, attend: Attention, *, name: str) -> Any:
    """Add one transformer layer: attention and two dense layers for each token, both around a sum."""
    layers = keras().layers
    change = layers.Dropout(DROPOUT, name=f"{name}_dropout1")(attended(x, others, attend, name=name))
    x = layers.Add(name=f"{name}_add1")([x, change])
    hidden = layers.ReLU(name=f"{name}_relu")(projected(x, HIDDEN, name=f"{name}_hidden"))
    change = layers.Dropout(DROPOUT, name=f"{name}_dropout2")(projected(hidden, WIDTH, name=f"{name}_out"))
    return layers.Add(name=f"{name}_add2")([x, change])


def rows(x: Any, first: int, count: int, *, name: str) -> Any:
    """Cut ``count`` tokens out of a map of tokens."""
    left = x.shape[2] - first - count
    return x if not (first or left) else keras().layers.Cropping2D(((0, 0), (first, left)), name=name)(x)


def mmt(inputs: Tensors, classes: int, layouts: Mapping[str, TokenLayout], attend: Attention = attention) -> Any:
    """Build streams of two layers for each input, one layer over all tokens, and a dense layer on the class tokens."""
    layers, streams = keras().layers, []
    for name, x in inputs.items():
        x = tokens(x, layouts[name], branch=name)
        for number in range(1, STREAM_LAYERS + 1):
            x = layer(x, x, attend, name=f"{name}_layer{number}")
        streams.append((name, x))
    first = [rows(x, 0, 1, name=f"{name}_first") for name, x in streams]
    every = _joined([x for _, x in streams], name="shared_tokens")
    x = layer(_joined(first, name="shared_class_tokens"), every, attend, name="shared_layer")
    found = [layers.Flatten(name=STREAM.format(name))(rows(x, place, 1, name=f"{name}_last"))
             for place, (name, _) in enumerate(streams)]
    return head(_joined(found, name="shared_concat", axis=-1), classes, branch="shared")


def _joined(parts: list[Any], *, name: str, axis: int = 2) -> Any:
    return keras().layers.Concatenate(axis, name=name)(parts) if len(parts) > 1 else parts[0]
