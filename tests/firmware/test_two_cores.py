"""Two cores of one chip: the best division, memory that halves never share, TFLite Micro's codes in either order."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from emitted import COMPILER
from hypothesis import given, settings
from hypothesis import strategies as st
from one_operator import Spec, Step, build

from tinyfuse.cli import main as cli
from tinyfuse.core.errors import ParityError, UsageError
from tinyfuse.firmware import deploy
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.measure import setups
from tinyfuse.firmware.operators import Kernel
from tinyfuse.firmware.package import open_package, write_sources
from tinyfuse.firmware.plan import check_buffers, placed
from tinyfuse.firmware.program import program_of
from tinyfuse.firmware.two_cores import JOIN, SharedBuffer, schedule_of
from tinyfuse.firmware.two_cores_proof import prove_two_cores
from tinyfuse.integer.model import load_model

READY = setups([CORES["m0+"], CORES["m33"]])
THREADS = """
#include <pthread.h>
#include "net_cores.h"
static net_arena_t arena;
static void *second(void *unused) { net_core1(&arena); return unused; }
int main(void)
{
  for (int i = 0; i < 20; i++) {
    pthread_t other;
    pthread_create(&other, NULL, second, NULL);
    net_core0(&arena);
    pthread_join(other, NULL);
    (void)net_join(&arena);
  }
  return 0;
}
"""


def branches(sizes: Sequence[int]) -> bytes:
    """One 3x3 convolution for each input of these heights and widths, their means, and additions of these."""
    rng = np.random.default_rng(0)
    specs = [Spec([1, size, size, 2], zero_point=[3], name=f"sensor{place}") for place, size in enumerate(sizes)]
    steps: list[Step] = []
    means: list[int] = []
    for place, size in enumerate(sizes):
        first = len(specs)
        specs += [Spec([4, 3, 3, 2], scale=[0.02] * 4, zero_point=[0] * 4, data=rng.integers(-31, 32, (4, 3, 3, 2))),
                  Spec([4], np.int32, [0.02] * 4, [0] * 4, data=rng.integers(-99, 99, 4)), Spec([1, size, size, 4]),
                  Spec([1, 1, 1, 4])]
        steps += [Step("CONV_2D", [place, first, first + 1], [first + 2], "Conv2DOptions",
                       {"strideH": 1, "strideW": 1}),
                  Step("AVERAGE_POOL_2D", [first + 2], [first + 3], "Pool2DOptions",
                       {"filterHeight": size, "filterWidth": size, "strideH": 1, "strideW": 1, "padding": 1})]
        means.append(first + 3)
    for one in means[1:]:
        specs.append(Spec([1, 1, 1, 4], scale=[2.0]))
        steps.append(Step("ADD", [means[0], one], [len(specs) - 1], "AddOptions"))
        means[0] = len(specs) - 1
    return build(specs, steps, range(len(sizes)), means[:1])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    (folder / "net.tflite").write_bytes(branches((6, 5, 9)))
    return deploy.export(folder / "net.tflite", folder / "net", vectors=3, cores=2, board="rp2040")


def test_the_largest_branch_has_a_core_of_its_own(exported: Path) -> None:
    """The two others, and the addition of theirs, are the other half; one addition is left to the join."""
    program = open_package(exported).program
    assert program.schedule is not None
    assert program.schedule.inputs == ((0, 1), (2,)) and program.schedule.cores == (0, 0, 0, 0, 0, 1, 1, JOIN)
    said = "\n".join(deploy.removed_lines(exported))
    assert "core 0 takes sensor0 and sensor1" in said and "core 1 takes sensor2" in said


@pytest.mark.skipif(not READY, reason="no compiler or no emulator of m0+ and m33")
def test_halves_give_tflite_micros_codes_in_either_order(exported: Path, tmp_path: Path) -> None:
    package = open_package(exported)
    for found in prove_two_cores(package, READY, tmp_path):
        found.check()
        assert found.values == 2 * 4 * len(package.vectors) and not found.differing and not found.touched
        first, second, join = found.instructions
        assert 0 < join < first and join < second and 1.3 < found.gain < 2


@pytest.mark.skipif(not READY, reason="no compiler or no emulator of m0+ and m33")
def test_halves_that_share_memory_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planned as if they never ran at a time, one half writes where the other has its memory; codes may be right."""
    monkeypatch.setattr(SharedBuffer, "_concurrent", lambda one, other: False)
    (tmp_path / "net.tflite").write_bytes(branches((6, 5)))
    package = open_package(deploy.export(tmp_path / "net.tflite", tmp_path / "net", vectors=1, cores=2))
    name, setup = next(iter(READY.items()))
    (found,) = prove_two_cores(package, {name: setup}, tmp_path)
    assert found.touched > 0
    with pytest.raises(ParityError, match="bytes of the other half's memory changed"):
        found.check()


