"""Compile an emitted program with the host's compiler under its sanitizers, run it, and collect every value."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tinyfuse.firmware import emit
from tinyfuse.firmware.operators import Kernel
from tinyfuse.firmware.operators.base import as_bits
from tinyfuse.firmware.program import Program, program_of
from tinyfuse.integer.model import IntegerModel, random_codes
from tinyfuse.integer.twin import Twin

RUNTIME = Path(__file__).resolve().parents[1] / "firmware_export" / "runtime"
MODEL = Path(__file__).resolve().parents[1] / "models" / "digits" / "early__w6.tflite"
COMPILER = shutil.which("gcc") or shutil.which("cc") or ""
WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
SANITIZE = ["-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
FLAGS = [*WARNINGS, *SANITIZE]
"""Without optimisation the sanitizers see every access, and the compiler takes half the time."""
MAIN = """
#include <stdio.h>
#include "NAME.h"
FILE *values;
static NAME_arena_t arena;
int main(void)
{{
  values = fopen("values.bin", "wb");
  for (int sample = 0; sample < {samples}; sample++) {{
    NAME_inputs_t in = NAME_inputs(&arena);
{reads}
    const NAME_outputs_t out = NAME_infer(&arena);
    int place = 0;
{writes}
  }}
  return fclose(values);
}}
"""
WRITE = """    for (int i = 0; i < {size}; i++) {{
      const int all[3] = {{-1, place++, out.{name}[i]}};
      fwrite(all, sizeof all, 1, values);
    }}"""
TRACE = """
#include <stddef.h>
#include <stdio.h>
extern FILE *values;
#define TNY_TRACE(tensor, index, value) \\
  do { \\
    const int all[3] = {(int)(tensor), (int)(index), (int)(value)}; \\
    fwrite(all, sizeof all, 1, values); \\
  } while (0)
"""


def write(program: Program, folder: Path) -> None:
    """The source files of ``program``, with its runtime."""
    shutil.copytree(RUNTIME, folder / "runtime")
    (folder / f"{program.name}.h").write_text(emit.header(program))
    (folder / f"{program.name}.c").write_text(emit.source(program))
    (folder / f"{program.name}_weights.h").write_text(emit.weights(program))


def values_of(program: Program, codes: Mapping[str, np.ndarray], folder: Path,
              flags: list[str] | None = None) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Codes [n, k] of all outputs, and every tensor [n, size] by index, as the C code computes them."""
    write(program, folder)
    count = len(next(iter(codes.values())))
    reads = "\n".join(f"    if (fread(in.{port.name}, sizeof *in.{port.name}, {port.size}, stdin) != {port.size})"
                      " return 1;" for port in program.inputs)
    writes = "\n".join(WRITE.format(size=port.size, name=port.name) for port in program.outputs)
    (folder / "main.c").write_text(MAIN.format(samples=count, reads=reads, writes=writes).replace("NAME", program.name))
    (folder / "trace.h").write_text(TRACE)
    mine = ["-I.", "-include", "trace.h", f"{program.name}.c"]
    if flags is None:  # some warnings come only from optimising
        subprocess.run([COMPILER, *WARNINGS, "-O1", *mine, "-c", "-o", os.devnull], cwd=folder, check=True)
    subprocess.run([COMPILER, *(FLAGS if flags is None else flags), *mine, "main.c", "-o", "program"], cwd=folder,
                   check=True)
    flat = [codes[port.name].reshape(count, -1).astype(port.ctype.removesuffix("_t")).view(np.uint8)
            for port in program.inputs]
    data = np.concatenate(flat, axis=1).tobytes()
    subprocess.run(["./program"], cwd=folder, input=data, check=True)
    found = np.fromfile(folder / "values.bin", np.int32).reshape(-1, 3)
    tensors = {int(index): found[found[:, 0] == index] for index in np.unique(found[:, 0])}
    sorted_ = {index: _by_sample(rows, count) for index, rows in tensors.items()}
    return sorted_.pop(-1), sorted_


def differing(found: IntegerModel, optimize: str, folder: Path, flags: list[str] | None = None,
              samples: int = 3) -> dict[str, int]:
    """Values that differ from the twin, by tensor; two samples are saturated.

    Every tensor is among them but those that lie in the memory of another.
    """
    program, tensors = program_of(found, "net", optimize), found.graph.tensors
    codes = random_codes(found, samples, seed=1)
    by_port = {port.name: codes[tensors[port.tensor].name] for port in program.inputs}
    output, traced = values_of(program, by_port, folder, flags)
    expected = Twin(found.graph).tensors(codes)
    expected |= {index: expected[index][..., channels] for index, channels in program.left.items()}
    wrong = {tensors[index].name: int(np.sum(values != as_bits(expected[index]).reshape(values.shape)))
             for index, values in traced.items()}
    wanted = np.concatenate([expected[index].reshape(samples, -1).astype(int) for index in found.graph.outputs], axis=1)
    wrong["output"] = int(np.sum(output != wanted))
    assert traced.keys() == {layer.target for layer in program.layers
                             if not isinstance(layer, Kernel) or layer.aliased is None}
    return wrong


def _by_sample(rows: np.ndarray, count: int) -> np.ndarray:
    """Values [n, size] in the order of their index; each index came once for every sample."""
    parts = rows.reshape(count, -1, 3)
    order = np.argsort(parts[:, :, 1], axis=1)
    assert np.array_equal(np.take_along_axis(parts[:, :, 1], order, 1),
                          np.broadcast_to(np.arange(parts.shape[1]), parts.shape[:2]))
    return np.take_along_axis(parts[:, :, 2], order, 1)


def damaged(text: str) -> str:
    """One packed word of the first convolution with all bits turned."""
    start = text.index("{", text.index("uint32_t weights"))
    word = text[text.index("0x", start):][:10]
    return text.replace(word, f"0x{int(word, 16) ^ 0xFFFFFFFF:08x}", 1)
