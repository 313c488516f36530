"""Programs of packages on this machine: compiled strictly, fed vectors, output codes collected."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tinyfuse.core.errors import ParityError
from tinyfuse.core.files import temporary_folder
from tinyfuse.core.programs import run_limited
from tinyfuse.firmware.c_text import export_folder, render
from tinyfuse.firmware.machine import SECONDS, EmulationError
from tinyfuse.firmware.package import write_sources
from tinyfuse.firmware.program import Program
from tinyfuse.firmware.toolchain import STRICT, host_compiler, run
from tinyfuse.firmware.vectors import Vectors


def outputs_on_host(program: Program, stream: bytes, work: Path, command: str, options: Sequence[str]) -> bytes:
    """Compile ``program`` with ``command`` and ``options`` in folder ``work``, and run the vectors of ``stream``.

    Returns the output codes, vector by vector. Raises CompileError, and EmulationError if the program does not end.
    """
    name = program.name
    main = render(export_folder("harness") / "host.c.j2", **program.interface)
    (work / "main.c").write_text(main, encoding="ascii")
    # Written anew: what lies in a package's folder, or is linked into it, is not compiled for this machine.
    folder = write_sources(program, work / "src")
    run([command, *STRICT, *options, f"-I{folder}", str(work / "main.c"), str(folder / f"{name}.c"), "-o",
         str(work / "program")])
    return said_on_host(work / "program", stream, name)


def said_on_host(program: Path, given: bytes, name: str) -> bytes:
    """Run a compiled ``program`` of ``name`` on this machine; return what it says, or raise EmulationError."""
    try:
        # No limit of memory: what the sanitizers reserve is larger than any.
        done = run_limited([str(program)], given=given, seconds=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise EmulationError(f"{name}: the program did not end on this machine in {SECONDS} seconds") from error
    if done.returncode:
        lines = [line for line in done.stderr.decode(errors="replace").splitlines() if "rror" in line]
        raise EmulationError(f"{name}: it was stopped on this machine: {lines[0] if lines else 'no message'}")
    return done.stdout


def judge_on_host(program: Program, vectors: Vectors) -> bool:
    """Tell whether this machine has a C compiler, and so could run all ``vectors``.

    Raises :class:`ParityError` if one gives other codes than TFLite Micro's, and what :func:`outputs_on_host` raises.
    """
    command = host_compiler()
    if command is None:
        return False
    with temporary_folder(None, "tinyfuse") as work:
        found = outputs_on_host(program, vectors.stream(), work, command, ["-O1"])
    size = len(vectors.output_stream()) // len(vectors)
    wrong = sum(found[start:start + size] != vectors.output_stream()[start:start + size]
                for start in range(0, size * len(vectors), size))
    if wrong or len(found) != size * len(vectors):
        raise ParityError(f"{program.name}: on this machine its C code gives other codes than TFLite Micro for "
                          f"{wrong} of {len(vectors)} vectors, so no package is written; please report this model")
    return True
