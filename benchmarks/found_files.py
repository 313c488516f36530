"""Any ``.tflite`` files, in the twin and in TFLite Micro: which are accepted, values compared, differing, refusals.

    python benchmarks/found_files.py FOLDER [FOLDER ...] [--all]

Files are found in folders and in archives (.whl, .zip) that lie there, one in another too; the same bytes count once.
TFLite Micro is given each file as it is, on zeros and on random values. A file is *integer* if an operator computes
int8 or int16 codes (float and uint8 edges are no hindrance), *mixed* if others of its operators compute floats, else
*float*.
``--all`` shows float files and those that TFLite Micro does not run too. Exit code 3: something differs.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests")]
MAGIC, ARCHIVE, DEEPEST, MOST_BYTES = b"TFL3", b"PK\3\4", 4, 64 << 20
_EDGES = ("QUANTIZE", "DEQUANTIZE")


@dataclass(frozen=True)
class Found:
    """One file; ``unrun``: why TFLite Micro does not run it. Of the twin: what it compared, or its refusal."""

    name: str
    kind: str
    unrun: str
    values: int
    differing: int
    refused: str
    seconds: float

    def __str__(self) -> str:
        twin = f"{self.differing} of {self.values} differ" if self.values else f"refused: {self.refused}"
        return f"{self.kind:8s} {self.seconds:5.1f} s  {self.name}: {self.unrun or twin}"


def main() -> int:
    """Judge every file of the folders given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--all", action="store_true", help="show what is not counted too")
    args = parser.parse_args()
    from hostile import fusion

    rows: list[Found] = []
    judged("warm", fusion())  # compiling and importing are no time of a file
    for name, data in found(args.folders):
        row = judged(name, data)
        rows.append(row)
        if args.all or (row.kind != "float" and not row.unrun):
            print(row, flush=True)
    print("\n".join(totals(rows)))
    return 3 if any(row.differing for row in rows) else 0


def found(folders: list[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each ``.tflite``; those of the same bytes once."""
    seen: set[bytes] = set()
    for path in sorted(path for folder in folders for path in ([folder] if folder.is_file() else folder.rglob("*"))):
        if path.is_file() and path.stat().st_size <= MOST_BYTES:
            for name, data in _models(path.name, path.read_bytes(), 0):
                key = hashlib.sha256(data).digest()
                if key not in seen:
                    seen.add(key)
                    yield name, data


def _models(name: str, data: bytes, depth: int) -> Iterator[tuple[str, bytes]]:
    if data[4:8] == MAGIC:
        yield name, data
    elif data[:4] == ARCHIVE and depth < DEEPEST:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                if 8 < entry.file_size <= MOST_BYTES:
                    yield from _models(f"{name}/{entry.filename}", archive.read(entry), depth + 1)


def judged(name: str, data: bytes) -> Found:
    """Run one file in both; the time is that of reading it and of building the twin."""
    from verdicts import judge

    from tinyfuse.core.errors import ModelError
    from tinyfuse.integer.model import load_model
    from tinyfuse.integer.twin import Twin

    start = time.perf_counter()
    with suppress(ModelError):
        Twin(load_model(data, name=name).graph)
    seconds = time.perf_counter() - start
    verdict = judge(data, name=name)
    refused = verdict.refused or verdict.crashed
    return Found(name, kind_of(data), _unrun(data), verdict.values, verdict.differing, refused, seconds)


def kind_of(data: bytes) -> str:
    """What the operators of the first subgraph compute: integer, mixed, float, or damaged if it is not read."""
    model = _tree(data)
    if model is None:
        return "damaged"
    from tinyfuse.tflite import flatbuffer

    graph, types = model.subgraphs[0], set()
    for operator in graph.operators:
        if flatbuffer.operator_name(model, operator) not in _EDGES:
            types |= {flatbuffer.value_name("TensorType", graph.tensors[index].type) for index in operator.outputs}
    integers = types & {"INT8", "INT16", "UINT8"}
    return ("mixed" if "FLOAT32" in types else "integer") if integers else "float"


def _tree(data: bytes) -> Any:
    from tinyfuse.core.errors import ModelError
    from tinyfuse.tflite import flatbuffer

    try:
        return flatbuffer.read(data, "file")
    except ModelError:
        return None


def _unrun(data: bytes) -> str:
    """Why TFLite Micro does not run the file as it is; "" if it does."""
    from tinyfuse.core.errors import ModelError
    from tinyfuse.integer.executors.process import Loaded, RemoteSession
    from tinyfuse.tflite.reading import DTYPES, indices

    model = _tree(data)
    if model is None:
        return "TFLite Micro is not given what is no flatbuffer"
    from tinyfuse.tflite import flatbuffer

    graph, columns = model.subgraphs[0], []
    for index in indices(graph.inputs):
        tensor = graph.tensors[index]
        kind = DTYPES.get(flatbuffer.value_name("TensorType", tensor.type) or "", np.dtype(np.float32))
        columns.append(_values(kind, indices(tensor.shape)))
    try:
        RemoteSession("tflm", "tflm", Loaded("it", data, (), ()), every=False).run(columns, ())
    except ModelError as error:
        return f"TFLite Micro: {str(error).removeprefix('it: tflm cannot run it ')[:100]}"
    return ""


def _values(kind: np.dtype[Any], shape: Sequence[int]) -> np.ndarray:
    """Zeros, then random values [2, ...]."""
    rng = np.random.default_rng(0)
    drawn = rng.random(shape) if kind.kind == "f" else rng.integers(0, 2, shape)
    return np.stack([np.zeros(shape), drawn]).astype(kind)


def totals(rows: list[Found]) -> list[str]:
    """The figures as lines to read."""
    ran = Counter((row.kind, bool(row.values)) for row in rows if not row.unrun)
    lines = [f"{len(rows)} files, of which TFLite Micro runs {sum(ran.values())}"]
    for kinds in (("integer",), ("integer", "mixed", "damaged"), ("float",)):
        accepted, all_ = (sum(ran[kind, yes] for kind in kinds for yes in some) for some in ((True,), (True, False)))
        if all_:
            lines.append(f"  {' + '.join(kinds)}: {accepted} of {all_} accepted ({accepted / all_:.1%})")
    values = [(row.values, row.differing) for row in rows]
    return [*lines, f"  {sum(two for _, two in values)} of {sum(one for one, _ in values)} values differ; slowest to "
                    f"read: {max((row.seconds for row in rows), default=0.0):.1f} s"]


if __name__ == "__main__":
    sys.exit(main())
