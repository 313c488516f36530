"""What each width of each unit takes: packed bytes, multiply-accumulates, instructions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tinyfuse.core.console import progress
from tinyfuse.core.errors import UsageError
from tinyfuse.core.files import sha256_hex
from tinyfuse.core.results import Row
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.measure import measure, runtime_sha256, setups
from tinyfuse.firmware.program import program_of
from tinyfuse.integer.model import IntegerModel, load_model
from tinyfuse.quantize.convert import Conversion
from tinyfuse.quantize.recipe import uniform
from tinyfuse.quantize.weight_codes import BIAS_BYTES, REQUANTIZE_BYTES, packed_bits
from tinyfuse.search.groups import Part, Unit
from tinyfuse.search.selection_study import SelectionStudy
from tinyfuse.study.stages.firmware import OPTIMIZE, measured_fields


def packed_bytes(part: Part, bits: int) -> int:
    """Count the packed bytes of one part at a width.

    The sum over parts is at most one byte for each slice above :func:`tinyfuse.quantize.weight_codes.layer_size`.
    """
    channels = len(part.layer.bias)
    constants = channels * (BIAS_BYTES + REQUANTIZE_BYTES) if part.start == 0 else 0
    strides = channels if len(part.layer.parts) > 1 else 0
    return -(-part.weights * packed_bits(bits, depthwise=part.layer.depthwise) // 8) + constants + strides


def sizes(units: Sequence[Unit], widths: Sequence[int], reference: Conversion,
          instructions: Mapping[int, int] | None = None) -> dict[str, np.ndarray]:
    """Tabulate by resource, float [u, w], what ``units`` take at ``widths``; sums over units are a whole network's.

    ``reference``: any conversion of the network without 9 bits, which tells how often each kernel is applied.
    ``instructions``: of the whole network by uniform width, measured; each unit takes its share by
    multiply-accumulates.
    """
    pixels = {layer.name: layer.macs // layer.weights for layer in reference.layers}
    macs = np.array([sum(part.weights * pixels[part.layer.name] for part in unit.parts) for unit in units])
    # One slice of 9 bits doubles the whole layer; with two of them this counts too much rather than too little.
    doubled = np.array([sum(part.layer.kernel.size * pixels[part.layer.name] for part in unit.parts) for unit in units])
    found = {"flash": np.array([[sum(packed_bytes(part, bits) for part in unit.parts) for bits in widths]
                                for unit in units], float),
             "macs": np.stack([macs + doubled * (bits == 9) for bits in widths], axis=1).astype(float)}
    if instructions is not None:
        found["instructions"] = np.outer(macs / macs.sum(), [float(instructions[bits]) for bits in widths])
    return found


def needs(conversion: Conversion) -> dict[str, int]:
    """Count what a converted network takes, exactly: flash and multiply-accumulates."""
    return {"flash": sum(layer.packed_bytes for layer in conversion.layers),
            "macs": sum(layer.macs for layer in conversion.layers)}


def arena_bytes(model: IntegerModel) -> int:
    """Count the bytes of the arena that the firmware of ``model`` plans."""
    return program_of(model, "net").plan.arena_bytes


def instructions_of(study: SelectionStudy) -> dict[int, int]:
    """Count by uniform width the instructions of one inference on ``settings.core``, planned for the least memory.

    Raises:
        UsageError: no compiler or emulator for that core.
    """
    core, methods = CORES[study.settings.core], study.settings.methods
    setup = setups([core]).get(core.name)
    if setup is None:
        raise UsageError(f"a budget of instructions needs a compiler and an emulator for {core.name}; install "
                         "arm-none-eabi-gcc and qemu-system-arm (or pip install 'tinyfuse[emulator]'), or leave it out")
    made = {bits: study.convert(uniform(bits, methods)) for bits in study.settings.widths}
    files = {bits: sha256_hex(found.data) for bits, found in made.items()}
    keys = {study.key("firmware", file=file, runtime=runtime_sha256(), core=core.name, compiler=setup.compiler.name,
                      emulator=setup.emulator.name): bits for bits, file in files.items()}

    def count(missing: Mapping[str, int]) -> Iterator[tuple[str, Row]]:
        with progress("counting instructions", len(missing)) as advance:
            for key, bits in missing.items():
                model = load_model(made[bits].data, name=made[bits].recipe.name)
                codes = {port.name: np.zeros((1, *port.shape[1:]), port.dtype) for port in model.inputs}
                cost = measured_fields(setup, measure(model, codes, [setup], OPTIMIZE)[core.name])
                yield key, {**cost, "precision": made[bits].recipe.name, "file_sha256": files[bits]}
                advance(note=f"{bits} bits on {core.name}")

    return {bits: int(row["instructions"]) for bits, row in study.rows("firmware", keys, count).items()}