@pytest.mark.skipif(not COMPILER, reason="no C compiler (gcc or cc) on PATH")
def test_threads_find_no_byte_that_both_halves_touch(tmp_path: Path) -> None:
    """Two real threads under the thread sanitizer, which sees reads as well as writes."""
    write_sources(program_of(load_model(branches((6, 5, 9))), "net", cores=2), tmp_path)
    (tmp_path / "main.c").write_text(THREADS)
    built = subprocess.run([COMPILER, "-O1", "-fsanitize=thread", "-I.", "main.c", "net.c", "-o", "net", "-pthread"],
                           cwd=tmp_path, capture_output=True, text=True, check=False)
    if built.returncode and "tsan" in built.stderr:
        pytest.skip("the compiler has no thread sanitizer here")
    assert not built.returncode, built.stderr
    ran = subprocess.run(["./net"], cwd=tmp_path, capture_output=True, text=True, check=False)
    if "unexpected memory mapping" in ran.stderr:
        pytest.skip("the thread sanitizer does not run under this kernel's address layout")
    assert not ran.returncode, ran.stderr


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.lists(st.integers(1, 300), min_size=1, max_size=4)),
                min_size=1, max_size=10))
def test_no_two_buffers_of_concurrent_halves_share_a_byte(given_: list[tuple[int, int, list[int]]]) -> None:
    """Byte by byte; a core's steps come behind one another, core 1's behind core 0's, the join's last."""
    buffers = [SharedBuffer(f"b{number}", 4 * core + first, tuple(sizes), core=core)
               for number, (core, first, sizes) in enumerate(given_)]
    found = placed(buffers)
    check_buffers(found)
    taken: list[set[int]] = [set(), set()]
    for one in found:
        assert isinstance(one, SharedBuffer)
        if one.core != JOIN:
            taken[one.core] |= set(range(one.offset, one.offset + one.size))
    assert not taken[0] & taken[1]
    for step in range(16):
        bytes_ = [byte for one in found if one.first <= step <= one.last
                  for byte in range(one.offset, one.offset + one.sizes[step - one.first])]
        assert len(bytes_) == len(set(bytes_))


@settings(max_examples=50)
@given(st.data())
def test_no_division_of_the_inputs_takes_less(data: st.DataObject) -> None:
    """Against every division, with dependences found by walking back from each step."""
    count = data.draw(st.integers(2, 4))
    steps, sizes = list[Kernel](), dict[int, int]()
    for target in range(count, count + data.draw(st.integers(2, 7))):
        sources = data.draw(st.lists(st.integers(0, target - 1), min_size=1, max_size=2, unique=True))
        steps.append(Kernel(f"s{target}", tuple(sources), target))
        sizes[target] = data.draw(st.integers(1, 50))
    made = {step.target: step for step in steps}

    def roots(tensor: int) -> set[int]:
        return {tensor} if tensor < count else {root for source in made[tensor].sources for root in roots(source)}

    def shares(second: set[int]) -> list[int]:
        parts = [0, 0, 0]
        for step in steps:
            on = {tensor in second for tensor in roots(step.target)}
            parts[JOIN if len(on) == 2 else int(on.pop())] += sizes[step.target]
        return parts

    divided = [shares(set(one)) for size in range(1, count) for one in itertools.combinations(range(1, count), size)]
    able = [max(parts[:2]) + parts[2] for parts in divided if parts[0] and parts[1]]
    names = {tensor: f"i{tensor}" for tensor in range(count)}
    if not able:
        with pytest.raises(UsageError, match="two cores need two branches that share no input"):
            schedule_of(steps, names, sizes)
        return
    found = schedule_of(steps, names, sizes)
    assert list(found.work) == shares(set(found.inputs[1])) and max(found.work[:2]) + found.work[2] == min(able)
    for step, core in zip(steps, found.cores, strict=True):
        if core != JOIN:
            assert roots(step.target) <= set(found.inputs[core])


@pytest.mark.parametrize("sizes, options, words", [
    ((5,), [], "this network has one input, 'sensor0'; export for one core"),
    ((5, 5), ["--board", "nucleo-l4r5zi"], "NUCLEO-L4R5ZI has 1 core of its kind, 2 are asked for; boards with as"),
    ((5, 5), ["--cores", "3"], "3 cores; allowed: 1, 2"),
])
def test_what_two_cores_cannot_share_is_refused_in_one_line(sizes: tuple[int, ...], options: list[str], words: str,
                                                            tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.tflite").write_bytes(branches(sizes))
    assert cli.main(["export", str(tmp_path / "net.tflite"), "--out", str(tmp_path / "out"), "--random", "--cores", "2",
                     *options]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and "\n" not in said and not (tmp_path / "out").exists()
