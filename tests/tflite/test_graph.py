"""A ``.tflite`` from anywhere gives a sound graph or one clear line: no crash, no hang, no unbounded memory."""

from __future__ import annotations

import random
import signal
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import chain, damaged, edges_and_shapes, edited, fusion, pairs
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.model import load_model
from tinyfuse.integer.twin import Twin
from tinyfuse.tflite import bounds, flatbuffer
from tinyfuse.tflite.graph import Graph
from tinyfuse.tflite.reading import read_graph

DIGITS = Path(__file__).parents[2] / "models" / "digits" / "early__w6.tflite"
WATCHDOG_SECONDS = 600
MOST_BYTES = 64 << 20


@pytest.fixture(autouse=True)
def watchdog() -> Iterator[None]:
    """Turn a hang into a failure."""
    signal.alarm(WATCHDOG_SECONDS)
    yield
    signal.alarm(0)


def attempt(data: bytes) -> Graph | None:
    """The graph of the integer core, or None if it was refused as everything must be refused."""
    try:
        return load_model(data, name="file.tflite").graph
    except ModelError as error:
        text = str(error)
        assert text.startswith("file.tflite: ") and text.isprintable() and len(text) < 600, text
        return None


def buildable(graph: Graph) -> None:
    """Build the twin, or meet a refusal in one line."""
    try:
        Twin(graph)
    except ModelError as error:
        assert str(error).isprintable()


def peak_bytes(action: Callable[[], object]) -> int:
    """The most memory that Python and numpy held at once beyond what they held before."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_sound_file_is_read_completely() -> None:
    graph = read_graph(fusion(), "fusion")
    assert [graph.tensors[index].name for index in graph.inputs] == ["image", "audio"]
    assert [operator.name for operator in graph.operators][:2] == ["CONCATENATION", "CONV_2D"]
    weights, bias = graph.tensors[3], graph.tensors[4]
    assert weights.data is not None and weights.data.shape == (4, 3, 3, 3) and not weights.data.flags.writeable
    assert bias.dtype == np.int32 and np.array_equal(bias.scale, np.full(4, 2e-4, np.float32)) and bias.axis == 0
    options = graph.operators[1].options
    assert (options["padding"], options["fused_activation_function"]) == ("SAME", "RELU")
    assert (options["stride_h"], options["dilation_w_factor"]) == (2, 1)
    assert graph.operators[6].options == {"beta": 1.0}
    assert graph.tensors[0].zero_point.tolist() == [-3] and graph.tensors[0].data is None


def test_tables_may_share_what_is_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some writers store it once."""
    model, pack, stored = flatbuffer.read(fusion(), "fusion"), flatbuffer._pack_aligned, dict[bytes, int]()
    model.buffers += model.buffers[1:2] * 400

    def once(buffer: Any, builder: Any) -> int:
        content = b"" if buffer.data is None else bytes(buffer.data)
        return stored[content] if content in stored else stored.setdefault(content, pack(buffer, builder))

    monkeypatch.setattr(flatbuffer, "_pack_aligned", once)
    shared = flatbuffer.write(model)
    assert len(shared) < 10_000 and read_graph(shared, "shared").tensors[3].data is not None


def test_the_layout_of_the_walk_is_that_of_the_schema() -> None:
    class Counter:
        def StartObject(self, count: int) -> None:
            self.count = count

    for table in bounds.LAYOUT.keys() - {"any"}:
        counter = Counter()
        getattr(flatbuffer.schema(), f"{table}Start")(counter)
        assert counter.count == len(bounds.LAYOUT[table].split()), table


@pytest.mark.parametrize("base", [fusion, chain, pairs, edges_and_shapes, DIGITS.read_bytes])
@pytest.mark.parametrize("way", [damaged, edited])
def test_damaged_files_are_read_or_refused(base: Callable[[], bytes], way: Callable[..., bytes | None]) -> None:
    """What is read can also be built."""
    data, read = base(), 0

    @settings(max_examples=10 if len(data) > 50_000 else 20, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1))
    def check(seed: int) -> None:
        nonlocal read
        rng = random.Random(seed)
        graphs = [attempt(candidate) for candidate in (way(data, rng) for _ in range(10)) if candidate is not None]
        for graph in filter(None, graphs):
            read += 1
            buildable(graph)

    check()
    assert read > 10  # the damage is not always so coarse that nothing behind the first check is reached


def test_every_cut_is_refused() -> None:
    assert all(attempt(fusion()[:size]) is None for size in range(len(fusion())))


def test_random_bytes_are_refused() -> None:
    rng = random.Random(0)
    for size in (0, 4, 7, 8, 12, 64, 4096):
        assert all(attempt(rng.randbytes(size)) is None for _ in range(20))
        assert all(attempt(rng.randbytes(4) + b"TFL3" + rng.randbytes(size)) is None for _ in range(50))


def test_memory_stays_bounded() -> None:
    """Over damaged files, and with 2^31 - 1 in the place of each word: every vector claims as much once."""
    rng = random.Random(1)
    files = [damaged(fusion(), rng) for _ in range(100)] + [edited(chain(), rng) or b"" for _ in range(50)]
    files += [fusion()[:place] + struct.pack("<I", 0x7FFFFFFF) + fusion()[place + 4:]
              for place in range(8, len(fusion()) - 4, 4)]
    assert peak_bytes(lambda: [attempt(data) for data in files]) < MOST_BYTES


def table(*fields: int) -> tuple[bytes, bytes]:
    """A vtable of 32-bit fields, and the reference of a table that lies directly behind it."""
    vtable = struct.pack("<HH", 4 + 2 * len(fields), 4 + 4 * len(fields))
    vtable += b"".join(struct.pack("<H", 4 + 4 * place if used else 0) for place, used in enumerate(fields))
    return vtable, struct.pack("<i", len(vtable))


@pytest.mark.parametrize(("count", "found"), [(1 << 20, "more than 32768 tables"), (3, "without subgraphs")])
def test_one_table_that_stands_for_millions(count: int, found: str) -> None:
    """The operator codes are ``count`` references to one table: four bytes each in the file, objects in memory."""
    vtable, back = table(1, 1)
    head = struct.pack("<I", 8 + len(vtable)) + b"TFL3" + vtable
    root = back + struct.pack("<I", 3) + struct.pack("<I", 4)
    vector = struct.pack("<I", count) + b"".join(struct.pack("<I", 4 * (count - place)) for place in range(count))
    one = struct.pack("<i", -4) + struct.pack("<HH", 4, 4)
    data = head + root + vector + one
    with pytest.raises(ModelError, match=found):
        read_graph(data, "bomb")
    assert peak_bytes(lambda: attempt(data)) < MOST_BYTES


def test_parts_that_many_share_are_refused() -> None:
    """A thousand tensors that share one long name would need a thousand copies of it."""
    model = flatbuffer.read(fusion(), "base")
    tensor = model.subgraphs[0].tensors[0]
    tensor.name = b"n" * 100_000
    original = type(tensor).Pack
    offsets: list[int] = []

    def once(builder: Any) -> int:
        offsets.append(offsets[0] if offsets else original(tensor, builder))
        return offsets[0]

    tensor.Pack = once
    model.subgraphs[0].tensors += [tensor] * 1000
    with pytest.raises(ModelError, match="bomb: its tables share parts so often that 8388608 bytes"):
        read_graph(flatbuffer.write(model), "bomb")
