"""A package for two cores proven on one emulated core: its halves run one after the other, in either order.

Nothing here runs two cores at a time. Neither half may change a byte of the other's memory, so that their order, and
with it their speed, does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyfuse.core.errors import ParityError
from tinyfuse.firmware.build import linked
from tinyfuse.firmware.c_text import export_folder, render
from tinyfuse.firmware.machine import EmulationError, Ran, outputs_of, results_of
from tinyfuse.firmware.measure import Setup
from tinyfuse.firmware.package import Exported
from tinyfuse.firmware.program import Program
from tinyfuse.firmware.toolchain import OPTIMIZE, STRICT
from tinyfuse.firmware.two_cores import JOIN, SharedBuffer

COUNTED = 3
"""Vectors of which instructions are counted."""


@dataclass(frozen=True)
class TwoCoresResult:
    """One core that did both halves of all ``vectors`` in two orders.

    ``differing`` of ``values`` output codes are not TFLite Micro's; ``touched`` bytes of the other half's memory
    changed; most ``instructions`` of core 0's half, of core 1's, and of the join.
    """

    core: str
    vectors: int
    values: int
    differing: int
    touched: int
    instructions: tuple[int, int, int]

    @property
    def gain(self) -> float:
        """Estimate how many times as fast two cores are: no contention on the bus, no start of core 1 is counted."""
        first, second, join = self.instructions
        return (first + second + join) / (max(first, second) + join)

    def check(self) -> None:
        """Raise :class:`ParityError` unless both orders gave TFLite Micro's codes and the halves kept apart."""
        if self.differing or self.touched:
            raise ParityError(f"the halves for two cores on {self.core}: {self.differing} of {self.values} codes are "
                              f"not TFLite Micro's, {self.touched} bytes of the other half's memory changed")


def prove_two_cores(package: Exported, ready: Mapping[str, Setup], work: Path) -> tuple[TwoCoresResult, ...]:
    """Run both halves of ``package`` and their join on each of ``ready``; nothing for a package for one core."""
    if package.program.schedule is None:
        return ()
    return tuple(_on_core(package, setup, work / f"cores-{name}") for name, setup in ready.items())


def _on_core(package: Exported, setup: Setup, work: Path) -> TwoCoresResult:
    program, vectors = _linked(package, setup, work), package.vectors
    ran = setup.emulator.run(setup.core, program, vectors.stream(), counted=False)
    wanted = np.repeat(vectors.outputs, 2, axis=0)
    outputs = outputs_of(ran, wanted, setup.core)
    few = vectors.stream(list(range(len(vectors)))[-COUNTED:])
    first, second, join = results_of(setup.emulator.run(setup.core, program, few, counted=True), setup.core)[2:]
    return TwoCoresResult(setup.core.name, len(vectors), wanted.size, int(np.count_nonzero(outputs != wanted)),
                          _touched(ran, setup.core.name), (first, second, join))


def _linked(package: Exported, setup: Setup, work: Path) -> Path:
    """Compile the package as it is, strictly, and link it with the harness for halves."""
    work.mkdir(parents=True)
    program, sources, main = package.program, package.folder / "src", work / "main.c"
    main.write_text(render(export_folder("harness") / "cores.c.j2", buffers=_buffers(program), **program.interface),
                    encoding="ascii")
    compiled = setup.compiler.compile(setup.core, sources / f"{program.name}.c", work / "package.o",
                                      [*STRICT, OPTIMIZE[program.optimize], f"-I{sources}"])
    return linked(setup.core, setup.compiler, [compiled], main, work, [f"-I{sources}"])


def _buffers(program: Program) -> list[tuple[int, int, int]]:
    """The memory of each half: core, offset, bytes."""
    return [(one.core, one.offset, one.size) for one in program.plan.buffers.values()
            if isinstance(one, SharedBuffer) and one.core != JOIN]


def _touched(ran: Ran, core: str) -> int:
    for tag, content in ran.records:
        if tag == "T":
            return int.from_bytes(content, "little")
    raise EmulationError(f"{core}: the halves ended without saying what they changed")
