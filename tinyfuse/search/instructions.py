"""Instructions of one inference by uniform width, counted on an emulated core."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinyfuse.core.errors import UsageError
from tinyfuse.core.files import sha256_hex
from tinyfuse.core.results import Row
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.measure import Setup, measure, runtime_sha256, setups
from tinyfuse.integer.interpreters import load
from tinyfuse.quantize.convert import Conversion
from tinyfuse.search.measure import uniform
from tinyfuse.search.study import Study
from tinyfuse.study.stages.firmware_stage import OPTIMIZE, measured_fields


def counted(study: Study, tick: Callable[[str], None]) -> dict[int, int]:
    """By width the instructions of the whole network on ``settings.core``, planned for the least memory.

    Raises:
        UsageError: no compiler or emulator for that core.
    """
    core = CORES[study.settings.core]
    setup = setups([core]).get(core.name)
    if setup is None:
        raise UsageError(f"a budget of instructions needs a compiler and an emulator for {core.name}; install "
                         "arm-none-eabi-gcc and qemu-system-arm (or pip install 'tinyfuse[emulator]'), or leave it out")
    found = {}
    for bits in study.settings.widths:
        made = study.convert(uniform(bits, study.settings.methods))
        key = study.key("firmware", file=sha256_hex(made.data), runtime=runtime_sha256(), core=core.name,
                        compiler=setup.compiler.name, emulator=setup.emulator.name)
        if not study.store.has(key):
            study.store.append({"key": key, **_row(study, made, setup)})
        found[bits] = int(study.rows("firmware", [key])[key]["instructions"])
        tick(f"{bits} bits on {core.name}")
    return found


def _row(study: Study, made: Conversion, setup: Setup) -> Row:
    model = load(made.data, name=made.precision.name)
    codes = {port.name: np.zeros((1, *port.shape[1:]), port.dtype) for port in model.inputs}
    cost = measure(model, codes, [setup], OPTIMIZE)[setup.core.name]
    return {**measured_fields(setup, cost), "precision": made.precision.name, "file_sha256": sha256_hex(made.data),
            **study.common()}
