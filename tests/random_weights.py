"""Random weights where fresh ones are too regular to test anything: batch norms, and positions of tokens."""

from __future__ import annotations

from typing import Any

import numpy as np


def stir(model: Any, seed: int = 3) -> Any:
    """Give each batch norm of ``model`` random statistics, and tables of positions values that matter; return it."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if layer.name.endswith("_bn"):
            n = layer.gamma.shape[0]
            layer.set_weights([np.asarray(layer.gamma) * rng.uniform(0.5, 1.5, n), rng.normal(0, 0.3, n),
                               rng.normal(0, 0.3, n), rng.uniform(0.5, 2.0, n)])
        elif layer.name.endswith("_positions"):
            layer.set_weights([rng.normal(size=layer.table.shape)])
    return model
