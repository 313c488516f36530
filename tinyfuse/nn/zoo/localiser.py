"""A network that tells where in its first input it looks: weakly supervised localisation in TinyML size.

After Tian and Xu ("Can audio-visual integration strengthen robustness under multimodal attacks?", CVPR 2021), whose
localiser was not released. The last map V [height, width, c] of the first input's trunk is weighted by what the other
inputs ask for: e = <U g, V_ij> / c over the c channels, A = softmax of e over all places, and the logits are
W [sum A_ij V_ij; g] + b, g being the pooled features of the others. It is trained with classes alone; A is the map. U
starts at zero: A is then uniform and the sum is the average, so that training begins as late fusion. Every layer is a
stock one: MUL, MEAN, SOFTMAX and dense layers, and no product of two matrices that are both computed.
"""

from __future__ import annotations

from typing import Any

from tinyfuse.core.errors import UsageError
from tinyfuse.nn.zoo.resnet8 import Tensors, head, joined, keras, pooled, trunk

MAP = "shared_map"
"""Name of the layer whose output [n, height * width] is the map."""


def attended(values: Any, asked: Any, *, branch: str) -> Any:
    """Sum the map ``values`` [n, h, w, c] with the weights that features ``asked`` [n, k] choose: [n, c]."""
    layers = keras().layers
    height, width, channels = values.shape[1:]
    places = layers.Reshape((height * width, channels), name=f"{branch}_places")(values)
    query = layers.Dense(channels, kernel_initializer="zeros", name="shared_query")(asked)
    query = layers.Reshape((1, channels), name="shared_query_row")(query)
    product = layers.Multiply(name="shared_agreement")([places, query])
    # The mean over channels of a map [places, channels]: of "channels first" the last axis is the one averaged.
    score = layers.GlobalAveragePooling1D(data_format="channels_first", name="shared_score")(product)
    share = layers.Reshape((height * width, 1), name="shared_share")(layers.Softmax(name=MAP)(score))
    weighted = layers.Multiply(name="shared_weighted")([places, share])
    mean = layers.GlobalAveragePooling1D(name="shared_mean")(weighted)
    return layers.Rescaling(float(height * width), name="shared_sum")(mean)


def localiser(inputs: Tensors, classes: int) -> Any:
    """Build one trunk for each input; the others choose where in the first one's map the network looks."""
    if len(inputs) < 2:
        raise UsageError(f"network 'localiser' looks where other inputs tell it to; the data has {', '.join(inputs)} "
                         "alone: give data with two inputs or more")
    (first, x), *others = inputs.items()
    values = trunk(x, branch=first)
    features = [pooled(trunk(other, branch=name), branch=name) for name, other in others]
    asked = joined(features) if len(features) > 1 else features[0]
    seen = attended(values, asked, branch=first)
    return head(keras().layers.Concatenate(name="shared_features")([seen, asked]), classes, branch="shared")
