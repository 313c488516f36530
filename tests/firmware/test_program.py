"""The emitted C99 computes what the twin computes, on every tensor, under the address and undefined sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emitted import COMPILER, differing, write
from one_operator import Spec, Step, build

from tinyfuse.core.errors import ModelError, UsageError
from tinyfuse.firmware import emit
from tinyfuse.firmware.operators.convolution import Conv
from tinyfuse.firmware.plan import check_buffers
from tinyfuse.firmware.program import program_of
from tinyfuse.firmware.schedule import BlockStep, narrowed
from tinyfuse.integer.model import IntegerModel, load_model
from tinyfuse.nn import zoo
from tinyfuse.quantize.convert import Baseline, convert
from tinyfuse.quantize.recipe import read_recipe

Lively = Callable[[str], tuple[Any, Baseline]]
needs_compiler = pytest.mark.skipif(not COMPILER, reason="no C compiler (gcc or cc) on PATH")


@pytest.fixture(scope="module")
def model(lively: Lively) -> Callable[[str, str], IntegerModel]:
    return lambda name, recipe: load_model(convert(lively(name)[1], read_recipe(recipe)).data, name=name)


@needs_compiler
@pytest.mark.parametrize("name, recipe, optimize", [
    ("early", "w6", "ram"), ("early", "w9", "speed"), ("early", "w7", "size"), ("image", "w9", "speed"),
    ("audio", "w2", "size"), ("intermediate", "w7", "speed"), ("late", "w9", "ram")])
def test_every_tensor_is_the_twins(model: Callable[[str, str], IntegerModel], tmp_path: Path, name: str, recipe: str,
                                   optimize: str) -> None:
    """On the host under the sanitizers."""
    wrong = differing(model(name, recipe), optimize, tmp_path / "net")
    assert set(wrong.values()) == {0}, wrong


@needs_compiler
def test_every_width_is_decoded_exactly(model: Callable[[str, str], IntegerModel], tmp_path: Path) -> None:
    """One network with a layer of each width from 2 to 9."""
    layers = ["stem_conv", "block1_conv1", "block1_conv2", "block2_conv1", "block2_conv2", "block2_shortcut",
              "block3_conv1", "block3_conv2"]
    rules = "".join(f'[[layers]]\npattern = "shared_{layer}"\nbits = {bits}\n' for bits, layer in enumerate(layers, 2))
    (tmp_path / "all.toml").write_text(f'name = "all"\n[weights]\nimage = 8\naudio = 8\nshared = 8\n{rules}')
    found = model("early", str(tmp_path / "all.toml"))
    widths = {layer.bits for layer in program_of(found, "net").layers if isinstance(layer, Conv)}
    assert widths == set(range(2, 10))
    wrong = differing(found, "ram", tmp_path / "net")
    assert set(wrong.values()) == {0}, wrong


@pytest.mark.skipif(not (shutil.which("g++") and shutil.which("nm")), reason="no g++ or no nm on PATH")
def test_the_interface_is_valid_cxx_and_every_symbol_has_the_prefix(model: Callable[[str, str], IntegerModel],
                                                                    tmp_path: Path) -> None:
    """Warnings are errors, the header can be included from C++, and nothing else reaches the linker."""
    write(program_of(model("early", "w6"), "net"), tmp_path)
    (tmp_path / "user.cpp").write_text(
        '#include "net.h"\nint use(net_arena_t *arena) { return net_argmax(net_infer(arena)); }\n')
    flags = ["-Wall", "-Wextra", "-Werror", "-c", "-I."]
    subprocess.run(["g++", "-std=c++11", *flags, "user.cpp"], cwd=tmp_path, check=True)
    subprocess.run(["g++", "-x", "c", "-std=c99", *flags, "net.c"], cwd=tmp_path, check=True)
    listed = subprocess.run(["nm", "-g", "--defined-only", "net.o"], cwd=tmp_path, check=True, capture_output=True)
    names = [line.split()[-1] for line in listed.stdout.decode().splitlines()]
    assert names and all(name.startswith("net_") for name in names), names


@needs_compiler
@pytest.mark.parametrize("seed", range(8))
def test_single_convolutions_of_all_kinds(tmp_path: Path, seed: int) -> None:
    """Random shapes, strides, paddings, dilations, clamps, scales up to large ones, and odd channel counts."""
    wrong = differing(load_model(one_convolution(np.random.default_rng(seed)), name="one"), "ram", tmp_path / "net")
    assert set(wrong.values()) == {0}, wrong


def one_convolution(rng: np.random.Generator) -> bytes:
    in_c, out_c = int(rng.integers(1, 9)), int(rng.integers(1, 8))
    kernel, stride = rng.integers(1, 4, 2), int(rng.integers(1, 3))
    dilation = int(rng.choice([1, 1, 2])) if stride == 1 else 1
    size = rng.integers(6, 11, 2)
    same = bool(rng.integers(2))
    reach = (kernel - 1) * dilation + 1
    out = -(-size // stride) if same else (size - reach) // stride + 1
    weights = rng.integers(-127, 128, (out_c, *kernel, in_c))
    scale = np.exp(rng.uniform(-9, 1, out_c))
    options = {"padding": 0 if same else 1, "strideH": stride, "strideW": stride, "dilationHFactor": dilation,
               "dilationWFactor": dilation, "fusedActivationFunction": int(rng.choice([0, 1, 3]))}
    return build([Spec([1, *size, in_c], zero_point=[int(rng.integers(-128, 128))], name="x"),
                  Spec(weights.shape, scale=scale, zero_point=[0] * out_c, data=weights),
                  Spec([out_c], np.int32, scale=scale, zero_point=[0] * out_c, data=rng.integers(-9000, 9000, out_c)),
                  Spec([1, *out, out_c], scale=[rng.uniform(0.5, 30)], zero_point=[int(rng.integers(-128, 128))])],
                 [Step("CONV_2D", [0, 1, 2], [3], "Conv2DOptions", options)], [0], [3])


@pytest.mark.parametrize("name", zoo.DIGIT_NETWORKS)
def test_no_two_living_buffers_overlap(model: Callable[[str, str], IntegerModel], name: str) -> None:
    for optimize in ("ram", "speed"):
        check_buffers(program_of(model(name, "w6"), "net", optimize).plan.buffers.values())
    plan = program_of(model(name, "w6"), "net").plan
    assert sum(isinstance(step, BlockStep) for step in plan.steps) >= 3
    squeezed = replace(plan, buffers={key: replace(one, offset=0) for key, one in plan.buffers.items()})
    with pytest.raises(ModelError, match="overlap"):
        check_buffers(squeezed.buffers.values())


def test_the_early_fusion_fits_less_than_half_of_tflite_micros_arena(model: Callable[[str, str], IntegerModel]) -> None:
    """TFLite Micro needs 44,544 bytes, of which 45 % are to hold the stack, too: at most 604 bytes on Cortex-M."""
    assert program_of(model("early", "w6"), "net").plan.arena_bytes + 604 <= 0.45 * 44_544


@pytest.mark.parametrize("name", zoo.DIGIT_NETWORKS)
def test_larger_groups_fit_where_lanes_take_one_byte(model: Callable[[str, str], IntegerModel], name: str) -> None:
    for step in program_of(model(name, "w6"), "net").plan.steps:
        if isinstance(step, BlockStep):
            more = narrowed(step)
            assert isinstance(more, BlockStep) and more.rows_a + more.rows_b > step.rows_a + step.rows_b
            assert more.a.ring_lanes(more.rows_a) <= 2 * step.a.ring_lanes(step.rows_a)
            assert more.b.ring_lanes(more.rows_b) <= 2 * step.b.ring_lanes(step.rows_b)


def test_what_the_firmware_lacks_is_refused_in_one_line(model: Callable[[str, str], IntegerModel]) -> None:
    found = model("early", "w6")
    with pytest.raises(UsageError, match="'9lives' is no name for C"):
        program_of(found, "9lives")
    with pytest.raises(UsageError, match="allowed: ram, speed, size"):
        program_of(found, "net", "beauty")


def test_the_same_model_gives_the_same_bytes(model: Callable[[str, str], IntegerModel]) -> None:
    one, two = (program_of(model("late", "w7"), "net") for _ in range(2))
    assert emit.source(one) == emit.source(two) and emit.header(one) == emit.header(two)


@needs_compiler
@pytest.mark.parametrize("name", ["a/*b", "a*/b", "a??/", "a\\", "täst"])
def test_odd_names_of_tensors_break_no_comment(tmp_path: Path, name: str) -> None:
    data = build([Spec([1, 4, 4, 1], name="x"), Spec([1, 2, 2, 1], name=name)],
                 [Step("AVERAGE_POOL_2D", [0], [1], "Pool2DOptions",
                       {"padding": 1, "strideH": 2, "strideW": 2, "filterHeight": 2, "filterWidth": 2})], [0], [1])
    assert set(differing(load_model(data, name="odd"), "ram", tmp_path / "net").values()) == {0}
