"""Late fusion with other operators than concatenation: sum, FiLM and gated, on the features of ResNet8 trunks.

An operator joins features [n, d], f of the first input and g of the others side by side, and ends in logits.
Concatenation is the network ``late``. Sum adds the logits of one dense layer for each input, the same functions as
concatenation; the feature sum shares one dense layer, a real restriction. The others multiply, so that what one input
can do to the logits depends on the others: FiLM (Perez et al. 2018) z = W (gamma * f + beta) + b with gamma and beta
linear in g, and gated fusion (Kiela et al. 2018) z = W (sigmoid(U g) * V f) + b. The first input is the one that is
modulated, as in the released code of OGM-GE, where audio conditions the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tinyfuse.core.errors import UsageError
from tinyfuse.nn.zoo.resnet8 import Tensors, head, joined, keras, pooled, trunk

Operator = Callable[[Tensors, int], Any]
"""f({input name: features [n, d]}, classes) -> logits [n, classes]."""


def dense(x: Any, width: int, *, name: str, bias: str = "zeros") -> Any:
    """Add a linear layer of [n, k] to [n, width] whose bias begins with ``bias``."""
    return keras().layers.Dense(width, bias_initializer=bias, name=name)(x)


def added(parts: list[Any], *, name: str) -> Any:
    """Add up tensors of one shape; one alone is left as it is."""
    return keras().layers.Add(name=name)(parts) if len(parts) > 1 else parts[0]


def logit_sum(features: Tensors, classes: int) -> Any:
    """Add up W_m f_m + b_m over all inputs: what concatenation computes, with the logits of each input apart."""
    return added([head(x, classes, branch=name) for name, x in features.items()], name="shared_sum")


def feature_sum(features: Tensors, classes: int) -> Any:
    """Compute W (f + g + ...) + b: all inputs share one dense layer."""
    return head(added(list(features.values()), name="shared_sum"), classes, branch="shared")


def film(features: Tensors, classes: int) -> Any:
    """Compute W (gamma * f + beta) + b, gamma and beta linear in g; it begins near gamma = 1 and beta = 0."""
    first, others = _first_and_others(features)
    width = int(first.shape[-1])
    gamma = dense(others, width, name="shared_gamma", bias="ones")
    beta = dense(others, width, name="shared_beta")
    scaled = keras().layers.Multiply(name="shared_scaled")([first, gamma])
    return head(added([scaled, beta], name="shared_shifted"), classes, branch="shared")


def gated(features: Tensors, classes: int) -> Any:
    """Compute W (sigmoid(U g) * V f) + b."""
    first, others = _first_and_others(features)
    width = int(first.shape[-1])
    gate = keras().layers.Activation("sigmoid", name="shared_gate")(dense(others, width, name="shared_gate_values"))
    values = dense(first, width, name="shared_values")
    return head(keras().layers.Multiply(name="shared_gated")([values, gate]), classes, branch="shared")


def _first_and_others(features: Tensors) -> tuple[Any, Any]:
    first, *others = features.values()
    return first, joined(others) if len(others) > 1 else others[0]


def fused(inputs: Tensors, classes: int, *, operator: Operator, least: int = 1) -> Any:
    """Build one trunk for each input and join their features by ``operator``, which needs ``least`` inputs."""
    if len(inputs) < least:
        raise UsageError(f"the fusion '{operator.__name__}' lets other inputs change the features of the first; the "
                         f"data has {', '.join(inputs)} alone: give data with two inputs or more, or choose late")
    return operator({name: pooled(trunk(x, branch=name), branch=name) for name, x in inputs.items()}, classes)


FUSION_OPERATORS: dict[str, Operator] = {
    "late-sum": partial(fused, operator=logit_sum), "late-feature-sum": partial(fused, operator=feature_sum),
    "late-film": partial(fused, operator=film, least=2), "late-gated": partial(fused, operator=gated, least=2)}
