"""What the twin says of a ``.tflite`` from anywhere, beside TFLite Micro, which runs in a process of its own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from graphs import Case

from tinyfuse.core.errors import ModelError, TinyfuseError
from tinyfuse.integer.executors.interpreters import RowExecutor
from tinyfuse.integer.executors.process import Loaded, RemoteSession
from tinyfuse.integer.model import IntegerModel, load_model
from tinyfuse.integer.twin import Twin


@dataclass(frozen=True)
class Verdict:
    """``values`` compared and ``differing``, or why the file was ``refused``; ``crashed``: what TFLM does not run."""

    values: int = 0
    differing: int = 0
    refused: str = ""
    crashed: str = ""

    @property
    def wrong(self) -> bool:
        """Whether the twin accepts what it does not compute."""
        return bool(self.differing or self.crashed)


@dataclass
class Tally:
    """Verdicts counted; ``wrong`` holds the names of the first graphs that are not exact."""

    graphs: int = 0
    exact: int = 0
    values: int = 0
    differing: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, name: str, found: Verdict) -> None:
        self.graphs += 1
        self.values += found.values
        self.differing += found.differing
        self.exact += bool(found.values and not found.wrong)
        if found.refused:
            self.refusals[reason(found.refused)] += 1
        if found.wrong:
            self.wrong.append(f"{name}: {found.crashed or f'{found.differing} of {found.values} values differ'}")


def reason(message: str) -> str:
    """A refusal without names, types of operators and numbers."""
    plain = re.sub(r"'[^']*'", "T", message.split(": ", 1)[-1])
    plain = re.sub(r"(operator \d+ )?\([A-Z0-9_]+\)|\b[A-Z0-9]+_[A-Z0-9_]+\b", "OP", plain)
    return re.sub(r"-?\b\d[\d.,e+-]*", "N", re.sub(r"\[[^\]]*\]", "[..]", plain))[:100]


def judge(data: bytes, codes: Sequence[np.ndarray] | None = None, name: str = "graph") -> Verdict:
    """Compare every tensor of the twin with TFLite Micro's; ``codes`` [n, ...] by position (None: drawn here)."""
    try:
        model = load_model(data, name=name)
        twin = Twin(model.graph)
    except ModelError as error:
        return Verdict(refused=str(error))
    given = drawn(model) if codes is None else {port.name: values for port, values in
                                                zip(model.inputs, codes, strict=True)}
    ours = twin.tensors(given)
    try:
        theirs = RowExecutor("tflm", "tflm", model).tensors(given)
    except ModelError as error:
        return Verdict(crashed=str(error))
    wrong = sum(int(np.sum(values != theirs[index])) for index, values in ours.items())
    try:
        return Verdict(sum(values.size for values in ours.values()), wrong + _wrong_in_file(model, given, ours))
    except ModelError as error:
        return Verdict(crashed=str(error))


def _wrong_in_file(model: IntegerModel, given: Mapping[str, np.ndarray], ours: Mapping[int, np.ndarray]) -> int:
    """Output codes that differ where the file itself is run, not the operators that it was turned into."""
    shapes = dict(model.file_inputs)
    if model.data == model.source or model.edges or any(shapes.get(port.name) != port.shape for port in model.inputs):
        return 0  # float edges, or a batch
    columns, found = [given[port.name] for port in model.inputs], 0
    session = RemoteSession("tflm", "tflm", Loaded("file", model.source, (), tuple(range(len(model.outputs)))),
                            every=False)
    answers = session.run([column[:, None] for column in columns], range(len(model.outputs)))
    for index, answer in zip(model.graph.outputs, answers, strict=True):
        found += int(np.sum(np.frombuffer(answer, ours[index].dtype) != ours[index].ravel()))
    return found


def judge_firmware(data: bytes, codes: Sequence[np.ndarray], work: Path) -> Verdict:
    """Compare the output codes of the exported C, compiled with sanitizers, with TFLite Micro's."""
    from tinyfuse.firmware.host import outputs_on_host
    from tinyfuse.firmware.program import program_of
    from tinyfuse.firmware.toolchain import SANITIZE, host_compiler
    from tinyfuse.firmware.vectors import Vectors, tflm_outputs

    try:
        model = load_model(data, name="net")
        program = program_of(model, "net")
    except ModelError as error:
        return Verdict(refused=str(error))
    given = {port.name: values for port, values in zip(model.inputs, codes, strict=True)}
    vectors = Vectors(given, tflm_outputs(model, given), 0)
    try:
        found = outputs_on_host(program, vectors.stream(), work, host_compiler() or "cc", SANITIZE)
    except TinyfuseError as error:
        return Verdict(crashed=str(error))
    theirs = np.frombuffer(found, vectors.outputs.dtype)
    if theirs.size != vectors.outputs.size:
        return Verdict(crashed=f"{theirs.size} of {vectors.outputs.size} codes came back")
    return Verdict(theirs.size, int(np.sum(theirs != vectors.outputs.ravel())))


def drawn(model: IntegerModel) -> dict[str, np.ndarray]:
    """Codes of every input: all low, all high, two of the ends at random, one uniform."""
    rng, found = np.random.default_rng(0), {}
    for port in model.inputs:
        low, high, shape = port.grid.low, port.grid.high, port.shape[1:]
        rows = [np.full(shape, low), np.full(shape, high), *rng.choice([low, high], (2, *shape)),
                rng.integers(low, high + 1, shape)]
        found[port.name] = np.stack(rows).astype(port.dtype)
    return found


def tally(cases: Iterable[Case]) -> Tally:
    """Judge every case."""
    found = Tally()
    for case in cases:
        found.add(f"seed {case.seed} ({', '.join(case.operators)})", judge(case.data, case.codes))
    return found
