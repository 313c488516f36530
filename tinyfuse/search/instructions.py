"""Instructions of one inference by uniform width, counted on an emulated core."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinyfuse.errors import UsageError
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.measure import measure, setups
from tinyfuse.integer.interpreters import load
from tinyfuse.search.measure import uniform
from tinyfuse.search.study import Study


def counted(study: Study, tick: Callable[[str], None]) -> dict[int, int]:
    """By width the instructions of the whole network on ``settings.core``, planned for the least memory.

    Raises:
        UsageError: no compiler or emulator for that core.
    """
    core = CORES[study.settings.core]
    ready = setups([core])
    if not ready:
        raise UsageError(f"a budget of instructions needs a compiler and an emulator for {core.name}; install "
                         "arm-none-eabi-gcc and qemu-system-arm (or pip install 'tinyfuse[emulator]'), or leave it out")
    found = {}
    for bits in study.settings.widths:
        tick(f"{bits} bits on {core.name}")
        made = study.convert(uniform(bits, study.settings.methods))
        model = load(made.data, name=made.precision.name)
        codes = {port.name: np.zeros((1, *port.shape[1:]), port.dtype) for port in model.inputs}
        found[bits] = measure(model, codes, list(ready.values()), "ram")[core.name].instructions
    return found
