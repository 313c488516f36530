"""Digit networks with the layer names of ResNet8 and a tenth of its work, for tests that are about something else."""

from __future__ import annotations

from typing import Any

from tinyfuse.nn.zoo import resnet8


def thin_trunk(x: Any, *, branch: str, blocks: tuple[int, ...] = (1, 2, 3)) -> Any:
    """Stem with a stride of 4, and of ``blocks`` only the last."""
    x = resnet8.normalised(x, resnet8.FILTERS[0], name=f"{branch}_stem_conv", stride=4)
    return resnet8.residual_block(x, blocks[-1], branch=branch)
