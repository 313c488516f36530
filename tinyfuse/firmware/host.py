"""A package on this machine, under the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tinyfuse.core.errors import ParityError
from tinyfuse.firmware import resources
from tinyfuse.firmware.machine import EmulationError
from tinyfuse.firmware.open_package import Exported
from tinyfuse.firmware.package import write_sources
from tinyfuse.firmware.templates import render
from tinyfuse.firmware.toolchain import SANITIZE, STRICT, CompileError, host_compiler, run

SECONDS = 1800


def run_on_host(package: Exported, work: Path, count: int) -> str:
    """Run the first ``count`` vectors; return "" or why it was not done.

    Raises:
        ParityError: other codes than TFLM's.
        CompileError, EmulationError: it does not compile, or a sanitizer found something.
    """
    command = host_compiler()
    if command is None:
        return "not run: no C compiler on this machine"
    if package.changed:
        # Code that is not ours runs where it can reach nothing: on the emulated cores.
        return f"not run: src/{package.changed[0]} is not what this version generates from the model"
    work.mkdir(parents=True)
    if not _sanitizers(command, work):
        return f"not run: {command} has no address and undefined-behaviour sanitizers here"
    harness, name, vectors = resources.folder("harness"), package.name, package.vectors
    (work / "main.c").write_text(render(harness / "host.c.j2", **package.interface), encoding="ascii")
    # Written anew: what lies in the package's folder, or is linked into it, is not compiled for this machine.
    folder = write_sources(package.program, work / "src")
    run([command, *STRICT, *SANITIZE, f"-I{folder}", str(work / "main.c"), str(folder / f"{name}.c"), "-o",
         str(work / "program")])
    rows = list(range(min(count, len(vectors))))
    try:
        done = subprocess.run([str(work / "program")], input=vectors.stream(rows), capture_output=True,
                              timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise EmulationError(f"{name}: the program did not end on this machine in {SECONDS} seconds") from error
    if done.returncode:
        lines = [line for line in done.stderr.decode(errors="replace").splitlines() if "rror" in line]
        raise EmulationError(f"{name}: a sanitizer stopped it on this machine: {lines[0] if lines else 'no message'}")
    wanted = vectors.outputs[rows]
    if done.stdout != wanted.astype(wanted.dtype.newbyteorder("<")).tobytes():
        raise ParityError(f"{name} on this machine: other codes than TFLite Micro's")
    return ""


def _sanitizers(command: str, work: Path) -> bool:
    """Whether the compiler's sanitizers are installed."""
    (work / "empty.c").write_text("int main(void)\n{\n  return 0;\n}\n", encoding="ascii")
    try:
        run([command, *SANITIZE, str(work / "empty.c"), "-o", str(work / "empty")])
    except CompileError:
        return False
    return True
