"""Every operator of the firmware on random shapes, scales and options: each tensor is the twin's, under sanitizers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from emitted import COMPILER, RUNTIME, differing
from operator_cases import ALL
from rare_cases import RARE
from side_by_side import Net

from tinyfuse.firmware.operators import BUILDERS
from tinyfuse.integer.model import load_model
from tinyfuse.integer.operators import OPERATORS
from tinyfuse.tflite.lowering import LOWERED

CASES, TOGETHER = 10, 8
"""Random cases of each operator, and operators in one program: compilers take most of the time."""


@pytest.mark.skipif(not COMPILER, reason="no C compiler (gcc or cc) on PATH")
@pytest.mark.parametrize("cases", [(ALL + RARE)[start:start + TOGETHER] for start in
                                   range(0, len(ALL + RARE), TOGETHER)])
def test_random_cases(cases: list[Callable[[Net], None]], tmp_path: Path) -> None:
    net = Net(np.random.default_rng(0))
    for case in cases * CASES:
        case(net)
    wrong = differing(load_model(net.data(), name="cases"), "speed", tmp_path / "net", samples=8)
    assert set(wrong.values()) == {0}, wrong


def test_every_operator_of_the_twin_has_a_kernel() -> None:
    assert set(OPERATORS) <= set(BUILDERS)


def test_the_readme_lists_them() -> None:
    text = (RUNTIME.parent / "README.md").read_text()
    assert not [name for name in {*BUILDERS, *LOWERED} if not re.search(rf"\b{name}\b", text)]


def test_no_two_kernels_define_one_name() -> None:
    """A package includes any of them together; files for instructions of a core stand for one another."""
    homes: dict[str, set[str]] = {}
    for path in RUNTIME.glob("tny_*.h"):
        for found in re.findall(r"^(?:static inline|TNY_[A-Z]+) [\w ]*?\**(tny_\w+)\(", path.read_text(), re.MULTILINE):
            homes.setdefault(found, set()).add(re.sub("_(mve|dsp|direct)$", "", path.stem))
    assert len(homes) > 100 and not {name: found for name, found in homes.items() if len(found) > 1}
